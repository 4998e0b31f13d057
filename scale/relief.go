package scale

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"plimsoll"
)

const (
	// ReliefHold is how long tasks of former deployments are protected for, again
	// and again: it ends by itself if nobody ends it.
	ReliefHold = 3 * time.Minute
	// ReliefPatience is how long none of them leaves, besides the time that one
	// drains, until the platform goes its own way.
	ReliefPatience = 15 * time.Minute
	// holdSlack is how far the platform's clock may be from ours.
	holdSlack = 30 * time.Second
	// reliefTakeover is how long before its end another's protection is taken over:
	// it may be that of a loop before this one, which nobody makes longer any more.
	reliefTakeover = 30 * time.Second
	// unprovenTime is how long a task without health checks runs before ECS counts it
	// for minimumHealthyPercent.
	unprovenTime = 40 * time.Second
)

// ReliefInput is a service in a deployment, whose platform would stop the former
// deployments' tasks as it chooses, and leaves protected tasks alone.
type ReliefInput struct {
	Now     time.Time
	Service plimsoll.Service
	Tasks   []plimsoll.Task // the service's; others are passed over
	// Protected is until when tasks are protected, by whomever; Held, what the platform
	// made of what this loop has asked for. Where they differ it is another's.
	Protected, Held map[string]time.Time
	// Exits are the tasks that are being seen out; true: they have been.
	Exits map[string]bool
	// Away are those that are seen out for another reason.
	Away map[string]bool
	// Patience is how long none may leave until the platform goes its own way.
	Patience time.Duration
	Memory   ReliefMemory
}

// ReliefMemory is what one Relieve leaves for the next.
type ReliefMemory struct {
	Deployment string    // the newest
	Left       int       // tasks of the others, at the fewest
	Since      time.Time // when there were as few
	Over       bool      // the platform goes its own way
}

// ReliefPlan is what is to be done for it, by the tasks' ARNs, in this order.
type ReliefPlan struct {
	// Stay are tasks that get new work again; they are seen out no more.
	Stay []string
	// Unprotect are protected no more: those that were seen out may be stopped. It
	// comes before Protect, since ECS bounds how many are protected.
	Unprotect []string
	// Protect are to be protected, for ReliefHold.
	Protect []string
	// Out are to be seen out.
	Out []string
	// Active is false when there is nothing to wait for any more.
	Active bool
	Memory ReliefMemory
}

// Relieved tells whether a task is of a former deployment of its service, which the
// platform replaces. Of a deployment that the service does not show nothing is known:
// one may have been read before the other.
func Relieved(s *plimsoll.Service, t *plimsoll.Task) bool {
	return t.Service == s.Name && t.Deployment != "" && slices.ContainsFunc(s.Deployments, func(d plimsoll.Deployment) bool {
		return d.ID == t.Deployment && !d.Primary
	})
}

// Relieve has a deployment's new tasks take over from those of former ones: these are
// protected at once, seen out as the healthy ones become more than
// minimumHealthyPercent asks for, and left to the platform when they have been. So no
// more go at a time than the platform itself would stop. It takes back what it has
// begun if the new tasks fail, or the former deployment is the newest again, and ends
// after some time without progress. Nobody else's protection is made shorter.
// What is unhealthy is the platform's to replace.
func Relieve(in ReliefInput) ReliefPlan {
	r := reliefPass{in: in, exits: map[string]bool{}, kept: map[string]bool{}, relieves: map[string]bool{}, inZone: map[string]int{}}
	maps.Copy(r.exits, in.Exits)
	r.sort()
	r.remember()
	if !r.plan.Active {
		r.former = nil
	}
	for _, t := range r.former {
		r.relieves[t.ARN] = true
	}
	r.takeBack()
	r.letGo()
	r.protect()
	r.seeOut()
	return r.plan
}

// reliefPass is one Relieve.
type reliefPass struct {
	in     ReliefInput
	plan   ReliefPlan
	exits  map[string]bool // as they will be
	kept   map[string]bool // taken back just now
	tasks  []*plimsoll.Task
	former []*plimsoll.Task
	// relieves are the former by their ARNs.
	relieves map[string]bool
	// spare is how many of the healthy tasks may go.
	spare  int
	inZone map[string]int // healthy tasks that stay
}

// sort finds the tasks that count.
func (r *reliefPass) sort() {
	s := &r.in.Service
	for i := range r.in.Tasks {
		t := &r.in.Tasks[i]
		if t.Service != s.Name || !t.Live() || t.Leaving() {
			continue
		}
		r.tasks = append(r.tasks, t)
		if s.Rolling && !s.Daemon && Relieved(s, t) && !r.in.Away[t.ARN] && !r.theirs(t) {
			r.former = append(r.former, t)
		}
		if r.counts(t) && !t.Draining && !r.away(t) {
			r.spare++
			r.inZone[t.Zone]++
		}
	}
	r.spare -= (s.Desired*s.MinimumHealthy + 99) / 100
	slices.SortFunc(r.tasks, func(a, b *plimsoll.Task) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ARN, b.ARN))
	})
}

// counts tells whether ECS counts a task as healthy.
func (r *reliefPass) counts(t *plimsoll.Task) bool {
	return t.LastStatus == plimsoll.StatusRunning && !t.Unwell &&
		(t.Checked || r.in.Now.Sub(t.StartedAt) >= unprovenTime)
}

