package usage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/usage"
)

// meter is what a test says that the tasks use.
type meter map[string]func() ([]runtime.Usage, error)

func (m meter) Usage(_ context.Context, task string) ([]runtime.Usage, error) {
	if f, ok := m[task]; ok {
		return f()
	}
	return nil, fmt.Errorf("task %q: %w", task, fs.ErrNotExist)
}

func reading(at time.Time, cpu time.Duration, memory int64) []runtime.Usage {
	return []runtime.Usage{{Container: "main", At: at, CPU: cpu, Memory: memory, PIDs: 2}}
}

func TestTheCPUIsARateBetweenTwoReadings(t *testing.T) {
	at, cpu := time.Unix(1000, 0), time.Duration(0)
	s := usage.New(usage.Options{
		Meter:   meter{"a": func() ([]runtime.Usage, error) { return reading(at, cpu, 3<<20), nil }},
		Running: func() []string { return []string{"a", "gone"} },
	})
	if _, ok := s.Usage("a"); ok {
		t.Fatal("something is known before the first reading")
	}
	s.Round(t.Context())
	u, ok := s.Usage("a")
	if !ok || u.CPU() != nil || u.Memory() != 3 || !u.At.Equal(at) || u.Containers[0].Processes != 2 {
		t.Fatalf("after one reading: %+v; want the memory, and no CPU yet", u)
	}
	at, cpu = at.Add(10*time.Second), 5*time.Second
	s.Round(t.Context())
	if u, _ = s.Usage("a"); u.CPU() == nil || *u.CPU() != 512 {
		t.Fatalf("half a CPU is %+v", u)
	}
	// A container that has begun anew has used less than before.
	at, cpu = at.Add(10*time.Second), time.Second
	s.Round(t.Context())
	if u, _ = s.Usage("a"); u.CPU() != nil {
		t.Fatalf("a counter that fell gave the rate %v", *u.CPU())
	}
	if _, ok := s.Usage("gone"); ok {
		t.Fatal("a task that does not run is measured")
	}
}

func TestWhatCannotBeMeasuredIsNotKnown(t *testing.T) {
	var fails error
	running := []string{"a"}
	s := usage.New(usage.Options{
		Meter:   meter{"a": func() ([]runtime.Usage, error) { return reading(time.Now(), 0, 1), fails }},
		Running: func() []string { return running },
	})
	s.Round(t.Context())
	fails = errors.New("no such file")
	s.Round(t.Context())
	if u, ok := s.Usage("a"); ok {
		t.Fatalf("a failed reading left %+v", u)
	}
	fails = nil
	s.Round(t.Context())
	running = nil
	s.Round(t.Context())
	if u, ok := s.Usage("a"); ok {
		t.Fatalf("a task that has ended left %+v", u)
	}
}

func TestMeasuringTakesAFiftiethOfACPUAtMost(t *testing.T) {
	for took, rest := range map[time.Duration]time.Duration{
		time.Millisecond: usage.LeastRest, 200 * time.Millisecond: 10 * time.Second, 2 * time.Second: usage.MostRest,
	} {
		synctest.Test(t, func(t *testing.T) {
			var begun []time.Time
			s := usage.New(usage.Options{
				Meter: meter{"a": func() ([]runtime.Usage, error) { time.Sleep(took); return reading(time.Now(), 0, 1), nil }},
				Running: func() []string {
					begun = append(begun, time.Now())
					return []string{"a"}
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s.Run(ctx)
			if got := begun[2].Sub(begun[1]); got != took+rest {
				t.Errorf("rounds of %s come every %s, want %s", took, got, took+rest)
			}
		})
	}
}

func TestAFakeTaskUsesWhatItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began atomic.Bool
		r := fake.New(fake.Options{Each: fake.Fate{CPU: 256, Memory: 64 << 20}}, func(e runtime.Event) { began.Store(e.Kind == runtime.Started) })
		r.Start(runtime.Spec{TaskID: "a", Containers: []runtime.Container{{Name: "main", Memory: 128}}})
		s := usage.New(usage.Options{Meter: r, Running: func() []string { return []string{"a"} }})
		time.Sleep(time.Second)
		s.Round(t.Context())
		time.Sleep(10 * time.Second)
		s.Round(t.Context())
		u, ok := s.Usage("a")
		if !ok || u.CPU() == nil || math.Abs(*u.CPU()-256) > 1e-3 || u.Memory() != 64 || u.Containers[0].MemoryLimit != 128 {
			t.Fatalf("started %v; used %+v", began.Load(), u)
		}
	})
}
