package router

import (
	"context"
	"fmt"
	"time"
)

// Health says how targets are checked and when they are left out. The zero
// value is the defaults.
type Health struct {
	// Interval is the time between two checks of a healthy target. Default 2 s.
	Interval time.Duration
	// Timeout bounds one check. Default 2 s.
	Timeout time.Duration
	// UnhealthyAfter is the number of failed checks in a row, HealthyAfter
	// that of passed ones, that change a target's state. Default 2 and 1. A new
	// target is used as soon as its first check has passed, and a target that
	// refuses a request's connection is unhealthy at once.
	UnhealthyAfter, HealthyAfter int
	// EjectAfter is the number of requests in a row that end without an answer
	// after which a target is left out for a time. Default 3.
	EjectAfter int
	// EjectFor is how long it is left out the first time; each further time
	// doubles it up to EjectMax. Default 1 s and 30 s.
	EjectFor, EjectMax time.Duration
}

const (
	// A target that is new or unhealthy is checked again after probeStep, then
	// after half as long again each time, up to probeMax: a cold start must
	// cost milliseconds, a dead target next to nothing.
	probeStep = 10 * time.Millisecond
	probeMax  = 250 * time.Millisecond
	// unprovenAfter is how long a new target may fail its checks before that is
	// logged: a task may take a while to start, or its check may be a wrong one.
	unprovenAfter = 30 * time.Second
)

func (h Health) withDefaults() Health {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&h.Interval, 2*time.Second)
	set(&h.Timeout, 2*time.Second)
	set(&h.EjectFor, time.Second)
	set(&h.EjectMax, 30*time.Second)
	if h.UnhealthyAfter <= 0 {
		h.UnhealthyAfter = 2
	}
	if h.HealthyAfter <= 0 {
		h.HealthyAfter = 1
	}
	if h.EjectAfter <= 0 {
		h.EjectAfter = 3
	}
	return h
}

type healthState int

const (
	unproven  healthState = iota // no check has passed yet
	healthy                      // passed
	unhealthy                    // was healthy and fails
)

// health is what is known of one target; service.mu guards it.
type health struct {
	state   healthState
	row     int       // checks in a row that contradict the state
	failing time.Time // unproven: when the first check failed
	told    bool      // unproven: that has been logged
	// deaf tells that no connection could be had of late: what is sent there reaches
	// nobody. A target that fails its checks in another way may still serve.
	deaf     bool
	reason   string
	ejected  time.Time // left out until
	ejection time.Duration
}

func (h *health) usable(now time.Time) bool {
	return h.state == healthy && !now.Before(h.ejected)
}

// checked takes in the outcome of an active check and tells whether the
// usability changed.
func (h *health) checked(err error, o Health) (changed bool) {
	was := h.deaf
	h.deaf = noConnection(err) && (h.deaf || h.state == unhealthy || h.state == healthy && h.row+1 >= o.UnhealthyAfter)
	return h.moved(err, o) || h.deaf != was
}

// moved is checked, for the state.
func (h *health) moved(err error, o Health) (changed bool) {
	if err != nil {
		h.reason = err.Error()
		if h.state != healthy {
			h.row = 0
			return false
		}
		if h.row++; h.row < o.UnhealthyAfter {
			return false
		}
		h.state, h.row = unhealthy, 0
		return true
	}
	if h.state == healthy {
		h.row, h.reason = 0, ""
		return false
	}
	if h.row++; h.state == unhealthy && h.row < o.HealthyAfter {
		return false
	}
	h.state, h.row, h.reason = healthy, 0, ""
	return true
}

// refused takes in that a request's connection was refused: nothing listens, so
// there is nothing to wait for.
func (h *health) refused(err error) (changed bool) {
	was := h.deaf
	h.reason, h.deaf = err.Error(), true
	if h.state != healthy {
		return !was
	}
	h.state, h.row = unhealthy, 0
	return true
}

// eject leaves the target out for a time that doubles with each ejection that
// follows soon on the last, and returns that time.
func (h *health) eject(now time.Time, o Health, err error) time.Duration {
	if h.ejection == 0 || now.Sub(h.ejected) > 10*h.ejection {
		h.ejection = o.EjectFor
	} else {
		h.ejection = min(2*h.ejection, o.EjectMax)
	}
	h.ejected = now.Add(h.ejection)
	h.reason = fmt.Sprintf("left out for %s after %d requests without an answer: %v", h.ejection, o.EjectAfter, err)
	return h.ejection
}

