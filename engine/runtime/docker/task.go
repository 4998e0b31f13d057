package docker

import (
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// task is one task that this engine knows of.
type task struct {
	r    *Runtime
	spec runtime.Spec

	mu         sync.Mutex
	course     *runtime.Course
	containers []member // by index of the spec
	bindings   []runtime.Binding
	pullBegan  time.Time
	pullEnded  time.Time
	timer      *time.Timer
	acting     bool // its containers have been made
	announced  bool // Started was said
	stopping   bool
	unwanted   chan struct{} // closed when it is to be stopped
	over       bool
	forgotten  bool
	silent     bool // no engine knows of it: its events are nobody's
}

// member is what is known of a container beside its course.
type member struct {
	id string
	// finished is when its last end was that has been taken; early is an end that
	// was told before the start was.
	finished string
	early    *end
}

// end is how a container ended.
type end struct {
	exit     runtime.Exit
	finished string
	at       time.Time
}

func newTask(r *Runtime, spec runtime.Spec) *task {
	return &task{r: r, spec: spec, course: runtime.NewCourse(spec), containers: make([]member, len(spec.Containers)), unwanted: make(chan struct{})}
}

// tell gives an event to the sink. t.mu is held, so events keep their order.
func (t *task) tell(e runtime.Event) {
	if t.silent || t.r.ctx.Err() != nil {
		return
	}
	e.TaskID, e.At = t.spec.TaskID, t.r.o.Now()
	e.PullBegan, e.PullEnded = t.pullBegan, t.pullEnded
	t.r.sink(e)
}

// act goes on with the task's course: what is to be stopped is asked to, what there is
// to say is said, and what is to be started is given back. t.mu is held.
func (t *task) act() []int {
	if !t.acting || t.over {
		return nil
	}
	var starts []int
	for actions := t.course.Do(t.r.o.Now()); len(actions) > 0; actions = t.course.Do(t.r.o.Now()) {
		for _, a := range actions {
			switch a.Verb {
			case order.Begin:
				starts = append(starts, a.Container)
			case order.Ask:
				// Docker counts the time to SIGKILL itself, so that a stop goes on
				// when this engine dies.
				id, timeout := t.containers[a.Container].id, seconds(t.spec.Containers[a.Container].StopTimeout)
				t.r.spawn(func() { t.stopContainer(id, timeout) })
			}
		}
	}
	t.say()
	if next, ok := t.course.Next(); ok && !t.over {
		if t.timer != nil {
			t.timer.Stop()
		}
		t.timer = time.AfterFunc(max(next.Sub(t.r.o.Now()), 0), func() { t.r.spawn(t.goOn) })
	}
	return starts
}

// say tells what has become of the task. t.mu is held.
func (t *task) say() {
	switch {
	case t.course.Over():
		t.over = true
		t.tell(t.course.End())
		if t.forgotten || t.silent {
			t.r.removals.Put(t.remove)
		}
	case t.course.Up() && !t.announced:
		t.announced = true
		t.tell(runtime.Event{Kind: runtime.Started, Bindings: t.bound(), States: t.course.States()})
	default:
		if news := t.course.News(); news != nil {
			t.tell(runtime.Event{Kind: runtime.Changed, States: news})
		}
	}
}

// bound are the host ports of all containers. t.mu is held.
func (t *task) bound() []runtime.Binding {
	byContainer := func(name string) int { return t.course.Index(name) }
	slices.SortStableFunc(t.bindings, func(a, b runtime.Binding) int { return byContainer(a.Container) - byContainer(b.Container) })
	return slices.Clone(t.bindings)
}

// goOn acts, and starts what is to be started in its turn.
func (t *task) goOn() {
	t.mu.Lock()
	starts := t.act()
	t.mu.Unlock()
	if len(starts) > 0 {
		t.r.starts.Put(func() { t.begin(starts) })
	}
}

// begin starts containers, and what may be started after them.
func (t *task) begin(starts []int) {
	for len(starts) > 0 {
		i := starts[0]
		bindings, err := t.startContainer(i)
		if t.r.ctx.Err() != nil {
			return // whoever adopts it sees how far it came
		}
		t.mu.Lock()
		if err != nil {
			t.course.Failed(i, startReason(err))
		} else {
			name := t.spec.Containers[i].Name
			t.bindings = slices.DeleteFunc(t.bindings, func(b runtime.Binding) bool { return b.Container == name })
			t.bindings = append(t.bindings, bindings...)
			t.course.Began(i, t.r.o.Now())
			if early := t.containers[i].early; early != nil {
				t.containers[i].early = nil
				t.took(i, *early)
			}
		}
		starts = append(starts[1:], t.act()...)
		t.mu.Unlock()
	}
}

// ended takes the end of a container, each once.
func (t *task) ended(i int, e end) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.finished == t.containers[i].finished {
		return
	}
	switch t.course.Phase(i) {
	case order.Starting:
		t.containers[i].early = &e
	case order.Running:
		t.took(i, e)
		t.r.spawn(t.goOn)
	}
}

func (t *task) took(i int, e end) {
	t.containers[i].finished = e.finished
	t.course.Exited(i, e.exit, e.at)
}

// judged takes what a health check has found.
func (t *task) judged(i int, healthy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.course.Running(i) && t.spec.Containers[i].HealthCheck != nil {
		t.course.Judge(i, healthy)
		t.r.spawn(t.goOn)
	}
}

// fail says that nothing of the task runs.
func (t *task) fail(reason string, states ...runtime.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	t.tell(runtime.Event{Kind: runtime.StartFailed, Reason: reason, States: states})
}

func (t *task) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping || t.over {
		return
	}
	t.stopping = true
	close(t.unwanted)
	t.course.Stop()
	t.r.spawn(t.goOn)
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

func (t *task) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// remove removes the containers and volumes, and the task.
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
	t.removeVolumes()
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	delete(t.r.tasks, t.spec.TaskID)
	for _, c := range t.containers {
		delete(t.r.byID, c.id)
	}
}

// has notes a container of the task.
func (t *task) has(i int, id string) {
	t.mu.Lock()
	t.containers[i].id = id
	t.mu.Unlock()
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.byID[id] = place{t, i}
}

// runningIDs are Docker's ids of the containers that run, by name.
func (t *task) runningIDs() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := map[string]string{}
	for i, c := range t.spec.Containers {
		if t.course.Running(i) {
			ids[c.Name] = t.containers[i].id
		}
	}
	return ids
}

// place is where a container belongs.
type place struct {
	task  *task
	index int
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
