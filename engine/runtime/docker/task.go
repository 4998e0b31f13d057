package docker

import (
	"sync"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// task is one task that this engine knows of.
type task struct {
	r    *Runtime
	spec runtime.Spec

	mu        sync.Mutex
	ids       map[string]string // of the containers, by name
	timeouts  map[string]int    // seconds
	running   map[string]bool
	exits     []runtime.Exit
	announced bool // Started was said
	stopping  bool
	over      bool
	forgotten bool
	silent    bool // no engine knows of it: its events are nobody's
}

func newTask(r *Runtime, spec runtime.Spec) *task {
	t := &task{r: r, spec: spec, ids: map[string]string{}, timeouts: map[string]int{}, running: map[string]bool{}}
	for _, c := range spec.Containers {
		t.timeouts[c.Name] = seconds(c.StopTimeout)
	}
	return t
}

// tell gives an event to the sink. t.mu is held, so events keep their order.
func (t *task) tell(e runtime.Event) {
	if t.silent || t.r.ctx.Err() != nil {
		return
	}
	e.TaskID, e.At = t.spec.TaskID, t.r.o.Now()
	t.r.sink(e)
}

// began says that all containers were started, and catches up with what has
// ended since.
func (t *task) began(bindings []runtime.Binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.announced = true
	t.tell(runtime.Event{Kind: runtime.Started, Bindings: bindings})
	if t.stopping {
		t.signal()
	}
	t.settle()
}

// ended takes the end of a container.
func (t *task) ended(x runtime.Exit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.running[x.Container] {
		return
	}
	delete(t.running, x.Container)
	t.exits = append(t.exits, x)
	if t.announced {
		t.settle()
	}
}

// settle does what follows from the containers that have ended. t.mu is held.
func (t *task) settle() {
	if t.over {
		return
	}
	if len(t.running) == 0 {
		t.over = true
		t.tell(runtime.Event{Kind: runtime.Exited, Exits: t.exits})
		if t.forgotten || t.silent {
			t.r.spawn(t.remove)
		}
		return
	}
	for _, c := range t.spec.Containers {
		if c.Essential && !t.running[c.Name] && !t.stopping {
			t.stopping = true
			t.signal()
		}
	}
}

// fail says that nothing of the task runs.
func (t *task) fail(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	t.tell(runtime.Event{Kind: runtime.StartFailed, Reason: reason})
}

func (t *task) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping || t.over {
		return
	}
	t.stopping = true
	if t.announced {
		t.signal()
	}
}

// signal has Docker send the stop signal, and SIGKILL later: it counts the
// time itself, so that it goes on when this engine dies. t.mu is held.
func (t *task) signal() {
	for name := range t.running {
		id, timeout := t.ids[name], t.timeouts[name]
		t.r.spawn(func() { t.stopContainer(id, timeout) })
	}
}

func (t *task) stopContainer(id string, timeout int) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err := t.r.docker.ContainerStop(t.r.ctx, id, client.ContainerStopOptions{Timeout: &timeout})
		if err == nil || gone(err) || t.r.ctx.Err() != nil {
			return
		}
		t.r.o.Log.Warn("a container cannot be stopped yet", "task", t.spec.TaskID, "error", err)
		if !t.r.sleep(pause) {
			return
		}
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
	return t.over
}

// remove removes the containers, and the task.
func (t *task) remove() {
	list, err := t.r.docker.ContainerList(t.r.ctx, client.ContainerListOptions{All: true, Filters: t.r.filter(t.spec.TaskID)})
	if err != nil {
		t.r.o.Log.Warn("the containers of an ended task cannot be removed", "task", t.spec.TaskID, "error", err)
		return
	}
	for _, c := range list.Items {
		_, err := t.r.docker.ContainerRemove(t.r.ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !gone(err) {
			t.r.o.Log.Warn("a container of an ended task cannot be removed", "task", t.spec.TaskID, "error", err)
		}
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	delete(t.r.tasks, t.spec.TaskID)
	for _, id := range t.ids {
		delete(t.r.byID, id)
	}
}

// has notes a container of the task.
func (t *task) has(name, id string, timeout int, running bool) {
	t.mu.Lock()
	t.ids[name] = id
	t.timeouts[name] = timeout
	if running {
		t.running[name] = true
	}
	t.mu.Unlock()
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.byID[id] = t
}

// sleep tells whether the runtime is still open after d.
func (r *Runtime) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}
