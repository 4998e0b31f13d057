package router

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// service is the live state behind a name in the table. It outlives tables.
type service struct {
	router *Router
	name   string
	// settings are what the table says of its targets.
	settings atomic.Pointer[settings]
	meter    meter
	budget   budget
	// versed tells that a target of it has answered what came aside.
	versed atomic.Bool
	// Guarded by Router.mu.
	watched bool       // somebody holds its pressure channel
	owner   *service   // whose further port it is; nil: it is none
	further []*service // ports of this one

	// usable are the targets to choose among: never changed in place.
	usable atomic.Pointer[pool]
	turns  atomic.Uint64 // of round robin
	// waiting requests have found no target with room; freed tells one of them
	// that there may be one now.
	waiting atomic.Int64
	freed   chan struct{}

	mu      sync.Mutex
	targets []*target // of the table, and those that still drain
	// changed is closed and replaced when usable changes. Neither takes a lock: mu may
	// be held for as long as a log takes.
	changed atomic.Pointer[chan struct{}]
	panics  bool // too few are healthy: all are used
}

// target is the live state of one task of a service.
type target struct {
	Target
	service *service

	figures  figures
	inflight atomic.Int64
	tunnels  atomic.Int64
	strikes  atomic.Int64 // failures since the last answer
	errors   atomic.Int64 // answers with 5xx in a row
	rampFrom atomic.Int64 // when its slow start began, in nanoseconds since 1970; 0: never
	digest   string       // of its id, for sticky cookies
	draining atomic.Bool

	emptyOnce sync.Once
	empty     chan struct{} // closed when it drains and has no request

	kept kept // connections without a request

	host *checkedHost // nil where it is not known

	stop context.CancelFunc // ends the health checks
	// cut ends when the target may be kept no longer for streams: a drain's
	// time is over.
	cut    context.Context
	cutNow context.CancelFunc
	kick   chan struct{} // asks for a check now

	// Guarded by service.mu.
	health  health
	open    map[*tunnel]struct{}
	removed bool // out of the table
}

func newService(r *Router, name string) *service {
	s := &service{router: r, name: name, freed: make(chan struct{}, 1)}
	s.settings.Store(&settings{})
	changed := make(chan struct{})
	s.changed.Store(&changed)
	s.meter.init(r.now())
	s.usable.Store(&pool{})
	return s
}

// setTargets makes the targets those of the list, less those that have been
// drained. Live targets that stay are kept as they are.
func (s *service) setTargets(list []Target, drained map[string]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := map[Target]*target{}
	next := make([]*target, 0, len(list))
	for _, t := range s.targets {
		if !t.removed {
			live[t.Target] = t
		} else if t.busy() {
			next = append(next, t) // shown until it is empty
		}
	}
	for _, want := range list {
		if t := live[want]; t != nil {
			delete(live, want)
			next = append(next, t)
			continue
		}
		if _, gone := drained[want.ID]; !gone {
			next = append(next, s.start(want))
		}
	}
	for _, t := range live {
		t.removed = true
		t.draining.Store(true) // whoever still holds the old choice backs out
		t.stop()
		t.kept.close()
		if t.busy() {
			next = append(next, t)
		}
	}
	s.targets = next
	s.choose()
}

// start makes a live target and begins to check it; s.mu and Router.mu are held.
func (s *service) start(want Target) *target {
	ctx, cancel := context.WithCancel(s.router.ctx)
	t := &target{
		Target: want, service: s, stop: cancel, digest: digest(want.ID),
		empty: make(chan struct{}),
		kick:  make(chan struct{}, 1), host: s.router.pace.host(want.Host),
		open: map[*tunnel]struct{}{},
	}
	t.cut, t.cutNow = context.WithCancel(context.Background())
	s.router.tasks.Go(func() { t.check(ctx, s.router.options.Health) })
	return t
}

// choose works out which targets are used, and has them used; s.mu is held.
func (s *service) choose() {
	now := time.Now()
	c := s.chosen(now)
	panics := c.panics()
	if panics != s.panics {
		s.panics = panics
		s.router.log.Warn("health: share of healthy targets", "service", s.name,
			"healthy", c.healthy, "targets", len(c.known), "used", len(c.used))
	}
	pool := newPool(c.used, s.settings.Load().balance, s.router.options.Zone, now)
	pool.blind = c.blind
	s.usable.Store(pool)
	next := make(chan struct{})
	close(*s.changed.Swap(&next))
}

