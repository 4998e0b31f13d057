package sim_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"plimsoll/sim"
)

func run(t *testing.T, cfg sim.Config) sim.Result {
	t.Helper()
	r, err := sim.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func trace(t testing.TB, text string) sim.Curve {
	t.Helper()
	made, err := sim.Generate(text, 1)
	if err != nil {
		t.Fatal(err)
	}
	return made.Columns[sim.Requests]
}

// one is a world of one service on ten hosts.
func one(t testing.TB, text string) sim.Config {
	cfg := ten(t, 1)
	cfg.Services, cfg.Hosts.Count = cfg.Services[:1], 10
	cfg.Services[0].Arrivals = trace(t, text)
	cfg.Length = cfg.Services[0].Arrivals.Length()
	return cfg
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	cfg := ten(t, 1)
	cfg.Length = 6 * time.Hour
	cfg.Faults = []sim.Fault{{Kind: sim.HostDeath, At: time.Hour}, {Kind: sim.ZoneLoss, Name: "a", At: 2 * time.Hour, For: 10 * time.Minute}}
	first, again := run(t, cfg), run(t, cfg)
	if !reflect.DeepEqual(first, again) {
		t.Fatalf("two runs differ:\n%+v\n%+v", first.Measures, again.Measures)
	}
	cfg.Seed++
	if other := run(t, cfg); reflect.DeepEqual(first, other) {
		t.Fatal("another seed gives the same result: it is not used")
	}
}

func TestAConstantDemandIsMetByAConstantCount(t *testing.T) {
	r := run(t, one(t, "constant:peak=70,noise=0"))
	// 70 a second at a target of 7: ten tasks run, where seven are needed. The
	// first nine of them take their start's delay.
	m := r.Measures
	if math.Abs(m.AO-300.0/7) > 0.1 || m.AU > 0.05 || m.TU > 0.05 || m.Unmet > 0.05 || r.Changes != 1 {
		t.Fatalf("%+v after %d changes", m, r.Changes)
	}
	if math.Abs(m.TaskHours-240) > 0.5 || m.HostHours != 240 {
		t.Fatalf("%v task-hours and %v host-hours, want 240 of each", m.TaskHours, m.HostHours)
	}
}

// Issue: constant demand for 24 hours with 10 % noise, at most one change after
// settling.
func TestTenPercentOfNoiseChangesNothingAfterSettling(t *testing.T) {
	for _, peak := range []string{"8", "20", "33", "70", "75", "150", "222"} {
		cfg := one(t, "constant:noise=0.1,low=0,peak="+peak)
		day := run(t, cfg).Changes
		cfg.Length = time.Hour // the same world, up to there
		if settling := run(t, cfg).Changes; day-settling > 1 || settling == 0 {
			t.Errorf("a demand of %s: %d changes in the first hour, and %d in the rest of 24 h", peak, settling, day-settling)
		}
	}
}

func TestAHostThatDiesIsReplacedAndItsTasksAreStartedElsewhere(t *testing.T) {
	cfg := one(t, "constant:peak=150,noise=0,days=0.1")
	calm := run(t, cfg)
	for i := range 5 {
		cfg.Faults = append(cfg.Faults, sim.Fault{Kind: sim.HostDeath, At: time.Hour + time.Duration(i)*time.Minute})
	}
	hit := run(t, cfg)
	// A host is paid for from its launch: the new one is launched as the old one dies.
	if math.Abs(hit.Measures.HostHours-calm.Measures.HostHours) > 1e-6 || !(hit.Measures.Unmet > calm.Measures.Unmet) {
		t.Errorf("%v host-hours and %v unmet with a death, %v and %v without", hit.Measures.HostHours, hit.Measures.Unmet, calm.Measures.HostHours, calm.Measures.Unmet)
	}
	last := hit.Series[len(hit.Series)-1]
	if last.Hosts != 10 || last.Running != 22 || last.Pending != 0 {
		t.Errorf("at the end: %+v; want 10 hosts and 22 tasks", last)
	}
}

func TestAnOutageOfTheMetricsLowersNoCount(t *testing.T) {
	cfg := one(t, "constant:peak=150,noise=0,days=0.1")
	cfg.Faults = []sim.Fault{{Kind: sim.MetricOutage, At: time.Hour, For: 30 * time.Minute}, {Kind: sim.ClusterOutage, At: 100 * time.Minute, For: 10 * time.Minute}}
	for _, p := range run(t, cfg).Series[60:] {
		if p.Running != 22 {
			t.Fatalf("%v tasks run at %s, want 22", p.Running, p.At)
		}
	}
}

func TestATraceIsReadStrictly(t *testing.T) {
	good, err := sim.ReadTrace(strings.NewReader("# a comment\nseconds,web,jobs\n0,1,2\n10,3,0\n10,5,0\n20,5,1\n"), "t.csv")
	if err != nil || good.Length() != 20*time.Second || good.Columns["web"].At(5*time.Second) != 2 || good.Columns["web"].At(10*time.Second) != 5 || good.Columns["jobs"].At(25*time.Second) != 1 {
		t.Fatalf("%+v, %v", good, err)
	}
	for text, want := range map[string]string{
		"":                              "empty",
		"seconds\n0\n":                  "columns",
		"time,web\n0,1\n":               `"seconds"`,
		"seconds,web,web\n":             "name of its own",
		"seconds,web\n0,1\n":            "two rows",
		"seconds,web\n5,1\n6,1\n":       "must be at 0",
		"seconds,web\n0,1\n9,1\n8,1\n":  "t.csv:4",
		"seconds,web\n0,1\n9,-1\n":      `"-1"`,
		"seconds,web\n0,NaN\n9,1\n":     `"NaN"`,
		"seconds,web\n0,1,2\n9,1\n":     "3 values",
		"seconds,web\n0,many\n9,1\n":    "t.csv:2: column 2 (web)",
		"seconds,web\n0,1\n\"9,1\n":     "t.csv",
		"seconds,web\n0,1\n99999999999": "values",
	} {
		if _, err := sim.ReadTrace(strings.NewReader(text), "t.csv"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %q", text, err, want)
		}
	}
}
