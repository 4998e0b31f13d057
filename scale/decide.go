package scale

import (
	"time"

	"plimsoll"
)

// Decide works out the desired count of every service under control. It is
// pure: the same input gives the same plan, and nothing of the input is
// changed. Its time grows linearly with services, tasks and hosts.
//
// A cluster without a single container instance has its capacity elsewhere
// (Fargate), or has lost it. With a budget that is what is divided; without one
// every service gets what it wants.
func Decide(in Input) Plan {
	p := newPass(&in)
	for i := range p.controlled() {
		p.recommend(&p.services[i])
	}
	p.arbitrate()
	return p.plan()
}

// pass is the working state of one Decide.
type pass struct {
	in  *Input
	now time.Time
	// services has the policies' services first, in the file's order, and then
	// the services of the cluster that are not under control.
	services []service
	byName   map[string]int32
	// ranked are the services under control, the highest rank first; classes
	// has where in it each class of equals begins, and at last its end.
	ranked  []int32
	classes []int32
	// tail is the end of what in ranked can still give tasks above a minimum.
	tail  int
	hosts []host
	zones []string
	// budgeted tells that the one host stands for Input.Budget, which every
	// task holds a part of.
	budgeted bool
	// hostOf is the host of each task of the snapshot, noHost without one;
	// ownerOf is its service, noService without one. placed are the tasks of
	// services on hosts that stay, leaving those that have been asked to stop.
	hostOf, ownerOf []int32
	// ports are the fixed host ports in use, by host.
	ports           map[int32][]int
	placed, leaving []int32
	room            room
	// fails are sizes for which no victims were found; popped are the victims
	// of the search under way.
	fails  []plimsoll.Resources
	popped []victim
	// waiters are those whose place is not free yet, the best claim first.
	waiters []waiter
	// taken are all victims so far; bounded tells that there would be more, and
	// that the next pass takes them.
	taken   int
	bounded bool
	order   zoneOrder
	// top bounds what the richest of the class being served has left after
	// giving one task.
	top     float64
	recheck time.Time
	words   []byte
	// samples are those of the forecast being made; recalls counts the services
	// whose forecast's error was found from its past.
	samples []float64
	recalls int
}

const (
	noHost    int32 = -1
	noService int32 = -1
)

// service is a service of the cluster, or of the policies, in one pass.
type service struct {
	index    int32
	name     string
	policy   *Policy           // nil: not under control
	state    *plimsoll.Service // nil: not in the cluster
	class    int32             // of equals; 0 is the highest
	position int32             // in ranked
	// size is what one task of it reserves; portion is that as a share of the
	// cluster, in the dimension of which it takes most, by the service's weight.
	size    plimsoll.Resources
	portion float64
	ports   []int // the fixed host ports that each task needs
	was     ServiceMemory
	next    ServiceMemory
	over    Override
	// quiet is until when the service gets no more than it has, because tasks
	// were taken from it; zero: it may grow.
	quiet time.Time
	// fixed services neither grow nor give way: paused, or not under control.
	fixed bool
	// hostless services run without container instances (Fargate).
	hostless bool

	// Tasks that are not leaving: running and starting have a host (or need
	// none), unplaced wait for one. tasks are those with a host, a part of the
	// pass's one list of them, without the displaced: those on hosts that are
	// draining, which go when others have taken their place.
	running, starting, unplaced, protected int
	tasks                                  []int32
	displaced                              int

	want  int
	notes notes

	// held counts the tasks with a host that stay; granted the places found on
	// top of them; starts those of the granted that are new and fit now;
	// waiting those whose place is still to be freed. late are new and fit now
	// too, but come after one that waits: the platform would take their places
	// for that one.
	held, granted, starts, waiting, late int
	// stops are the tasks that may be stopped, in the order in which the
	// platform would, once they are ordered; the first gone of them are given
	// up, of which taken for others.
	stops       []int32
	ordered     bool
	gone, taken int
	// ghosts are the hosts on which places are set aside for tasks that the
	// platform owes.
	ghosts []int32
	// spread is how many tasks each zone has that stay or are placed there.
	spread []int32

	grant, desired int
}

