package cloudwatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/cloudwatch"
)

// view is a cluster as ECS's metrics read it.
type view struct {
	engine.View
	instances []*engine.ContainerInstance
	left      map[string]plimsoll.Resources
	tasks     []*engine.Task
}

func (v *view) Clusters() []*engine.Cluster                  { return []*engine.Cluster{{Name: "shop"}} }
func (v *view) Instances(string) []*engine.ContainerInstance { return v.instances }
func (v *view) Remaining(arn string) plimsoll.Resources      { return v.left[arn] }
func (v *view) Tasks(string) []*engine.Task                  { return v.tasks }
func (v *view) Read(f func(engine.View))                     { f(v) }
func (v *view) host(arn string, whole, left plimsoll.Resources) *view {
	if v.left == nil {
		v.left = map[string]plimsoll.Resources{}
	}
	v.instances = append(v.instances, &engine.ContainerInstance{ARN: arn, Registered: whole})
	v.left[arn] = left
	return v
}

func (v *view) task(id, service string, status plimsoll.Status, reserved plimsoll.Resources) *view {
	v.tasks = append(v.tasks, &engine.Task{ID: id, Service: service, LastStatus: status, Reserved: reserved})
	return v
}

// meter is what tasks use: CPU units (below 0: not known) and MiB.
type meter map[string][2]float64

func (m meter) Usage(id string) (plimsoll.Usage, bool) {
	u, known := m[id]
	if !known {
		return plimsoll.Usage{}, false
	}
	c := plimsoll.ContainerUsage{Memory: u[1]}
	if u[0] >= 0 {
		c.CPU = &u[0]
	}
	return plimsoll.Usage{Containers: []plimsoll.ContainerUsage{c}}, true
}

func size(cpu, memory int64) plimsoll.Resources { return plimsoll.Resources{CPU: cpu, Memory: memory} }

// said are the metrics in one line each: name, service, count and average.
func said(data []cloudwatch.Datum) map[string][2]float64 {
	out := map[string][2]float64{}
	for _, d := range data {
		var of []string
		for _, one := range d.Metric.Dimensions {
			of = append(of, one.Name+"="+one.Value)
		}
		out[d.Metric.Name+" "+strings.Join(of, " ")] = [2]float64{d.Summary.Count, d.Summary.Sum / d.Summary.Count}
	}
	return out
}

func TestECSMetricsAreSharesOfTheClusterAndOfEachServicesReservations(t *testing.T) {
	v := (&view{}).
		host("one", size(1024, 1000), size(512, 750)).
		host("two", size(1024, 1000), size(1024, 1000)).
		task("a", "web", plimsoll.StatusRunning, size(256, 100)).
		task("b", "web", plimsoll.StatusRunning, size(256, 100)).
		task("c", "", plimsoll.StatusRunning, size(0, 50)).
		task("d", "web", plimsoll.StatusPending, size(256, 100)).
		task("e", "web", plimsoll.StatusStopped, size(256, 100))
	m := meter{"a": {128, 50}, "b": {256, 150}, "c": {128, 100}, "e": {1000, 1000}}
	got := said(cloudwatch.ECS(v, m, noon))
	want := map[string][2]float64{
		"CPUReservation ClusterName=shop":                    {1, 25},
		"MemoryReservation ClusterName=shop":                 {1, 12.5},
		"CPUUtilization ClusterName=shop":                    {1, 25},
		"MemoryUtilization ClusterName=shop":                 {1, 15},
		"CPUUtilization ClusterName=shop ServiceName=web":    {2, 75},
		"MemoryUtilization ClusterName=shop ServiceName=web": {2, 100},
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNotKnownHasNoSample(t *testing.T) {
	names := func(data []cloudwatch.Datum) []string {
		var out []string
		for name := range said(data) {
			out = append(out, name)
		}
		slices.Sort(out)
		return out
	}
	full := func() *view { return (&view{}).host("one", size(1024, 1000), size(1024, 1000)) }
	reserved := []string{"CPUReservation ClusterName=shop", "MemoryReservation ClusterName=shop"}
	for what, c := range map[string]struct {
		v    *view
		m    cloudwatch.Meter
		want []string
	}{
		"no hosts":             {&view{}, meter{}, nil},
		"no meter":             {full(), nil, reserved},
		"nothing measured yet": {full().task("a", "web", plimsoll.StatusRunning, size(256, 100)), meter{}, reserved},
		"no CPU rate yet": {full().task("a", "web", plimsoll.StatusRunning, size(256, 100)), meter{"a": {-1, 10}},
			[]string{reserved[0], reserved[1], "MemoryUtilization ClusterName=shop", "MemoryUtilization ClusterName=shop ServiceName=web"}},
		"no CPU reserved": {full().task("a", "web", plimsoll.StatusRunning, size(0, 100)), meter{"a": {10, 10}},
			[]string{reserved[0], "CPUUtilization ClusterName=shop", reserved[1], "MemoryUtilization ClusterName=shop", "MemoryUtilization ClusterName=shop ServiceName=web"}},
		"no tasks": {full(), meter{}, []string{reserved[0], "CPUUtilization ClusterName=shop", reserved[1], "MemoryUtilization ClusterName=shop"}},
	} {
		if got := names(cloudwatch.ECS(c.v, c.m, noon)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func TestECSMetricsHaveOneSampleAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cloudwatch.NewStore(0)
		ctx, stop := context.WithCancel(t.Context())
		time.Sleep(20 * time.Second) // the fake clock's: it begins at midnight
		begun := time.Now()
		v := (&view{}).host("one", size(1024, 1000), size(512, 1000))
		go cloudwatch.KeepECS(ctx, store, v, meter{})
		time.Sleep(5*time.Minute + 30*time.Second)
		stop()
		synctest.Wait()
		got := store.Points(time.Now(), cloudwatch.NewMetric("AWS/ECS", "CPUReservation", cloudwatch.Dimension{Name: "ClusterName", Value: "shop"}),
			cloudwatch.Window{Start: begun.Truncate(time.Minute), End: time.Now(), Period: time.Minute})
		if len(got) != 5 {
			t.Fatalf("%d minutes have samples, want 5: %+v", len(got), got)
		}
		for i, p := range got {
			if p.Count != 1 || p.Sum != 50 || p.At != begun.Truncate(time.Minute).Unix()+int64(60*i) {
				t.Errorf("minute %d: %+v", i, p)
			}
		}
	})
}
