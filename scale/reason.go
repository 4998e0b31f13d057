package scale

import (
	"strconv"
	"strings"
	"time"
)

// Reasons are written with append rather than with fmt: there is one for every
// service in every pass.

// sentence collects the words of one reason.
type sentence []byte

func (w *sentence) add(parts ...string) {
	for _, part := range parts {
		*w = append(*w, part...)
	}
}

func (w *sentence) int(n int) { *w = strconv.AppendInt(*w, int64(n), 10) }

// value writes a reading, to one decimal.
func (w *sentence) value(f float64) { *w = strconv.AppendFloat(*w, f, 'f', 1, 64) }

// number writes a figure of the configuration as it was given.
func (w *sentence) number(f float64) { *w = strconv.AppendFloat(*w, f, 'g', -1, 64) }

func (w *sentence) time(t time.Time) { *w = t.UTC().AppendFormat(*w, time.RFC3339) }

// counted writes "1 task" or "3 tasks".
func (w *sentence) counted(n int, one, many string) {
	w.int(n)
	if n == 1 {
		w.add(" ", one)
	} else {
		w.add(" ", many)
	}
}

// sentence gives the pass's buffer, empty.
func (p *pass) sentence() sentence { return p.words[:0] }

// done gives the sentence as a string and keeps its buffer.
func (p *pass) done(w sentence) string {
	p.words = w
	return string(w)
}

// reading writes what was read: "18.0 requests in flight", or with the
// trigger's name if it has no unit, and what the value is made of.
func (w *sentence) reading(t *Trigger, r Reading) {
	if t.Unit == "" {
		w.add(t.Name, ": ")
	}
	w.value(r.Value)
	if t.Unit != "" {
		w.add(" ", t.Unit)
	}
	if r.Detail != "" {
		w.add(" (", r.Detail, ")")
	}
}

// target writes the trigger's formula up to the result.
func (w *sentence) target(t *Trigger) {
	w.add(" / ")
	w.number(t.Target)
	if t.Mode != Ratio {
		w.add(" per task")
	}
}

func (p *pass) sayAverage(t *Trigger, r Reading, want int) string {
	w := p.sentence()
	w.reading(t, r)
	w.target(t)
	w.add(" = ")
	w.int(want)
	return p.done(w)
}

func (p *pass) sayRatio(t *Trigger, r Reading, running, want int) string {
	w := p.sentence()
	w.reading(t, r)
	w.target(t)
	w.add(" * ")
	w.int(running)
	w.add(" running = ")
	w.int(want)
	return p.done(w)
}

func (p *pass) sayTolerated(s *service, t *Trigger, r Reading, count int) string {
	w := p.sentence()
	w.reading(t, r)
	w.target(t)
	w.add(" is within ")
	w.number(s.policy.Behavior.Tolerance * 100)
	w.add(" % of ")
	w.counted(count, "task", "tasks")
	w.add(" = ")
	w.int(count)
	return p.done(w)
}

func (p *pass) sayHeld(t *Trigger, r Reading, count int, why string) string {
	w := p.sentence()
	w.reading(t, r)
	w.target(t)
	w.add(", held while ", why, " = ")
	w.int(count)
	return p.done(w)
}

func (p *pass) sayInactive(t *Trigger, r Reading) string {
	w := p.sentence()
	w.reading(t, r)
	if t.Activation > 0 {
		w.add(" is not over the activation ")
		w.number(t.Activation)
	}
	w.add(" = 0")
	return p.done(w)
}

func (p *pass) sayExact(t *Trigger, r Reading, want int) string {
	w := p.sentence()
	w.reading(t, r)
	w.add(" = ")
	w.int(want)
	return p.done(w)
}

func (p *pass) sayStep(t *Trigger, r Reading, step *Step) string {
	w := p.sentence()
	w.reading(t, r)
	if step == nil {
		w.add(" is below the first step = 0")
		return p.done(w)
	}
	w.add(" is on the step from ")
	w.number(step.From)
	w.add(" = ")
	w.int(step.Tasks)
	return p.done(w)
}

func (p *pass) sayJobs(t *Trigger, r Reading, busy, want int) string {
	w := p.sentence()
	w.reading(t, r)
	w.target(t)
	if busy > 0 {
		w.add(" and ")
		w.counted(busy, "task that is busy", "tasks that are busy")
	}
	w.add(" = ")
	w.int(want)
	return p.done(w)
}

