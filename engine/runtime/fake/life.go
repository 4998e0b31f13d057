package fake

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

func newTask(spec runtime.Spec, fate Fate) *task {
	return &task{spec: spec, fate: fate, course: runtime.NewCourse(spec), serials: make([]uint64, len(spec.Containers))}
}

// started ends the start of a task, well or badly.
func (w *World) started(t *task) {
	t.begun, t.pulled = true, w.now()
	reason := t.fate.Fail
	if reason == "" {
		reason = order.Check(t.spec.Order())
	}
	if reason == "" {
		if err := w.bind(t); err != nil {
			reason = "CannotStartContainerError: " + err.Error()
		}
	}
	if reason != "" {
		w.finish(t, reason)
		return
	}
	if t.fate.Life > 0 {
		w.after(t.fate.Life, func() { w.exitAll(t, t.fate.Code) })
	}
	w.act(t)
	// One that was stopped meanwhile has been started all the same.
	if t.stopping {
		t.course.Stop()
		w.act(t)
	}
}

// act does what the order of the containers asks for, and says what has changed.
func (w *World) act(t *task) {
	if t.ended {
		return
	}
	for actions := t.course.Do(time.Now()); len(actions) > 0; actions = t.course.Do(time.Now()) {
		for _, a := range actions {
			switch a.Verb {
			case order.Begin:
				w.begin(t, a.Container)
			case order.Ask:
				w.ask(t, a.Container)
			case order.Kill:
				if t.fate.IgnoreStop {
					w.exit(t, a.Container, 137)
					return // which has acted
				}
			}
		}
	}
	switch {
	case t.course.Over():
		w.finish(t, "")
		return
	case t.course.Up() && !t.started:
		t.started = true
		w.sayStarted(t)
	default:
		if news := t.course.News(); news != nil {
			w.tell(t, runtime.Event{Kind: runtime.Changed, States: news, PullBegan: t.pulled, PullEnded: t.pulled})
		}
	}
	if next, ok := t.course.Next(); ok {
		w.after(max(time.Until(next), 0), func() { w.act(t) })
	}
}

// begin starts a container.
func (w *World) begin(t *task, i int) {
	w.seq++
	serial := w.seq
	t.serials[i] = serial
	delete(t.judged, i)
	t.course.Began(i, time.Now())
	c := t.spec.Containers[i]
	w.print(t, "ready\n")
	if c.HealthCheck != nil {
		w.after(t.fate.HealthDelay, func() {
			if t.serials[i] == serial && !t.judged[i] {
				w.judge(t, i, !t.fate.Unhealthy)
			}
		})
	}
	if t.awaited(c.Name) {
		w.after(0, func() {
			if t.serials[i] == serial {
				w.exit(t, i, t.fate.Codes[c.Name])
			}
		})
	}
}

// awaited tells whether others wait for the container's end.
func (t *task) awaited(name string) bool {
	if _, told := t.fate.Codes[name]; told && t.fate.Codes[name] < 0 {
		return false
	}
	for _, c := range t.spec.Containers {
		for _, d := range c.DependsOn {
			if d.Container == name && (d.Condition == order.Complete || d.Condition == order.Success) {
				return true
			}
		}
	}
	return false
}

func (w *World) judge(t *task, i int, healthy bool) {
	if t.ended || !t.course.Running(i) {
		return
	}
	if t.judged == nil {
		t.judged = map[int]bool{}
	}
	t.judged[i] = true
	t.course.Judge(i, healthy)
	w.act(t)
}

// stop is the stop signal to the task.
func (w *World) stop(t *task) {
	t.stopping = true
	if t.begun {
		t.course.Stop()
		w.act(t)
	}
}

// ask is the stop signal to a container.
func (w *World) ask(t *task, i int) {
	if t.fate.IgnoreStop {
		w.print(t, "ignored\n")
		return
	}
	w.after(t.fate.StopDelay, func() { w.exit(t, i, 0) })
}

func (w *World) exitAll(t *task, code int) {
	for i := range t.spec.Containers {
		w.exit(t, i, code)
	}
}

