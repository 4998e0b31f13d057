package runtimetest

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll/engine/runtime"
)

// world is a harness with what its runtime has said. It checks the order of
// each task's events as they come.
type world struct {
	t *testing.T
	h Harness

	mu      sync.Mutex
	r       runtime.Runtime
	life    int // of the engine: counts restarts
	seen    map[string][]runtime.Event
	changed chan struct{}
	started map[string]runtime.Spec
	ended   map[string]bool
}

func newWorld(t *testing.T, h Harness) *world {
	w := &world{t: t, h: h, changed: make(chan struct{}), started: map[string]runtime.Spec{}, ended: map[string]bool{}}
	t.Cleanup(w.clean)
	return w
}

// engine makes the first runtime.
func (w *world) engine() runtime.Runtime { return w.adopt() }

// drop takes the runtime away; what it says from now on is not heard.
func (w *world) drop() {
	w.mu.Lock()
	r := w.r
	w.r, w.seen = nil, nil
	w.life++
	w.mu.Unlock()
	w.h.Drop(w.t, r)
}

// adopt makes a runtime that knows the specs.
func (w *world) adopt(known ...runtime.Spec) runtime.Runtime {
	w.t.Helper()
	w.mu.Lock()
	w.seen = map[string][]runtime.Event{}
	w.life++
	life := w.life
	w.mu.Unlock()
	r := w.h.New(w.t, func(e runtime.Event) { w.hear(life, e) })
	w.mu.Lock()
	w.r = r
	w.mu.Unlock()
	if err := r.Adopt(context.Background(), known); err != nil {
		w.t.Fatalf("adopt: %v", err)
	}
	return r
}

func (w *world) restart(known ...runtime.Spec) runtime.Runtime {
	w.t.Helper()
	w.drop()
	return w.adopt(known...)
}

// hear takes an event and checks that it may come now.
func (w *world) hear(life int, e runtime.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.life {
		return
	}
	before := w.seen[e.TaskID]
	kinds := func(k runtime.Kind) bool {
		return slices.ContainsFunc(before, func(b runtime.Event) bool { return b.Kind == k })
	}
	switch {
	case kinds(runtime.Exited) || kinds(runtime.StartFailed):
		w.t.Errorf("%s: %s after its end: %v", e.TaskID, e.Kind, before)
	case e.Kind == runtime.Started && kinds(runtime.Started):
		w.t.Errorf("%s: started twice", e.TaskID)
	case e.Kind == runtime.StartFailed && kinds(runtime.Started):
		w.t.Errorf("%s: %s after started", e.TaskID, e.Kind)
	case e.Kind == runtime.Rebound && !kinds(runtime.Started):
		w.t.Errorf("%s: rebound before started", e.TaskID)
	}
	w.seen[e.TaskID] = append(before, e)
	if e.Kind == runtime.Exited || e.Kind == runtime.StartFailed {
		w.ended[e.TaskID] = true
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) events(taskID string) []runtime.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen[taskID])
}

// waitFor waits for an event of the task that is wanted. An end that is not
// wanted fails at once.
func (w *world) waitFor(taskID string, want ...runtime.Kind) runtime.Event {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		seen, changed := slices.Clone(w.seen[taskID]), w.changed
		w.mu.Unlock()
		for _, e := range seen {
			if slices.Contains(want, e.Kind) {
				return e
			}
			if e.Kind == runtime.Exited || e.Kind == runtime.StartFailed {
				w.t.Fatalf("%s: %s (%s, %v) instead of %s", taskID, e.Kind, e.Reason, e.Exits, want)
			}
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("%s: no %s within %s; it had %v", taskID, want, patience, seen)
		}
	}
}

func (w *world) wait(taskID string, want runtime.Kind) runtime.Event {
	w.t.Helper()
	return w.waitFor(taskID, want)
}

func (w *world) waitEnd(taskID string) runtime.Event {
	w.t.Helper()
	return w.waitFor(taskID, runtime.Exited, runtime.StartFailed)
}

// task is a task of one essential container, "main".
func (w *world) task(id string, p Program) runtime.Spec {
	c := w.h.Container(p)
	c.Name, c.Essential = "main", true
	if c.StopTimeout == 0 {
		c.StopTimeout = long
	}
	return w.know(runtime.Spec{
		TaskID: id, TaskARN: "arn:aws:ecs:us-east-1:123456789012:task/contract/" + id,
		Cluster: "contract", Family: "contract", Revision: 1,
		Address: w.h.Address, Network: "bridge", Containers: []runtime.Container{c},
	})
}

// pair is a task of an essential container "main" and another one, "side".
func (w *world) pair(id string) runtime.Spec {
	spec := w.task(id, Trap)
	side := w.h.Container(Trap)
	side.Name, side.StopTimeout = "side", long
	spec.Containers = append(spec.Containers, side)
	return w.know(spec)
}

func (w *world) know(spec runtime.Spec) runtime.Spec {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started[spec.TaskID] = spec
	return spec
}

// start starts a task and waits until its programs are ready for signals.
func (w *world) start(r runtime.Runtime, spec runtime.Spec) {
	w.t.Helper()
	r.Start(spec)
	w.wait(spec.TaskID, runtime.Started)
	for _, c := range spec.Containers {
		w.readyContainer(r, spec.TaskID, c.Name)
	}
}

func (w *world) ready(r runtime.Runtime, taskID string) {
	w.t.Helper()
	w.readyContainer(r, taskID, "main")
}

func (w *world) readyContainer(r runtime.Runtime, taskID, container string) {
	w.t.Helper()
	w.printed(r, taskID, container, "ready")
}

// stopped waits until the program has had the stop signal.
func (w *world) stopped(r runtime.Runtime, taskID string) {
	w.t.Helper()
	w.printed(r, taskID, "main", "ignored")
}

// printed waits for a line in a container's output.
func (w *world) printed(r runtime.Runtime, taskID, container, want string) {
	w.t.Helper()
	l, ok := r.(runtime.Logs)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := l.Logs(ctx, taskID, container, true)
	if err != nil {
		w.t.Fatalf("%s: logs: %v", taskID, err)
	}
	defer out.Close()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	w.t.Fatalf("%s: container %q never printed %q: %v", taskID, container, want, lines.Err())
}

// codes checks the exit codes by container.
func (w *world) codes(e runtime.Event, want map[string]int) {
	w.t.Helper()
	got := map[string]int{}
	for _, x := range e.Exits {
		got[x.Container] = x.Code
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s: exit codes: %s (%+v)", e.TaskID, diff, e)
	}
}

// gone waits until no container of the task runs.
func (w *world) gone(taskID string) {
	w.t.Helper()
	w.mu.Lock()
	spec := w.started[taskID]
	w.mu.Unlock()
	for _, c := range spec.Containers {
		w.eventually(fmt.Sprintf("%s of %s ends", c.Name, taskID), func() bool {
			return w.h.Identity(w.t, taskID, c.Name) == ""
		})
	}
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// clean ends what still runs, so that a test leaves nothing behind.
func (w *world) clean() {
	w.mu.Lock()
	r := w.r
	var left []string
	for id := range w.started {
		if !w.ended[id] {
			left = append(left, id)
		}
	}
	w.mu.Unlock()
	for _, id := range left {
		for _, c := range w.started[id].Containers {
			if w.h.Identity(w.t, id, c.Name) != "" {
				w.h.End(w.t, id, c.Name)
			}
		}
		w.gone(id)
	}
	if w.h.Idle != nil {
		w.eventually("nothing is at work", w.h.Idle)
	}
	if r != nil {
		w.h.Drop(w.t, r)
	}
}