// choice are the targets that are used, and those that have ever been healthy, with how
// many of them are.
type choice struct {
	used, known []*target
	healthy     int
	blind       bool // none of them takes connections
}

// panics tells that too few are healthy.
func (c *choice) panics() bool { return 2*c.healthy < len(c.known) }

// chosen makes the choice; s.mu is held. Healthy targets are used, but where more than
// half of those that have ever been healthy are not, all of them are rather than a few
// or none: all that take connections, if any does.
func (s *service) chosen(now time.Time) choice {
	var healthy, known, hearing []*target
	for _, t := range s.targets {
		if t.removed || t.draining.Load() || t.health.state == unproven {
			continue
		}
		known = append(known, t)
		if !t.health.deaf {
			hearing = append(hearing, t)
		}
		if t.health.usable(now) {
			healthy = append(healthy, t)
		}
	}
	c := choice{used: healthy, known: known, healthy: len(healthy)}
	switch {
	case !c.panics():
	case len(hearing) > 0:
		c.used = hearing
	default:
		c.used, c.blind = known, true
	}
	return c
}

// change is closed when the targets to choose among have changed.
func (s *service) change() <-chan struct{} {
	return *s.changed.Load()
}

// acquire picks a target and counts a request on it; nil if there is none but
// those of skip, or none with room. release must follow.
func (s *service) acquire(skip []*target) *target {
	for {
		t := s.usable.Load().pick(skip, s.turn, s.router.rand)
		if t == nil || t.take() {
			return t
		}
		skip = append(slices.Clip(skip), t)
	}
}

func (s *service) turn() uint64 { return s.turns.Add(1) }

// take counts a request on the target; false if it drains or is full.
func (t *target) take() bool {
	if !t.count(int64(t.service.settings.Load().balance.MaxPerTarget)) {
		return false
	}
	// The count first, then the look: drain marks first and counts then,
	// so that one of the two sees the other.
	if t.draining.Load() {
		t.drop() // and no notice: nobody may use the room
		return false
	}
	t.figures.begin()
	return true
}

// count counts a request in, unless that makes more than limit, where there is
// one. It never counts above that, not even for a moment: whoever looked then
// would wait for room that is there, and of which no notice comes.
func (t *target) count(limit int64) bool {
	if limit <= 0 {
		t.inflight.Add(1)
		return true
	}
	for {
		n := t.inflight.Load()
		if n+t.tunnels.Load() >= limit {
			return false
		}
		if t.inflight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (t *target) release() {
	t.drop()
	t.service.room()
}

// drop counts a request out.
func (t *target) drop() {
	if t.inflight.Add(-1) == 0 && t.draining.Load() {
		t.emptyOnce.Do(func() { close(t.empty) })
	}
}

// room tells one of those that wait, if any, that a target may have room.
func (s *service) room() {
	if s.waiting.Load() == 0 {
		return
	}
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// busy tells whether it has requests or WebSockets; service.mu is held.
func (t *target) busy() bool { return t.inflight.Load() > 0 || len(t.open) > 0 }

// load is what balancing compares.
func (t *target) load() int64 { return t.inflight.Load() + t.tunnels.Load() }

func (s *service) states() []TargetState {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	states := make([]TargetState, 0, len(s.targets))
	for _, t := range s.targets {
		state := TargetState{
			ID: t.ID, Zone: t.Zone, Address: t.Address,
			Healthy:    t.health.usable(now) && !t.draining.Load() && !t.removed,
			Draining:   t.draining.Load(),
			Reason:     t.health.reason,
			WebSockets: int(t.tunnels.Load()),
			Figures:    t.figures.snapshot(),
		}
		// What a target is busy with, not what is not counted yet.
		state.InFlight = int(t.load())
		if state.Draining {
			state.Reason = "it drains"
		}
		states = append(states, state)
	}
	slices.SortFunc(states, func(a, b TargetState) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Address, b.Address))
	})
	return states
}

// close ends the checks and the WebSockets.
func (s *service) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		t.stop()
		t.cutNow()
		t.kept.close()
		for tunnel := range t.open {
			tunnel.close()
		}
	}
}
