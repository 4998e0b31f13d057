package scale

import (
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
	ceiling, spend                       int
	windowUp, rateUp                     bool
	until                                time.Time // of the cool-down
	panicUntil                           time.Time // zero: no panic
	waitsFor                             []share
	givesTo                              []share
	outlook                              *Outlook
}

// share is a number of tasks of a service; an index below 0 is a task of none.
type share struct {
	service int32
	tasks   int
}

// recommend sets a service's want: what its triggers ask for, smoothed by the
// windows, bounded by the rates, the cool-down, the floor, and Min and Max.
func (p *pass) recommend(s *service) {
	s.notes = notes{chosen: -1, window: -1, cooldown: -1, rate: -1, floor: -1, bound: -1, ceiling: -1, spend: -1}
	s.next = ServiceMemory{ActiveAt: s.was.ActiveAt, SeenAt: p.now, Desired: s.current()}
	p.recordMoves(s)
	asked, active := p.ask(s)
	asked = p.foresee(s, asked)
	s.notes.asked = asked
	want := asked
	if !s.policy.Remainder && len(s.policy.Triggers) > 0 {
		want = p.pace(s, asked, active)
	}
	want = p.override(s, want)
	want = p.spend(s, want)
	if bounded := min(max(want, s.policy.Min), max(s.policy.Max, 0)); bounded != want {
		want = bounded
		s.notes.bound = want
	}
	s.want, s.next.Want = want, want
}

// pace turns what is asked for into what is wanted now: smoothed by the
// windows, kept awake by the cool-down, bounded by the rates.
func (p *pass) pace(s *service, asked int, active bool) int {
	if s.jobsOnly() {
		return p.keepAwake(s, asked, active)
	}
	want := p.smooth(s, asked)
	if least, panics := p.panics(s, asked); panics {
		s.notes.window = -1
		return p.keepAwake(s, least, active)
	}
	want = p.keepAwake(s, want, active)
	return p.limit(s, want)
}

// jobsOnly tells whether every trigger is of mode Job, so that no window or
// rate stands between a message and its task.
func (s *service) jobsOnly() bool {
	for i := range s.policy.Triggers {
		if s.policy.Triggers[i].Mode != Job {
			return false
		}
	}
	return s.policy.Formula == nil
}

// panics tells whether the service is in panic, and what it then wants: no less
// than it was heading for.
func (p *pass) panics(s *service, asked int) (want int, ok bool) {
	b := s.policy.Behavior.Panic
	if b == nil {
		return 0, false
	}
	s.next.PanicAt = s.was.PanicAt
	if asked > s.current() && float64(asked) >= b.Threshold*float64(max(1, s.running)) {
		s.next.PanicAt = p.now
	}
	end := s.next.PanicAt.Add(b.Window)
	if s.next.PanicAt.IsZero() || !p.now.Before(end) {
		s.next.PanicAt = time.Time{}
		return 0, false
	}
	p.by(end)
	s.notes.panicUntil = end
	return max(asked, s.goal()), true
}

// override applies the floor and the ceiling that people have set.
func (p *pass) override(s *service, want int) int {
	if s.over.Floor > want && p.now.Before(s.over.Until) {
		want = s.over.Floor
		s.notes.floor = want
		p.by(s.over.Until)
	}
	if p.now.Before(s.over.CeilingUntil) && want > s.over.Ceiling {
		want = max(s.over.Ceiling, min(want, s.policy.Min))
		s.notes.ceiling = want
		p.by(s.over.CeilingUntil)
	}
	return want
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

// ask is what the triggers ask for, the most of them all or what the formula
// makes of them, and whether any of them is active or may be.
func (p *pass) ask(s *service) (count int, active bool) {
	n := len(s.policy.Triggers)
	if n > 0 {
		s.notes.triggers = make([]TriggerVerdict, n, n+1)
	}
	readings := p.in.Readings[s.name]
	for i := range s.policy.Triggers {
		t := &s.policy.Triggers[i]
		r := Reading{Problem: "no reading yet"}
		if i < len(readings) {
			r = readings[i]
		}
		v := &s.notes.triggers[i]
		*v = p.evaluate(s, t, p.checked(s, t, r))
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
	case n == 0:
		return s.policy.Min, true
	case s.policy.Formula != nil:
		v := p.formula(s)
		s.notes.triggers, s.notes.chosen = append(s.notes.triggers, v), n
		return v.Want, v.Active || !v.Known
	}
	return count, active
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
