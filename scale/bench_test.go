package scale_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/scale"
)

// fleet builds a cluster of services with ten tasks each on hosts that are
// nine tenths full, in three zones and twenty priorities. Growing is the part of
// the services, in hundredths, whose demand has just doubled; perHost is how
// many tasks a host holds.
func fleet(services, growing, perHost int) scale.Input {
	hosts := max(3, services*10*10/9/perHost)
	each := plimsoll.Resources{CPU: int64(16 * perHost), Memory: int64(32 * perHost)}
	size := plimsoll.Resources{CPU: 16, Memory: 32}
	in := scale.Input{Now: noon, Readings: make(map[string][]scale.Reading, services)}
	in.Cluster.At = noon
	for h := range hosts {
		in.Cluster.Instances = append(in.Cluster.Instances, plimsoll.ContainerInstance{
			ARN:  fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:container-instance/bench/%08d", h),
			Zone: string(rune('a' + h%3)), Status: plimsoll.InstanceActive, Connected: true,
			Registered: each, Remaining: each,
		})
	}
	for s := range services {
		name := fmt.Sprintf("service-%05d", s)
		p := policy(name, 1+s%20, 1, 40, perTask(4))
		p.Reserved = size
		p.Behavior.DownWindow = 5 * time.Minute
		in.Policies = append(in.Policies, p)
		in.Cluster.Services = append(in.Cluster.Services, plimsoll.Service{Name: name, Desired: 10, Running: 10, Reserved: size})
		demand := 40.0
		if s%100 < growing {
			demand = 80
		}
		in.Readings[name] = []scale.Reading{{Known: true, Value: demand, At: noon}}
		for i := range 10 {
			h := &in.Cluster.Instances[(s*10+i)%hosts]
			h.Remaining = h.Remaining.Sub(size)
			in.Cluster.Tasks = append(in.Cluster.Tasks, plimsoll.Task{
				ARN:     fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task/bench/%032d", s*10+i),
				Service: name, ContainerInstance: h.ARN, Zone: h.Zone, Reserved: size,
				LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
				CreatedAt: noon.Add(-time.Duration(s+i) * time.Second),
			})
		}
	}
	in.Memory = scale.Decide(in).Memory
	return in
}

// BenchmarkDecide measures one decision: in a quiet cluster, with a tenth of
// the services growing into what is free, and with all of them growing at once
// on a cluster that has no room for them, which is the worst case.
func BenchmarkDecide(b *testing.B) {
	for _, growing := range []int{0, 10, 100} {
		for _, services := range []int{10, 100, 1_000, 10_000} {
			b.Run(fmt.Sprintf("growing=%d%%/services=%d", growing, services), func(b *testing.B) {
				decisions(b, fleet(services, growing, 100))
			})
		}
	}
}

// BenchmarkDecideManyHosts is the same with as many hosts as services, each
// for eleven tasks.
func BenchmarkDecideManyHosts(b *testing.B) {
	for _, growing := range []int{0, 10, 100} {
		for _, hosts := range []int{100, 1_000, 10_000} {
			b.Run(fmt.Sprintf("growing=%d%%/hosts=%d", growing, hosts), func(b *testing.B) {
				decisions(b, fleet(hosts, growing, 11))
			})
		}
	}
}

// BenchmarkDecideForecast is BenchmarkDecide's quiet cluster with forecasts off and
// on, with four weeks of history. A decision a second has a slot end in one of 300.
// "closing" is a decision in which the slots of all services end at once.
func BenchmarkDecideForecast(b *testing.B) {
	const services = 1_000
	b.Run("off", func(b *testing.B) { decisions(b, fleet(services, 0, 100)) })
	on := func() scale.Input {
		in := fleet(services, 0, 100)
		var past scale.Past
		for slot := scale.SlotOf(in.Now) - 28*288; slot < scale.SlotOf(in.Now); slot++ {
			past = past.With(slot, 10+float64(max(0, slot%288-200)))
		}
		for i := range in.Policies {
			in.Policies[i] = foreseeing(in.Policies[i])
			m := in.Memory.Services[in.Policies[i].Service]
			m.Forecast = &scale.ForecastMemory{Past: past}
			in.Memory.Services[in.Policies[i].Service] = m
		}
		for range 300 { // every service's error is found
			in.Now = in.Now.Add(time.Second)
			in.Memory = scale.Decide(in).Memory
		}
		return in
	}
	b.Run("on", func(b *testing.B) { decisions(b, on()) })
	b.Run("closing", func(b *testing.B) {
		in := on()
		for next := scale.SlotOf(in.Now) + 1; scale.SlotOf(in.Now) < next-1 || in.Now.Unix()%300 < 299; {
			in.Now = in.Now.Add(time.Second)
			in.Memory = scale.Decide(in).Memory
		}
		in.Now = in.Now.Add(time.Second)
		b.ReportAllocs()
		for b.Loop() {
			scale.Decide(in)
		}
	})
}

// decisions decides again and again. Beside the time that went by it reports
// the processor's time, which other work on the machine does not change, and
// the most memory that the process held, the input with it.
func decisions(b *testing.B, in scale.Input) {
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for b.Loop() {
		in.Now = in.Now.Add(time.Second)
		in.Memory = scale.Decide(in).Memory
	}
	used := processorTime(b) - before
	n := float64(b.N)
	b.ReportMetric(float64(used.Nanoseconds())/n/float64(len(in.Policies)), "cpu-ns/service")
	b.ReportMetric(float64(used.Microseconds())/1000/n, "cpu-ms/decision")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/n, "ms/decision")
	b.ReportMetric(peakMemory(b), "peak-MB")
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most that the process has held, in MB.
func peakMemory(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Maxrss) / 1000
}
