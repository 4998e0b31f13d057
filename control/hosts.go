package control

import (
	"context"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/scale"
)

// Hosts has the loop decide on the cluster's hosts, too.
type Hosts struct {
	Scaler platform.HostScaler
	Rules  scale.HostRules
	// Every is the shortest time between two decisions on hosts. Default 1 s.
	Every time.Duration
}

const defaultHostsEvery = time.Second

// HostDecision is the name under which the journal has the decisions on a group's
// hosts, in the place of a service's.
func HostDecision(group string) string { return "hosts/" + group }

// hostPass decides on the hosts, after the services' decision was carried out, and
// carries it out. What goes wrong with a group leaves the services alone.
func (l *Loop) hostPass(ctx context.Context, state *State, in scale.Input) {
	h := l.opts.Hosts
	if h == nil {
		return
	}
	now := l.now()
	if now.Before(l.hostsDue) {
		return
	}
	l.hostsDue = now.Add(h.Every)
	groups, err := l.hostGroups(ctx)
	if err != nil {
		state.HostProblem = err.Error()
		l.sayHostProblem(ctx, now, state.HostProblem)
		return
	}
	l.sayBurstable(now, groups)
	state.HostProblem = ""
	l.sayHostProblem(ctx, now, "")
	plan := scale.DecideHosts(scale.HostInput{
		Now: now, Cluster: in.Cluster, Wants: scale.HostWants(in, state.Plan), Groups: groups, Rules: h.Rules, Memory: state.Hosts.Memory, Plan: &state.Plan,
	})
	state.Hosts = plan
	l.sayLacking(now, plan.Lacking)
	l.actOnHosts(ctx, &state.Cluster, plan, groups)
}

func (l *Loop) hostGroups(ctx context.Context) ([]plimsoll.HostGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return l.opts.Hosts.Scaler.HostGroups(ctx)
}

// sayHostProblem notes that hosts cannot be decided on, or can again; once for
// each change.
func (l *Loop) sayHostProblem(ctx context.Context, now time.Time, problem string) {
	if problem == l.hostProblem || ctx.Err() != nil {
		return
	}
	l.hostProblem = problem
	if problem == "" {
		l.journal.event(Event{At: now, Kind: EventHostsRecovered, Message: "the hosts' groups can be read again"})
		return
	}
	l.log.Error("no decision on hosts", "problem", problem)
	l.journal.event(Event{At: now, Kind: EventHostsFailed, Message: problem})
}

// sayBurstable warns of hosts whose CPUs may be throttled, once for each type of a
// group: what tasks reserve of them is then not what they get, and CPU that is used
// stays low while tasks are slow.
func (l *Loop) sayBurstable(now time.Time, groups []plimsoll.HostGroup) {
	for _, g := range groups {
		for _, t := range g.Types {
			if name := g.Name + "/" + t.Name; t.Burstable() && !l.burstable[name] {
				if l.burstable == nil {
					l.burstable = map[string]bool{}
				}
				l.burstable[name] = true
				words := fmt.Sprintf("group %q launches hosts of the burstable type %s: once their CPU credits are used up, tasks get less CPU than they reserve, and CPU that is used tells little; prefer a type with whole CPUs (m, c, r), or unlimited credits", g.Name, t.Name)
				l.log.Warn("burstable hosts", "problem", words)
				l.journal.event(Event{At: now, Kind: EventHostsBurstable, Message: words})
			}
		}
	}
}

// sayLacking notes what no host can be had for, once for each.
func (l *Loop) sayLacking(now time.Time, lacking []string) {
	said := make(map[string]bool, len(lacking))
	for _, words := range lacking {
		said[words] = true
		if !l.lacking[words] {
			l.log.Warn("no host", "problem", words)
			l.journal.event(Event{At: now, Kind: EventHostsLacking, Message: words})
		}
	}
	l.lacking = said
}

// actOnHosts carries the plan out in its order. A move that fails is decided on
// anew by the next pass; the others go on.
func (l *Loop) actOnHosts(ctx context.Context, cluster *plimsoll.Cluster, plan scale.HostPlan, groups []plimsoll.HostGroup) {
	desired := map[string]int{}
	for _, g := range groups {
		desired[g.Name] = g.Desired
	}
	for _, m := range plan.Moves {
		if ctx.Err() != nil {
			return
		}
		d := Decision{Service: HostDecision(m.Group), From: desired[m.Group], To: desired[m.Group], Outcome: "done", Reason: moveWords(m)}
		switch m.Deed {
		case scale.DeedLaunch:
			d.To = m.To
		case scale.DeedTerminate:
			d.To--
		}
		d.Want, d.Grant = d.To, d.To
		if l.opts.DryRun {
			d.Outcome = "dry-run"
		} else if err := l.carryOut(ctx, cluster, m); err != nil {
			d.Outcome = "failed: " + err.Error()
			d.To = d.From
		}
		desired[m.Group] = d.To
		d.At = l.now()
		if l.journal.decide(d) {
			l.log.Info("decision on hosts", "group", m.Group, "deed", string(m.Deed), "host", m.InstanceID, "from", d.From, "to", d.To, "outcome", d.Outcome, "reason", m.Reason)
		}
	}
}

func moveWords(m scale.HostMove) string {
	if m.Deed == scale.DeedLaunch {
		return fmt.Sprintf("launch in %v: %s", m.Zones, m.Reason)
	}
	return fmt.Sprintf("%s %s in %s: %s", m.Deed, m.InstanceID, m.Zone, m.Reason)
}

func (l *Loop) carryOut(ctx context.Context, cluster *plimsoll.Cluster, m scale.HostMove) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	scaler := l.opts.Hosts.Scaler
	switch m.Deed {
	case scale.DeedLaunch:
		return scaler.SetCapacity(ctx, m.Group, m.To)
	case scale.DeedDrain:
		l.evacuate(ctx, cluster, m.Host)
		return scaler.Drain(ctx, m.Host, true)
	case scale.DeedUndrain:
		return scaler.Drain(ctx, m.Host, false)
	}
	return scaler.Terminate(ctx, m.InstanceID)
}

// copyHosts keeps the plan of the last decision on hosts, for passes without one.
func (s *State) copyHosts(before *State) {
	s.Hosts, s.HostProblem = before.Hosts, before.HostProblem
	s.Hosts.Moves = nil
}
