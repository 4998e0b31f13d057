package control

import (
	"context"
	"fmt"
	"slices"

	"plimsoll"
	"plimsoll/scale"
)

// basis is what the newest decision rested on, and the decision.
type basis struct {
	in   scale.Input
	plan scale.Plan
}

// Yield is a release by a task that has more to do: it is counted out only if its
// place is needed, which is if the newest decision, were the task not protected,
// would take it: for a service with a better claim, or since its own wants fewer.
// A worker that is protected from one job to the next asks between them, so that
// a long queue does not keep for hours what others wait for. With leave false
// nothing is counted out. The error wraps ErrKept if the place is not needed, and
// otherwise what that of Release does.
func (l *Loop) Yield(ctx context.Context, task string, leave bool) error {
	return l.release(ctx, task, leave, l.needed)
}

// needed says why a task may keep its place; nil: it is needed.
func (l *Loop) needed(t *plimsoll.Task) error {
	b := l.basis.Load()
	if b == nil {
		return fmt.Errorf("%w: nothing has been decided since the last release", ErrKept)
	}
	keeps := fmt.Errorf("%w: nobody needs the place of task %q more", ErrKept, t.ID())
	service := slices.IndexFunc(b.plan.Verdicts, func(v scale.Verdict) bool { return v.Service == t.Service })
	if service < 0 || !slices.ContainsFunc(b.plan.Verdicts, func(v scale.Verdict) bool {
		return v.Grant < v.Want || v.Waiting > 0 || v.Service == t.Service && v.Desired > v.Want
	}) {
		return keeps
	}
	in := l.withoutReleased(b.in)
	as := slices.IndexFunc(in.Cluster.Tasks, func(u plimsoll.Task) bool { return u.ARN == t.ARN })
	if as < 0 || in.Cluster.Tasks[as].Leaving() || !in.Cluster.Tasks[as].Live() {
		return keeps
	}
	desired := func(protected bool) int {
		in.Cluster.Tasks[as].Protected = protected
		return scale.Decide(in).Verdicts[service].Desired
	}
	if desired(false) >= desired(true) {
		return keeps
	}
	return nil
}

// withoutReleased is a decision's input as it is when those have left that were
// released since.
func (l *Loop) withoutReleased(out scale.Input) scale.Input {
	out.Cluster.Tasks = slices.Clone(out.Cluster.Tasks)
	out.Cluster.Services = slices.Clone(out.Cluster.Services)
	for i := range out.Cluster.Tasks {
		t := &out.Cluster.Tasks[i]
		if p, released := l.releases.pending[t.ARN]; released && !t.Leaving() {
			t.DesiredStatus = plimsoll.StatusStopped
			if i := slices.IndexFunc(out.Cluster.Services, func(s plimsoll.Service) bool { return s.Name == p.service }); i >= 0 {
				out.Cluster.Services[i].Desired--
			}
		}
	}
	return out
}