func (p *pass) sayBacklog(t *Trigger, r Reading, rate float64, need, want int) string {
	w := p.sentence()
	w.reading(t, r)
	w.add(" / (")
	w = strconv.AppendFloat(w, rate, 'g', 3, 64)
	w.add(" per second and task * ", t.DrainWithin.String(), ") = ")
	w.int(need)
	if want != need {
		w.add(", kept at ")
		w.int(want)
		w.add(" for what came before")
	}
	return p.done(w)
}

// sayLastGood says that an earlier value stands in, and what follows from it.
func (p *pass) sayLastGood(t *Trigger, r Reading, from string, until time.Time) string {
	w := p.sentence()
	w.add(t.Name, " is unknown")
	if r.Problem != "" {
		w.add(" (", r.Problem, ")")
	}
	w.add(", its last good value holds until ")
	w.time(until)
	w.add(": ", from)
	return p.done(w)
}

func (p *pass) sayUnknown(t *Trigger, r Reading, want, current int) string {
	w := p.sentence()
	w.add(t.Name, " is unknown")
	if r.Problem != "" {
		w.add(" (", r.Problem, ")")
	}
	if want > current {
		w.add(", raised to the failure count = ")
	} else {
		w.add(", held = ")
	}
	w.int(want)
	return p.done(w)
}

// reason is one sentence on the whole way from the reading to the desired
// count.
func (p *pass) reason(s *service) string {
	w := p.sentence()
	if s.over.Paused {
		w.add("paused: ")
		w.int(s.current())
		w.add(" kept; ")
	}
	w.demand(s)
	w.smoothing(s)
	if s.state == nil {
		w.add("; the service is not in the cluster yet")
		return p.done(w)
	}
	if !s.fixed {
		w.grant(p, s)
		w.progress(p, s)
	}
	return p.done(w)
}

// demand says what the triggers ask for.
func (w *sentence) demand(s *service) {
	switch {
	case s.policy.Remainder:
		w.add("takes what is left, up to ")
		w.int(s.policy.Max)
	case s.notes.chosen < 0:
		w.add("no trigger: the minimum ")
		w.int(s.policy.Min)
		w.add(" wanted")
	default:
		w.add(s.notes.triggers[s.notes.chosen].Reason, " wanted")
		if n := len(s.notes.triggers); n > 1 && s.policy.Formula == nil {
			w.add(", the most of ")
			w.int(n)
			w.add(" triggers")
		}
	}
}

// smoothing says what has changed the count on the way from demand to want.
func (w *sentence) smoothing(s *service) {
	n, b := &s.notes, &s.policy.Behavior
	if n.outlook != nil && n.outlook.Raises {
		w.add("; ")
		w.outlook(n.outlook)
	}
	if n.window >= 0 {
		if n.windowUp {
			w.add("; the least of the last ", b.UpWindow.String(), " = ")
		} else {
			w.add("; the most of the last ", b.DownWindow.String(), " = ")
		}
		w.int(n.window)
	}
	if !n.panicUntil.IsZero() {
		w.add("; in panic, never fewer until ")
		w.time(n.panicUntil)
	}
	if n.cooldown >= 0 {
		if n.until.IsZero() {
			w.add("; the first task at once = ")
		} else {
			w.add("; the last task is kept until the cool-down ends at ")
			w.time(n.until)
			w.add(" = ")
		}
		w.int(n.cooldown)
	}
	if n.rate >= 0 {
		if n.rateUp {
			w.add("; no faster up than the rate in ", b.Up.Period.String(), " = ")
		} else {
			w.add("; no faster down than the rate in ", b.Down.Period.String(), " = ")
		}
		w.int(n.rate)
	}
	if n.floor >= 0 {
		w.add("; the floor until ")
		w.time(s.over.Until)
		w.add(" = ")
		w.int(n.floor)
	}
	if n.ceiling >= 0 {
		w.add("; the ceiling until ")
		w.time(s.over.CeilingUntil)
		w.add(" = ")
		w.int(n.ceiling)
	}
	if n.spend >= 0 {
		b := s.policy.Spend
		w.add("; the ")
		w.number(b.Limit)
		w.add(" ", b.Unit, " of this ", b.Period.String(), " are used up, until ")
		w.time(s.next.SpentSince.Add(b.Period))
		w.add(" = ")
		w.int(n.spend)
	}
	if n.bound >= 0 {
		if n.bound <= s.policy.Min && s.policy.Min > 0 {
			w.add("; the minimum = ")
		} else {
			w.add("; the maximum = ")
		}
		w.int(n.bound)
	}
}

