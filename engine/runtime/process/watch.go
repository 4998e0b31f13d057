package process

import (
	"encoding/binary"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process/shim"
)

// stateWatch tells the tasks of which more is to be said than their start and
// their end when their shims have written a new state. The kernel says so, for
// all tasks through one descriptor; others cost nothing.
type stateWatch struct {
	r *Runtime

	mu    sync.Mutex
	fd    int // -1 until the first task
	file  *os.File
	tasks map[int32]*task // by the kernel's number
}

func newStateWatch(r *Runtime) *stateWatch {
	return &stateWatch{r: r, fd: -1, tasks: map[int32]*task{}}
}

// add watches the folder of a task, which is there. Without the kernel's help
// nothing of the task is known but its end, so that is an error.
func (w *stateWatch) add(t *task) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd < 0 {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			return os.NewSyscallError("inotify_init1", err)
		}
		w.fd, w.file = fd, os.NewFile(uintptr(fd), "inotify")
		w.r.spawn(w.run)
	}
	// A new state is moved into its place.
	n, err := unix.InotifyAddWatch(w.fd, t.dir, unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	if err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	w.tasks[int32(n)], t.watchNumber = t, int32(n)
	return nil
}

func (w *stateWatch) remove(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks[t.watchNumber] == t {
		delete(w.tasks, t.watchNumber)
		_, _ = unix.InotifyRmWatch(w.fd, uint32(t.watchNumber)) // it goes with the folder at the latest
	}
}

func (w *stateWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file != nil {
		w.file.Close()
	}
}

func (w *stateWatch) run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return // closed
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			number := int32(binary.NativeEndian.Uint32(buf[at:]))
			mask := binary.NativeEndian.Uint32(buf[at+4:])
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
			w.tell(number, mask)
		}
	}
}

// tell has a task look at its state; all, if the kernel had more to say than it
// could keep.
func (w *stateWatch) tell(number int32, mask uint32) {
	w.mu.Lock()
	var changed []*task
	for n, t := range w.tasks {
		if n == number || mask&unix.IN_Q_OVERFLOW != 0 {
			changed = append(changed, t)
		}
	}
	w.mu.Unlock()
	for _, t := range changed {
		t.look()
	}
}

// look reads the state that the shim has written, and says what is new in it.
func (t *task) look() {
	t.looking.Lock()
	defer t.looking.Unlock()
	state, err := shim.ReadState(t.dir)
	if err != nil {
		return // not yet, or no more: its end is told
	}
	states := states(state)
	switch {
	case state.Up && !t.hasStarted():
		t.tell(runtime.Event{Kind: runtime.Started, Bindings: t.kept.Bindings, States: slices.Clone(states)})
		t.r.probes.add(t)
	case !slices.EqualFunc(states, t.said, sameState):
		t.tell(runtime.Event{Kind: runtime.Changed, States: slices.Clone(states)})
	}
	t.said = states
}

func states(s shim.State) []runtime.State {
	var all []runtime.State
	for _, c := range s.Containers {
		made := runtime.State{Container: c.Name, Phase: c.Phase, Health: c.Health, Restarts: c.Restarts}
		if c.Exit != nil {
			x := exitOf(*c.Exit)
			made.Exit = &x
		}
		all = append(all, made)
	}
	return all
}

func sameState(a, b runtime.State) bool {
	exitA, exitB := a.Exit, b.Exit
	a.Exit, b.Exit = nil, nil
	if a != b || (exitA == nil) != (exitB == nil) {
		return false
	}
	return exitA == nil || *exitA == *exitB
}

func exitOf(c shim.ContainerExit) runtime.Exit {
	x := runtime.Exit{Container: c.Container, Code: c.Code, OOM: c.OOM}
	if c.OOM {
		x.Reason = "OutOfMemoryError: the container used more than its memory limit"
	}
	return x
}

// never are the states of a task that could not be started.
func never(exit shim.Exit) []runtime.State {
	var all []runtime.State
	for _, c := range exit.Containers {
		if c.Never {
			all = append(all, runtime.State{Container: c.Container, Phase: order.Never, Reason: c.Reason})
		}
	}
	return all
}
