package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/scale"
)

// askedSlack is how far the end of a protection may be from the one that was asked
// for: the platform has a clock of its own.
const askedSlack = 30 * time.Second

// relief is the leaving of a service's tasks in a deployment, which others have
// begun: the platform is kept from stopping them until they have been seen out.
type relief struct {
	exits map[string]*exit // by ARN
	// Asked is until when protection was asked for that is not seen yet; held, what
	// the platform made of it.
	asked, held map[string]time.Time
	memory      scale.ReliefMemory
	active      bool
	read        time.Time // when what is protected was known last
	unread      bool      // said already: the protection cannot be read
	unprotected bool      // said already: it cannot be changed
}

// settleReliefs sees the tasks out that deployments replace.
func (l *Loop) settleReliefs(ctx context.Context, cluster *plimsoll.Cluster) {
	reader, reads := l.platform.(platform.ProtectionReader)
	if !reads {
		return
	}
	away := map[string]bool{}
	for _, e := range l.evacuations {
		for arn := range e.exits {
			away[arn] = true
		}
	}
	there := map[string]bool{}
	for i := range cluster.Services {
		s := &cluster.Services[i]
		if _, controlled := l.services[s.Name]; !controlled {
			continue // whoever scales it sees its tasks out
		}
		r := l.reliefs[s.Name]
		if there[s.Name] = true; r == nil && !deploying(s) || !l.opts.Drainer.Drains(s) {
			continue
		}
		if r == nil {
			r = &relief{exits: map[string]*exit{}, asked: map[string]time.Time{}, held: map[string]time.Time{}}
			l.reliefs[s.Name] = r
		}
		l.relieve(ctx, reader, s, r, cluster, away)
		if !deploying(s) && !r.active && len(r.exits) == 0 {
			delete(l.reliefs, s.Name)
		}
	}
	for name, r := range l.reliefs {
		if !there[name] {
			for _, e := range r.exits {
				e.cancel()
			}
			delete(l.reliefs, name)
		}
	}
}

// deploying tells whether a service may have tasks that the platform replaces.
func deploying(s *plimsoll.Service) bool { return s.Rolling && !s.Daemon && len(s.Deployments) > 1 }

// relieve does what there is to be done for a service now.
func (l *Loop) relieve(ctx context.Context, reader platform.ProtectionReader, s *plimsoll.Service, r *relief, cluster *plimsoll.Cluster, away map[string]bool) {
	tasks := map[string]*plimsoll.Task{}
	var arns []string
	for i := range cluster.Tasks {
		if t := &cluster.Tasks[i]; t.Service == s.Name && t.Live() && !t.Leaving() {
			tasks[t.ARN] = t
			if t.LastStatus == plimsoll.StatusRunning {
				arns = append(arns, t.ARN)
			}
		}
	}
	l.forget(r, tasks, away)
	protected, err := l.protection(ctx, reader, s.Name, arns)
	if err != nil {
		l.goBlind(ctx, s.Name, r, err)
		return
	}
	r.read, r.unread = l.now(), false
	r.seeProtection(protected)
	in := scale.ReliefInput{
		Now: l.now(), Service: *s, Tasks: cluster.Tasks, Protected: protected, Held: r.held, Exits: r.over(), Away: away,
		Patience: scale.ReliefPatience + l.opts.DrainTime, Memory: r.memory,
	}
	plan := scale.Relieve(in)
	if plan.Active && l.departures[s.Name] != nil {
		l.adopt(s.Name, r, tasks, protected)
		in.Exits = r.over()
		plan = scale.Relieve(in)
	}
	l.sayRelief(s.Name, r, &plan)
	r.memory, r.active = plan.Memory, plan.Active
	l.carryOutRelief(ctx, s.Name, r, tasks, &plan)
}

// over has the exits, and which of them are over.
func (r *relief) over() map[string]bool {
	over := make(map[string]bool, len(r.exits))
	for arn, e := range r.exits {
		over[arn] = e.over()
	}
	return over
}

// goBlind is what is done while it is not known what is protected: nothing, until
// what this loop has protected has lapsed.
func (l *Loop) goBlind(ctx context.Context, service string, r *relief, problem error) {
	if !r.unread {
		l.log.Warn("the platform stops the tasks of former deployments as it chooses, since it is not known which of them are protected", "service", service, "error", problem)
	}
	r.unread = true
	if l.now().Sub(r.read) < scale.ReliefHold {
		return
	}
	for arn, e := range r.exits {
		l.restore(ctx, l.platform.(platform.Drainer), e)
		delete(r.exits, arn)
	}
	r.active = false
}

// forget drops what is of tasks that leave, or leave for another reason.
func (l *Loop) forget(r *relief, tasks map[string]*plimsoll.Task, away map[string]bool) {
	for arn, e := range r.exits {
		if tasks[arn] == nil || away[arn] {
			e.cancel()
			delete(r.exits, arn)
		}
	}
	for _, known := range []map[string]time.Time{r.asked, r.held} {
		for arn := range known {
			if tasks[arn] == nil || away[arn] {
				delete(known, arn)
			}
		}
	}
}

