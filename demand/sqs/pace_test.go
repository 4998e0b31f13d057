package sqs

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var pace = Pace{Least: time.Second, Most: 30 * time.Second, CallsPerDay: 20_000}

func TestAQueueWithWorkIsReadEverySecondAndAnIdleOneEverHalfMinute(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	p := newPacer(pace, now)
	p.called(now)
	p.saw(3)
	if got := p.next(now).Sub(now); got != time.Second {
		t.Errorf("with work: %s, want 1s", got)
	}
	p.saw(0)
	if got := p.next(now).Sub(now); got != time.Second {
		t.Errorf("just emptied: %s, want 1s", got)
	}
	for range 20 {
		p.saw(0)
	}
	if got := p.next(now).Sub(now); got != 30*time.Second {
		t.Errorf("idle: %s, want 30s", got)
	}
	p.saw(1)
	if got := p.next(now).Sub(now); got != time.Second {
		t.Errorf("with work again: %s, want 1s", got)
	}
	for range 20 {
		p.failed()
	}
	if got := p.next(now).Sub(now); got != 30*time.Second {
		t.Errorf("failing: %s, want 30s", got)
	}
}

func TestNoDayHasMoreCallsThanStated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pace := pace
		pace.CallsPerDay = rapid.IntRange(2880, 40_000).Draw(t, "calls per day")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
		p, end := newPacer(pace, now), now.Add(50*time.Hour)
		var calls []time.Time
		busy := 0.0
		for now.Before(end) {
			p.called(now)
			calls = append(calls, now)
			if rng.IntN(500) == 0 {
				busy = float64(rng.IntN(2))
			}
			p.saw(busy * float64(rng.IntN(9)))
			next := p.next(now)
			if wait := next.Sub(now); wait < pace.Least || wait > pace.Most+2*time.Second {
				t.Fatalf("%s until the next call", wait)
			}
			now = next
		}
		for i := range calls {
			if j := i + pace.CallsPerDay; j < len(calls) && calls[j].Sub(calls[i]) < 24*time.Hour {
				t.Fatalf("%d calls within %s", pace.CallsPerDay+1, calls[j].Sub(calls[i]))
			}
		}
	})
}
