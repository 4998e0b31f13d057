package router

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// checksPerSecond bounds the checks of a Checker's targets: so many of those that are
// well, and as many of the others. 10,000 that are well are checked every 20 s each.
const checksPerSecond = 500

// checkPace is the pace of a Checker, which may have all tasks of a cluster. Those that
// are well take turns. So that a lost host is still found within seconds, a check that
// gets no connection puts the host in doubt, and the others on it are checked at once.
type checkPace struct {
	well, others *rate.Limiter
	hosts        map[string]*checkedHost // guarded by Router.mu
}

func newCheckPace() *checkPace {
	return &checkPace{
		well: rate.NewLimiter(checksPerSecond, 1), others: rate.NewLimiter(checksPerSecond, 1),
		hosts: map[string]*checkedHost{},
	}
}

// host is that of a target, by its name; nil without one. Router.mu is held.
func (p *checkPace) host(name string) *checkedHost {
	if p == nil || name == "" {
		return nil
	}
	h := p.hosts[name]
	if h == nil {
		h = &checkedHost{doubt: make(chan struct{})}
		p.hosts[name] = h
	}
	return h
}

// wait returns when a check may be made; false: ctx has ended. well tells that the
// target passed its last check. Nothing bounds a router, whose checks are for itself.
func (p *checkPace) wait(ctx context.Context, well bool, doubt <-chan struct{}) bool {
	if p == nil {
		return true
	}
	if well {
		turn := p.well.Reserve()
		timer := time.NewTimer(turn.Delay())
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-doubt:
			turn.Cancel()
		case <-ctx.Done():
			turn.Cancel()
			return false
		}
	}
	return p.others.Wait(ctx) == nil
}

// checkedHost is what is shared by the targets on one host; nil: theirs is not known.
type checkedHost struct {
	mu    sync.Mutex
	doubt chan struct{} // closed and replaced when a check gets no connection
}

// doubted is closed when a check of another target on the host gets no connection.
func (h *checkedHost) doubted() <-chan struct{} {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doubt
}

func (h *checkedHost) suspect() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.doubt)
	h.doubt = make(chan struct{})
}
