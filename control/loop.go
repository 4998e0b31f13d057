package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll"
	"plimsoll/demand"
	"plimsoll/platform"
	"plimsoll/scale"
)

// Defaults of Options.
const (
	defaultTick    = 2 * time.Second
	defaultSettle  = 20 * time.Millisecond
	defaultTimeout = 15 * time.Second
	defaultDrain   = 5 * time.Minute
)

// readPatience is how long a step of Run waits for its sources. A reading that
// comes later is used by the next step, which it wakes.
const readPatience = 50 * time.Millisecond

// saveEvery is how often the decisions' memory is written down.
const saveEvery = 10 * time.Second

// Loop observes, decides and acts, again and again. It is safe for concurrent
// use.
type Loop struct {
	platform platform.Cluster
	policies []scale.Policy
	services map[string]scale.Policy
	feeds    []*feed
	opts     Options
	now      func() time.Time
	log      *slog.Logger
	journal  *journal
	history  *history

	wake    chan struct{}
	reads   sync.WaitGroup
	readers chan struct{}
	running atomic.Bool
	state   atomic.Pointer[State]

	// step serializes the steps, and guards what only they use.
	step    sync.Mutex
	memory  scale.Memory
	held    map[string]hold // services with releases, in this pass
	own     map[string]ownWrite
	seen    sightings
	problem string
	// hostsDue is when hosts are decided on again.
	hostsDue    time.Time
	hostProblem string
	lacking     map[string]bool
	burstable   map[string]bool        // GROUP/TYPE, said already
	departures  map[string]*departure  // by service
	evacuations map[string]*evacuation // by container instance
	reliefs     map[string]*relief     // by service
	exits       sync.WaitGroup

	releases *releases
	basis    atomic.Pointer[basis] // nil: there is none that holds
	pasts    *pasts                // guarded by file

	// mu guards the overrides and the subscribers; file the writing of the
	// state file.
	mu        sync.Mutex
	overrides map[string]scale.Override
	waiters   map[chan struct{}]struct{}
	file      sync.Mutex
}

// New makes a loop and reads what an earlier one left in Options.Dir. It
// starts nothing.
func New(o Options) (*Loop, error) {
	if o.Platform == nil {
		return nil, errors.New("control: no platform is given")
	}
	if o.Tick <= 0 {
		o.Tick = defaultTick
	}
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.DrainTime <= 0 {
		o.DrainTime = defaultDrain
	}
	if o.Hosts != nil && o.Hosts.Every <= 0 {
		hosts := *o.Hosts
		hosts.Every = defaultHostsEvery
		o.Hosts = &hosts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Loop{
		platform: o.Platform, opts: o, now: o.Now, log: o.Log,
		services: make(map[string]scale.Policy, len(o.Services)),
		wake:     make(chan struct{}, 1),
		readers:  make(chan struct{}, readsAtOnce),
		own:      map[string]ownWrite{}, departures: map[string]*departure{}, evacuations: map[string]*evacuation{}, reliefs: map[string]*relief{},
		waiters: map[chan struct{}]struct{}{},
		history: newHistory(),
	}
	if err := l.admit(o.Services); err != nil {
		return nil, err
	}
	kept, err := load(o.Dir, o.Log)
	if err != nil {
		return nil, err
	}
	l.overrides, l.memory = kept.Overrides, kept.Memory
	known := map[string]scale.Past(nil)
	if l.pasts, known, err = loadPasts(o.Dir, o.Log); err != nil {
		return nil, err
	}
	l.recall(known)
	if l.releases, err = loadLedger(o); err != nil {
		return nil, err
	}
	l.journal = newJournal(o.Dir, o.Log)
	l.state.Store(&State{At: l.now(), Overrides: l.inForce(l.now()), Plan: scale.Plan{Memory: l.memory}, Hosts: scale.HostPlan{Memory: kept.Hosts}})
	return l, nil
}

// admit checks the services and makes their feeds.
func (l *Loop) admit(services []Service) error {
	for _, s := range services {
		name := s.Policy.Service
		if _, twice := l.services[name]; twice {
			return fmt.Errorf("control: service %q is given twice", name)
		}
		if len(s.Sources) != len(s.Policy.Triggers) {
			return fmt.Errorf("control: service %q has %d triggers and %d sources; each trigger needs one",
				name, len(s.Policy.Triggers), len(s.Sources))
		}
		l.services[name] = s.Policy
		l.policies = append(l.policies, s.Policy)
		for i, from := range s.Sources {
			if from.Source == nil {
				return fmt.Errorf("control: trigger %d of service %q has no source", i+1, name)
			}
			l.feeds = append(l.feeds, newFeed(name, s.Policy.Triggers[i], from))
		}
	}
	return nil
}

// Wake asks for a step soon. It never blocks.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run steps until the context ends: at once when it is woken, by Wake, by the
// platform, by a source or by the time that the last plan named, and otherwise
// every Tick. It changes nothing when it ends.
func (l *Loop) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return errors.New("control: the loop is running already")
	}
	defer l.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer func() {
		cancel()
		watchers.Wait()
		l.reads.Wait()
		l.exits.Wait()
		l.saveMemory()
	}()
	l.watch(ctx, &watchers)

	timer := time.NewTimer(0)
	defer timer.Stop()
	saved := time.Now()
	for ctx.Err() == nil {
		began := time.Now()
		state := l.pass(ctx, readPatience)
		if time.Since(saved) >= saveEvery {
			saved = time.Now()
			watchers.Go(l.saveMemory)
		}
		timer.Reset(l.untilDue(state))
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
		if rest := l.opts.Settle - time.Since(began); rest > 0 {
			timer.Reset(rest)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		}
		// Whatever woke the loop until now is served by this step.
		select {
		case <-l.wake:
		default:
		}
	}
	return nil
}

