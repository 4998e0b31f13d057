package sim

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/demand"
	"plimsoll/engine"
)

// workload is the work of one service: what came, what waits, what is done.
// Work is a fluid: a running task takes up to Rate of it in a second.
type workload struct {
	*Service
	world *world
	// backlog is what waits; flow is what was done in a second lately.
	backlog, flow float64
	// running are the tasks that run, holding those that hold a place as well.
	running, holding int
	segment          int // of Arrivals, at which was looked last
	// arrived is the work that came in all; read is what had come at the last
	// reading, at readAt.
	arrived float64
	tally   tally
}

// advance lets the time pass from one moment to another, in which the same tasks
// run.
func (w *workload) advance(from, to time.Duration) {
	seconds := (to - from).Seconds()
	var rate float64
	rate, w.segment = w.Arrivals.near(from+(to-from)/2, w.segment)
	came := rate * seconds
	done := min(w.backlog+came, w.Rate*float64(w.running)*seconds)
	w.backlog = max(0, w.backlog+came-done)
	if w.backlog < 1e-9 {
		w.backlog = 0
	}
	w.arrived += came
	w.flow = done / seconds
	w.tally.add(seconds, needed(rate, w.Rate), w.running)
	w.tally.held += seconds * float64(w.holding)
}

// needed is how many tasks the arriving work takes.
func needed(arrivals, rate float64) int { return int(math.Ceil(arrivals/rate - 1e-9)) }

// busy is how many tasks' worth of work is being done.
func (w *workload) busy() float64 { return w.flow / w.Rate }

// protect has the tasks of cooperative services that are busy be protected, the
// oldest first, and the others not.
func (w *world) protect() {
	for _, l := range w.loads {
		if !l.Cooperative {
			continue
		}
		busy := int(math.Ceil(l.busy() - 1e-9))
		var on, off []string
		for _, t := range w.machine.ServiceTasks(w.cfg.Cluster, l.Policy.Service) {
			if t.LastStatus != plimsoll.StatusRunning || t.DesiredStatus != plimsoll.StatusRunning {
				continue
			}
			switch is := t.Protected(w.clock()); {
			case busy > 0 && !is:
				on = append(on, t.ID)
			case busy <= 0 && is:
				off = append(off, t.ID)
			}
			busy--
		}
		w.mark(on, true)
		w.mark(off, false)
	}
}

// mark protects tasks or ends that, ten in a call.
func (w *world) mark(ids []string, protected bool) {
	for some := range slices.Chunk(ids, 10) {
		if !protected {
			w.freed = some
		}
		w.must(engine.UpdateTaskProtection{Cluster: w.cfg.Cluster, Tasks: some, Enabled: protected})
		w.freed = nil
	}
}

// source reads one figure of a workload. It never waits.
type source struct {
	load   *workload
	kind   Kind
	target float64
	other  demand.Source
	// arrived and at are of the last reading.
	arrived float64
	at      time.Duration
}

var errOutage = errors.New("the metrics are out")

// Immediate implements demand.Immediate.
func (s *source) Immediate() {}

// Read gives the figure of this moment.
func (s *source) Read(ctx context.Context) (demand.Sample, error) {
	w := s.load.world
	if w.outage(MetricOutage, s.load.Policy.Service) {
		return demand.Sample{}, errOutage
	}
	if s.kind == Other {
		return s.other.Read(ctx)
	}
	return demand.Sample{Value: s.value(), At: w.clock()}, nil
}

func (s *source) value() float64 {
	l, w := s.load, s.load.world
	switch s.kind {
	case Backlog:
		return math.Ceil(l.backlog + l.busy() - 1e-6)
	case Waiting:
		return math.Ceil(l.backlog - 1e-6)
	case Concurrency:
		return l.busy()*s.target + l.backlog
	case Latency:
		own := 1000 / l.Rate
		if capacity := l.Rate * float64(l.running); capacity > 0 {
			// Little's law on what waits; near its capacity a task answers later.
			used := min(l.flow/capacity, 0.99)
			return own/(1-used) + 1000*l.backlog/capacity
		}
		return own + 1000*l.backlog/l.Rate
	}
	seconds := (w.now - s.at).Seconds()
	rate := l.Arrivals.At(w.now)
	if seconds > 0 {
		rate = (l.arrived - s.arrived) / seconds
	}
	s.arrived, s.at = l.arrived, w.now
	return rate
}
