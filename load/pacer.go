package load

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// behind is how far the requests may fall behind the curve before they are left
// out: an overloaded service must not get the same requests later on top.
const behind = time.Second

// pacer lets vegeta follow a curve. vegeta sleeps for as long as Pace says and
// cannot be woken, so Pace does the waiting itself, and ends when ctx does.
type pacer struct {
	ctx    context.Context
	curve  Curve
	until  time.Duration // of the run; 0: for ever
	missed atomic.Uint64 // requests that were left out
}

// Pace returns when the next request is due, or says that there is none.
func (p *pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	if due, _ := p.curve.Sum(elapsed - behind); due > float64(hits+p.missed.Load()+1) {
		p.missed.Store(uint64(due) - hits)
	}
	at, ok := p.curve.Due(float64(hits + p.missed.Load() + 1))
	if !ok {
		at = math.MaxInt64
	}
	if p.until > 0 && at > p.until {
		return 0, true
	}
	if at <= elapsed {
		return 0, p.ctx.Err() != nil
	}
	timer := time.NewTimer(at - elapsed)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, false
	case <-p.ctx.Done():
		return 0, true
	}
}

// Rate is the curve's rate of requests.
func (p *pacer) Rate(elapsed time.Duration) float64 {
	rate, _ := p.curve.At(elapsed)
	return rate
}
