package app

import (
	"context"
	"log/slog"

	"plimsoll"
	"plimsoll/api"
	demandusage "plimsoll/demand/usage"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/usage"
)

// measure begins to measure what the tasks of a cluster use, until the stack is
// closed. It gives nil where the runtime cannot tell.
func (w *world) measure(s *stack, cluster string, log *slog.Logger) *usage.Sampler {
	meter, able := w.runtime.(runtime.Meter)
	if !able {
		return nil
	}
	sampler := usage.New(usage.Options{Meter: meter, Running: func() []string { return w.runningTasks(cluster) }, Log: log})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); sampler.Run(ctx) }()
	s.push("the measuring", func(context.Context) error { stop(); <-ended; return nil })
	return sampler
}

// runningTasks are the ids of the tasks that run.
func (w *world) runningTasks(cluster string) []string {
	var ids []string
	w.daemon.Read(func(v engine.View) {
		for _, t := range v.Tasks(cluster) {
			if t.LastStatus == plimsoll.StatusRunning {
				ids = append(ids, t.ID)
			}
		}
	})
	return ids
}

// meterOf is the sampler as the API takes it: none is no meter.
func meterOf(s *usage.Sampler) api.Meter {
	if s == nil {
		return nil
	}
	return s
}

// serviceMeter gives the cpu and memory triggers their figures.
type serviceMeter struct {
	world   *world
	cluster string
	sampler *usage.Sampler
}

// meterFor is none where nothing is measured.
func (w *world) meterFor(cluster string, s *usage.Sampler) demandusage.Meter {
	if s == nil {
		return nil
	}
	return serviceMeter{w, cluster, s}
}

// Tasks implements demandusage.Meter.
func (m serviceMeter) Tasks(service string) (t demandusage.Tasks) {
	m.world.daemon.Read(func(v engine.View) {
		s, there := v.Service(m.cluster, service)
		if !there {
			return
		}
		t.Desired = s.Desired
		for _, task := range v.ServiceTasks(m.cluster, service) {
			if task.LastStatus != plimsoll.StatusRunning || task.DesiredStatus != plimsoll.StatusRunning {
				continue
			}
			t.Running++
			if u, ok := m.sampler.Usage(task.ID); ok {
				t.Used = append(t.Used, u)
			}
		}
	})
	return t
}
