package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/scale"
)

// Drainer sees tasks out before the desired count is written that has them stopped.
// It is for platforms that send SIGTERM when they choose to, without asking.
type Drainer interface {
	// Drains tells whether a service's tasks have to be seen out.
	Drains(service *plimsoll.Service) bool
	// Drain has nothing new sent to a task, and returns when its requests have ended.
	// An error says what is not known; the task is stopped all the same.
	Drain(ctx context.Context, task *plimsoll.Task) error
	// Restore has a task used again that is needed after all.
	Restore(task *plimsoll.Task)
}

const (
	// markTime is how long a mark outlasts the draining: while the count is written
	// and followed.
	markTime = 2 * time.Minute
	// ripeTime is how long those that have drained wait for others to leave with.
	ripeTime = 5 * time.Second
	// spareTime is how long the platform has to follow a count, and sparedFor how
	// long those are protected that it is not to take: longer, so that it cannot
	// choose again meanwhile, and it ends by itself if nobody ends it.
	spareTime = time.Minute
	sparedFor = 2 * time.Minute
	// spareTries is how often it is tried to protect those that stay, before a count
	// is lowered without.
	spareTries = 3
)

// departure is the leaving of tasks of one service.
type departure struct {
	exits map[string]*exit // by ARN
	tries int              // that came to nothing
	// Lowered is when the count was written; Spared, the ARNs of those that are
	// protected until it has been followed.
	lowered time.Time
	spared  []string
}

// exit is one task's.
type exit struct {
	task plimsoll.Task
	// idle: it did not serve, so that there was nothing to see out.
	idle bool
	// cancel ends it, and returns when it has.
	cancel func()
	ended  chan struct{}
	at     time.Time // when it ended; after ended is closed
	marked time.Time // until when
}

func (e *exit) over() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// errDrains is why a count is not lowered yet.
type errDrains string

func (e errDrains) Error() string { return string(e) }

func drainFirst(n int) errDrains {
	if n == 1 {
		return "1 task drains first"
	}
	return errDrains(fmt.Sprintf("%d tasks drain first", n))
}

// errDeploying: which of the new tasks stay cannot be said while as many of the former
// are protected as ECS allows.
const errDeploying errDrains = "a deployment comes to its end first"

// lower lowers a desired count, and gives what it is now. Where tasks have to be seen
// out it is lowered by those that are; the error is an errDrains while nobody is. It
// chooses who leaves, and protects the others while the platform follows.
func (l *Loop) lower(ctx context.Context, cluster *plimsoll.Cluster, c scale.Change) (int, error) {
	marker, marks := l.platform.(platform.Drainer)
	protector, protects := l.platform.(platform.Protector)
	at := slices.IndexFunc(cluster.Services, func(s plimsoll.Service) bool { return s.Name == c.Service })
	if l.opts.Drainer == nil || !marks || !protects || at < 0 || !l.opts.Drainer.Drains(&cluster.Services[at]) {
		return c.To, l.setDesired(ctx, c)
	}
	if r := l.reliefs[c.Service]; r != nil && r.active {
		return l.lowerDeploying(ctx, cluster, c)
	}
	d := l.departures[c.Service]
	if d == nil {
		d = &departure{exits: map[string]*exit{}}
		l.departures[c.Service] = d
	}
	if !d.lowered.IsZero() {
		return 0, drainFirst(max(1, len(d.exits))) // until the platform has followed
	}
	leave, stay := scale.Leavers(*cluster, c.Service, c.To)
	l.seeOutThese(ctx, marker, d, leave)
	late := l.late(d, leave)
	c.To += len(late)
	if len(late) == len(leave) && len(leave) > 0 || c.To >= c.From {
		return 0, drainFirst(len(late))
	}
	// Even where nobody is to leave: more may come up before the count is written.
	if err := l.spare(ctx, protector, d, c.Service, append(stay, late...)); err != nil {
		return 0, err
	}
	if err := l.setDesired(ctx, c); err != nil {
		return 0, err
	}
	d.lowered = l.now()
	return c.To, nil
}

// lowerDeploying lowers a count at once if no task of the newest deployment runs that
// is not to stay: those of the former ones are seen out for the deployment.
func (l *Loop) lowerDeploying(ctx context.Context, cluster *plimsoll.Cluster, c scale.Change) (int, error) {
	leave, _ := scale.Leavers(*cluster, c.Service, c.To)
	if slices.ContainsFunc(leave, func(t plimsoll.Task) bool { return t.LastStatus == plimsoll.StatusRunning }) {
		return 0, errDeploying
	}
	return c.To, l.setDesired(ctx, c)
}

