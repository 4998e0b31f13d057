package sim_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/scale"
	"plimsoll/sim"
)

// ten is a world of ten services on fifty hosts.
func ten(t testing.TB, days int) sim.Config {
	cfg := sim.Config{
		Cluster: "ten", Hosts: sim.Hosts{Count: 50, Zones: 3, Each: plimsoll.Resources{CPU: 4096, Memory: 8192}},
		Delays: sim.Delays{TaskStart: 20 * time.Second, TaskStop: 5 * time.Second, HostStart: 90 * time.Second},
		Length: time.Duration(days) * 24 * time.Hour, Step: 10 * time.Second, Seed: 1,
	}
	for i := range 10 {
		trace, err := sim.Generate(fmt.Sprintf("diurnal:peak=180,low=30,days=%d", days), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Services = append(cfg.Services, sim.Service{
			Policy: scale.Policy{
				Service: fmt.Sprintf("s%d", i), Priority: 1 + i%3, Min: 1, Max: 60, Reserved: plimsoll.Resources{CPU: 512, Memory: 512},
				Triggers: []scale.Trigger{{Name: "router", Unit: "requests per second", Mode: scale.Average, Target: 7}},
				Behavior: scale.Behavior{Tolerance: 0.1, DownWindow: time.Minute, Cooldown: time.Minute},
			},
			Reads: []sim.Reads{{Kind: sim.Arrivals}}, Arrivals: trace.Columns[sim.Requests], Rate: 10,
		})
	}
	return cfg
}

// BenchmarkDay simulates a day of ten services at steps of 10 s, on fifty hosts, and
// on hosts that come and go, up to fifty; thirty of them are to take no more than 20 s.
func BenchmarkDay(b *testing.B) { fixedAndElastic(b, 1) }

// BenchmarkMonth simulates the thirty days whole.
func BenchmarkMonth(b *testing.B) { fixedAndElastic(b, 30) }

func fixedAndElastic(b *testing.B, days int) {
	b.Run("fixed", func(b *testing.B) { simulate(b, ten(b, days)) })
	b.Run("elastic", func(b *testing.B) {
		cfg := ten(b, days)
		cfg.Hosts.Min, cfg.Hosts.Max, cfg.Hosts.Rules = 3, 50, scale.DefaultHostRules()
		simulate(b, cfg)
	})
}

func simulate(b *testing.B, cfg sim.Config) {
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if _, err := sim.Run(context.Background(), cfg); err != nil {
			b.Fatal(err)
		}
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/1e9*30/(cfg.Length.Hours()/24)/float64(b.N), "cpu-s/30days")
}
