package scale_test

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

// monday is the start of every generated history: midnight UTC.
var monday = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// foreseeing gives a policy a forecast.
func foreseeing(p scale.Policy) scale.Policy {
	p.Forecast = &scale.Forecast{Lead: 5 * time.Minute, Quantile: 0.9, Seasons: []time.Duration{24 * time.Hour, 168 * time.Hour}}
	return p
}

// replay is a service whose tasks take their time to start, on a platform that
// has room for all.
type replay struct {
	policy scale.Policy
	// demand is in units of work, one for each task.
	demand func(time.Time) float64
	start  time.Duration
	step   time.Duration
	memory scale.Memory
	// each, if there is one, sees every decision.
	each func(now time.Time, v scale.Verdict)
}

// outcome is what became of a replay: the share of the demand that found no task
// (the under-provisioning accuracy aU of the SPEC RG), in percent, and the cost in
// task-hours.
type outcome struct{ unmet, cost float64 }

// run replays from a time on; the first part is not measured.
func (r *replay) run(from time.Time, lasts, unmeasured time.Duration) outcome {
	var out outcome
	if r.step == 0 {
		r.step = time.Minute
	}
	delay := int(r.start / r.step)
	asked := make([]int, delay+1) // a ring of desired counts
	in := scale.Input{Policies: []scale.Policy{r.policy}, Memory: r.memory}
	steps, measured := int(lasts/r.step), 0
	for i := range steps {
		now := from.Add(time.Duration(i) * r.step)
		demand := r.demand(now)
		desired := asked[(i+delay)%len(asked)]
		ready := desired
		for _, n := range asked {
			ready = min(ready, n) // a task runs when it has been wanted all the while
		}
		in.Now = now
		in.Cluster = plimsoll.Cluster{At: now, Services: []plimsoll.Service{{Name: r.policy.Service, Desired: desired, Running: ready}}}
		in.Readings = map[string][]scale.Reading{}
		if !math.IsNaN(demand) {
			in.Readings[r.policy.Service] = []scale.Reading{{Known: true, Value: demand, At: now}}
		}
		plan := scale.Decide(in)
		in.Memory = plan.Memory
		asked[i%len(asked)] = plan.Verdicts[0].Desired
		if delay == 0 {
			ready = plan.Verdicts[0].Desired
		}
		if r.each != nil {
			r.each(now, plan.Verdicts[0])
		}
		if time.Duration(i)*r.step < unmeasured || math.IsNaN(demand) {
			continue
		}
		measured++
		if demand > 0 {
			out.unmet += 100 * max(0, demand-float64(ready)) / demand
		}
		out.cost += float64(max(ready, desired)) * r.step.Hours()
	}
	out.unmet /= float64(max(1, measured))
	r.memory = in.Memory
	return out
}

func sine(t time.Time, period time.Duration) float64 {
	at := float64(t.Sub(monday)%period) / float64(period)
	return (1 - math.Cos(2*math.Pi*at)) / 2
}

// noisy multiplies by a normal factor, the same at each time for one seed.
func noisy(share float64, f func(time.Time) float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		rng := rand.New(rand.NewPCG(1, uint64(t.Unix())))
		return max(0, f(t)*(1+share*rng.NormFloat64()))
	}
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// both replays a demand without and with a forecast; start is that of a task, just
// within the lead.
func both(demand func(time.Time) float64, days int) (without, with outcome, last string) {
	p := policy("web", 1, 1, 1000, perTask(1))
	p.Behavior = scale.Behavior{Tolerance: 0.1, DownWindow: time.Minute}
	lasts, learns := time.Duration(days)*24*time.Hour, 3*24*time.Hour
	a := &replay{policy: p, demand: demand, start: 4 * time.Minute}
	b := &replay{policy: foreseeing(p), demand: demand, start: 4 * time.Minute}
	b.each = func(_ time.Time, v scale.Verdict) { last = v.Forecast.String() }
	return a.run(monday, lasts, learns), b.run(monday, lasts, learns), last
}

func diurnal(t time.Time) float64 { return 10 + 90*sine(t, 24*time.Hour) }

func office(t time.Time) float64 {
	if h := t.Hour(); h >= 9 && h < 18 {
		return 80
	}
	return 8
}

func weekdays(t time.Time) float64 {
	if weekend(t) {
		return 8
	}
	return office(t)
}

func TestRecurringRisesAreMetAheadOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		demand func(time.Time) float64
		days   int
		unmet  float64 // at most this share of the unmet demand is left
		cost   float64 // at most this share is added to the cost
	}{
		"a day's curve":            {diurnal, 6, 0.05, 0.06},
		"a day's curve with noise": {noisy(0.05, diurnal), 8, 0.8, 0.03},
		"office hours":             {office, 6, 0.05, 0.03},
		"office hours on weekdays": {weekdays, 17, 0.25, 0.04},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			without, with, last := both(c.demand, c.days)
			t.Logf("unmet %.3f %% and %.3f %% with a forecast, cost %+.1f %%; %s", without.unmet, with.unmet, 100*(with.cost/without.cost-1), last)
			if !(with.unmet <= c.unmet*without.unmet) || without.unmet == 0 {
				t.Errorf("unmet is %.3f %% with a forecast and %.3f %% without, not %.2f of it", with.unmet, without.unmet, c.unmet)
			}
			if !(with.cost <= (1+c.cost)*without.cost) {
				t.Errorf("the cost is %.1f task-hours with a forecast and %.1f without", with.cost, without.cost)
			}
		})
	}
}

func TestTheForecastIsOffWhereItIsNoBetterThanTheLastValue(t *testing.T) {
	walk := func() func(time.Time) float64 {
		rng, at, value := rand.New(rand.NewPCG(7, 7)), int64(0), 40.0
		return func(t time.Time) float64 {
			for ; at < t.Unix()/60; at++ {
				if at == 0 {
					at = t.Unix() / 60
				}
				value = min(max(1, value+rng.NormFloat64()), 200)
			}
			return value
		}
	}
	for name, demand := range map[string]func() func(time.Time) float64{
		"noise of 10 %": func() func(time.Time) float64 { return noisy(0.1, func(time.Time) float64 { return 40 }) },
		"noise of 30 %": func() func(time.Time) float64 { return noisy(0.3, func(time.Time) float64 { return 40 }) },
		"constant":      func() func(time.Time) float64 { return func(time.Time) float64 { return 40 } },
		"none":          func() func(time.Time) float64 { return func(time.Time) float64 { return 0 } },
		"random walk":   walk,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy("web", 1, 1, 1000, perTask(1))
			without := &replay{policy: p, demand: demand(), start: 4 * time.Minute}
			last := ""
			with := &replay{policy: foreseeing(p), demand: demand(), start: 4 * time.Minute, each: func(_ time.Time, v scale.Verdict) { last = v.Forecast.String() }}
			a, b := without.run(monday, 5*24*time.Hour, 0), with.run(monday, 5*24*time.Hour, 0)
			if !strings.HasPrefix(last, "forecast is off: its error is no better than the last value's") {
				t.Errorf("it says: %s", last)
			}
			if b.cost > 1.01*a.cost || b.unmet > a.unmet {
				t.Errorf("the cost is %.1f with a forecast and %.1f without, unmet %.3f and %.3f", b.cost, a.cost, b.unmet, a.unmet)
			}
		})
	}
}

func TestWhatTheForecastIsIsSaidWithItsNumbers(t *testing.T) {
	var said []string
	reason := ""
	r := &replay{policy: foreseeing(policy("web", 1, 1, 1000, perTask(1))), demand: office, start: 4 * time.Minute}
	r.each = func(now time.Time, v scale.Verdict) {
		if s := v.Forecast.String(); len(said) == 0 || said[len(said)-1] != s {
			said = append(said, s)
		}
		if v.Forecast.Raises && reason == "" {
			reason = v.Reason
			if got := now.Sub(monday) % (24 * time.Hour); got != 8*time.Hour+55*time.Minute {
				t.Errorf("it raises at %s, not five minutes before 9", got)
			}
		}
	}
	r.run(monday, 3*24*time.Hour, 0)
	for i, want := range []string{
		"forecast is off: there is no past of one season and the lead yet",
		"forecast is off: its error is not measured for a day yet",
	} {
		if i >= len(said) || said[i] != want {
			t.Errorf("it said %q, and %d. not %q", said, i+1, want)
			break
		}
	}
	if want := "8.0 requests in flight / 1 per task is within 10 % of 8 tasks = 8 wanted; forecast 80 in 5m (q0.9; error 0.00 of the last value's)"; !strings.HasPrefix(reason, want) {
		t.Errorf("the reason is %q, not %q …", reason, want)
	}
}

