package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/scale"
)

// pass is one step: observe, decide, act. A plan is carried out to its end
// before the next snapshot begins, so that an older plan never overwrites a
// newer one.
func (l *Loop) pass(ctx context.Context, patience time.Duration) *State {
	l.step.Lock()
	defer l.step.Unlock()
	began := l.now()
	before := l.state.Load()
	state := &State{Step: before.Step + 1, At: began, Overrides: l.inForce(began)}

	state.copyHosts(before)
	cluster, err := l.observe(ctx, patience)
	if err != nil {
		// No decision without a whole snapshot: what was seen last is shown,
		// and nothing is changed.
		state.Cluster, state.Plan, state.Problem = before.Cluster, before.Plan, "the cluster cannot be read: "+err.Error()
		l.sayProblem(ctx, began, state.Problem)
		state.Took = l.now().Sub(began)
		l.publish(state)
		return state
	}
	l.sayProblem(ctx, began, "")
	now := l.now()
	l.preferOwn(now, &cluster)
	l.saySeen(now, &cluster)
	state.Cluster = cluster
	decided, held := l.countReleases(ctx, now, cluster)
	l.held = held
	in := scale.Input{
		Now: now, Cluster: unmarked(decided), Policies: l.policies,
		Readings: l.readings(now), Overrides: state.Overrides, Memory: l.memory,
		Eviction: l.opts.Eviction, Budget: l.opts.Budget,
	}
	state.Plan = scale.Decide(in)
	l.basis.Store(&basis{in: in, plan: state.Plan})
	l.memory = state.Plan.Memory
	l.history.record(now, state.Plan.Verdicts)
	state.Took = l.now().Sub(began)
	l.publish(state)
	l.settleDepartures(ctx, &cluster, &state.Plan)
	if len(state.Plan.Changes) == 0 && l.opts.Hosts == nil {
		return state
	}
	// What was seen is shown before it is acted on: a call of the platform may
	// take its time, and whoever routes by the state has to know at once.
	l.act(ctx, &cluster, &state.Plan)
	acted := *state
	l.hostPass(ctx, &acted, in)
	acted.Took = l.now().Sub(began)
	l.publish(&acted)
	return &acted
}

// observe reads the cluster and the sources at the same time.
func (l *Loop) observe(ctx context.Context, patience time.Duration) (plimsoll.Cluster, error) {
	if !l.look(ctx) {
		return l.snapshot(ctx)
	}
	gathered := make(chan struct{})
	go func() {
		defer close(gathered)
		l.gather(ctx, patience)
	}()
	cluster, err := l.snapshot(ctx)
	<-gathered
	return cluster, err
}

// sayProblem notes that steps fail, or work again; once for each change.
func (l *Loop) sayProblem(ctx context.Context, now time.Time, problem string) {
	if problem == l.problem || ctx.Err() != nil {
		return
	}
	l.problem = problem
	if problem == "" {
		l.journal.event(Event{At: now, Kind: EventStepRecovered, Message: "the cluster can be read again"})
		return
	}
	l.log.Error("no decision", "problem", problem)
	l.journal.event(Event{At: now, Kind: EventStepFailed, Message: problem})
}

// act carries out the plan's changes in their order, and records each. If one
// that shrinks fails, those that grow are left for the next pass: their room
// may not come about.
func (l *Loop) act(ctx context.Context, cluster *plimsoll.Cluster, plan *scale.Plan) {
	verdicts := make(map[string]*scale.Verdict, len(plan.Changes))
	if len(plan.Changes) > 0 {
		for i := range plan.Verdicts {
			verdicts[plan.Verdicts[i].Service] = &plan.Verdicts[i]
		}
	}
	failed := ""
	for _, c := range plan.Changes {
		if ctx.Err() != nil {
			return // the next loop decides anew
		}
		if h := l.held[c.Service]; h == holdAll || h == holdGrowth && c.To > c.From {
			continue // the next pass decides anew
		}
		d := Decision{Service: c.Service, From: c.From, To: c.To, Reason: c.Reason, Outcome: "done"}
		if v := verdicts[c.Service]; v != nil {
			d.Want, d.Grant = v.Want, v.Grant
		}
		switch {
		case l.opts.DryRun:
			d.Outcome = "dry-run"
		case c.To > c.From && failed != "":
			d.Outcome = fmt.Sprintf("failed: not tried, because %s could not be shrunk", failed)
		case c.To > c.From:
			if err := l.setDesired(ctx, c); err != nil {
				d.Outcome = "failed: " + err.Error()
			}
		default:
			to, err := l.lower(ctx, cluster, c)
			if drains := errDrains(""); errors.As(err, &drains) {
				d.Outcome = "drains: " + err.Error()
			} else if err != nil {
				d.Outcome, failed = "failed: "+err.Error(), c.Service
			} else {
				d.To = to
			}
		}
		d.At = l.now()
		if l.journal.decide(d) {
			l.log.Info("decision", "service", d.Service, "from", d.From, "to", d.To, "outcome", d.Outcome, "reason", d.Reason)
		}
	}
}

func (l *Loop) setDesired(ctx context.Context, c scale.Change) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	if err := l.platform.SetDesired(ctx, c.Service, c.To); err != nil {
		return err
	}
	l.own[c.Service] = ownWrite{from: c.From, to: c.To, at: l.now()}
	l.releases.know(c.Service, c.To)
	return nil
}

// ownWrite is a desired count that the loop has set and not seen yet.
type ownWrite struct {
	from, to int
	at       time.Time
}

// ownWriteFor bounds how long a count that the loop has set goes before the
// platform's own figure, which may be older: reads are eventually consistent.
const ownWriteFor = 10 * time.Second

// preferOwn puts the loop's own writes in place of older figures. Anything but
// the count from before the write is news from somebody else, and stands.
func (l *Loop) preferOwn(now time.Time, cluster *plimsoll.Cluster) {
	if len(l.own) == 0 {
		return
	}
	copied := false
	for i := range cluster.Services {
		s := cluster.Services[i]
		w, ok := l.own[s.Name]
		if !ok {
			continue
		}
		if s.Desired != w.from || now.Sub(w.at) > ownWriteFor {
			delete(l.own, s.Name)
			continue
		}
		if !copied {
			// The platform may keep the list that it gave.
			cluster.Services = append([]plimsoll.Service(nil), cluster.Services...)
			copied = true
		}
		cluster.Services[i].Desired = w.to
	}
}