// seeOutThese begins with those that have not begun, and lets those stay that are
// no longer to leave.
func (l *Loop) seeOutThese(ctx context.Context, marker platform.Drainer, d *departure, leave []plimsoll.Task) {
	leaves := map[string]bool{}
	for i := range leave {
		t := &leave[i]
		leaves[t.ARN] = true
		serves := t.LastStatus == plimsoll.StatusRunning
		if e := d.exits[t.ARN]; e == nil || e.idle && serves {
			d.exits[t.ARN] = l.seeOut(ctx, marker, *t, serves)
		}
	}
	for arn, e := range d.exits {
		if !leaves[arn] {
			l.restore(ctx, marker, e)
			delete(d.exits, arn)
		}
	}
}

// seeOut begins to see a task out.
func (l *Loop) seeOut(ctx context.Context, marker platform.Drainer, t plimsoll.Task, serves bool) *exit {
	e := &exit{task: t, idle: !serves, ended: make(chan struct{}), at: l.now(), cancel: func() {}}
	if e.idle {
		close(e.ended)
		return e
	}
	began := l.now()
	l.journal.event(Event{At: began, Kind: EventTaskOut, Service: t.Service, Task: t.ID(),
		Message: "the task is to leave: nothing new is sent to it from now on"})
	e.marked = began.Add(l.opts.DrainTime + markTime)
	until := e.marked
	ctx, cancel := context.WithTimeout(ctx, l.opts.DrainTime)
	stopped := make(chan struct{})
	e.cancel = func() { cancel(); <-stopped }
	l.exits.Go(func() {
		defer close(stopped)
		defer cancel()
		if err := marker.MarkDraining(ctx, t.ARN, until); err != nil && ctx.Err() == nil {
			l.log.Warn("a task that is to leave cannot be marked, so that routers of their own hear of it when it stops", "task", t.ARN, "error", err)
		}
		err := l.opts.Drainer.Drain(ctx, &t)
		if errors.Is(ctx.Err(), context.Canceled) {
			return // it stays, or the loop ends
		}
		e.at = l.now()
		message := fmt.Sprintf("the task's requests have ended, %s after it was to get no new ones; it is stopped next", e.at.Sub(began).Round(time.Millisecond))
		if err != nil {
			message = fmt.Sprintf("the task is stopped next, although others may still know its address: %v", err)
			l.log.Warn("a task is stopped although others may still know its address", "task", t.ARN, "error", err)
		}
		l.journal.event(Event{At: e.at, Kind: EventTaskDrained, Service: t.Service, Task: t.ID(), Message: message})
		close(e.ended)
		l.Wake()
	})
	return e
}

// restore has a task stay that was to leave.
func (l *Loop) restore(ctx context.Context, marker platform.Drainer, e *exit) {
	e.cancel()
	if e.idle {
		return
	}
	l.opts.Drainer.Restore(&e.task)
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	if err := marker.MarkDraining(ctx, e.task.ARN, time.Time{}); err != nil && !errors.Is(err, platform.ErrNotFound) {
		l.log.Warn("a task is used again, and its mark cannot be taken back", "task", e.task.ARN, "error", err)
		return // the next pass tries again, or the mark lapses
	}
	l.journal.event(Event{At: l.now(), Kind: EventTaskBack, Service: e.task.Service, Task: e.task.ID(),
		Message: "the task is needed after all, and gets new work again"})
}

// late are those that the count is not lowered for yet: none, if all have drained;
// all, if the others' time has not come either.
func (l *Loop) late(d *departure, leave []plimsoll.Task) []plimsoll.Task {
	var late []plimsoll.Task
	first := l.now()
	for _, t := range leave {
		if e := d.exits[t.ARN]; !e.over() {
			late = append(late, t)
		} else if e.at.Before(first) {
			first = e.at
		}
	}
	if len(late) > 0 && l.now().Sub(first) < ripeTime {
		return leave
	}
	return late
}

