package sqs

import (
	"math"
	"time"
)

// Pace says how often a queue is read that gives no notices.
type Pace struct {
	// Least is the time between two readings while there is work, Most while
	// the queue is idle.
	Least, Most time.Duration
	// CallsPerDay is the most that is called in any 24 hours. A 24th of it is
	// there to be used at once; the rest comes evenly.
	CallsPerDay int
}

// The rates at which the time between readings grows: while the queue stays
// empty, and while it cannot be read.
const (
	growIdle   = 1.5
	growFailed = 2
)

// pacer keeps the pace.
type pacer struct {
	Pace
	wait  time.Duration
	last  float64 // the last value
	calls float64 // that may be made now
	at    time.Time
}

func newPacer(p Pace, now time.Time) *pacer {
	return &pacer{Pace: p, wait: p.Least, calls: p.reserve(), at: now}
}

func (p Pace) reserve() float64 { return float64(p.CallsPerDay) / 24 }

// rate is how many calls come in a second.
func (p Pace) rate() float64 {
	return (float64(p.CallsPerDay) - p.reserve()) / (24 * time.Hour).Seconds()
}

// called counts a call.
func (p *pacer) called(now time.Time) {
	p.refill(now)
	p.calls--
}

func (p *pacer) refill(now time.Time) {
	if now.After(p.at) {
		p.calls = min(p.reserve(), p.calls+now.Sub(p.at).Seconds()*p.rate())
		p.at = now
	}
}

// saw adapts the pace to what was read.
func (p *pacer) saw(value float64) {
	if value > 0 || value != p.last {
		p.wait = p.Least
	} else {
		p.slow(growIdle)
	}
	p.last = value
}

// failed slows down.
func (p *pacer) failed() { p.slow(growFailed) }

func (p *pacer) slow(by float64) {
	p.wait = min(p.Most, time.Duration(float64(p.wait)*by))
}

// next is when to read again: when the pace says so, and a call may be made.
func (p *pacer) next(now time.Time) time.Time {
	p.refill(now)
	wait := p.wait
	if p.calls < 1 {
		lack := (1 - p.calls) / p.rate()
		wait = max(wait, time.Duration(math.Ceil(lack*1000))*time.Millisecond)
	}
	return now.Add(wait)
}
