package scale

import (
	"math"
	"slices"
	"time"
)

// Forecast says that a service is scaled out ahead of the rises that recur.
//
// The method is the seasonal random walk, the ARIMA(0,1,0)(0,1,0) of Box and
// Jenkins, Time Series Analysis (1970), chapter 9, with the distribution of the
// past seasonal changes in place of a single one: in a lead's time the need is
// that of now, and what it changed by in the same time at the same hour of
// earlier days (or weeks), in proportion. The quantiles are the empirical ones of these changes,
// as Hyndman and Athanasopoulos have it for bootstrapped intervals, Forecasting:
// Principles and Practice (3rd edition), 5.5. Whether it is of use is its mean
// absolute error relative to that of the last value, Hyndman and Koehler,
// "Another look at measures of forecast accuracy" (2006), over about three days.
// Where nothing recurs the changes are noise, and it is no better.
type Forecast struct {
	// Lead is how far ahead: the time that a task, and its host, take to start.
	Lead time.Duration
	// Quantile, over 0 and under 1, is the share of the past changes that the
	// forecast covers.
	Quantile float64
	// Seasons are the lengths of what may recur, each a multiple of SlotLength and
	// over twice the lead, MaxSeasons at most. The one with the least error is used.
	Seasons []time.Duration
}

// MaxSeasons bounds the seasons that are tried for one service.
const MaxSeasons = 4

// Bounds of the method: how many earlier seasons are looked at; by how much their
// changes are scaled at most; the share of them that must have been rises; how many
// slots must have been compared before the error counts; for how many slots it is
// remembered; what it must be less than; how many services' errors are found from
// their past in one pass.
const (
	pastSeasons  = 14
	mostScale    = 2.0
	rising       = 2.0 / 3
	leastScored  = 250
	scoreMemory  = 864
	worthwhile   = 0.95
	recallsAPass = 4
)

// ForecastMemory is what is remembered for a service's forecast. All but the Past
// is found again from that, after a restart or a change of the Forecast.
type ForecastMemory struct {
	Past Past
	// Newest is the newest slot in Past; a later one has replaced this memory.
	Newest int64
	// slot is under way: sum is the need times the seconds for which it was
	// known. The last decision found need at the time at; zero: it was not known.
	slot         int64
	sum, seconds float64
	need         float64
	at           time.Time
	// made are the forecasts whose slots have not ended, by rising slot.
	made   []foreseen
	by     Forecast
	scores [MaxSeasons]score
	// recalled tells that the scores were found from the past.
	recalled bool
}

// foreseen is a forecast for a slot: the median by each season, what was last known
// when it was made, and what the best season said. What is not known is none.
type foreseen struct {
	slot     int64
	medians  [MaxSeasons]float64
	last     float64
	need     float64 // the quantile
	recurs   bool    // the need has mostly risen at this time
	measured float64 // the error of the best season
	season   time.Duration
}

// none stands for a figure that is not known; those that are, are 0 or more.
const none = -1.0

// score sums up absolute errors, those of long ago for less.
type score struct {
	forecast, last float64
	slots          int
}

// Outlook is what a service's forecast says now.
type Outlook struct {
	Forecast
	// Known tells that there is a past to tell from; then Tasks is what will be
	// needed within the lead, at the quantile.
	Known bool
	Tasks float64
	// Season is the one of the least error; Measured tells that this is known, and
	// Error is it, as a share of the last value's.
	Season   time.Duration
	Measured bool
	Error    float64
	// Off says why the forecast is not used; empty if it is.
	Off string
	// Raises tells that the service wants more for it.
	Raises bool
}

// foresee raises what is asked for to what will be needed by a rise that recurs.
// It never lowers it, and a need that is not known leaves it alone.
func (p *pass) foresee(s *service, asked int) int {
	f := s.policy.Forecast
	if f == nil || len(s.policy.Triggers) == 0 || s.policy.Remainder || s.jobsOnly() {
		return asked
	}
	need, known := p.need(s)
	m := ForecastMemory{}
	if s.was.Forecast != nil {
		m = *s.was.Forecast
	}
	p.remember(&m, f, need, known)
	s.next.Forecast = &m
	o := m.outlook(f, p.now)
	s.notes.outlook = o
	if !known {
		o.Off = "a reading is unknown"
	}
	if o.Off != "" {
		return asked
	}
	due := math.Inf(-1)
	for i := range m.made {
		e := &m.made[i]
		switch begins := slotStart(e.slot).Add(-f.Lead); {
		case begins.After(p.now):
			p.by(begins)
		case e.recurs && e.measured != none && e.measured < worthwhile:
			due = max(due, e.need)
		}
	}
	if count := tasks(due); due > 0 && count > asked {
		o.Raises = true
		return count
	}
	return asked
}

