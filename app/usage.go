package app

import (
	"context"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/api"
	demandusage "plimsoll/demand/usage"
	"plimsoll/engine"
	"plimsoll/engine/cloudwatch"
	"plimsoll/engine/runtime"
	"plimsoll/engine/usage"
)

// A world whose figures nothing but CloudWatch's minutes is made of is measured at a
// slower pace, between these rests.
const (
	leastQuietRest = 20 * time.Second
	mostQuietRest  = time.Minute
)

// measure begins to measure what the world's tasks use, where the runtime can tell,
// and to keep ECS's metrics, until the world is closed.
func (w *world) measure(o worldOptions) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var used cloudwatch.Meter
	if meter, able := w.runtime.(runtime.Meter); able {
		so := usage.Options{Meter: meter, Running: w.runningTasks, Log: o.log}
		if !o.triggers {
			so.Least, so.Most = leastQuietRest, mostQuietRest
		}
		w.sampler = usage.New(so)
		used = w.sampler
		running.Go(func() { w.sampler.Run(ctx) })
	}
	running.Go(func() { cloudwatch.KeepECS(ctx, w.metrics, w.daemon, used) })
	w.parts.push("the measuring", func(context.Context) error { stop(); running.Wait(); return nil })
}

// runningTasks are the ids of the tasks that run.
func (w *world) runningTasks() []string {
	var ids []string
	w.daemon.Read(func(v engine.View) {
		for _, c := range v.Clusters() {
			for _, t := range v.Tasks(c.Name) {
				if t.LastStatus == plimsoll.StatusRunning {
					ids = append(ids, t.ID)
				}
			}
		}
	})
	return ids
}

// meter is the sampler as the API takes it: none is no meter.
func (w *world) meter() api.Meter {
	if w.sampler == nil {
		return nil
	}
	return w.sampler
}

// serviceMeter gives the cpu and memory triggers their figures.
type serviceMeter struct {
	world   *world
	cluster string
}

// meterFor is none where nothing is measured.
func (w *world) meterFor(cluster string) demandusage.Meter {
	if w.sampler == nil {
		return nil
	}
	return serviceMeter{w, cluster}
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
			if u, ok := m.world.sampler.Usage(task.ID); ok {
				t.Used = append(t.Used, u)
			}
		}
	})
	return t
}
