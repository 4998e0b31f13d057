package router_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/demand"
	"plimsoll/demand/router"
	plimsollrouter "plimsoll/router"
)

// figures are a router's, by service.
type figures map[string]plimsollrouter.Stats

func (f figures) Demand(service string) plimsollrouter.Stats { return f[service] }

// source reads the metric of a service "web" that has these figures.
func source(t interface{ Fatal(...any) }, metric router.Metric, f figures, now func() time.Time) *router.Source {
	s, err := router.New(router.Options{Service: "web", Metric: metric, Stats: f, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatTheRoutersFiguresAskFor(t *testing.T) {
	const window = 10 * time.Second
	tests := map[string]struct {
		metric router.Metric
		stats  plimsollrouter.Stats
		want   float64
	}{
		"nothing at all":               {router.Concurrency, plimsollrouter.Stats{}, 0},
		"a request held at zero":       {router.Concurrency, plimsollrouter.Stats{InFlight: 1, Held: 1}, 1},
		"a first request in flight":    {router.Concurrency, plimsollrouter.Stats{InFlight: 1}, 1},
		"held ones after a quiet time": {router.Concurrency, plimsollrouter.Stats{InFlight: 3, Held: 1, Concurrency: 2}, 3},
		"a steady load, by chance up":  {router.Concurrency, plimsollrouter.Stats{InFlight: 46, Concurrency: 40}, 40},
		"a steady load, by chance low": {router.Concurrency, plimsollrouter.Stats{InFlight: 31, Concurrency: 40}, 40},
		"a burst":                      {router.Concurrency, plimsollrouter.Stats{InFlight: 80, Concurrency: 40, Recent: 70}, 70},
		"a burst on a large service":   {router.Concurrency, plimsollrouter.Stats{InFlight: 1200, Concurrency: 1000, Recent: 1200}, 1200},
		"requests that chance gathers": {router.Concurrency, plimsollrouter.Stats{InFlight: 12, Concurrency: 2, Recent: 3}, 2},
		"between two requests":         {router.Concurrency, plimsollrouter.Stats{Concurrency: 0.4}, 0.4},
		"the rate":                     {router.RequestsPerSecond, plimsollrouter.Stats{RequestsPerSecond: 12.5, InFlight: 3}, 12.5},
		"held at zero, by the rate":    {router.RequestsPerSecond, plimsollrouter.Stats{InFlight: 1, Held: 1}, 1},
		"the median":                   {router.LatencyP50, plimsollrouter.Stats{LatencyP50: 12500 * time.Microsecond, LatencyP99: time.Second}, 12.5},
		"the slowest hundredth":        {router.LatencyP99, plimsollrouter.Stats{LatencyP50: 12 * time.Millisecond, LatencyP99: time.Second}, 1000},
		"an idle service's latency":    {router.LatencyP99, plimsollrouter.Stats{}, 0},
		"held at zero, by latency":     {router.LatencyP99, plimsollrouter.Stats{InFlight: 1, Held: 1}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.stats.Window = window
			now := time.Unix(1_700_000_000, 0)
			sample, err := source(t, test.metric, figures{"web": test.stats, "other": {InFlight: 99}}, func() time.Time { return now }).Read(t.Context())
			if err != nil || sample.Value != test.want || !sample.At.Equal(now) || sample.Detail == "" {
				t.Errorf("sample %+v, error %v; want %v", sample, err, test.want)
			}
		})
	}
}

func TestALatencyWithoutAnAnswerIsUnknown(t *testing.T) {
	f := figures{"web": {InFlight: 5, Window: 10 * time.Second}}
	for _, metric := range []router.Metric{router.LatencyP50, router.LatencyP99} {
		if sample, err := source(t, metric, f, nil).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "5 requests") {
			t.Errorf("%s: sample %+v, error %v; want one that tells of 5 requests in flight", metric, sample, err)
		}
	}
}

func TestTheWaitOfHeldRequestsIsTheirLatency(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := figures{"web": {InFlight: 1, Held: 1}}
	s := source(t, router.LatencyP99, f, func() time.Time { return now })
	read := func(want float64) {
		t.Helper()
		if sample, err := s.Read(t.Context()); err != nil || sample.Value != want {
			t.Errorf("sample %+v, error %v; want %v ms", sample, err, want)
		}
	}
	read(1)
	now = now.Add(400 * time.Millisecond)
	read(400)
	f["web"] = plimsollrouter.Stats{LatencyP99: 7 * time.Millisecond}
	read(7)
	now = now.Add(time.Minute)
	f["web"] = plimsollrouter.Stats{InFlight: 1, Held: 1, LatencyP99: 7 * time.Millisecond}
	read(7) // they are held since now only
}

func TestAFigureThatCannotBeIsAnError(t *testing.T) {
	for _, stats := range []plimsollrouter.Stats{{Concurrency: math.NaN()}, {Concurrency: math.Inf(1)}, {Concurrency: -1, InFlight: -2}} {
		if sample, err := source(t, router.Concurrency, figures{"web": stats}, nil).Read(t.Context()); err == nil {
			t.Errorf("figures %+v gave sample %+v, want an error", stats, sample)
		}
	}
}

func TestConcurrencyLiesBetweenItsMeanAndItsMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stats := plimsollrouter.Stats{
			InFlight:    rapid.IntRange(0, 5000).Draw(t, "in flight"),
			Concurrency: rapid.Float64Range(0, 5000).Draw(t, "mean"),
			Recent:      rapid.Float64Range(0, 5000).Draw(t, "recent"),
		}
		stats.Held = rapid.IntRange(0, stats.InFlight).Draw(t, "held")
		sample, err := source(t, router.Concurrency, figures{"web": stats}, nil).Read(t.Context())
		if err != nil || !demand.Valid(sample.Value) {
			t.Fatalf("sample %+v, error %v", sample, err)
		}
		if sample.Value < stats.Concurrency || sample.Value > max(stats.Concurrency, stats.Recent, float64(stats.InFlight)) {
			t.Fatalf("value %v of mean %v, recent %v, in flight %d", sample.Value, stats.Concurrency, stats.Recent, stats.InFlight)
		}
		if stats.Held > 0 && sample.Value < float64(stats.InFlight) {
			t.Fatalf("value %v with %d held of %d in flight: all of them count", sample.Value, stats.Held, stats.InFlight)
		}
	})
}

func TestPressureIsPassedOn(t *testing.T) {
	pressure := make(chan struct{}, 1)
	s, err := router.New(router.Options{Service: "web", Metric: router.Concurrency, Stats: figures{}, Pressure: pressure})
	if err != nil {
		t.Fatal(err)
	}
	pressure <- struct{}{}
	select {
	case <-s.Changed():
	default:
		t.Error("the notice does not arrive")
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]router.Options{
		`metric "cpu": it must be one of "concurrency", "requestsPerSecond", "latencyP50", "latencyP99"`: {Service: "web", Metric: "cpu", Stats: figures{}},
		"no service": {Metric: router.Concurrency, Stats: figures{}},
		"no router":  {Service: "web", Metric: router.Concurrency},
	} {
		if _, err := router.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
