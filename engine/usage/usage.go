// Package usage keeps what the running tasks use. It asks the runtime's meter
// for one task after the other, at a pace that bounds what the asking costs, and
// makes rates of the CPU times. It must not know of services, of the ECS API or
// of who looks at the figures.
package usage

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
)

// The pace: between two rounds there is a rest of restShare times what the first
// took, so that one in restShare of a CPU is used at most, within these bounds.
const (
	restShare = 50
	LeastRest = 5 * time.Second
	MostRest  = 15 * time.Second
)

// unitsPerCPU are the CPU units of one CPU.
const unitsPerCPU = 1024

const mib = 1 << 20

// Options make a Sampler. Log and Now may be left out.
type Options struct {
	Meter runtime.Meter
	// Running gives the ids of the tasks that run.
	Running func() []string
	// Least and Most bound the rest between two rounds; 0: LeastRest, MostRest.
	Least, Most time.Duration
	Now         func() time.Time
	Log         *slog.Logger
}

// Sampler holds the last measurement of each running task.
type Sampler struct {
	o    Options
	mu   sync.RWMutex
	last map[string]measured // by task id
}

// measured is a measurement with what the next rate is made of.
type measured struct {
	usage plimsoll.Usage
	raw   map[string]runtime.Usage // by container
}

// New makes a sampler that has measured nothing yet.
func New(o Options) *Sampler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Most == 0 {
		o.Least, o.Most = LeastRest, MostRest
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sampler{o: o, last: map[string]measured{}}
}

// Run measures in rounds until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	rest := time.NewTimer(s.o.Least)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
		begun := s.o.Now()
		s.Round(ctx)
		rest.Reset(min(max(restShare*s.o.Now().Sub(begun), s.o.Least), s.o.Most))
	}
}

// Round measures every running task once and forgets those that run no more. Of
// a task that cannot be measured nothing is known until it can be again.
func (s *Sampler) Round(ctx context.Context) {
	running := s.o.Running()
	next := make(map[string]measured, len(running))
	for _, id := range running {
		used, err := s.o.Meter.Usage(ctx, id)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			s.o.Log.Debug("a task's use cannot be measured", "task", id, "err", err)
			continue
		}
		if len(used) > 0 {
			next[id] = measure(used, s.last[id])
		}
	}
	s.mu.Lock()
	s.last = next // only this method writes it
	s.mu.Unlock()
}

// Usage is the last measurement of a task; false where there is none.
func (s *Sampler) Usage(task string) (plimsoll.Usage, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.last[task]
	return m.usage, ok
}

// measure makes a measurement out of what the meter said, and of the one before.
func measure(used []runtime.Usage, before measured) measured {
	m := measured{raw: make(map[string]runtime.Usage, len(used))}
	for _, u := range used {
		m.raw[u.Container] = u
		c := plimsoll.ContainerUsage{
			Name: u.Container, Memory: float64(u.Memory) / mib, MemoryLimit: float64(u.MemoryLimit) / mib, Processes: u.PIDs,
		}
		if was, ok := before.raw[u.Container]; ok {
			c.CPU = rate(was, u)
		}
		m.usage.Containers = append(m.usage.Containers, c)
		if u.At.After(m.usage.At) {
			m.usage.At = u.At
		}
	}
	return m
}

// rate is the CPU units between two readings; nil where the counter fell, as it
// does when a container has begun anew.
func rate(was, is runtime.Usage) *float64 {
	span := is.At.Sub(was.At)
	if span <= 0 || is.CPU < was.CPU {
		return nil
	}
	units := unitsPerCPU * float64(is.CPU-was.CPU) / float64(span)
	return &units
}
