package fake

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"plimsoll/engine/runtime"
)

// started ends the start of a task, well or badly.
func (w *World) started(t *task) {
	if t.state != starting {
		return
	}
	if t.fate.Fail != "" {
		w.failStart(t, t.fate.Fail)
		return
	}
	if err := w.bind(t); err != nil {
		w.failStart(t, "CannotStartContainerError: "+err.Error())
		return
	}
	t.state = running
	t.running = map[string]bool{}
	for _, c := range t.spec.Containers {
		t.running[c.Name] = true
	}
	if !t.silent {
		w.say(runtime.Event{TaskID: t.spec.TaskID, Kind: runtime.Started, Bindings: slices.Clone(t.bindings)})
	}
	w.print(t, "ready\n")
	if t.stopping {
		w.signal(t)
	}
	if t.fate.Life > 0 {
		w.after(t.fate.Life, func() { w.exitAll(t, t.fate.Code) })
	}
}

func (w *World) failStart(t *task, reason string) {
	t.state, t.reason = ended, reason
	w.unbind(t)
	w.sayEnd(t)
	w.print(t, "")
}

// stop is the stop signal.
func (w *World) stop(t *task) {
	t.stopping = true
	if t.state == running {
		w.signal(t)
	}
}

func (w *World) signal(t *task) {
	if !t.fate.IgnoreStop {
		w.after(t.fate.StopDelay, func() { w.exitAll(t, 0) })
		return
	}
	w.print(t, "ignored\n")
	for _, c := range t.spec.Containers {
		w.after(c.StopTimeout, func() {
			if t.running[c.Name] {
				w.exit(t, c.Name, 137)
			}
		})
	}
}

func (w *World) exitAll(t *task, code int) {
	for _, c := range t.spec.Containers {
		if t.running[c.Name] {
			w.exit(t, c.Name, code)
		}
	}
}

// exit ends a container; an essential one stops the others, and the last one
// ends the task.
func (w *World) exit(t *task, container string, code int) {
	delete(t.running, container)
	t.exits = append(t.exits, runtime.Exit{Container: container, Code: code})
	if len(t.running) == 0 {
		t.state = ended
		w.unbind(t)
		w.sayEnd(t)
		w.print(t, "")
		return
	}
	for _, c := range t.spec.Containers {
		if c.Name == container && c.Essential && !t.stopping {
			w.stop(t)
		}
	}
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
	if t.silent {
		return
	}
	e := runtime.Event{TaskID: t.spec.TaskID, Kind: runtime.Exited, Exits: slices.Clone(t.exits), Reason: t.reason}
	if len(t.exits) == 0 {
		e.Kind = runtime.StartFailed
	}
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
