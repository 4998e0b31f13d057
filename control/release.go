package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/platform"
)

// ErrKept is wrapped by the refusal of a release: the task's place is needed,
// or the loop does not answer for it. The task goes on as before.
var ErrKept = errors.New("the task is kept")

// ErrNotYet is wrapped by the errors that pass by themselves: to be asked again.
var ErrNotYet = errors.New("not yet")

// release is what is known of one task that asked to be counted out.
type release struct {
	At time.Time `json:"at"`
	// Off tells that the desired count was lowered for it; false: that was not
	// called for.
	Off bool `json:"off"`
}

// intent is a desired count about to be written for releases. It is on disk
// before the count is, and says after a crash what was meant: a service that has
// From still is to have To; any other count says that it had it.
type intent struct {
	From  int      `json:"from"`
	To    int      `json:"to"`
	Tasks []string `json:"tasks"` // ARNs
}

// ledger is the durable set of the released tasks, by ARN, and what is under
// way, by service.
type ledger struct {
	Version  int                `json:"version"`
	Counted  map[string]release `json:"counted"`
	Underway map[string]intent  `json:"underway,omitempty"`
}

const (
	ledgerFile    = "releases.json"
	ledgerVersion = 1
	// ledgerKeep is how long a counted task is remembered: longer than any
	// platform shows a stopped one. ledgerMax bounds how many are.
	ledgerKeep = 24 * time.Hour
	ledgerMax  = 20_000
	// pendingFor is how long a release that no snapshot shows holds a place.
	pendingFor = time.Minute
)

// releases are the loop's part in counting tasks out.
type releases struct {
	mu     sync.Mutex
	ledger ledger
	// fresh tells that nothing is known of earlier releases: what has stopped
	// by the first snapshot was somebody else's to count.
	fresh bool
	// pending are releases that the platform has noted and no pass has counted.
	pending map[string]pending
	// desired is the newest known desired count of each service.
	desired map[string]int
}

// hold says what a pass leaves alone of a service with releases.
type hold int

const (
	// holdGrowth: its readings may be from before the released tasks' work was
	// over; it grows by new ones.
	holdGrowth hold = iota + 1
	// holdAll: a count for releases may or may not have been written.
	holdAll
)

type pending struct {
	service string
	at      time.Time
}

// know notes a service's desired count.
func (r *releases) know(service string, desired int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.desired[service] = desired
}

// Release counts a task out, named by its ARN or id: the desired count of its
// service goes down by one for it, once, however often this is said, and never
// under the service's minimum. It returns when that is certain, and done soon
// after; the task is to take no more work, and may end. The error wraps
// ErrUnknownTask, ErrKept or ErrNotYet.
func (l *Loop) Release(ctx context.Context, task string) error {
	return l.release(ctx, task, true, func(*plimsoll.Task) error { return nil })
}

// release counts a task out that may go, unless it is only asked whether it may.
func (l *Loop) release(ctx context.Context, task string, leave bool, may func(*plimsoll.Task) error) error {
	releaser, able := l.platform.(platform.Releaser)
	if !able || l.opts.DryRun {
		return fmt.Errorf("%w: this loop changes nothing here", ErrKept)
	}
	t, err := l.findTask(ctx, task)
	if err != nil {
		return err
	}
	r := l.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	_, counted := r.ledger.Counted[t.ARN]
	_, waits := r.pending[t.ARN]
	if counted || waits || t.Released || t.Leaving() || !t.Live() {
		return nil
	}
	if err := l.mayLeave(&t); err != nil {
		return err
	}
	if err := may(&t); err != nil || !leave {
		return err
	}
	if err := releaser.Release(ctx, t.ARN); errors.Is(err, platform.ErrNotFound) {
		return fmt.Errorf("%w %q: %w", ErrUnknownTask, task, err)
	} else if err != nil {
		return err
	}
	r.pending[t.ARN] = pending{service: t.Service, at: l.now()}
	l.Wake()
	return nil
}

// findTask finds a task in the newest snapshot, or in one more.
func (l *Loop) findTask(ctx context.Context, task string) (plimsoll.Task, error) {
	find := func(c *plimsoll.Cluster) int {
		return slices.IndexFunc(c.Tasks, func(t plimsoll.Task) bool { return t.ARN == task || t.ID() == task })
	}
	seen := l.State().Cluster
	if i := find(&seen); i >= 0 {
		return seen.Tasks[i], nil
	}
	now, err := l.snapshot(ctx)
	if err != nil {
		return plimsoll.Task{}, fmt.Errorf("the cluster cannot be read: %w", err)
	}
	if i := find(&now); i >= 0 {
		return now.Tasks[i], nil
	}
	return plimsoll.Task{}, fmt.Errorf("%w %q", ErrUnknownTask, task)
}

