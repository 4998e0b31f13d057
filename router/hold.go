package router

import (
	"context"
	"time"
)

// holding is a request's wait for a target: at zero targets, and where no
// target took its connection. The request's body is not read meanwhile, so that
// a held request costs its head and no more.
type holding struct {
	service *service
	limit   int
	timeout time.Duration
	timer   *time.Timer // runs from the first wait
}

// verdict is why a wait ended.
type verdict int

const (
	goOn     verdict = iota // the targets have changed, or may have
	roomMade                // a target that was full may have room
	tooLong                 // the time is over
	tooMany                 // as many wait as may
	leftHold                // the client has gone
	stopping                // the router shuts down
)

// wait waits until changed is closed, freed gives a notice, or again does. changed
// must have been taken before the look that found no target.
func (h *holding) wait(ctx context.Context, changed, freed <-chan struct{}, again <-chan time.Time) verdict {
	if !h.service.meter.hold(h.limit) {
		return tooMany
	}
	defer h.service.meter.letGo()
	if h.timer == nil {
		h.timer = time.NewTimer(h.timeout)
		h.service.meter.waited.Add(1)
	}
	select {
	case <-changed:
		return goOn
	case <-again:
		return goOn
	case <-freed:
		return roomMade
	case <-h.timer.C:
		return tooLong
	case <-ctx.Done():
		return leftHold
	case <-h.service.router.stopping:
		return stopping
	}
}

func (h *holding) end() {
	if h.timer != nil {
		h.timer.Stop()
	}
}
