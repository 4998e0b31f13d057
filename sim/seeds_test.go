package sim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/scale"
	"plimsoll/sim"
)

// The worlds of the property test. SIM_SEEDS sets how many there are, and
// SIM_SEED which is the first; alone it runs that one:
//
//	SIM_SEED=17 go test ./sim -run TestTheInvariantsHoldInEveryWorld
const seeds = 2000

func TestTheInvariantsHoldInEveryWorld(t *testing.T) {
	first, n := uint64(1), uint64(seeds)
	if raced {
		n = 50 // make test runs all of them without the detector
	}
	if text := os.Getenv("SIM_SEED"); text != "" {
		first, n = number(t, text), 1
	}
	if text := os.Getenv("SIM_SEEDS"); text != "" {
		n = number(t, text)
	}
	for seed := first; seed < first+n; seed++ {
		if _, err := sim.Run(context.Background(), anyWorld(seed)); err != nil {
			t.Fatalf("seed %d: %v\nagain: SIM_SEED=%d go test ./sim -run TestTheInvariantsHoldInEveryWorld", seed, err, seed)
		}
	}
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// anyWorld is a short world in which anything may be so: sizes, bounds,
// policies, demand, delays, faults.
func anyWorld(seed uint64) sim.Config {
	r := rand.New(rand.NewPCG(seed, 3))
	pick := func(low, high int) int { return low + r.IntN(high-low+1) }
	seconds := func(low, high int) time.Duration { return time.Duration(pick(low, high)) * time.Second }
	cfg := sim.Config{
		Cluster: "any", Seed: seed, Checked: true, Step: seconds(2, 15), Length: seconds(120, 600),
		Hosts:    sim.Hosts{Count: pick(1, 6), Zones: pick(1, 3), Each: plimsoll.Resources{CPU: int64(pick(4, 16)) * 128, Memory: int64(pick(4, 16)) * 128}},
		Delays:   sim.Delays{TaskStart: seconds(0, 40), TaskStop: seconds(0, 20), HostStart: seconds(0, 120)},
		Eviction: scale.Eviction{PerPass: pick(1, 20), Quiet: seconds(0, 10)},
	}
	if pick(0, 1) == 0 {
		h := &cfg.Hosts
		h.Min = pick(0, h.Count)
		h.Max = max(1, h.Count+pick(0, 8))
		h.Rules = anyHostRules(pick, seconds)
	}
	kinds := sim.Generators()
	for i := range pick(1, 4) {
		low := pick(0, 1)
		text := fmt.Sprintf("%s:days=0.01,every=10,low=%d,peak=%d,noise=0.%d", kinds[r.IntN(len(kinds))], pick(0, 20), pick(20, 150), pick(0, 3))
		trace, err := sim.Generate(text, seed+uint64(i))
		if err != nil {
			panic(err)
		}
		p := scale.Policy{
			Service: fmt.Sprintf("s%d", i), Priority: pick(1, 3), Weight: float64(pick(0, 3)), Min: low, Max: low + pick(0, 25),
			Reserved: plimsoll.Resources{CPU: int64(pick(1, 8)) * 64, Memory: int64(pick(1, 8)) * 64},
			Behavior: scale.Behavior{Tolerance: 0.1, UpWindow: seconds(0, 1) * 10, DownWindow: seconds(0, 60), Cooldown: seconds(0, 60)},
		}
		s := sim.Service{Arrivals: trace.Columns[sim.Requests], Rate: float64(pick(2, 20)), Cooperative: pick(0, 2) == 0}
		switch pick(0, 5) {
		case 0:
			p.Remainder, p.Min = true, 0
		case 1:
			p.Triggers = []scale.Trigger{{Name: "queue", Target: float64(pick(1, 5)), Mode: scale.Backlog, DrainWithin: seconds(10, 120)}}
			s.Reads = []sim.Reads{{Kind: sim.Backlog}}
		case 2:
			p.Triggers = []scale.Trigger{{Name: "jobs", Target: 1, Mode: scale.Job, Waiting: true}}
			s.Reads = []sim.Reads{{Kind: sim.Waiting}}
		case 3:
			p.Triggers = []scale.Trigger{{Name: "latency", Target: 300, Mode: scale.Ratio}}
			s.Reads = []sim.Reads{{Kind: sim.Latency}}
		default:
			p.Triggers = []scale.Trigger{{Name: "requests", Target: s.Rate * 0.7, Mode: scale.Average}}
			s.Reads = []sim.Reads{{Kind: sim.Arrivals}}
		}
		s.Policy = p
		cfg.Services = append(cfg.Services, s)
	}
	for range pick(0, 3) {
		f := sim.Fault{Kind: []sim.FaultKind{sim.HostDeath, sim.ZoneLoss, sim.MetricOutage, sim.ClusterOutage}[r.IntN(4)], At: seconds(0, 400), For: seconds(1, 120)}
		if f.Kind == sim.ZoneLoss {
			f.Name = string(rune('a' + r.IntN(cfg.Hosts.Zones)))
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	return cfg
}

// anyHostRules are rules by which hosts come and go soon, in a short world.
func anyHostRules(pick func(low, high int) int, seconds func(low, high int) time.Duration) scale.HostRules {
	rules := scale.DefaultHostRules()
	rules.LaunchesPerPass, rules.LaunchTimeout = pick(1, 10), seconds(30, 600)
	if pick(0, 2) == 0 {
		rules.Headroom = []scale.Headroom{{Tasks: pick(1, 4), Size: plimsoll.Resources{CPU: 128, Memory: 128}}}
	}
	in := &rules.In
	in.Off, in.Stable, in.StableMost = pick(0, 9) == 0, seconds(1, 60), seconds(60, 120)
	in.Batch, in.MinPerZone = float64(pick(1, 10))/10, pick(0, 1)
	in.DrainTimeout = seconds(5, 300)
	in.Stuck = []scale.Stuck{scale.StuckUndrain, scale.StuckWait, scale.StuckTerminate}[pick(0, 2)]
	return rules
}