// mayLeave says why a task has to stay.
func (l *Loop) mayLeave(t *plimsoll.Task) error {
	policy, known := l.services[t.Service]
	if !known {
		return fmt.Errorf("%w: service %q is not under control", ErrKept, t.Service)
	}
	over := l.inForce(l.now())[t.Service]
	if over.Paused {
		return fmt.Errorf("%w: service %q is paused", ErrKept, t.Service)
	}
	r := l.releases
	desired, seen := r.desired[t.Service]
	if !seen {
		return fmt.Errorf("%w: service %q has not been looked at", ErrNotYet, t.Service)
	}
	least := max(policy.Min, over.Floor)
	under, writing := r.ledger.Underway[t.Service]
	if writing {
		desired = min(desired, under.To)
	}
	waiting := 0
	for arn, p := range r.pending {
		if p.service == t.Service && !slices.Contains(under.Tasks, arn) {
			waiting++
		}
	}
	if desired-waiting-1 < least {
		return fmt.Errorf("%w: service %q is to have %d tasks, of which %d have asked to leave, and at least %d", ErrKept, t.Service, desired, waiting, least)
	}
	return nil
}

// countReleases takes those tasks of the snapshot off the desired counts that
// have asked for it, before anything else is decided, and gives the snapshot as
// it is afterwards. What is held of the services that this concerned says what is
// not to be done with them in this pass.
func (l *Loop) countReleases(ctx context.Context, now time.Time, seen plimsoll.Cluster) (after plimsoll.Cluster, held map[string]hold) {
	r := l.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	held = map[string]hold{}
	for _, s := range seen.Services {
		r.desired[s.Name] = s.Desired
	}
	if l.opts.DryRun {
		return seen, held
	}
	after = seen
	asked := l.askedToLeave(now, &after)
	if len(asked) > 0 {
		l.basis.Store(nil) // it knows nothing of them
	}
	if len(asked) > 0 || len(r.ledger.Underway) > 0 {
		after.Services = slices.Clone(seen.Services) // their counts may change
	}
	for i := range after.Services {
		s := &after.Services[i]
		if _, known := l.services[s.Name]; !known {
			continue
		}
		if err := l.countService(ctx, now, s, asked[s.Name]); err != nil {
			held[s.Name] = holdAll
			l.log.Warn("released tasks are not counted out yet", "service", s.Name, "error", err)
		} else if len(asked[s.Name]) > 0 {
			held[s.Name] = holdGrowth
			l.reread(s.Name)
		}
	}
	cloned := false
	for i := range after.Tasks {
		// Whoever has been counted out is as good as gone.
		if t := &after.Tasks[i]; t.Released && t.Live() && r.ledger.Counted[t.ARN].Off {
			if !cloned {
				after.Tasks, cloned = slices.Clone(seen.Tasks), true
			}
			after.Tasks[i].DesiredStatus = plimsoll.StatusStopped
		}
	}
	return after, held
}

// askedToLeave are the tasks that have been released and not counted, by service.
func (l *Loop) askedToLeave(now time.Time, c *plimsoll.Cluster) map[string][]*plimsoll.Task {
	r := l.releases
	asked := map[string][]*plimsoll.Task{}
	for i := range c.Tasks {
		t := &c.Tasks[i]
		if !t.Released || t.Service == "" {
			continue
		}
		if _, counted := r.ledger.Counted[t.ARN]; counted {
			delete(r.pending, t.ARN)
			continue
		}
		if r.fresh && !t.Live() {
			r.ledger.Counted[t.ARN] = release{At: now}
			continue
		}
		// Even one that is being stopped: the platform may have taken it in the
		// place of another whose release was counted a moment ago.
		r.pending[t.ARN] = pending{service: t.Service, at: now} // until it is counted
		asked[t.Service] = append(asked[t.Service], t)
	}
	for arn, p := range r.pending {
		if now.Sub(p.at) > pendingFor {
			delete(r.pending, arn)
		}
	}
	if r.fresh { // from now on there is a ledger
		if err := l.saveLedger(now); err != nil {
			l.log.Warn("the releases cannot be written down", "error", err)
		}
		r.fresh = false
	}
	return asked
}

// countService finishes what was under way for one service, and takes those who
// ask off its count.
func (l *Loop) countService(ctx context.Context, now time.Time, s *plimsoll.Service, asked []*plimsoll.Task) error {
	r := l.releases
	if under, ok := r.ledger.Underway[s.Name]; ok {
		if err := l.finishIntent(ctx, now, s, under); err != nil {
			return err
		}
		asked = slices.DeleteFunc(asked, func(t *plimsoll.Task) bool { return slices.Contains(under.Tasks, t.ARN) })
	}
	if len(asked) == 0 {
		return nil
	}
	over := l.inForce(now)[s.Name]
	if over.Paused {
		return nil
	}
	least := min(s.Desired, max(l.services[s.Name].Min, over.Floor))
	off := min(len(asked), s.Desired-least)
	l.keepRest(ctx, now, asked[off:])
	if off == 0 {
		return l.saveLedger(now)
	}
	next := intent{From: s.Desired, To: s.Desired - off}
	for _, t := range asked[:off] {
		next.Tasks = append(next.Tasks, t.ARN)
	}
	r.ledger.Underway[s.Name] = next
	if err := l.saveLedger(now); err != nil {
		delete(r.ledger.Underway, s.Name)
		return err
	}
	if err := l.finishIntent(ctx, now, s, next); err != nil {
		return err
	}
	l.seeOff(ctx, asked[:off])
	return nil
}

