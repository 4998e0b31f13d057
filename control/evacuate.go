package control

import (
	"context"
	"errors"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/platform"
)

// evacuateTime is how long the platform has to replace the tasks of a host that
// drains, before it does as it would without being asked.
const evacuateTime = 10 * time.Minute

// evacuation is the leaving of the tasks of a host that this loop has had drained.
type evacuation struct {
	began time.Time
	// exits are those of the tasks that are protected still, by ARN; nil before it is
	// begun, which is when others serve in their place.
	exits map[string]*exit
}

// evacuate protects the tasks of a host that is about to drain, of the services
// whose tasks have to be seen out: so that the platform, which replaces them, stops
// them only when they have been.
func (l *Loop) evacuate(ctx context.Context, cluster *plimsoll.Cluster, host string) {
	protector, protects := l.platform.(platform.Protector)
	_, marks := l.platform.(platform.Drainer)
	if l.opts.Drainer == nil || !protects || !marks {
		return
	}
	e := &evacuation{began: l.now(), exits: map[string]*exit{}}
	for i := range cluster.Services {
		s := &cluster.Services[i]
		if s.Daemon || !l.opts.Drainer.Drains(s) {
			continue
		}
		var arns []string
		for _, t := range cluster.Tasks {
			if t.Service == s.Name && t.ContainerInstance == host && t.LastStatus == plimsoll.StatusRunning && !t.Leaving() && !t.Protected {
				arns = append(arns, t.ARN)
			}
		}
		if len(arns) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
		err := protector.Protect(ctx, s.Name, arns, true, evacuateTime)
		cancel()
		if err != nil && !errors.Is(err, platform.ErrNotFound) {
			l.log.Warn("tasks of a host that drains are stopped as the platform chooses, since they cannot be protected", "service", s.Name, "host", host, "error", err)
			continue
		}
		for _, arn := range arns {
			e.exits[arn] = nil
		}
	}
	if len(e.exits) > 0 {
		l.evacuations[host] = e
	}
}

// settleEvacuations sees out the tasks that others serve in the place of, and gives
// the platform leave to stop those that have been.
func (l *Loop) settleEvacuations(ctx context.Context, cluster *plimsoll.Cluster) {
	if len(l.evacuations) == 0 {
		return
	}
	status := map[string]string{}
	for _, h := range cluster.Instances {
		status[h.ARN] = h.Status
	}
	begun := map[string]bool{} // their marks may not be seen yet
	for _, e := range l.evacuations {
		for arn, x := range e.exits {
			begun[arn] = x != nil
		}
	}
	for _, r := range l.reliefs {
		for arn := range r.exits {
			begun[arn] = true
		}
	}
	tasks, serving := map[string]*plimsoll.Task{}, map[string]int{}
	for i := range cluster.Tasks {
		t := &cluster.Tasks[i]
		tasks[t.ARN] = t
		if t.Serving() && !t.Unwell && !begun[t.ARN] {
			serving[t.Service]++
		}
	}
	for _, s := range cluster.Services {
		serving[s.Name] -= s.Desired // so many may go
	}
	for host, e := range l.evacuations {
		for arn, x := range e.exits {
			if t := tasks[arn]; t == nil || !t.Live() || t.Leaving() {
				if x != nil {
					x.cancel()
				}
				delete(e.exits, arn)
			}
		}
		age := l.now().Sub(e.began)
		if back := status[host] == plimsoll.InstanceActive && age > ownWriteFor; back || age > evacuateTime {
			l.endEvacuation(ctx, host, tasks)
			continue
		}
		if len(e.exits) == 0 {
			delete(l.evacuations, host)
			continue
		}
		l.evacuateMore(ctx, e, tasks, serving)
	}
}

// evacuateMore begins with as many as others serve for, and ends the protection of
// those that have been seen out; it changes how many more may go.
func (l *Loop) evacuateMore(ctx context.Context, e *evacuation, tasks map[string]*plimsoll.Task, spare map[string]int) {
	marker := l.platform.(platform.Drainer)
	over := map[string][]string{}
	for arn, x := range e.exits {
		t := tasks[arn]
		switch {
		case x == nil && spare[t.Service] > 0:
			spare[t.Service]--
			e.exits[arn] = l.seeOut(ctx, marker, *t, true)
		case x != nil && x.over():
			over[t.Service] = append(over[t.Service], arn)
		}
	}
	for service, arns := range over {
		l.unprotect(ctx, service, arns)
	}
}

// endEvacuation has the tasks of a host stay that takes tasks again, or leaves them
// to the platform.
func (l *Loop) endEvacuation(ctx context.Context, host string, tasks map[string]*plimsoll.Task) {
	e := l.evacuations[host]
	if e == nil {
		return
	}
	delete(l.evacuations, host)
	byService := map[string][]string{}
	for arn, x := range e.exits {
		if x != nil {
			l.restore(ctx, l.platform.(platform.Drainer), x)
		}
		if t := tasks[arn]; t != nil {
			byService[t.Service] = append(byService[t.Service], arn)
		}
	}
	for service, arns := range byService {
		slices.Sort(arns)
		l.unprotect(ctx, service, arns)
	}
}

// unprotect ends the protection of tasks. What cannot be ended lapses.
func (l *Loop) unprotect(ctx context.Context, service string, arns []string) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	if err := l.platform.(platform.Protector).Protect(ctx, service, arns, false, 0); err != nil && !errors.Is(err, platform.ErrNotFound) {
		l.log.Warn("tasks stay protected for a while longer", "service", service, "error", err)
	}
}