func TestAnUnknownReadingIsAGapAndIsNotForecastOver(t *testing.T) {
	broken := func(t time.Time) float64 {
		if day := t.Sub(monday) / (24 * time.Hour); day == 1 || day == 4 && t.Hour() == 8 {
			return math.NaN()
		}
		return office(t)
	}
	r := &replay{policy: foreseeing(policy("web", 1, 1, 1000, perTask(1))), demand: broken, start: 4 * time.Minute}
	raised := map[int]bool{}
	r.each = func(now time.Time, v scale.Verdict) {
		day := int(now.Sub(monday) / (24 * time.Hour))
		raised[day] = raised[day] || v.Forecast.Raises
		if !v.Triggers[0].Known && v.Forecast.Off != "a reading is unknown" {
			t.Fatalf("at %s a reading is unknown, and %s", now, v.Forecast)
		}
	}
	r.run(monday, 6*24*time.Hour, 0)
	past := r.memory.Services["web"].Forecast.Past
	if _, known := past.At(scale.SlotOf(monday.Add(36 * time.Hour))); known {
		t.Error("a slot of the day without readings is known")
	}
	if need, known := past.At(scale.SlotOf(monday.Add(60 * time.Hour))); !known || need != 80 {
		t.Errorf("at noon of the third day %v was needed (%v), not 80", need, known)
	}
	if raised[4] || !raised[5] {
		t.Errorf("days on which the forecast raised: %v; on day 4 the readings failed at 8", raised)
	}
}

func TestTheForecastGoesOnFromItsPastAlone(t *testing.T) {
	r := &replay{policy: foreseeing(policy("web", 1, 1, 1000, perTask(1))), demand: office, start: 4 * time.Minute}
	r.run(monday, 4*24*time.Hour, 0)
	past := r.memory.Services["web"].Forecast.Past
	next := &replay{policy: r.policy, demand: office, start: 4 * time.Minute}
	next.memory.Services = map[string]scale.ServiceMemory{"web": {Forecast: &scale.ForecastMemory{Past: past}}}
	raised := false
	var said []string
	next.each = func(_ time.Time, v scale.Verdict) {
		raised = raised || v.Forecast.Raises
		said = append(said, v.Reason+"; "+v.Forecast.String())
	}
	next.run(monday.Add(4*24*time.Hour+8*time.Hour+54*time.Minute), 3*time.Minute, 0)
	if !raised {
		t.Error("it did not foresee 9 o'clock a minute after the start: ", said)
	}
}

func TestAClockThatJumpsDoesNoHarm(t *testing.T) {
	r := &replay{policy: foreseeing(policy("web", 1, 1, 1000, perTask(1))), demand: office, start: 4 * time.Minute}
	r.run(monday, 4*24*time.Hour, 0)
	for _, wrong := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, time.Hour, -time.Hour, 7 * 365 * 24 * time.Hour} {
		r.run(monday.Add(4*24*time.Hour+wrong), 20*time.Minute, 0)
	}
	raised := false
	r.each = func(_ time.Time, v scale.Verdict) { raised = raised || v.Forecast.Raises }
	r.run(monday.Add(5*24*time.Hour+8*time.Hour+40*time.Minute), 20*time.Minute, 0)
	if !raised {
		t.Error("after the clock was wrong for a while nothing is foreseen")
	}
}

func TestTheForecastNeverShrinksAndStaysFiniteAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(0, 100), rapid.SampledFrom([]float64{0, 1, 1e-12, 1e12, math.MaxFloat64, math.Inf(1), math.NaN(), -1}))
		p := policy("web", 1, rapid.IntRange(0, 3).Draw(t, "min"), 1000, perTask(rapid.SampledFrom([]float64{1e-9, 1, 7}).Draw(t, "target")))
		p.Behavior = scale.Behavior{Tolerance: 0.1, DownWindow: 10 * time.Minute, UpWindow: rapid.SampledFrom([]time.Duration{0, 7 * time.Minute}).Draw(t, "up")}
		plain := p
		p.Forecast = &scale.Forecast{Lead: rapid.SampledFrom([]time.Duration{0, time.Minute, 5 * time.Minute, 25 * time.Minute}).Draw(t, "lead"), Quantile: rapid.Float64Range(0.01, 0.99).Draw(t, "quantile"), Seasons: []time.Duration{time.Hour, 24 * time.Hour}}
		memory := scale.Memory{Services: map[string]scale.ServiceMemory{"web": {Forecast: &scale.ForecastMemory{Past: drawPast(t, value)}}}}
		now, desired := monday, 0
		shape := rapid.SliceOfN(value, 1, 6).Draw(t, "shape")
		for i := range rapid.IntRange(1, 150).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Minute, time.Minute, 2 * time.Minute, time.Hour, -time.Hour, 0}).Draw(t, "pause"))
			in := scale.Input{Now: now, Policies: []scale.Policy{p}, Memory: memory,
				Cluster:  plimsoll.Cluster{At: now, Services: []plimsoll.Service{{Name: "web", Desired: desired, Running: desired}}},
				Readings: map[string][]scale.Reading{"web": {{Known: rapid.IntRange(0, 9).Draw(t, "known") > 0, Value: shape[i%len(shape)], At: now}}}}
			plan := scale.Decide(in)
			v := plan.Verdicts[0]
			in.Policies = []scale.Policy{plain}
			if without := scale.Decide(in).Verdicts[0]; v.Want < without.Want || v.Desired < without.Desired {
				t.Fatalf("want %d and desired %d with a forecast, %d and %d without: %s", v.Want, v.Desired, without.Want, without.Desired, v.Reason)
			} else if !v.Forecast.Raises && v.Want != without.Want {
				t.Fatalf("it does not raise, and wants %d, not %d", v.Want, without.Want)
			} else if !v.Triggers[0].Known && v.Want != without.Want {
				t.Fatalf("the reading is unknown, and it wants %d, not %d", v.Want, without.Want)
			}
			o := v.Forecast
			if math.IsNaN(o.Tasks) || math.IsInf(o.Tasks, 0) || o.Tasks < 0 || math.IsNaN(o.Error) || math.IsInf(o.Error, 0) || o.Error < 0 {
				t.Fatalf("the forecast is %+v", *o)
			}
			memory, desired = plan.Memory, v.Desired
			m := memory.Services["web"].Forecast
			if len(m.Past.Days) > scale.KeptDays || scale.Pending(m) > 8 {
				t.Fatalf("%d days and %d forecasts are kept", len(m.Past.Days), scale.Pending(m))
			}
		}
	})
}