// exit ends a container.
func (w *World) exit(t *task, i, code int) {
	if t.ended || !t.course.Running(i) {
		return
	}
	t.course.Exited(i, runtime.Exit{Container: t.spec.Containers[i].Name, Code: code}, time.Now())
	w.act(t)
}

// finish ends a task; the reason, if any, is why it was not even begun.
func (w *World) finish(t *task, reason string) {
	t.ended, t.reason = true, reason
	w.unbind(t)
	w.sayEnd(t)
	w.print(t, "")
}

// bind gives the task its host ports.
func (w *World) bind(t *task) error {
	address := t.spec.Address
	used := w.ports[address]
	if used == nil {
		used = map[int]bool{}
		w.ports[address] = used
	}
	for _, c := range t.spec.Containers {
		for _, p := range c.Ports {
			port := p.HostPort
			if port == 0 {
				if port = w.freePort(address); port == 0 {
					return fmt.Errorf("no host port is free on %s", address)
				}
			} else if used[port] {
				return fmt.Errorf("host port %d is already in use on %s", port, address)
			}
			used[port] = true
			t.bindings = append(t.bindings, runtime.Binding{
				Container: c.Name, ContainerPort: p.ContainerPort, Address: address, HostPort: port, Protocol: p.Protocol,
			})
		}
	}
	return nil
}

func (w *World) freePort(address string) int {
	for range lastPort - firstPort + 1 {
		port := max(w.next[address], firstPort)
		if port > lastPort {
			port = firstPort
		}
		w.next[address] = port + 1
		if !w.ports[address][port] {
			return port
		}
	}
	return 0
}

func (w *World) unbind(t *task) {
	for _, b := range t.bindings {
		delete(w.ports[t.spec.Address], b.HostPort)
	}
}

func (w *World) sayEnd(t *task) {
	if t.reason != "" {
		w.tell(t, runtime.Event{Kind: runtime.StartFailed, Reason: t.reason})
		return
	}
	w.tell(t, t.course.End())
}

func (w *World) sayStarted(t *task) {
	w.tell(t, runtime.Event{
		Kind: runtime.Started, Bindings: slices.Clone(t.bindings), States: t.course.States(),
		PullBegan: t.pulled, PullEnded: t.pulled,
	})
}

func (w *World) tell(t *task, e runtime.Event) {
	if t.silent {
		return
	}
	e.TaskID = t.spec.TaskID
	w.say(e)
}

func (w *World) say(e runtime.Event) {
	e.At = w.now()
	w.out = append(w.out, e)
}

// print adds a line to the output; an empty one only wakes who follows it.
func (w *World) print(t *task, line string) {
	if line != "" {
		t.output = append(t.output, line)
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// happening is something that is to come.
type happening struct {
	at  time.Time
	seq uint64 // what was asked for first comes first
	f   func()
}

// schedule is a heap of happenings, the next one first.
type schedule []happening

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	if s[i].at.Equal(s[j].at) {
		return s[i].seq < s[j].seq
	}
	return s[i].at.Before(s[j].at)
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(happening)) }
func (s *schedule) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = happening{}
	*s = old[:len(old)-1]
	return last
}

// arm sets the one timer to the next happening. w.mu is held.
func (w *World) arm() {
	if len(w.due) == 0 || w.delivering {
		return
	}
	d := time.Until(w.due[0].at)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.run)
		return
	}
	w.timer.Reset(d)
}

// run lets all that is due happen and tells it, in order, from one goroutine
// at a time and without the lock.
func (w *World) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.delivering {
		return
	}
	w.delivering = true
	for {
		now := time.Now()
		for len(w.due) > 0 && !w.due[0].at.After(now) {
			heap.Pop(&w.due).(happening).f()
		}
		if len(w.out) == 0 {
			break
		}
		out, sink := w.out, w.sink
		w.out = nil
		w.mu.Unlock()
		for _, e := range out {
			sink(e)
		}
		w.mu.Lock()
	}
	w.delivering = false
	w.arm()
}