// need is how many tasks the triggers ask for as a fraction, without tolerance;
// not known if one of them is not, or if the tasks that a value was measured on are
// not known.
func (p *pass) need(s *service) (need float64, known bool) {
	for i := range s.notes.triggers {
		if !s.notes.triggers[i].Known {
			return 0, false
		}
	}
	if f := s.policy.Formula; f != nil {
		v := &s.notes.triggers[len(s.notes.triggers)-1]
		if v.Value <= f.Activation {
			return 0, true
		}
		return v.Value / f.Target, true
	}
	for i := range s.policy.Triggers {
		t, v := &s.policy.Triggers[i], &s.notes.triggers[i]
		switch {
		case !v.Active:
		case t.Mode == Ratio && s.running == 0:
			return 0, false
		case t.Mode == Ratio:
			need = max(need, v.Value/t.Target*float64(s.running))
		case t.Mode == Average || t.Mode == Job || t.Mode == "":
			need = max(need, v.Value/t.Target)
		default:
			need = max(need, float64(v.Want))
		}
	}
	return min(need, highest), true
}

// remember adds the time since the last decision to the slot under way, at the
// need of then, and closes the slots that have ended. Times at whose ends the need
// is not known, or that are longer than a slot, are gaps.
func (p *pass) remember(m *ForecastMemory, f *Forecast, need float64, known bool) {
	if !f.equals(&m.by) {
		m.by = Forecast{Lead: f.Lead, Quantile: f.Quantile, Seasons: slices.Clone(f.Seasons)}
		m.made, m.scores, m.recalled = nil, [MaxSeasons]score{}, len(m.Past.Days) == 0
	}
	now := SlotOf(p.now)
	took := p.now.Sub(m.at)
	whole := known && !m.at.IsZero() && took > 0 && took <= SlotLength
	if now != m.slot {
		ended := slotStart(m.slot + 1)
		if whole && now == m.slot+1 && m.at.Before(ended) {
			m.add(ended.Sub(m.at))
			took = p.now.Sub(ended)
		}
		m.close()
		m.slot, m.sum, m.seconds = now, 0, 0
		p.renew(m, f, need, known)
	}
	if whole {
		m.add(took)
	}
	m.need, m.at = need, time.Time{}
	if known {
		m.at = p.now
	}
	if !m.recalled && p.recalls < recallsAPass {
		p.recalls++
		p.recall(m, f)
		p.renew(m, f, need, known)
	}
}

func (m *ForecastMemory) add(took time.Duration) {
	m.sum += m.need * took.Seconds()
	m.seconds += took.Seconds()
}

// close ends the slot under way. If half of it is known it goes to the past, and
// what was foreseen for it is compared with it.
func (m *ForecastMemory) close() {
	if m.seconds < SlotLength.Seconds()/2 {
		return
	}
	need := m.sum / m.seconds
	m.Past, m.Newest = m.Past.With(m.slot, need), m.slot
	for i := range m.made {
		if m.made[i].slot == m.slot {
			m.score(&m.made[i], need)
		}
	}
}

// renew drops the forecasts whose slots have ended, and makes those that can be made
// and are not there: after each slot one, after a restart or a gap all.
func (p *pass) renew(m *ForecastMemory, f *Forecast, need float64, known bool) {
	lead := f.slots()
	made := make([]foreseen, 0, lead)
	for slot := m.slot; slot < m.slot+lead; slot++ {
		i := slices.IndexFunc(m.made, func(e foreseen) bool { return e.slot == slot })
		if i >= 0 {
			made = append(made, m.made[i])
			continue
		}
		if last, ok := m.Past.At(slot - lead); ok {
			made = append(made, p.predict(m, f, slot-lead, slot, last))
		} else if known && slot > m.slot {
			// From the need of now, which is nearer, and is not to be measured by.
			e := p.predict(m, f, m.slot, slot, need)
			e.medians = [MaxSeasons]float64{none, none, none, none}
			made = append(made, e)
		}
	}
	m.made = made
}

// recall finds the scores from the past, as if the forecasts had been made then.
func (p *pass) recall(m *ForecastMemory, f *Forecast) {
	m.recalled = true
	last := m.Newest
	if n := len(m.Past.Days); last == 0 && n > 0 {
		last = (m.Past.Days[n-1].Number+1)*slotsADay - 1
	}
	for slot := last - scoreMemory; slot <= last; slot++ {
		need, known := m.Past.At(slot)
		if last, ok := m.Past.At(slot - f.slots()); ok && known {
			e := p.predict(m, f, slot-f.slots(), slot, last)
			m.score(&e, need)
		}
	}
	m.made = nil
}

