package scale

import (
	"math"
	"time"
)

// checked is a reading with what is absurd in it made unknown. It remembers the
// last good value where that may have to stand in.
func (p *pass) checked(s *service, t *Trigger, r Reading) Reading {
	if r.Known && (math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0) {
		r.Known, r.Problem = false, "the reading is no number of 0 or more"
	}
	if t.LastGoodFor <= 0 && t.Mode != Backlog {
		return r
	}
	m := s.was.Triggers[t.Name]
	if r.Known {
		m.Good, m.GoodAt = r.Value, p.now
		if !r.At.IsZero() && r.At.Before(p.now) {
			m.GoodAt = r.At
		}
	}
	if t.Mode == Backlog {
		m = p.learn(s, m, r)
	}
	if s.next.Triggers == nil {
		s.next.Triggers = make(map[string]TriggerMemory, len(s.policy.Triggers))
	}
	s.next.Triggers[t.Name] = m
	return r
}

// evaluate turns one reading into a count.
func (p *pass) evaluate(s *service, t *Trigger, r Reading) TriggerVerdict {
	v := TriggerVerdict{Name: t.Name, Known: r.Known, Value: r.Value}
	if r.Known {
		v.Want, v.Active, v.Reason = p.convert(s, t, r)
		return v
	}
	v.Value = 0
	if good, until, ok := p.lastGood(s, t); ok {
		v.Want, v.Active, v.Reason = p.convert(s, t, good)
		v.Reason = p.sayLastGood(t, r, v.Reason, until)
		p.by(until)
		return v
	}
	held := max(s.current(), s.goal())
	v.Want = held
	if t.FailureCount != nil {
		v.Want = max(held, *t.FailureCount)
	}
	v.Reason = p.sayUnknown(t, r, v.Want, held)
	return v
}

// lastGood is the reading that stands in for one that fails, and until when.
func (p *pass) lastGood(s *service, t *Trigger) (r Reading, until time.Time, ok bool) {
	m := s.was.Triggers[t.Name]
	until = m.GoodAt.Add(t.LastGoodFor)
	if t.LastGoodFor <= 0 || m.GoodAt.IsZero() || !p.now.Before(until) {
		return r, until, false
	}
	return Reading{Known: true, Value: m.Good, At: m.GoodAt}, until, true
}

// convert is the trigger's formula on a known value.
func (p *pass) convert(s *service, t *Trigger, r Reading) (want int, active bool, reason string) {
	if t.Mode == Steps && (t.Activation == 0 || r.Value > t.Activation) {
		want, reason = p.steps(t, r)
		return want, want > 0, reason
	}
	if r.Value <= t.Activation {
		return 0, false, p.sayInactive(t, r)
	}
	switch t.Mode {
	case Ratio:
		want, reason = p.ratio(s, t, r)
	case Exact:
		want = tasks(r.Value)
		reason = p.sayExact(t, r, want)
	case Job:
		want, reason = p.jobs(s, t, r)
	case Backlog:
		want, reason = p.backlog(s, t, r)
	default:
		want, reason = p.average(s, t, r)
	}
	return want, true, reason
}

// formula makes one count of all the values. If one of them is not known, so is
// the result.
func (p *pass) formula(s *service) TriggerVerdict {
	f := s.policy.Formula
	t := Trigger{Name: "formula " + f.Text, Target: f.Target, Activation: f.Activation}
	values := make([]float64, len(s.policy.Triggers))
	r := Reading{Known: true}
	for i := range s.policy.Triggers {
		v := &s.notes.triggers[i]
		values[i] = v.Value
		if v.Known {
			continue
		}
		good, _, ok := p.lastGood(s, &s.policy.Triggers[i])
		if values[i] = good.Value; !ok {
			r.Known, r.Problem = false, v.Name+" is unknown"
		}
	}
	if r.Known {
		value, err := f.Eval(values)
		if r.Value = value; err != nil {
			r.Known, r.Problem = false, err.Error()
		} else if math.IsNaN(value) || math.IsInf(value, 0) {
			r.Known, r.Problem = false, "the result is no number"
		}
		r.Value = max(r.Value, 0)
	}
	if r.Known {
		return p.evaluate(s, &t, r)
	}
	// What the triggers fall back on by themselves is still asked for.
	held := max(s.current(), s.goal())
	for i := range s.policy.Triggers {
		if c := s.policy.Triggers[i].FailureCount; c != nil && !s.notes.triggers[i].Known {
			held = max(held, *c)
		}
	}
	return TriggerVerdict{Name: t.Name, Want: held, Reason: p.sayUnknown(&t, r, held, max(s.current(), s.goal()))}
}

// steps finds the last step that the value has reached.
func (p *pass) steps(t *Trigger, r Reading) (int, string) {
	reached := -1
	for i := range t.Steps {
		if r.Value >= t.Steps[i].From {
			reached = i
		}
	}
	if reached < 0 {
		return 0, p.sayStep(t, r, nil)
	}
	return t.Steps[reached].Tasks, p.sayStep(t, r, &t.Steps[reached])
}

// jobs is one task for each piece of work.
func (p *pass) jobs(s *service, t *Trigger, r Reading) (int, string) {
	want, busy := tasks(r.Value/t.Target), 0
	if t.Waiting {
		busy = s.protected
	}
	return min(want+busy, highest), p.sayJobs(t, r, busy, want+busy)
}

// backlog is how many tasks work the backlog off in time: the most that were
// needed for what has come since that time began, so that the count does not
// shrink together with the backlog, and no more than there is work for.
func (p *pass) backlog(s *service, t *Trigger, r Reading) (int, string) {
	m := s.next.Triggers[t.Name]
	if m.Rate <= 0 {
		return p.average(s, t, r)
	}
	need := min(tasks(r.Value/(m.Rate*t.DrainWithin.Seconds())), tasks(r.Value))
	m.Needs = appendWant(m.Needs, Want{At: p.now, Count: need}, p.now.Add(-t.DrainWithin))
	s.next.Triggers[t.Name] = m
	most := need
	for _, w := range m.Needs {
		if w.Count > most && p.now.Before(w.At.Add(t.DrainWithin)) {
			most = w.Count
		}
	}
	most = max(1, min(most, tasks(r.Value)))
	goal := s.goal()
	if goal > 0 && s.tolerates(float64(most)/float64(goal)) {
		most = goal
	}
	return most, p.sayBacklog(t, r, m.Rate, need, most)
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