// drawPast has some hours of slots on each of the last days, of any value.
func drawPast(t *rapid.T, value *rapid.Generator[float64]) scale.Past {
	var past scale.Past
	values := rapid.SliceOfN(value, 1, 20).Draw(t, "past")
	for slot := scale.SlotOf(monday) - 3*288; slot < scale.SlotOf(monday); slot++ {
		if v := values[int(slot)%len(values)]; v == v && rapid.IntRange(0, 99).Draw(t, "gap") > 0 {
			past = past.With(slot, v)
		}
	}
	return past
}

func TestAPastGivesBackWhatWasPutIn(t *testing.T) {
	var past scale.Past
	start := scale.SlotOf(monday)
	for i := range int64(40 * 288) {
		past = past.With(start+i, float64(i%513))
	}
	if len(past.Days) != scale.KeptDays {
		t.Fatalf("%d days are kept", len(past.Days))
	}
	for i := int64(11 * 288); i < 40*288; i++ {
		if need, known := past.At(start + i); !known || need != float64(i%513) {
			t.Fatalf("slot %d has %v (%v)", i, need, known)
		}
	}
	if need, _ := past.With(start, 1234.56).At(start); math.Abs(need/1234.56-1) > 0.002 {
		t.Errorf("1234.56 comes back as %v", need)
	}
	text, err := json.Marshal(past)
	if err != nil || len(text) > 25_000 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	var read scale.Past
	if err := json.Unmarshal(text, &read); err != nil || !reflect.DeepEqual(read.Sound(), past) {
		t.Errorf("it is not the same after writing and reading: %v", err)
	}
	read.Days = append(read.Days, scale.Day{Number: 3, Needs: []byte{1}}, read.Days[0], read.Days[2])
	if got := read.Sound(); !reflect.DeepEqual(got, past) {
		t.Errorf("damaged days are kept: %d", len(got.Days))
	}
}

func TestTheWorldCupIsForeseen(t *testing.T) {
	folder := os.Getenv("PLIMSOLL_TRACES")
	if folder == "" {
		t.Skip("PLIMSOLL_TRACES names no folder with worldcup98-june.csv")
	}
	rows, err := trace(filepath.Join(folder, "worldcup98-june.csv"))
	if err != nil {
		t.Fatal(err)
	}
	without, with, last := both(func(t time.Time) float64 { return rows(t) / 20 }, 21)
	t.Logf("unmet %.3f %% and %.3f %% with a forecast, cost %+.1f %%; %s", without.unmet, with.unmet, 100*(with.cost/without.cost-1), last)
	if with.unmet > 0.6*without.unmet || with.cost > 1.07*without.cost {
		t.Errorf("unmet %.3f %%, and %.3f %% with a forecast, at %.0f and %.0f task-hours", without.unmet, with.unmet, without.cost, with.cost)
	}
}

// trace reads a recorded trace: its value at a time since monday.
func trace(path string) (func(time.Time) float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	rows = rows[1:]
	second, _ := strconv.ParseFloat(rows[1][0], 64)
	values := make([]float64, len(rows))
	for i := range rows {
		if values[i], err = strconv.ParseFloat(rows[i][1], 64); err != nil {
			return nil, err
		}
	}
	return func(t time.Time) float64 {
		return values[min(int(t.Sub(monday).Seconds()/second), len(values)-1)]
	}, nil
}
