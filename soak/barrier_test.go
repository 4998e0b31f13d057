package soak

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/demand"
	"plimsoll/scale"
	"plimsoll/worker"
)

// unknown is a demand that cannot be read: nothing but releases moves the count.
type unknown struct{}

func (unknown) Read(context.Context) (demand.Sample, error) {
	return demand.Sample{}, errors.New("the queue cannot be read")
}

func underControl(most int) []control.Service {
	return []control.Service{{
		Policy:  scale.Policy{Service: "work", Priority: 1, Max: most, Triggers: []scale.Trigger{{Name: "queue", Mode: scale.Average, Target: 1}}},
		Sources: []control.Source{{Source: unknown{}, Interval: time.Hour}},
	}}
}

// Eighty workers are busy, fifty finish at one barrier. Each says its release
// three times at once, the answers are late, and the engine and the loop are
// killed in the middle: the desired count falls by just fifty, and nobody who is
// busy is asked to stop.
func TestFiftyOfEightyFinishTogether(t *testing.T) {
	const all, finish = 80, 50
	var w *world
	barrier, rest := make(chan struct{}), make(chan struct{})
	var working, left atomic.Int32
	program := func(ctx context.Context, p *process) {
		env := p.spec.Containers[0].Env
		platform := worker.FromEnv(func(name string) string { return env[name] }, nil)
		persist := func(what string, call func(context.Context) error) {
			for err := call(ctx); err != nil && ctx.Err() == nil; err = call(ctx) {
				if errors.Is(err, worker.ErrLeaving) || errors.Is(err, worker.ErrKept) {
					t.Errorf("%s: %v", what, err)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		persist("protect", func(ctx context.Context) error { return platform.Protect(ctx, time.Hour) })
		p.busy.Add(1)
		if n := working.Add(1); n > finish {
			<-rest
			p.busy.Add(-1)
			return
		}
		<-barrier
		p.busy.Add(-1)
		persist("unprotect", func(ctx context.Context) error { return platform.Protect(ctx, 0) })
		var said sync.WaitGroup
		for range 3 {
			said.Go(func() {
				time.Sleep(time.Duration(random(50)) * time.Millisecond)
				persist("release", platform.Release)
			})
		}
		said.Wait()
		left.Add(1)
	}
	w = newWorld(t, 8, plimsoll.Resources{CPU: 1000, Memory: 1000}, underControl(all), program)
	open := sync.OnceFunc(func() { close(barrier) })
	t.Cleanup(func() { open(); close(rest) })
	w.service(all)
	w.until("eighty at work", time.Minute, func() bool { return working.Load() == all })
	w.until("the loop has looked", time.Minute, func() bool { return w.loop.State().Step > 0 })

	for _, m := range []*mortal{&w.aws, &w.agent} {
		m.slow.Store(int64(30 * time.Millisecond))
	}
	open()
	for range 2 {
		w.until("some have left", time.Minute, func() bool { return left.Load() >= 5*int32(w.lives) })
		w.kill()
		w.live()
	}
	for _, m := range []*mortal{&w.aws, &w.agent} {
		m.slow.Store(0)
	}
	w.until("fifty have left", time.Minute, func() bool { return left.Load() == finish })
	w.until("the count has followed", time.Minute, func() bool { d, _ := w.counts(); return d <= all-finish })
	for range 20 { // nothing more comes of it
		w.loop.Wake()
		time.Sleep(10 * time.Millisecond)
	}
	desired, running := w.counts()
	if desired != all-finish || running != all-finish {
		t.Errorf("desired is %d and %d run, want %d", desired, running, all-finish)
	}
	if hit := w.machine.interrupted(); len(hit) > 0 {
		t.Errorf("%d busy workers had a stop signal", len(hit))
	}
	if n := w.tasks(); n != all {
		t.Errorf("%d tasks were started in the place of others", n-all)
	}
	t.Logf("%d lives of the engine, %d answers lost", w.lives, w.aws.lost.Load()+w.agent.lost.Load())
}