func (l *Loop) protection(ctx context.Context, reader platform.ProtectionReader, service string, arns []string) (map[string]time.Time, error) {
	if len(arns) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return reader.ProtectedUntil(ctx, service, arns)
}

// seeProtection finds out what of it this loop has asked for: the first that is seen
// and is near enough, and from then on that alone.
func (r *relief) seeProtection(protected map[string]time.Time) {
	for arn, until := range protected {
		if asked, ok := r.asked[arn]; ok && until.Sub(asked).Abs() <= askedSlack {
			r.held[arn] = until
			delete(r.asked, arn)
		}
	}
	for arn, held := range r.held {
		if !protected[arn].Equal(held) {
			delete(r.held, arn)
		}
	}
}

// adopt takes over the tasks that were leaving for a lower count as the deployment
// began, and those that were protected for it.
func (l *Loop) adopt(service string, r *relief, tasks map[string]*plimsoll.Task, protected map[string]time.Time) {
	d := l.departures[service]
	delete(l.departures, service)
	for arn, e := range d.exits {
		if tasks[arn] == nil || e.idle || r.exits[arn] != nil {
			e.cancel()
			continue
		}
		r.exits[arn] = e
	}
	for _, arn := range d.spared {
		if until, ok := protected[arn]; ok && tasks[arn] != nil && until.Sub(d.lowered.Add(sparedFor)).Abs() <= askedSlack {
			r.held[arn] = until
		}
	}
}

// sayRelief tells the journal what becomes of the deployment.
func (l *Loop) sayRelief(service string, r *relief, plan *scale.ReliefPlan) {
	e := Event{At: l.now(), Service: service}
	switch {
	case plan.Active && (!r.active || r.memory.Deployment != plan.Memory.Deployment):
		e.Kind = EventDeploymentBegun
		e.Message = fmt.Sprintf("deployment %s replaces %d tasks: each is protected until others serve in its place and its requests have ended",
			plimsoll.ARNName(plan.Memory.Deployment), plan.Memory.Left)
	case r.active && plan.Memory.Over:
		e.Kind = EventDeploymentLeft
		e.Message = fmt.Sprintf("%d tasks of former deployments are left, and for %s there was not one less: the platform stops them as it chooses from now on",
			plan.Memory.Left, (scale.ReliefPatience + l.opts.DrainTime).Round(time.Second))
		l.log.Warn("a deployment does not get on", "service", service, "tasks", plan.Memory.Left)
	case r.active && !plan.Active:
		e.Kind, e.Message = EventDeploymentEnded, "the tasks of former deployments have left"
	default:
		return
	}
	l.journal.event(e)
}

// carryOutRelief does what the plan says, in its order.
func (l *Loop) carryOutRelief(ctx context.Context, service string, r *relief, tasks map[string]*plimsoll.Task, plan *scale.ReliefPlan) {
	marker := l.platform.(platform.Drainer)
	for _, arn := range plan.Stay {
		e := r.exits[arn]
		if e == nil {
			e = &exit{task: *tasks[arn], cancel: func() {}}
		}
		l.restore(ctx, marker, e)
		delete(r.exits, arn)
	}
	if len(plan.Unprotect) > 0 {
		l.unprotect(ctx, service, plan.Unprotect)
	}
	l.hold(ctx, service, r, plan.Protect)
	for _, arn := range plan.Out {
		r.exits[arn] = l.seeOut(ctx, marker, *tasks[arn], true)
	}
	for _, e := range r.exits {
		if !l.keepMarked(ctx, marker, e) {
			break // the next pass tries again
		}
	}
}

// hold protects tasks for a while. What was asked for may have been done although it
// failed.
func (l *Loop) hold(ctx context.Context, service string, r *relief, arns []string) {
	if len(arns) == 0 {
		return
	}
	for _, arn := range arns {
		r.asked[arn] = l.now().Add(scale.ReliefHold)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	err := l.platform.(platform.Protector).Protect(ctx, service, arns, true, scale.ReliefHold)
	failed := err != nil && !errors.Is(err, platform.ErrNotFound)
	if failed && !r.unprotected {
		l.log.Warn("the platform may stop tasks of former deployments before their requests have ended, since they cannot be protected", "service", service, "error", err)
	}
	r.unprotected = failed
}

// keepMarked has a mark last for as long as a task that has drained is there.
func (l *Loop) keepMarked(ctx context.Context, marker platform.Drainer, e *exit) bool {
	if !e.over() || e.marked.Sub(l.now()) > markTime/2 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	until := l.now().Add(markTime)
	if err := marker.MarkDraining(ctx, e.task.ARN, until); err != nil && !errors.Is(err, platform.ErrNotFound) {
		l.log.Warn("a task that has drained cannot be marked for longer", "task", e.task.ARN, "error", err)
		return false
	}
	e.marked = until
	return true
}
