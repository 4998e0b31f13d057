package cloudwatch_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/engine/cloudwatch"
)

// plain is one sample as the model keeps it: all of them, in a list.
type plain struct {
	metric, unit string
	at           int64
	value        float64
}

// model says what a point is, from its samples one by one.
func model(samples []plain, metric string, w cloudwatch.Window) map[int64][]float64 {
	out := map[int64][]float64{}
	period := int64(w.Period / time.Second)
	for _, s := range samples {
		if s.metric == metric && (w.Unit == "" || w.Unit == s.unit) && s.at >= w.Start.Unix() && s.at < w.End.Unix() {
			at := w.Start.Unix() + (s.at-w.Start.Unix())/period*period
			out[at] = append(out[at], s.value)
		}
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out
}

func TestPointsAreThoseOfAListOfAllSamples(t *testing.T) {
	stat := func(name string) cloudwatch.Stat {
		f, err := cloudwatch.ParseStat(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	sum, count, least, p50, p99 := stat("Sum"), stat("SampleCount"), stat("Minimum"), stat("p50"), stat("p99")
	rapid.Check(t, func(r *rapid.T) {
		store := cloudwatch.NewStore(0)
		var all []plain
		names, units := []string{"a", "b"}, []string{"Count", "Bytes"}
		for range rapid.IntRange(0, 30).Draw(r, "puts") {
			p := plain{
				metric: rapid.SampledFrom(names).Draw(r, "metric"), unit: rapid.SampledFrom(units).Draw(r, "unit"),
				at: noon.Unix() - int64(rapid.IntRange(0, 600).Draw(r, "before")),
			}
			d := cloudwatch.Datum{
				Metric: cloudwatch.NewMetric("n", p.metric), Unit: p.unit, At: time.Unix(p.at, 0), Fine: rapid.Bool().Draw(r, "fine"),
			}
			if !d.Fine {
				p.at -= p.at % 60
			}
			for range rapid.IntRange(1, 4).Draw(r, "values") {
				v := cloudwatch.Values{Value: float64(rapid.IntRange(-3, 3).Draw(r, "value")), Count: float64(rapid.IntRange(1, 3).Draw(r, "count"))}
				d.Values = append(d.Values, v)
				for range int(v.Count) {
					p.value = v.Value
					all = append(all, p)
				}
			}
			store.Put(noon, d)
		}
		w := cloudwatch.Window{
			Start: noon.Add(-time.Duration(rapid.IntRange(60, 700).Draw(r, "start")) * time.Second), End: noon.Add(-time.Duration(rapid.IntRange(-60, 59).Draw(r, "end")) * time.Second),
			Period: time.Duration(rapid.SampledFrom([]int{1, 5, 60, 180}).Draw(r, "period")) * time.Second,
			Unit:   rapid.SampledFrom(append(units, "")).Draw(r, "asked"),
		}
		for _, name := range names {
			want := model(all, name, w)
			got := store.Points(noon, cloudwatch.NewMetric("n", name), w)
			if len(got) != len(want) {
				r.Fatalf("%s: %d points, want %d", name, len(got), len(want))
			}
			for _, p := range got {
				values := want[p.At]
				total := 0.0
				for _, v := range values {
					total += v
				}
				at := func(share float64) float64 {
					return values[max(0, int(math.Ceil(share*float64(len(values))))-1)]
				}
				for what, c := range map[string]struct {
					stat cloudwatch.Stat
					want float64
				}{
					"sum": {sum, total}, "count": {count, float64(len(values))}, "least": {least, values[0]}, "p50": {p50, at(0.5)}, "p99": {p99, at(0.99)},
				} {
					if v, known := c.stat(p); !known || v != c.want {
						r.Fatalf("%s of %v: %v, want %v", what, values, v, c.want)
					}
				}
			}
		}
	})
}

func TestTheStoreIsBoundedAndTheNewestIsKept(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		most := rapid.IntRange(5_000, 50_000).Draw(r, "most")
		store := cloudwatch.NewStore(most)
		metrics := rapid.IntRange(1, 50).Draw(r, "metrics")
		last := map[string]float64{}
		for i := range rapid.IntRange(1, 300).Draw(r, "puts") {
			name := fmt.Sprint("m", rapid.IntRange(0, metrics-1).Draw(r, "metric"))
			now := noon.Add(time.Duration(i) * time.Minute)
			store.Put(now, cloudwatch.Datum{
				Metric: cloudwatch.NewMetric("n", name), Unit: "None", At: now,
				Values: []cloudwatch.Values{{Value: float64(i), Count: 1}, {Value: float64(-i), Count: 1}},
			})
			last[name] = float64(i)
			if got := store.Size(); got > most || got <= 0 {
				r.Fatalf("%d bytes, the bound is %d", got, most)
			}
			got := store.Points(now, cloudwatch.NewMetric("n", name), cloudwatch.Window{Start: now.Truncate(time.Minute), End: now.Add(time.Minute), Period: time.Minute})
			if len(got) != 1 || got[0].Max != last[name] {
				r.Fatalf("the newest is gone: %+v", got)
			}
		}
	})
}

func TestWhatIsForgottenTakesNothing(t *testing.T) {
	store := cloudwatch.NewStore(0)
	for i := range 100 {
		store.Put(noon, cloudwatch.Datum{
			Metric: cloudwatch.NewMetric("n", fmt.Sprint(i%7)), Unit: "None", At: noon.Add(time.Duration(i) * time.Minute), Values: []cloudwatch.Values{{1, 1}, {2, 3}},
		})
	}
	store.Put(noon.Add(30 * 24 * time.Hour))
	if got := store.Size(); got != 0 || len(store.Metrics(time.Time{})) != 0 {
		t.Errorf("%d bytes and %v are left", got, store.Metrics(time.Time{}))
	}
}

func TestPercentilesOfManyDifferentValuesAreWithinOnePercent(t *testing.T) {
	store := cloudwatch.NewStore(0)
	m := cloudwatch.NewMetric("n", "latency")
	const n = 20_000
	for i := range n {
		store.Put(noon, cloudwatch.Datum{Metric: m, Unit: "None", At: noon, Values: []cloudwatch.Values{{Value: 0.01 + float64((i*7919)%n)/1000, Count: 1}}})
	}
	points := store.Points(noon, m, cloudwatch.Window{Start: noon.Truncate(time.Minute), End: noon.Add(time.Minute), Period: time.Minute})
	for _, share := range []float64{1, 50, 99} {
		stat, err := cloudwatch.ParseStat(fmt.Sprint("p", share))
		if err != nil {
			t.Fatal(err)
		}
		want := 0.01 + share/100*n/1000
		if got, known := stat(points[0]); !known || math.Abs(got-want) > 0.01*want {
			t.Errorf("p%v is %v, want %v", share, got, want)
		}
	}
	if got := store.Size(); got > 100_000 {
		t.Errorf("one minute takes %d bytes", got)
	}
}