// score compares a forecast with what came.
func (m *ForecastMemory) score(e *foreseen, need float64) {
	for i := range min(len(m.by.Seasons), MaxSeasons) {
		if e.medians[i] == none {
			continue
		}
		s := &m.scores[i]
		s.forecast = s.forecast*(1-1.0/scoreMemory) + math.Abs(need-e.medians[i])
		s.last = s.last*(1-1.0/scoreMemory) + math.Abs(need-e.last)
		s.slots++
	}
}

// predict makes the forecast for the slot to, from the need of the slot from and what
// is known of the seasons before.
func (p *pass) predict(m *ForecastMemory, f *Forecast, from, to int64, last float64) foreseen {
	e := foreseen{slot: to, last: last, need: none, measured: none}
	best, bestError := -1, math.Inf(1)
	for i, season := range f.Seasons[:min(len(f.Seasons), MaxSeasons)] {
		e.medians[i] = none
		if !p.seasonalChanges(&m.Past, int64(season/SlotLength), from, to, last) {
			continue
		}
		e.medians[i] = max(0, last+quantile(p.samples, 0.5))
		if relative, ok := m.scores[i].relative(); best < 0 || ok && relative < bestError {
			best = i
			e.measured = none
			if ok {
				bestError, e.measured = relative, relative
			}
			e.season = season
			e.need = min(max(0, last+quantile(p.samples, f.Quantile)), highest)
			e.recurs = quantile(p.samples, 1-rising) > 0
		}
	}
	return e
}

// seasonalChanges fills the pass's samples with what the need changed by from the one
// slot to the other in earlier seasons of that many slots, sorted; false if there is none. A change
// counts in proportion to the need of now, by at most mostScale, so that a service
// that has grown is expected to rise by more.
func (p *pass) seasonalChanges(past *Past, length, from, to int64, last float64) bool {
	p.samples = p.samples[:0]
	if length <= to-from {
		return false
	}
	for k := int64(1); k <= pastSeasons && k*length < KeptDays*slotsADay; k++ {
		before, ok := past.At(from - k*length)
		if !ok {
			continue
		}
		after, ok := past.At(to - k*length)
		if !ok {
			continue
		}
		scale := 1.0
		if before > 0 {
			scale = min(max(last/before, 1/mostScale), mostScale)
		}
		p.samples = append(p.samples, scale*(after-before))
	}
	slices.Sort(p.samples)
	return len(p.samples) > 0
}

// quantile of a sorted list that is not empty, between its neighbours.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(max(int(at), 0), len(sorted)-1)
	next := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[next]-sorted[i])
}

// relative is the error as a share of the last value's; false while too little was
// compared.
func (s *score) relative() (float64, bool) {
	switch {
	case s.slots < leastScored:
		return 0, false
	case s.last <= 0:
		return 1, true // it never changed, and nothing can be better
	}
	return s.forecast / s.last, true
}

// slots is how many slots after the newest one that has ended the forecast is for:
// the one that the lead reaches into when the next one ends.
func (f *Forecast) slots() int64 {
	return 1 + int64((f.Lead+SlotLength-1)/SlotLength)
}

func (f *Forecast) equals(g *Forecast) bool {
	return f.Lead == g.Lead && f.Quantile == g.Quantile && slices.Equal(f.Seasons, g.Seasons)
}

// noBetter is why a forecast that is measured is off.
const noBetter = "its error is no better than the last value's"

// outlook is what the newest forecast says.
func (m *ForecastMemory) outlook(f *Forecast, now time.Time) *Outlook {
	o := &Outlook{Forecast: *f}
	if len(m.made) == 0 {
		o.Off = "no reading is known yet"
		return o
	}
	e := &m.made[len(m.made)-1]
	for i := range m.made {
		if !slotStart(m.made[i].slot).After(now.Add(f.Lead)) {
			e = &m.made[i]
		}
	}
	switch {
	case e.need == none:
		o.Off = "there is no past of one season and the lead yet"
		return o
	case e.measured == none:
		o.Off = "its error is not measured for a day yet"
	case e.measured >= worthwhile:
		o.Off = noBetter
	}
	o.Known, o.Tasks, o.Season = true, e.need, e.season
	if e.measured != none {
		o.Measured, o.Error = true, e.measured
	}
	return o
}