// spare protects those of the tasks that run, so that they are not taken for a lower
// count. What cannot be protected, again and again, does not keep the count up.
func (l *Loop) spare(ctx context.Context, protector platform.Protector, d *departure, service string, tasks []plimsoll.Task) error {
	d.spared = nil
	for i := range tasks {
		if t := &tasks[i]; t.LastStatus == plimsoll.StatusRunning && !t.Protected {
			d.spared = append(d.spared, t.ARN)
		}
	}
	if len(d.spared) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	err := protector.Protect(ctx, service, d.spared, true, sparedFor)
	if err == nil || errors.Is(err, platform.ErrNotFound) { // one that ended meanwhile
		d.tries = 0
		return nil
	}
	if d.tries++; d.tries < spareTries {
		return fmt.Errorf("protecting those that stay: %w", err)
	}
	l.log.Warn("the platform chooses which tasks it stops, since those that stay cannot be protected", "service", service, "error", err)
	return nil
}

// unmarked is a cluster for a decision: tasks that drain do their work like others,
// until they are told to stop.
func unmarked(c plimsoll.Cluster) plimsoll.Cluster {
	if slices.ContainsFunc(c.Tasks, func(t plimsoll.Task) bool { return t.Draining }) {
		c.Tasks = slices.Clone(c.Tasks)
		for i := range c.Tasks {
			c.Tasks[i].Draining = false
		}
	}
	return c
}

// settleDepartures ends what the platform has followed, and has all tasks stay that
// are not to leave by this plan.
func (l *Loop) settleDepartures(ctx context.Context, cluster *plimsoll.Cluster, plan *scale.Plan) {
	marker, marks := l.platform.(platform.Drainer)
	_, protects := l.platform.(platform.Protector)
	if l.opts.Drainer == nil || l.opts.DryRun || !marks || !protects {
		return
	}
	l.settleEvacuations(ctx, cluster)
	l.settleReliefs(ctx, cluster)
	lowers := map[string]bool{}
	for _, c := range plan.Changes {
		lowers[c.Service] = c.To < c.From
	}
	drains := map[string]bool{}
	for _, host := range cluster.Instances {
		drains[host.ARN] = host.Status == plimsoll.InstanceDraining
	}
	byService := map[string][]*plimsoll.Task{}
	for i := range cluster.Tasks {
		if t := &cluster.Tasks[i]; t.Live() && !t.Leaving() && !drains[t.ContainerInstance] {
			byService[t.Service] = append(byService[t.Service], t)
		}
	}
	for i := range cluster.Services {
		s := &cluster.Services[i]
		if r := l.reliefs[s.Name]; r != nil && r.active {
			continue
		}
		if d := l.departures[s.Name]; d != nil {
			l.endDeparture(ctx, s, d, byService[s.Name])
		}
		if _, controlled := l.services[s.Name]; !controlled || lowers[s.Name] || s.Desired < len(byService[s.Name]) {
			continue
		}
		l.letStay(ctx, marker, s.Name, byService[s.Name])
	}
}

// endDeparture forgets the tasks that are on their way out. When the platform has
// followed the count, or the time for that is over, the others are protected no more.
func (l *Loop) endDeparture(ctx context.Context, s *plimsoll.Service, d *departure, staying []*plimsoll.Task) {
	stays := map[string]bool{}
	for _, t := range staying {
		stays[t.ARN] = true
	}
	going := len(staying) > s.Desired
	for arn, e := range d.exits {
		if !stays[arn] {
			e.cancel()
			delete(d.exits, arn)
		} else if e.over() {
			going = true
		}
	}
	if going && !d.lowered.IsZero() && l.now().Sub(d.lowered) < spareTime {
		return
	}
	spared := slices.DeleteFunc(slices.Clone(d.spared), func(arn string) bool { return !stays[arn] })
	if len(spared) > 0 {
		l.unprotect(ctx, s.Name, spared)
	}
	d.lowered, d.spared = time.Time{}, nil
	if len(d.exits) == 0 {
		delete(l.departures, s.Name)
	}
}

// letStay restores the tasks of a service that leave, or are marked by an earlier
// loop: all of them are wanted.
func (l *Loop) letStay(ctx context.Context, marker platform.Drainer, service string, staying []*plimsoll.Task) {
	d := l.departures[service]
	if d == nil {
		d = &departure{}
	}
	for _, t := range staying {
		if e := d.exits[t.ARN]; e != nil || t.Draining {
			l.restore(ctx, marker, cmp.Or(e, &exit{task: *t, cancel: func() {}}))
			delete(d.exits, t.ARN)
		}
	}
	if d.lowered.IsZero() {
		delete(l.departures, service)
	}
}