func (r *reliefPass) away(t *plimsoll.Task) bool {
	_, leaves := r.exits[t.ARN]
	return leaves || r.in.Away[t.ARN]
}

// remember tells whether there still is something to wait for.
func (r *reliefPass) remember() {
	m, primary := r.in.Memory, ""
	for _, d := range r.in.Service.Deployments {
		if d.Primary {
			primary = d.ID
		}
	}
	if m.Deployment != primary || m.Left == 0 {
		m = ReliefMemory{Deployment: primary, Left: len(r.former), Since: r.in.Now}
	}
	if len(r.former) < m.Left {
		m.Left, m.Since = len(r.former), r.in.Now
	}
	m.Over = m.Over || len(r.former) > 0 && r.in.Now.Sub(m.Since) >= r.in.Patience
	r.plan.Memory, r.plan.Active = m, len(r.former) > 0 && !m.Over
}

// takeBack has those stay that are not to leave any more, or without whom there would
// be too few: of these the ones first that have not been seen out yet. While there is
// something to wait for, it has the say about all marks.
func (r *reliefPass) takeBack() {
	var back []*plimsoll.Task
	for _, t := range r.tasks {
		_, leaves := r.exits[t.ARN]
		switch {
		case !leaves && !(t.Draining && r.plan.Active) || r.in.Away[t.ARN]:
		case !r.relieves[t.ARN]:
			r.stay(t)
		case r.counts(t):
			back = append(back, t)
		}
	}
	slices.SortStableFunc(back, func(a, b *plimsoll.Task) int {
		over := func(t *plimsoll.Task) int {
			if r.exits[t.ARN] {
				return 1
			}
			return 0
		}
		return over(a) - over(b)
	})
	for _, t := range back {
		if r.spare >= 0 {
			break
		}
		r.stay(t)
	}
}

func (r *reliefPass) stay(t *plimsoll.Task) {
	r.plan.Stay = append(r.plan.Stay, t.ARN)
	delete(r.exits, t.ARN)
	r.kept[t.ARN] = true
	if r.counts(t) {
		r.spare++
		r.inZone[t.Zone]++
	}
}

// ours tells whether it is this loop's word that protects a task now.
func (r *reliefPass) ours(t *plimsoll.Task) bool {
	held, asked := r.in.Held[t.ARN]
	until, protected := r.in.Protected[t.ARN]
	return asked && protected && until.Equal(held)
}

// letGo ends what this loop protects and need not any more.
func (r *reliefPass) letGo() {
	for _, t := range r.tasks {
		over := r.exits[t.ARN]
		if r.ours(t) && !r.in.Away[t.ARN] && (!r.relieves[t.ARN] || !r.guarded(t) && (!over || r.spare >= 0)) {
			r.plan.Unprotect = append(r.plan.Unprotect, t.ARN)
		}
	}
}

// theirs tells whether the application protects a task, for longer than this loop
// would have: its sessions may need it, and it is not asked to leave. Nearer to the
// end of that it is seen out, for it is stopped then.
func (r *reliefPass) theirs(t *plimsoll.Task) bool {
	until, protected := r.in.Protected[t.ARN]
	return protected && !r.ours(t) && until.Sub(r.in.Now) > ReliefHold+holdSlack
}

// protect protects all that serve, as far as ECS allows: no more tasks of a service
// than it is to have.
func (r *reliefPass) protect() {
	may := r.in.Service.Desired + len(r.plan.Unprotect)
	for _, t := range r.tasks {
		if _, protected := r.in.Protected[t.ARN]; protected {
			may--
		}
	}
	for _, t := range r.former {
		if t.LastStatus != plimsoll.StatusRunning || r.exits[t.ARN] || !r.guarded(t) {
			continue
		}
		until, protected := r.in.Protected[t.ARN]
		left := until.Sub(r.in.Now)
		switch {
		case protected && (r.ours(t) && left < ReliefHold/2 || left < reliefTakeover):
			r.plan.Protect = append(r.plan.Protect, t.ARN)
		case !protected && may > 0:
			may--
			r.plan.Protect = append(r.plan.Protect, t.ARN)
		}
	}
}

// guarded tells whether a task is not to be stopped yet: one that is unhealthy is the
// platform's to replace, unless it is being seen out.
func (r *reliefPass) guarded(t *plimsoll.Task) bool {
	over, leaves := r.exits[t.ARN]
	return leaves && !over || !leaves && !t.Unwell
}

// seeOut chooses who is seen out now: those first that are marked, then of the zone
// with the most healthy tasks the youngest.
func (r *reliefPass) seeOut() {
	for {
		var best *plimsoll.Task
		for _, t := range slices.Backward(r.former) {
			if t.LastStatus != plimsoll.StatusRunning || t.Unwell || r.away(t) || r.kept[t.ARN] || r.spare < r.costs(t) {
				continue
			}
			if best == nil || goesBefore(t, best, r.inZone) {
				best = t
			}
		}
		if best == nil {
			return
		}
		if n := r.costs(best); n > 0 {
			r.spare -= n
			r.inZone[best.Zone]--
		}
		r.exits[best.ARN] = false
		r.plan.Out = append(r.plan.Out, best.ARN)
	}
}

// costs is how many healthy tasks less there are without one.
func (r *reliefPass) costs(t *plimsoll.Task) int {
	if r.counts(t) && !t.Draining {
		return 1
	}
	return 0
}
