package engine_test

import (
	"fmt"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/place"
)

// halfFull is a machine with hosts of which each is half full of running tasks
// of a hundred services.
func halfFull(b *testing.B, hosts int) (*engine.Machine, time.Time) {
	b.Helper()
	m := engine.New(engine.Config{Seed: "bench"})
	now := epoch
	step := func(events ...engine.Event) {
		fx := m.Step(now, events)
		for _, r := range fx.Replies {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		for _, s := range fx.Starts {
			m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: s.TaskID, Kind: runtime.Started, At: now}}})
		}
	}
	step(engine.Call{Command: engine.CreateCluster{}})
	specs := hostSpecs(hosts)
	for i := range specs {
		specs[i].Resources = plimsoll.Resources{CPU: 4096, Memory: 8192}
	}
	step(engine.Call{Command: engine.PutHosts{Hosts: specs}})
	step(engine.Call{Command: engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
		Family: "job", Containers: []engine.ContainerDefinition{{Name: "main", Image: "busybox", CPU: 256, Memory: 128, Essential: true}},
	}}})
	for i := range 100 {
		step(engine.Call{Command: engine.CreateService{
			Name: fmt.Sprintf("service-%d", i), TaskDefinition: "job", Desired: hosts * 8 / 100,
		}})
	}
	return m, now
}

// BenchmarkRunTask is one RunTask from the call to RUNNING and to its end: three
// steps of the machine, records and all, without a disk.
func BenchmarkRunTask(b *testing.B) {
	for _, hosts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			m, now := halfFull(b, hosts)
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				fx := m.Step(now, []engine.Event{engine.Call{ID: 1, Command: engine.RunTask{TaskDefinition: "job"}}})
				if len(fx.Starts) != 1 {
					b.Fatalf("%+v", fx.Replies)
				}
				id := fx.Starts[0].TaskID
				bytes += len(fx.Records[0].Value)
				m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: id, Kind: runtime.Started, At: now}}})
				m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: id, Kind: runtime.Exited, At: now}}})
			}
			b.ReportMetric(float64(bytes)/float64(b.N), "record-B/op")
		})
	}
}

// BenchmarkRunTaskByTerms is BenchmarkRunTask's first step and its end for tasks
// that do not go just anywhere: the board's way of placing them.
func BenchmarkRunTaskByTerms(b *testing.B) {
	for name, in := range map[string]engine.RunTask{
		"plain":    {},
		"memberOf": {Constraints: memberOf("attribute:disk == ssd and attribute:ecs.os-type =~ lin.*")},
		"distinct": {Constraints: []place.Constraint{{Type: place.DistinctInstance}}},
		"spread":   {Strategies: []place.Strategy{{Type: place.Spread, Field: "attribute:rack"}, {Type: place.Spread, Field: place.FieldInstance}}},
		"random":   {Strategies: []place.Strategy{{Type: place.Random}}},
		"binpack":  {Strategies: []place.Strategy{{Type: place.Spread, Field: place.FieldZone}, {Type: place.Binpack, Field: place.FieldMemory}}},
		"group":    {Constraints: memberOf("not task:group == service:service-1")},
	} {
		for _, hosts := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%s/hosts=%d", name, hosts), func(b *testing.B) {
				m, now := halfFull(b, hosts)
				ssd := "ssd"
				for n, i := range m.Instances("") {
					rack := fmt.Sprint(n / 40)
					list := []engine.Attribute{{Name: "rack", Value: &rack, Target: i.ARN}}
					if n%10 == 0 {
						list = append(list, engine.Attribute{Name: "disk", Value: &ssd, Target: i.ARN})
					}
					m.Step(now, []engine.Event{engine.Call{Command: engine.PutAttributes{Attributes: list}}})
				}
				in.TaskDefinition = "job"
				for b.Loop() {
					fx := m.Step(now, []engine.Event{engine.Call{ID: 1, Command: in}})
					if len(fx.Starts) != 1 {
						b.Fatalf("%+v", fx.Replies)
					}
					m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: fx.Starts[0].TaskID, Kind: runtime.Exited, At: now}}})
				}
			})
		}
	}
}

// BenchmarkServiceScale takes one service up by 100 tasks, to RUNNING, and down
// again.
func BenchmarkServiceScale(b *testing.B) {
	for _, hosts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			m, now := halfFull(b, hosts)
			s, _ := m.Service("", "service-7")
			low, high := s.Desired, s.Desired+100
			for b.Loop() {
				fx := m.Step(now, []engine.Event{engine.Call{Command: engine.UpdateService{Service: "service-7", Desired: &high}}})
				if len(fx.Starts) != 100 {
					b.Fatalf("%d tasks are started", len(fx.Starts))
				}
				for _, t := range fx.Starts {
					m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: t.TaskID, Kind: runtime.Started, At: now}}})
				}
				fx = m.Step(now, []engine.Event{engine.Call{Command: engine.UpdateService{Service: "service-7", Desired: &low}}})
				for _, d := range fx.Drains {
					m.Step(now, []engine.Event{engine.Drained{TaskID: d.TaskID}})
					m.Step(now, []engine.Event{engine.Observed{Event: runtime.Event{TaskID: d.TaskID, Kind: runtime.Exited, At: now}}})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/task")
		})
	}
}
