package scale

import (
	"math"
	"time"
)

// highest is the count above which no want goes, so that an absurd quotient
// stays a number.
const highest = 1_000_000

// rounding is how far a quotient may be off before ceil sees one task more.
const rounding = 1e-9

// notes are what a service's reason is made of.
type notes struct {
	demand   *float64
	triggers []TriggerVerdict
	// chosen is the trigger that asked for most, or -1.
	chosen int
	asked  int // what the triggers ask for
	// Each of the next has the count after it, or -1 if it changed nothing.
	window, cooldown, rate, floor, bound int
	windowUp, rateUp                     bool
	until                                time.Time // of the cool-down
	waitsFor                             []share
	givesTo                              []share
}

// share is a number of tasks of a service; an index below 0 is a task of none.
type share struct {
	service int32
	tasks   int
}

// recommend sets a service's want: what its triggers ask for, smoothed by the
// windows, bounded by the rates, the cool-down, the floor, and Min and Max.
func (p *pass) recommend(s *service) {
	s.notes = notes{chosen: -1, window: -1, cooldown: -1, rate: -1, floor: -1, bound: -1}
	s.next = ServiceMemory{ActiveAt: s.was.ActiveAt, SeenAt: p.now, Desired: s.current()}
	p.recordMoves(s)
	asked, active := p.ask(s)
	s.notes.asked = asked
	want := asked
	if !s.policy.Remainder && len(s.policy.Triggers) > 0 {
		want = p.smooth(s, asked)
		want = p.keepAwake(s, want, active)
		want = p.limit(s, want)
	}
	if s.over.Floor > want && p.now.Before(s.over.Until) {
		want = s.over.Floor
		s.notes.floor = want
		p.by(s.over.Until)
	}
	if bounded := min(max(want, s.policy.Min), max(s.policy.Max, 0)); bounded != want {
		want = bounded
		s.notes.bound = want
	}
	s.want, s.next.Want = want, want
}

// goal is the count that the last decision was heading for. The HPA has it as
// the present number of replicas, since it sets it at once; here the desired
// count follows as room comes free, and the goal must not be forgotten on the
// way. A desired count that somebody else has set is a new goal.
func (s *service) goal() int {
	if s.was.SeenAt.IsZero() || s.current() != s.was.Asked {
		return s.current()
	}
	return s.was.Want
}

// ask is what the triggers ask for, the most of them all, and whether any of
// them is active or may be.
func (p *pass) ask(s *service) (count int, active bool) {
	if len(s.policy.Triggers) > 0 {
		s.notes.triggers = make([]TriggerVerdict, len(s.policy.Triggers))
	}
	readings := p.in.Readings[s.name]
	for i := range s.policy.Triggers {
		r := Reading{Problem: "no reading yet"}
		if i < len(readings) {
			r = readings[i]
		}
		v := &s.notes.triggers[i]
		*v = p.evaluate(s, &s.policy.Triggers[i], r)
		if v.Known {
			if s.notes.demand == nil {
				s.notes.demand = new(float64)
			}
			*s.notes.demand += v.Value
		}
		active = active || v.Active || !v.Known
		if s.notes.chosen < 0 || v.Want > count {
			count, s.notes.chosen = v.Want, i
		}
	}
	switch {
	case s.policy.Remainder:
		return s.policy.Max, true
	case len(s.policy.Triggers) == 0:
		return s.policy.Min, true
	}
	return count, active
}

// evaluate turns one reading into a count.
func (p *pass) evaluate(s *service, t *Trigger, r Reading) TriggerVerdict {
	v := TriggerVerdict{Name: t.Name, Known: r.Known, Value: r.Value}
	if r.Known && (math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0) {
		v.Known, v.Value, r.Problem = false, 0, "the reading is no number of 0 or more"
	}
	switch {
	case !v.Known:
		held := max(s.current(), s.goal())
		v.Value, v.Want = 0, held
		if t.FailureCount != nil {
			v.Want = max(held, *t.FailureCount)
		}
		v.Reason = p.sayUnknown(t, r, v.Want, held)
	case v.Value <= t.Activation:
		v.Reason = p.sayInactive(t, r)
	case t.Mode == Ratio:
		v.Active = true
		v.Want, v.Reason = p.ratio(s, t, r)
	default:
		v.Active = true
		v.Want, v.Reason = p.average(s, t, r)
	}
	return v
}

// average is the HPA's formula for external average values.
func (p *pass) average(s *service, t *Trigger, r Reading) (int, string) {
	if goal := s.goal(); goal > 0 && s.tolerates(r.Value/(t.Target*float64(goal))) {
		return goal, p.sayTolerated(s, t, r, goal)
	}
	want := max(1, tasks(r.Value/t.Target))
	return want, p.sayAverage(t, r, want)
}

// ratio is the HPA's formula for values to be held. Its count is the tasks
// that run, since the value was measured on them.
func (p *pass) ratio(s *service, t *Trigger, r Reading) (int, string) {
	current := s.current()
	quotient := r.Value / t.Target
	if current == 0 {
		want := max(1, tasks(quotient))
		return want, p.sayRatio(t, r, 1, want)
	}
	if s.tolerates(quotient) {
		return current, p.sayTolerated(s, t, r, current)
	}
	if s.running == 0 {
		return current, p.sayHeld(t, r, current, "no task runs yet")
	}
	ready, coming := float64(s.running), float64(s.starting+s.unplaced)
	if coming > 0 {
		load := quotient * ready
		if quotient < 1 {
			load += coming
		}
		level := load / (ready + coming)
		if s.tolerates(level) || (level > 1) != (quotient > 1) {
			return current, p.sayHeld(t, r, current, "tasks are starting")
		}
		if quotient < 1 {
			return max(1, min(current, tasks(load))), p.sayRatio(t, r, s.running, max(1, min(current, tasks(load))))
		}
	}
	want := max(1, tasks(quotient*ready))
	if quotient > 1 {
		want = max(want, current)
	} else {
		want = min(want, current)
	}
	return want, p.sayRatio(t, r, s.running, want)
}

// tolerates tells whether a ratio is too near to 1 to act on.
func (s *service) tolerates(ratio float64) bool {
	return math.Abs(1-ratio) <= s.policy.Behavior.Tolerance+rounding
}

// tasks rounds a quotient up to a count.
func tasks(quotient float64) int {
	if !(quotient < highest) {
		return highest
	}
	return max(0, int(math.Ceil(quotient-rounding)))
}

// keepAwake keeps the last task for as long as the cool-down lasts, and gives a
// service at zero its first task at once, whatever the windows say.
func (p *pass) keepAwake(s *service, want int, active bool) int {
	if active || s.was.SeenAt.IsZero() {
		s.next.ActiveAt = p.now
	}
	if want > 0 {
		return want
	}
	if active {
		// A window may say zero while a trigger asks for a task.
		if s.notes.asked > 0 {
			s.notes.cooldown = 1
			return 1
		}
		return want
	}
	end := s.next.ActiveAt.Add(s.policy.Behavior.Cooldown)
	if s.current() == 0 || !p.now.Before(end) {
		return want
	}
	p.by(end)
	s.notes.cooldown, s.notes.until = 1, end
	return 1
}
