package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process/shim"
)

// task is one task that this engine knows of.
type task struct {
	r    *Runtime
	spec runtime.Spec
	dir  string
	kept record

	mu        sync.Mutex
	handle    *handle // of the shim, once it has started the task
	stopping  bool
	abandoned bool // the runtime is closed
	forgotten bool
	ended     bool
	adopted   bool // an earlier engine asked for it

	// Of a task that is watched: what its states were when they were told last.
	watched     bool
	watchNumber int32
	looking     sync.Mutex
	said        []runtime.State

	say     sync.Mutex // the order of events
	started bool
	over    bool
	silent  bool // no engine asked for it: its events are nobody's
}

func newTask(r *Runtime, spec runtime.Spec) *task {
	return &task{r: r, spec: spec, dir: r.dir(spec.TaskID), watched: runtime.Watched(spec)}
}

// tell gives an event to the sink, if it may still come.
func (t *task) tell(e runtime.Event) {
	t.say.Lock()
	defer t.say.Unlock()
	if t.over || t.silent || t.r.isClosed() {
		return
	}
	switch e.Kind {
	case runtime.Started:
		t.started = true
	case runtime.Changed:
	case runtime.Rebound:
		if !t.started {
			return
		}
	default:
		t.over = true
	}
	e.TaskID, e.At = t.spec.TaskID, t.r.o.Now()
	t.r.sink(e)
}

// stop passes the stop signal on, now or as soon as there is a shim to have it.
func (t *task) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping || t.ended {
		return
	}
	t.stopping = true
	if t.handle != nil {
		t.handle.signal(syscall.SIGTERM)
	}
}

func (t *task) wantsStop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopping
}

// forget tells whether the task has ended; if not, it is forgotten when it does.
func (t *task) forget() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgotten = true
	return t.ended
}

// abandon ends the watch over the task, not the task.
func (t *task) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.abandoned = true
	if t.handle != nil {
		t.handle.close()
	}
}

// run takes the handle of a shim that has started the task, and says so.
func (t *task) run(h *handle) {
	t.mu.Lock()
	t.handle = h
	if t.abandoned {
		h.close()
	} else if t.stopping {
		h.signal(syscall.SIGTERM)
	}
	t.mu.Unlock()
	if t.watched {
		t.look()
		return
	}
	t.tell(runtime.Event{Kind: runtime.Started, Bindings: t.kept.Bindings})
	t.r.probes.add(t)
}

func (t *task) hasStarted() bool {
	t.say.Lock()
	defer t.say.Unlock()
	return t.started
}

// watch waits for the end of the shim and says how the task ended.
func (t *task) watch() {
	t.mu.Lock()
	h := t.handle
	t.mu.Unlock()
	if err := h.wait(); err != nil {
		return // the runtime is closed
	}
	h.close()
	t.finish()
}

// finish says how a task ended of which no shim is alive.
func (t *task) finish() {
	e := t.outcome()
	t.r.probes.remove(t)
	if t.watched {
		t.r.states.remove(t)
	}
	for _, c := range t.kept.Cgroups {
		c.Remove()
	}
	t.release()
	t.conclude(e)
}

// conclude says the last of a task.
func (t *task) conclude(e runtime.Event) {
	if t.adopted && e.Kind == runtime.StartFailed {
		// The engine that asked for it ended in the middle of the start. This one
		// may ask again, by the same name: nothing may be in the way then.
		t.mu.Lock()
		t.ended = true
		t.mu.Unlock()
		t.r.drop(t)
		t.tell(e)
		return
	}
	t.tell(e)
	t.mu.Lock()
	t.ended = true
	gone := t.forgotten || t.silent
	t.mu.Unlock()
	if gone {
		t.r.drop(t)
	}
}

func (t *task) release() {
	for _, b := range t.kept.Bindings {
		t.r.ports.release(b.Address, b.HostPort)
	}
}

// outcome reads what the shim wrote at its end. If it could not, what it left
// behind is killed.
func (t *task) outcome() runtime.Event {
	data, err := os.ReadFile(filepath.Join(t.dir, shim.ExitFile))
	if err == nil {
		var exit shim.Exit
		if exit, err = shim.DecodeExit(data); err == nil {
			return t.exited(exit)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.r.o.Log.Warn("the exit codes of a task cannot be read", "task", t.spec.TaskID, "error", err)
	}
	state, err := shim.ReadState(t.dir)
	if err != nil {
		return runtime.Event{Kind: runtime.StartFailed, Reason: "CannotStartContainerError: the task's parent process ended before it had started anything" + t.complaint()}
	}
	if t.kept.Boot == t.r.boot {
		killLeftovers(state, t.kept.Cgroups)
	}
	e := runtime.Event{Kind: runtime.Exited, Reason: "the task's parent process was killed" + t.complaint()}
	if t.kept.Boot != t.r.boot {
		e.Reason = "the machine was restarted"
	}
	for _, c := range state.Containers {
		switch c.Phase {
		case order.Running:
			e.Exits = append(e.Exits, runtime.Exit{Container: c.Name, Code: 128 + int(syscall.SIGKILL), Reason: e.Reason})
		case order.Ended:
			e.Exits = append(e.Exits, exitOf(*c.Exit))
		}
	}
	return e
}

func (t *task) exited(exit shim.Exit) runtime.Event {
	e := runtime.Event{Kind: runtime.Exited}
	for _, c := range exit.Containers {
		if !c.Never {
			e.Exits = append(e.Exits, exitOf(c))
		}
	}
	switch {
	case exit.Failed != "":
		e.Kind, e.Reason, e.States = runtime.StartFailed, exit.Failed, never(exit)
	case len(e.Exits) == 0:
		e.Kind, e.Reason = runtime.StartFailed, "TaskFailedToStart: it was stopped before it was started"
	}
	return e
}

// complaint is what the shim wrote about its trouble, ready to be appended.
func (t *task) complaint() string {
	data, err := os.ReadFile(filepath.Join(t.dir, shim.LockFile))
	if err != nil {
		return ""
	}
	_, data, _ = bytes.Cut(data, []byte("\n")) // the record
	if state, ok := bytes.CutPrefix(data, []byte(shim.FirstState)); ok {
		_, data, _ = bytes.Cut(state, []byte("\nend\n"))
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	return ": " + string(line[:min(len(line), 300)])
}
