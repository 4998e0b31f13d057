// Package fake is a runtime that runs nothing: tasks are entries in a table,
// and starts and stops take the time that they are told to take. It serves
// tests, benchmarks and `--runtime fake` with tens of thousands of tasks; one
// timer drives them all. It must not know of processes or of the machine.
package fake

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"plimsoll/engine/runtime"
)

// Fate is what becomes of one task.
type Fate struct {
	// StartDelay and StopDelay are how long the start, and the end after the
	// stop signal, take.
	StartDelay, StopDelay time.Duration
	// Fail, if not empty, is the reason for which the start fails.
	Fail string
	// Life is how long the task runs by itself; 0: until it is stopped. Code
	// is its exit code then.
	Life time.Duration
	Code int
	// Codes are the exit codes of containers whose end others wait for: in this
	// runtime they end as soon as they have begun, by default with 0.
	Codes map[string]int
	// HealthDelay is the time from the start of a container with a health check
	// until it is healthy, or, with Unhealthy, is found not to be.
	HealthDelay time.Duration
	Unhealthy   bool
	// IgnoreStop lets the task run on after the stop signal, until its
	// StopTimeout ends it with 137.
	IgnoreStop bool
	// CPU (in CPU units) and Memory (in bytes) are what each container uses.
	CPU    float64
	Memory int64
}

// Options tune a fake runtime. The zero value starts and stops at once.
type Options struct {
	// Fate is asked at each start; nil means Each for all.
	Fate func(runtime.Spec) Fate
	Each Fate
	// World outlives the runtime when it is shared by two of them, as the
	// machine outlives an engine. nil makes a new one.
	World *World
	// Now is the clock of the events; nil means time.Now.
	Now func() time.Time
}

// The first dynamic host port of each address. The table is the only user of
// these ports, so they need be unique for an address only.
const firstPort, lastPort = 20000, 60999

// World is the table of all fake tasks. It may be shared by a runtime and the
// one that comes after it.
type World struct {
	mu    sync.Mutex
	tasks map[string]*task
	ports map[string]map[int]bool // by address
	next  map[string]int
	due   schedule
	timer *time.Timer
	seq   uint64

	sink       runtime.Sink // of the runtime that is attached
	now        func() time.Time
	out        []runtime.Event
	delivering bool
}

// task is one fake task.
type task struct {
	spec     runtime.Spec
	fate     Fate
	course   *runtime.Course
	begun    bool // its start has been looked at
	stopping bool
	started  bool // Started was said, or would have been
	ended    bool
	silent   bool // no engine knows of it any more
	bindings []runtime.Binding
	serials  []uint64     // of the starts of the containers
	judged   map[int]bool // containers whose health somebody has looked at
	reason   string
	pulled   time.Time
	output   []string
	changed  chan struct{} // made when somebody follows the output
}

// NewWorld makes an empty table.
func NewWorld() *World {
	return &World{
		tasks: map[string]*task{}, ports: map[string]map[int]bool{}, next: map[string]int{},
		now: time.Now,
	}
}

// Runtime is a runtime.Runtime over a World.
type Runtime struct {
	o Options
	w *World
}

// New makes a runtime whose events go to sink. It takes the place of the
// runtime that had the World before.
func New(o Options, sink runtime.Sink) *Runtime {
	if o.World == nil {
		o.World = NewWorld()
	}
	o.World.mu.Lock()
	defer o.World.mu.Unlock()
	o.World.sink, o.World.out = sink, nil
	if o.Now != nil {
		o.World.now = o.Now
	}
	return &Runtime{o: o, w: o.World}
}

// Start implements runtime.Runtime.
func (r *Runtime) Start(spec runtime.Spec) {
	fate := r.o.Each
	if r.o.Fate != nil {
		fate = r.o.Fate(spec)
	}
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks[spec.TaskID] != nil {
		return
	}
	t := newTask(spec, fate)
	w.tasks[spec.TaskID] = t
	w.after(fate.StartDelay, func() { w.started(t) })
}

// Stop implements runtime.Runtime.
func (r *Runtime) Stop(taskID string) {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tasks[taskID]
	if t == nil || t.stopping || t.ended {
		return
	}
	w.stop(t)
}

// Adopt implements runtime.Runtime. In a new World there is no trace of
// anything: fake tasks die with the engine.
func (r *Runtime) Adopt(_ context.Context, known []runtime.Spec) error {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := map[string]bool{}
	for _, spec := range known {
		wanted[spec.TaskID] = true
		w.after(0, func() {
			t := w.tasks[spec.TaskID]
			switch {
			case t == nil:
				w.say(runtime.Event{TaskID: spec.TaskID, Kind: runtime.StartFailed, Reason: "CannotStartContainerError: no trace of the task was found when the engine came back"})
			case t.ended:
				w.sayEnd(t)
			case t.started:
				w.sayStarted(t)
			}
		})
	}
	for id, t := range w.tasks {
		if !wanted[id] && !t.ended {
			t.silent = true
			if !t.stopping {
				w.stop(t)
			}
		}
	}
	return nil
}

// Forget implements runtime.Cleaner.
func (r *Runtime) Forget(taskID string) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if t := r.w.tasks[taskID]; t != nil && t.ended {
		delete(r.w.tasks, taskID)
	}
}

// Exit ends a container from outside, as if its program had ended.
func (w *World) Exit(taskID, container string, code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after(0, func() {
		if t := w.tasks[taskID]; t != nil {
			w.exit(t, t.course.Index(container), code)
		}
	})
}

// Judge says from outside what a container's health check finds.
func (w *World) Judge(taskID, container string, healthy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after(0, func() {
		if t := w.tasks[taskID]; t != nil {
			w.judge(t, t.course.Index(container), healthy)
		}
	})
}

// Running tells which start a container runs since: the serial number of the
// start, or 0 if it does not run.
func (w *World) Running(taskID, container string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tasks[taskID]
	if t == nil {
		return 0
	}
	if i := t.course.Index(container); t.course.Running(i) {
		return t.serials[i]
	}
	return 0
}

// Len gives the number of tasks that the world keeps, ended ones included.
func (w *World) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.tasks)
}

// Abilities of the fake runtime: all, since nothing is really done.
func Abilities() runtime.Abilities {
	return runtime.Abilities{Runtime: "fake", Anything: true}
}

// Logs implements runtime.Logs: the life of each container in a line each.
func (r *Runtime) Logs(ctx context.Context, taskID, container string, follow bool) (io.ReadCloser, error) {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tasks[taskID]
	if t == nil {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	if container != "" && !slices.ContainsFunc(t.spec.Containers, func(c runtime.Container) bool { return c.Name == container }) {
		return nil, fmt.Errorf("container %q of task %q: %w", container, taskID, fs.ErrNotExist)
	}
	if !follow {
		return io.NopCloser(strings.NewReader(strings.Join(t.output, ""))), nil
	}
	out, in := io.Pipe()
	go w.follow(ctx, t, in)
	return out, nil
}

func (w *World) follow(ctx context.Context, t *task, in *io.PipeWriter) {
	for at := 0; ; {
		w.mu.Lock()
		lines, over := t.output[at:], t.ended
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		w.mu.Unlock()
		for _, line := range lines {
			if _, err := io.WriteString(in, line); err != nil {
				return
			}
		}
		at += len(lines)
		if over {
			in.Close()
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			in.CloseWithError(ctx.Err())
			return
		}
	}
}

// after schedules f under the lock. d may be 0: f never runs inside the call.
func (w *World) after(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.due, happening{at: time.Now().Add(d), seq: w.seq, f: f})
	w.arm()
}