// finishIntent writes the count of an intent, unless the service shows that it
// was written, and notes the tasks as counted.
func (l *Loop) finishIntent(ctx context.Context, now time.Time, s *plimsoll.Service, under intent) error {
	r := l.releases
	if s.Desired == under.From {
		if err := l.writeIntent(ctx, s.Name, under); err != nil {
			return err
		}
		s.Desired = under.To
		r.desired[s.Name] = under.To
	}
	for _, arn := range under.Tasks {
		r.ledger.Counted[arn] = release{At: now, Off: true}
		delete(r.pending, arn)
	}
	delete(r.ledger.Underway, s.Name)
	if err := l.saveLedger(now); err != nil {
		r.ledger.Underway[s.Name] = under // the file says so still
		return err
	}
	return nil
}

// writeIntent sets the desired count and tells of it.
func (l *Loop) writeIntent(ctx context.Context, service string, under intent) error {
	ids := make([]string, 0, 5)
	for _, arn := range under.Tasks[:min(len(under.Tasks), 5)] {
		ids = append(ids, plimsoll.ARNName(arn))
	}
	reason := fmt.Sprintf("%d idle tasks have released themselves: %s", len(under.Tasks), strings.Join(ids, ", "))
	if len(under.Tasks) == 1 {
		reason = fmt.Sprintf("idle task %s has released itself", ids[0])
	}
	if len(under.Tasks) > len(ids) {
		reason += ", …"
	}
	d := Decision{Service: service, From: under.From, To: under.To, Want: under.To, Grant: under.To, Reason: reason, Outcome: "done"}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	err := l.platform.SetDesired(ctx, service, under.To)
	if err != nil {
		d.Outcome = "failed: " + err.Error()
	} else {
		l.own[service] = ownWrite{from: under.From, to: under.To, at: l.now()}
	}
	d.At = l.now()
	if l.journal.decide(d) {
		l.log.Info("decision", "service", service, "from", d.From, "to", d.To, "outcome", d.Outcome, "reason", reason)
	}
	return err
}

// keepRest takes back the releases for which no count can go, so that the
// platform replaces those of them that have ended.
func (l *Loop) keepRest(ctx context.Context, now time.Time, tasks []*plimsoll.Task) {
	releaser, able := l.platform.(platform.Releaser)
	for _, t := range tasks {
		if able {
			if err := releaser.TakeBack(ctx, t.ARN); err != nil && !errors.Is(err, platform.ErrNotFound) {
				l.log.Warn("a release cannot be taken back", "task", t.ARN, "error", err)
				continue // the next pass tries again
			}
		}
		l.releases.ledger.Counted[t.ARN] = release{At: now}
		delete(l.releases.pending, t.ARN)
	}
}

// seeOff asks the platform to stop the tasks that have been counted out and have
// not ended by themselves, before it chooses others in their stead.
func (l *Loop) seeOff(ctx context.Context, tasks []*plimsoll.Task) {
	stopper, able := l.platform.(platform.TaskStopper)
	if !able {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	var group sync.WaitGroup
	slots := make(chan struct{}, readsAtOnce)
	for _, t := range tasks {
		if !t.Live() || t.Protected {
			continue
		}
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := stopper.StopTask(ctx, t.ARN, "released"); err != nil && !errors.Is(err, platform.ErrNotFound) {
				l.log.Warn("a released task cannot be stopped; it is to end by itself", "task", t.ARN, "error", err)
			}
		})
	}
	group.Wait()
}

// reread has the sources of a service read anew in the next pass.
func (l *Loop) reread(service string) {
	for _, f := range l.feeds {
		if f.service == service {
			f.changed()
		}
	}
	l.Wake()
}

// loadLedger reads what an earlier loop has counted.
func loadLedger(o Options) (*releases, error) {
	r := &releases{pending: map[string]pending{}, desired: map[string]int{}}
	known, err := readKept(o.Dir, ledgerFile, ledgerVersion, o.Log, &r.ledger)
	r.fresh = !known
	if r.ledger.Counted == nil {
		r.ledger.Counted = map[string]release{}
	}
	if r.ledger.Underway == nil {
		r.ledger.Underway = map[string]intent{}
	}
	return r, err
}

// saveLedger writes the ledger down, without what is too old.
func (l *Loop) saveLedger(now time.Time) error {
	g := &l.releases.ledger
	maps.DeleteFunc(g.Counted, func(_ string, c release) bool { return now.Sub(c.At) > ledgerKeep })
	if excess := len(g.Counted) - ledgerMax; excess > 0 {
		oldest := slices.SortedFunc(maps.Keys(g.Counted), func(a, b string) int { return g.Counted[a].At.Compare(g.Counted[b].At) })
		for _, arn := range oldest[:excess] {
			delete(g.Counted, arn)
		}
	}
	g.Version = ledgerVersion
	return replaceKept(l.opts.Dir, ledgerFile, g)
}
