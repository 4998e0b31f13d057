package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"plimsoll/engine"
	"plimsoll/engine/runtime"
)

// world is one simulation under way: the engine's machine, a runtime that is
// made of delays, and the work.
type world struct {
	cfg     *Config
	machine *engine.Machine
	random  *rand.Rand
	now     time.Duration
	loads   []*workload
	byName  map[string]*workload
	queue   happenings
	calls   uint64
	wake    time.Duration // of the machine; 0: none
	outages map[string]int
	lost    map[string]time.Duration // zones, until when
	hosts   int                      // that are paid for
	drained map[string]time.Time     // hosts that were told to drain, by ARN
	running map[string]bool          // tasks of the runtime, by id
	// freed are the tasks whose protection is being ended.
	freed []string
	// revision grows with each change of the machine.
	revision    uint64
	hostSeconds float64
	series      series
	problem     error
	check       func(before *witness)
}

// happening is something that will happen at a time.
type happening struct {
	at  time.Duration
	seq uint64
	do  func()
}

type happenings struct {
	list []happening
	seq  uint64
}

func (h *happenings) Len() int { return len(h.list) }
func (h *happenings) Less(i, j int) bool {
	a, b := &h.list[i], &h.list[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (h *happenings) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *happenings) Push(x any)    { h.list = append(h.list, x.(happening)) }
func (h *happenings) Pop() any {
	last := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = happening{}
	h.list = h.list[:len(h.list)-1]
	return last
}

// at has something done at a time.
func (w *world) at(when time.Duration, do func()) {
	w.queue.seq++
	heap.Push(&w.queue, happening{max(when, w.now), w.queue.seq, do})
}

// clock is the world's time of day.
func (w *world) clock() time.Time { return began.Add(w.now) }

// spread varies a delay by up to a tenth.
func (w *world) spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*w.random.Float64()))
}

// step has the machine take in what happened and carries its effects out.
func (w *world) step(events ...engine.Event) []engine.Reply {
	var before *witness
	if w.check != nil {
		before = w.witness()
	}
	fx := w.machine.Step(w.clock(), events)
	w.revision++
	w.wake = 0
	if !fx.Wake.IsZero() {
		w.wake = max(fx.Wake.Sub(began), w.now+1)
	}
	for _, d := range fx.Drains {
		w.at(w.now, func() { w.step(engine.Drained{TaskID: d.TaskID}) })
	}
	for _, id := range fx.Stops {
		w.at(w.now+w.spread(w.cfg.Delays.TaskStop), func() { w.end(id, "") })
	}
	for _, spec := range fx.Starts {
		w.start(spec)
	}
	w.count()
	if w.check != nil {
		w.check(before)
	}
	return fx.Replies
}

// start runs a task after its delay, unless it has been ended before that.
func (w *world) start(spec runtime.Spec) {
	w.running[spec.TaskID] = false
	w.at(w.now+w.spread(w.cfg.Delays.TaskStart), func() {
		if _, known := w.running[spec.TaskID]; known {
			w.running[spec.TaskID] = true
			w.step(engine.Observed{Event: runtime.Event{TaskID: spec.TaskID, Kind: runtime.Started, At: w.clock()}})
		}
	})
}

// end ends a task once.
func (w *world) end(id, reason string) {
	if _, known := w.running[id]; !known {
		return
	}
	delete(w.running, id)
	e := runtime.Event{TaskID: id, Kind: runtime.Exited, At: w.clock(), Reason: reason}
	if t, ok := w.machine.Task("", id); ok {
		for _, c := range t.Containers {
			e.Exits = append(e.Exits, runtime.Exit{Container: c.Name, Code: 143})
		}
	}
	w.step(engine.Observed{Event: e})
}

// call carries a command out; a refusal is an *engine.Error.
func (w *world) call(c engine.Command) (any, error) {
	w.calls++
	replies := w.step(engine.Call{ID: w.calls, Command: c})
	for _, r := range replies {
		if r.ID == w.calls {
			return r.Value, r.Err
		}
	}
	return nil, fmt.Errorf("sim: %T had no reply", c)
}

// must carries out a command of the simulation itself.
func (w *world) must(c engine.Command) {
	if _, err := w.call(c); err != nil && w.problem == nil {
		w.problem = fmt.Errorf("sim: %T: %w", c, err)
	}
}

// count notes how many tasks of each service run from now on.
func (w *world) count() {
	w.countHosts()
	for _, l := range w.loads {
		running, pending := w.machine.ServiceCounts(w.cfg.Cluster, l.Policy.Service)
		l.running, l.holding = running, running+pending
	}
}

// pass lets the time go by up to a moment: what is due happens, in order.
func (w *world) pass(until time.Duration) {
	for w.problem == nil {
		next := until
		machine := false
		if w.queue.Len() > 0 && w.queue.list[0].at <= next {
			next = w.queue.list[0].at
		}
		if w.wake > 0 && w.wake <= next && (w.queue.Len() == 0 || w.wake < w.queue.list[0].at) {
			next, machine = w.wake, true
		}
		due := machine || w.queue.Len() > 0 && w.queue.list[0].at <= until && w.queue.list[0].at == next
		w.elapse(next)
		switch {
		case machine:
			w.step(engine.Tick{})
		case due:
			h := heap.Pop(&w.queue).(happening)
			h.do()
		default:
			return
		}
	}
}

// elapse has the work go on until a moment in which nothing else changes.
func (w *world) elapse(to time.Duration) {
	if to <= w.now {
		return
	}
	seconds := (to - w.now).Seconds()
	for _, l := range w.loads {
		l.advance(w.now, to)
	}
	w.hostSeconds += seconds * float64(w.hosts)
	w.now = to
}