// watch turns the notices of the platform and of the sources into wakes.
func (l *Loop) watch(ctx context.Context, group *sync.WaitGroup) {
	relay := func(changed <-chan struct{}, notice func()) {
		group.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-changed:
					notice()
				}
			}
		})
	}
	if w, ok := l.platform.(platform.Watcher); ok {
		relay(w.Changed(), l.Wake)
	}
	for _, f := range l.feeds {
		if n, ok := f.from.Source.(demand.Notifier); ok {
			relay(n.Changed(), func() {
				f.changed()
				l.Wake()
			})
		}
	}
}

// untilDue is how long nothing is to be done if nobody wakes the loop.
func (l *Loop) untilDue(state *State) time.Duration {
	now := l.now()
	wait := l.opts.Tick
	consider := func(t time.Time) {
		if !t.IsZero() {
			wait = min(wait, max(0, t.Sub(now)))
		}
	}
	consider(state.Plan.Recheck)
	if l.opts.Hosts != nil {
		consider(later(state.Hosts.Recheck, now, l.opts.Hosts.Every))
	}
	for _, f := range l.feeds {
		consider(f.next())
	}
	return wait
}

// later is a time that is to be looked at, and not before the given while has
// passed; zero stays zero.
func later(t, now time.Time, while time.Duration) time.Time {
	if t.IsZero() || t.After(now.Add(while)) {
		return t
	}
	return now.Add(while)
}

// Step makes one pass and waits for all sources, each up to its time-out.
func (l *Loop) Step(ctx context.Context) State {
	patience := time.Duration(0)
	for _, f := range l.feeds {
		patience = max(patience, f.from.Timeout)
	}
	state := l.pass(ctx, patience+time.Second)
	l.saveMemory()
	return *state
}

// State is the newest state. Its contents are not to be changed.
func (l *Loop) State() State { return *l.state.Load() }

// Subscribe gives a channel that holds a notice whenever there is a new state,
// at most one, and the function that ends the subscription and closes the
// channel.
func (l *Loop) Subscribe() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	l.waiters[c] = struct{}{}
	l.mu.Unlock()
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, ok := l.waiters[c]; ok {
			delete(l.waiters, c)
			close(c)
		}
	}
}

// publish makes a state the newest.
func (l *Loop) publish(s *State) {
	l.state.Store(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Decisions are those of the journal with a higher number, the oldest first;
// 0 gives all that are kept, at most 1,000.
func (l *Loop) Decisions(since uint64) []Decision { return l.journal.decisionsSince(since) }

// Events are those with a higher number, the oldest first; 0 gives all that
// are kept, at most 2,000.
func (l *Loop) Events(since uint64) []Event { return l.journal.eventsSince(since) }

// Note adds an event of which no snapshot tells. Its Seq is given here.
func (l *Loop) Note(e Event) { l.journal.event(e) }

// History is what became of a service in the last 15 minutes, at most one point
// a second, the oldest first; empty for an unknown service.
func (l *Loop) History(service string) []Point { return l.history.points(service) }

// Services are the names of the services under control, sorted.
func (l *Loop) Services() []string { return slices.Sorted(maps.Keys(l.services)) }

// known checks that a service is under control.
func (l *Loop) known(service string) (scale.Policy, error) {
	policy, ok := l.services[service]
	if !ok {
		return policy, fmt.Errorf("%w %q; the services under control are %q", ErrUnknownService, service, l.Services())
	}
	return policy, nil
}

// snapshot reads the cluster.
func (l *Loop) snapshot(ctx context.Context) (plimsoll.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return l.platform.Snapshot(ctx)
}
