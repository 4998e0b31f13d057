package sim_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"plimsoll"
	"plimsoll/scale"
	"plimsoll/sim"
	"plimsoll/sim/baseline"
)

// demands are the traces on which policies are compared: the generators' with their
// defaults, and the recorded ones, if PLIMSOLL_TRACES names their folder.
var demands = []struct {
	name, text string
	file       string
	times      float64
}{
	{name: "diurnal", text: "diurnal:days=2,peak=200"},
	{name: "weekly", text: "weekly:days=7,peak=200"},
	{name: "spike", text: "spike:peak=200"},
	{name: "ramp", text: "ramp:peak=200"},
	{name: "walk", text: "walk:peak=200"},
	{name: "batch", text: "batch:peak=200"},
	{name: "worldcup", file: "worldcup98-june.csv", times: 0.2},
	{name: "elb", file: "aws-elb-requests.csv", times: 20},
}

func demandOn(t testing.TB, i int) sim.Curve {
	d := demands[i]
	if d.file == "" {
		return trace(t, d.text)
	}
	folder := os.Getenv("PLIMSOLL_TRACES")
	if folder == "" {
		t.Skipf("PLIMSOLL_TRACES names no folder with %s", d.file)
	}
	f, err := os.Open(filepath.Join(folder, d.file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	read, err := sim.ReadTrace(f, d.file)
	if err != nil {
		t.Fatal(err)
	}
	return read.Columns[sim.Requests].Times(d.times)
}

// mixed is a world of three services of unlike sizes on hosts that come and go. The
// first has the demand, the second a half of it and the third a quarter.
func mixed(t testing.TB, demand sim.Curve) sim.Config {
	cfg := one(t, "constant:peak=70")
	cfg.Hosts.Count, cfg.Hosts.Min, cfg.Hosts.Max, cfg.Hosts.Rules = 3, 1, 60, scale.DefaultHostRules()
	base := cfg.Services[0]
	base.Policy.Max = 200
	cfg.Services = nil
	for i, size := range []plimsoll.Resources{{CPU: 512, Memory: 512}, {CPU: 256, Memory: 1024}, {CPU: 1024, Memory: 768}} {
		s := base
		s.Policy.Service, s.Policy.Priority, s.Policy.Reserved = fmt.Sprintf("s%d", i), 1, size
		s.Arrivals = demand.Times(1 / float64(int(1)<<i))
		cfg.Services = append(cfg.Services, s)
	}
	cfg.Length = demand.Length()
	return cfg
}

// BenchmarkPolicies has Plimsoll and the policies of the field meet the same demand,
// with hosts that come and go: tasks by hours, hosts by hours, and what was unmet.
func BenchmarkPolicies(b *testing.B) {
	for i := range demands {
		b.Run(demands[i].name, func(b *testing.B) {
			demand := demandOn(b, i)
			for _, name := range append([]string{"plimsoll"}, baseline.Names()...) {
				b.Run(name, func(b *testing.B) { meet(b, mixed(b, demand), name) })
			}
		})
	}
}

func meet(b *testing.B, cfg sim.Config, policy string) {
	var r sim.Result
	for b.Loop() {
		cfg.Baseline = nil
		if policy != "plimsoll" {
			var err error
			if cfg.Baseline, err = baseline.New(policy); err != nil {
				b.Fatal(err)
			}
		}
		var err error
		if r, err = sim.Run(context.Background(), cfg); err != nil {
			b.Fatal(err)
		}
	}
	m := r.Measures
	b.ReportMetric(m.AU, "aU-%")
	b.ReportMetric(m.Unmet, "unmet-task-h")
	b.ReportMetric(m.TaskHours, "task-h")
	b.ReportMetric(m.HostHours, "host-h")
	b.ReportMetric(float64(r.Changes)/cfg.Length.Hours(), "changes/h")
}