// check runs the active checks of a target until ctx ends.
func (t *target) check(ctx context.Context, o Health) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	step := probeStep
	for {
		first, well := t.outlook()
		var doubt <-chan struct{}
		if well {
			doubt = t.host.doubted()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.kick:
			step = probeStep
		case <-doubt:
		case <-timer.C:
		}
		if !first && !t.service.router.pace.wait(ctx, well, doubt) {
			return
		}
		o := t.service.settings.Load().check.over(o)
		err := t.probe(ctx, o)
		if ctx.Err() != nil {
			return
		}
		if t.checked(err, o) {
			step = probeStep
			timer.Reset(o.Interval)
			continue
		}
		timer.Reset(step)
		step = min(step*3/2, max(probeStep, min(probeMax, o.Interval)))
	}
}

// outlook tells whether no check of the target has come to its end yet, and whether it
// passed the last.
func (t *target) outlook() (first, well bool) {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	h := &t.health
	return h.state == unproven && h.failing.IsZero(), h.state == healthy && h.row == 0
}

// checked records the outcome of a check and tells whether the target is
// healthy now.
func (t *target) checked(err error, o Health) bool {
	s := t.service
	s.mu.Lock()
	defer s.mu.Unlock()
	was := t.health.state
	if noConnection(err) && was == healthy && t.health.row == 0 {
		t.host.suspect()
	}
	if err != nil && was == unproven {
		t.tellUnproven(time.Now(), err)
	}
	if t.health.checked(err, o) && !t.removed {
		if t.health.state == healthy && was != healthy {
			t.ramp(time.Now())
		}
		s.choose()
		if t.health.state != was {
			s.router.log.Info("health: target", "service", s.name, "task", t.ID, "address", t.Address,
				"healthy", t.health.state == healthy, "new", was == unproven, "reason", t.health.reason)
		}
	}
	return t.health.state == healthy
}

// tellUnproven takes in that a target which has never passed a check fails one more;
// service.mu is held.
func (t *target) tellUnproven(now time.Time, err error) {
	h := &t.health
	if h.failing.IsZero() {
		h.failing = now
	}
	if h.told || now.Sub(h.failing) < unprovenAfter || t.removed {
		return
	}
	h.told = true
	t.service.router.log.Warn("health: target gets no requests: it has not passed a check yet", "service", t.service.name,
		"task", t.ID, "address", t.Address, "for", now.Sub(h.failing).Round(time.Second), "reason", err)
}

// failed records that a request to the target ended without an answer.
func (t *target) failed(err error, why cause) {
	t.figures.failed(why)
	if !speaksAside(err) {
		t.strike(err, why)
	}
}

// strike takes in what speaks against a target.
func (t *target) strike(err error, why cause) {
	strikes := t.strikes.Add(1)
	s := t.service
	o := s.router.options.Health
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case why == causeRefused:
		if t.health.refused(err) {
			s.choose()
			s.router.log.Info("router: target refuses connections", "service", s.name, "task", t.ID, "address", t.Address)
		}
		select {
		case t.kick <- struct{}{}:
		default:
		}
	case strikes >= int64(o.EjectAfter):
		// One more failure after its time is enough: it is on trial.
		t.strikes.Store(int64(o.EjectAfter - 1))
		deafened := why == causeConnect && !t.health.deaf
		t.health.deaf = t.health.deaf || deafened
		now := time.Now()
		if !t.health.usable(now) {
			// It was sent before, like others that end with it: all that a host had
			// in flight when it was cut off says no more than the first did.
			if deafened {
				s.choose()
			}
			return
		}
		back := t.health.eject(now, o, err)
		s.choose()
		s.router.log.Warn("router: target is left out", "service", s.name, "task", t.ID, "address", t.Address, "for", back, "error", err)
		time.AfterFunc(back, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.ramp(time.Now())
			s.choose()
		})
	}
}

// ramp begins the slow start of a target that is new or comes back; service.mu
// is held.
func (t *target) ramp(now time.Time) {
	over := t.service.settings.Load().balance.SlowStart
	if over <= 0 {
		return
	}
	t.rampFrom.Store(now.UnixNano())
	time.AfterFunc(over, func() {
		t.service.mu.Lock()
		defer t.service.mu.Unlock()
		t.service.choose()
	})
}

// erred takes in an answer with 5xx, or with another status.
func (t *target) erred(status int) {
	limit := t.service.settings.Load().check.EjectErrors
	if limit <= 0 {
		return
	}
	if status < 500 {
		t.errors.Store(0)
		return
	}
	if t.errors.Add(1) < int64(limit) {
		return
	}
	t.errors.Store(0)
	// Such a row counts as one of requests without an answer.
	t.strikes.Store(int64(t.service.router.options.Health.EjectAfter))
	t.strike(fmt.Errorf("%d answers with 5xx in a row", limit), noCause)
}

// answered records that the target answered.
func (t *target) answered() {
	if t.strikes.Load() != 0 {
		t.strikes.Store(0)
	}
}
