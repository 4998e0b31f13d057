package usage_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/demand/usage"
)

// tasks are what a test says that a service has.
type tasks usage.Tasks

func (m tasks) Tasks(string) usage.Tasks { return usage.Tasks(m) }

var noon = time.Unix(1_000_000, 0)

func task(cpu float64, memory float64) plimsoll.Usage {
	return plimsoll.Usage{At: noon, Containers: []plimsoll.ContainerUsage{{Name: "main", CPU: &cpu, Memory: memory}}}
}

func source(t interface{ Fatal(...any) }, o usage.Options) *usage.Source {
	s, err := usage.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheMeanOfTheTasksIsRead(t *testing.T) {
	m := tasks{Desired: 2, Running: 2, Used: []plimsoll.Usage{task(64, 100), task(128, 300)}}
	for _, c := range []struct {
		o    usage.Options
		want float64
	}{
		{usage.Options{Resource: usage.CPU, Reserved: 128, Target: 50}, 75},
		{usage.Options{Resource: usage.CPU, Target: 50}, 96},
		{usage.Options{Resource: usage.Memory, Reserved: 400, Target: 50}, 50},
		{usage.Options{Resource: usage.Memory, Target: 50}, 200},
	} {
		c.o.Meter = m
		got, err := source(t, c.o).Read(t.Context())
		if err != nil || got.Value != c.want || !got.At.Equal(noon) {
			t.Errorf("%s of %v reserved: %+v, %v; want %v", c.o.Resource, c.o.Reserved, got, err, c.want)
		}
	}
}

func TestWhatIsNotMeasuredIsUnknownAndNoTaskIsNone(t *testing.T) {
	fresh := plimsoll.Usage{At: noon, Containers: []plimsoll.ContainerUsage{{Name: "main", Memory: 1}}}
	for _, m := range []tasks{{Desired: 3}, {Running: 1}, {Desired: 1, Running: 1, Used: []plimsoll.Usage{fresh}}} {
		if got, err := source(t, usage.Options{Service: "web", Resource: usage.CPU, Target: 50, Meter: m}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), `"web"`) {
			t.Errorf("%+v gave %+v, %v; want an error", m, got, err)
		}
	}
	if got, err := source(t, usage.Options{Resource: usage.CPU, Target: 50, Meter: tasks{}}).Read(t.Context()); err != nil || got.Value != 0 {
		t.Errorf("a service at zero gave %+v, %v", got, err)
	}
}

// What is not measured yet must never ask for more tasks, nor for fewer.
func TestTasksWithoutAFigureAskForNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Float64Range(1, 200).Draw(t, "target")
		known := rapid.SliceOfN(rapid.Float64Range(0, 500), 1, 10).Draw(t, "known")
		unknown := rapid.IntRange(0, 10).Draw(t, "unknown")
		m := tasks{Desired: len(known) + unknown, Running: len(known) + unknown}
		sum := 0.0
		for _, v := range known {
			m.Used = append(m.Used, task(v, 0))
			sum += v
		}
		got, err := source(t, usage.Options{Resource: usage.CPU, Target: target, Meter: m}).Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := got.Value / target * float64(m.Running) // the autoscaler's formula
		measured := sum / target
		low, high := math.Min(measured, float64(m.Running)), math.Max(measured, float64(m.Running))
		if want < low-1e-6 || want > high+1e-6 {
			t.Fatalf("%v of target %v with %d unknown asks for %v tasks, want between %v and %v", known, target, unknown, want, low, high)
		}
	})
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	for _, o := range []usage.Options{
		{Resource: "disk", Target: 1, Meter: tasks{}}, {Resource: usage.CPU, Meter: tasks{}}, {Resource: usage.CPU, Target: 1},
	} {
		if _, err := usage.New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