// grant says what priority and capacity allow of the want.
func (w *sentence) grant(p *pass, s *service) {
	w.add("; priority ")
	w.int(s.policy.Priority)
	w.add(" is granted ")
	w.int(s.grant)
	switch {
	case s.grant > s.want:
		w.add(", because ")
		w.counted(s.protected, "task is protected", "tasks are protected")
	case s.grant < s.want && len(s.notes.givesTo) > 0:
		w.add(" of ")
		w.int(s.want)
		w.add(": ")
		w.shares(p, s.notes.givesTo, "gives way to ", "give way to ")
	case s.grant < s.want && !s.quiet.IsZero() && s.grant >= max(s.current(), s.policy.Min):
		w.add(" of ")
		w.int(s.want)
		w.add(": it gave way, and gets no more until ")
		w.time(s.quiet)
	case s.grant < s.want && p.bounded:
		w.add(" of ")
		w.int(s.want)
		w.add(": ")
		w.counted(p.taken, "task gives way", "tasks give way")
		w.add(" in this pass, the next takes more")
	case s.grant < s.want:
		w.add(" of ")
		w.int(s.want)
		w.add(": ", p.shortage(s))
	case s.grant < s.current() && len(s.notes.givesTo) > 0:
		w.add("; ")
		w.shares(p, s.notes.givesTo, "gives way to ", "give way to ")
	}
}

// shares writes "3 tasks give way to web (priority 1) and 1 to api (priority 2)".
func (w *sentence) shares(p *pass, list []share, one, many string) {
	for i, x := range list {
		if i > 0 {
			w.add(" and ")
		}
		w.counted(x.tasks, "task ", "tasks ")
		if x.tasks == 1 {
			w.add(one)
		} else {
			w.add(many)
		}
		w.who(p, x.service)
	}
}

// who names a service with its priority.
func (w *sentence) who(p *pass, index int32) {
	s := &p.services[index]
	w.add(s.name)
	if s.policy != nil {
		w.add(" (priority ")
		w.int(s.policy.Priority)
		w.add(")")
	}
}

// progress says what happens now and what waits for what.
func (w *sentence) progress(p *pass, s *service) {
	current := s.current()
	if s.desired < current {
		w.add("; ")
		w.counted(current-s.desired, "stops", "stop")
		w.add(" now")
		return
	}
	waiting := s.unasked()
	if s.desired > current {
		w.add("; ")
		w.counted(s.desired-current, "starts", "start")
		w.add(" now")
	}
	if waiting == 0 {
		return
	}
	if s.desired > current {
		w.add(", ")
	} else {
		w.add("; ")
	}
	w.counted(waiting, "waits for ", "wait for ")
	if len(s.notes.waitsFor) == 0 {
		w.add("room that others wait for")
		return
	}
	for i, x := range s.notes.waitsFor {
		if i > 0 {
			w.add(" and ")
		}
		if x.service < 0 {
			w.counted(x.tasks, "standalone task", "standalone tasks")
			continue
		}
		w.counted(x.tasks, "task of ", "tasks of ")
		w.who(p, x.service)
	}
	w.add(" to stop")
}

// String says what the forecast is, or why it is off: "forecast 42 in 5m (q0.9;
// error 0.31 of the last value's)".
func (o *Outlook) String() string {
	var w sentence
	if o.Off == "" {
		w.outlook(o)
		return string(w)
	}
	w.add("forecast is off: ", o.Off)
	if o.Off == noBetter {
		w.add(" (")
		w.ratio(o.Error)
		w.add(" of it)")
	}
	return string(w)
}

func (w *sentence) outlook(o *Outlook) {
	w.add("forecast ")
	w.int(tasks(o.Tasks))
	w.add(" in ", brief(o.Lead), " (q")
	w.number(o.Quantile)
	w.add("; error ")
	w.ratio(o.Error)
	w.add(" of the last value's)")
}

// ratio writes a share to two decimals.
func (w *sentence) ratio(f float64) { *w = strconv.AppendFloat(*w, f, 'f', 2, 64) }

// brief writes a duration without the zeros at its end: 5m, 24h.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