// current is the desired count that the platform has.
func (s *service) current() int {
	if s.state == nil {
		return 0
	}
	return s.state.Desired
}

// count is how many tasks the service keeps or has a place for.
func (s *service) count() int { return s.held + s.granted }

// controlled are the services that have a policy.
func (p *pass) controlled() []service { return p.services[:len(p.in.Policies)] }

// by notes a time at which the decision may differ by the passing of time.
func (p *pass) by(t time.Time) {
	if t.After(p.now) && (p.recheck.IsZero() || t.Before(p.recheck)) {
		p.recheck = t
	}
}

// plan gives the pass's result.
func (p *pass) plan() Plan {
	plan := Plan{
		At:       p.now,
		Verdicts: make([]Verdict, len(p.in.Policies)),
		Memory:   Memory{Services: make(map[string]ServiceMemory, len(p.in.Policies))},
	}
	changes := 0
	for i := range p.controlled() {
		s := &p.services[i]
		p.settle(s)
		plan.Verdicts[i] = p.verdict(s)
		plan.Memory.Services[s.name] = s.next
		if s.desired != s.current() {
			changes++
		}
	}
	if changes > 0 {
		plan.Changes = p.changes(plan.Verdicts, changes)
	}
	plan.Recheck = p.recheck
	if !p.budgeted {
		plan.whereabouts = &whereabouts{p.in.Cluster.Tasks, p.in.Cluster.Instances, p.hostOf, p.ownerOf, p.byName, len(p.services)}
	}
	return plan
}

// settle turns the grant into the desired count of now: a smaller one at once,
// a larger one as far as the room for it is free.
func (p *pass) settle(s *service) {
	current := s.current()
	switch {
	case s.state == nil:
		s.grant, s.desired = 0, 0
	case s.fixed:
		s.grant, s.desired = current, current
	case s.hostless:
		s.grant = max(s.want, s.protected)
		s.desired = s.grant
	default:
		s.grant = s.count()
		if s.taken == 0 {
			// What runs on a draining host stays until it is replaced. But if
			// others are to stop, the count has to go below those, since the
			// platform does not count what it is replacing.
			s.grant = min(s.allowed(), s.count()+s.displaced)
		}
		s.grant = max(s.grant, s.protected)
		s.desired = s.grant
		if s.grant > current {
			// The protected of a draining host are no part of what the platform
			// counts, so it would start one for each that the count grows by.
			s.desired = max(min(s.grant, max(current, s.held)+s.starts), s.protected)
		}
	}
	s.next.Asked = s.desired
	s.next.TakenAt = s.was.TakenAt
	switch {
	case s.taken > 0 && p.in.Eviction.Quiet > 0:
		s.next.TakenAt = p.now
	case s.quiet.IsZero():
		s.next.TakenAt = time.Time{}
	}
}

// unasked is how many tasks of the grant are not asked for yet.
func (s *service) unasked() int { return max(0, s.grant-max(s.desired, s.held)) }

// verdict is the decision on one service, in numbers and words.
func (p *pass) verdict(s *service) Verdict {
	v := Verdict{
		Service: s.name, Priority: s.policy.Priority,
		Min: s.policy.Min, Max: s.policy.Max,
		Demand: s.notes.demand,
		Want:   s.want, Grant: s.grant, Desired: s.desired,
		Protected: s.protected,
		Waiting:   s.unasked(),
		Triggers:  s.notes.triggers,
		Forecast:  s.notes.outlook,
	}
	if s.state != nil {
		v.Running, v.Pending = s.state.Running, s.state.Pending
	}
	v.Reason = p.reason(s)
	return v
}

// changes lists all that shrinks, then all that grows in order of priority.
func (p *pass) changes(verdicts []Verdict, n int) []Change {
	list := make([]Change, 0, n)
	add := func(i int32, shrinks bool) {
		s := &p.services[i]
		from := s.current()
		if s.desired != from && (s.desired < from) == shrinks {
			list = append(list, Change{Service: s.name, From: from, To: s.desired, Reason: verdicts[i].Reason})
		}
	}
	for i := range p.controlled() {
		add(int32(i), true)
	}
	for _, i := range p.ranked {
		add(i, false)
	}
	return list
}
