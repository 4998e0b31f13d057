package cloudwatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

const (
	ecsNamespace = "AWS/ECS"
	percent      = "Percent"
)

// Meter tells what a running task was last measured to use: engine/usage's
// Sampler.
type Meter interface {
	Usage(task string) (plimsoll.Usage, bool)
}

// ECS are ECS's own metrics of one minute: how much of each cluster's capacity is
// reserved, and how much of it, and of each service's reservations, is used. What
// is not known has no sample: a cluster without hosts, a service of which no task
// has been measured. Meter may be nil.
func ECS(v engine.View, meter Meter, at time.Time) (data []Datum) {
	for _, c := range v.Clusters() {
		var whole, reserved plimsoll.Resources
		for _, i := range v.Instances(c.Name) {
			whole = whole.Add(i.Registered)
			reserved = reserved.Add(i.Registered.Sub(v.Remaining(i.ARN)))
		}
		d := Dimension{"ClusterName", c.Name}
		data = add(data, "CPUReservation", at, of(float64(reserved.CPU), whole.CPU), d)
		data = add(data, "MemoryReservation", at, of(float64(reserved.Memory), whole.Memory), d)
		if meter == nil {
			continue
		}
		u := use(v.Tasks(c.Name), meter)
		// A task that has just begun is not measured yet, and must not hide the others.
		if u.rated > 0 || u.running == 0 {
			data = add(data, "CPUUtilization", at, of(u.cpu, whole.CPU), d)
		}
		if u.measured > 0 || u.running == 0 {
			data = add(data, "MemoryUtilization", at, of(u.memory, whole.Memory), d)
		}
		for _, name := range slices.Sorted(maps.Keys(u.services)) {
			s := Dimension{"ServiceName", name}
			data = add(data, "CPUUtilization", at, u.services[name].cpu, d, s)
			data = add(data, "MemoryUtilization", at, u.services[name].memory, d, s)
		}
	}
	return data
}

// used is what the running tasks of a cluster use together.
type used struct {
	cpu, memory float64 // in CPU units and MiB
	// running are the tasks that run; of measured ones the memory is known, of
	// rated ones the CPU too.
	running, measured, rated int
	services                 map[string]*serviceUse
}

// serviceUse has one sample for each task that has been measured, in percent of
// what it reserves, so that SampleCount is how many those are.
type serviceUse struct{ cpu, memory Summary }

func use(tasks []*engine.Task, meter Meter) used {
	u := used{services: map[string]*serviceUse{}}
	for _, t := range tasks {
		if t.LastStatus != plimsoll.StatusRunning {
			continue
		}
		u.running++
		one, known := meter.Usage(t.ID)
		if !known {
			continue
		}
		u.measured++
		u.memory += one.Memory()
		s := u.services[t.Service]
		if s == nil {
			s = &serviceUse{}
			u.services[t.Service] = s
		}
		s.memory.add(of(one.Memory(), t.Reserved.Memory))
		if rate := one.CPU(); rate != nil {
			u.rated++
			u.cpu += *rate
			s.cpu.add(of(*rate, t.Reserved.CPU))
		}
	}
	delete(u.services, "") // standalone tasks
	return u
}

// of is one sample, in percent of a whole; of nothing there is none.
func of(part float64, whole int64) Summary {
	if whole <= 0 {
		return Summary{}
	}
	p := 100 * part / float64(whole)
	return Summary{Count: 1, Sum: p, Min: p, Max: p}
}

// add adds a metric's samples, if there are any.
func add(data []Datum, name string, at time.Time, s Summary, dimensions ...Dimension) []Datum {
	if s.Count == 0 {
		return data
	}
	return append(data, Datum{Metric: NewMetric(ecsNamespace, name, dimensions...), Unit: percent, At: at, Summary: s})
}

// Reader reads the cluster: engine/daemon's Daemon.
type Reader interface {
	Read(f func(engine.View))
}

// KeepECS puts ECS's metrics into a store at the end of each minute, until ctx
// ends.
func KeepECS(ctx context.Context, store *Store, cluster Reader, meter Meter) {
	for {
		next := time.Now().Truncate(time.Minute).Add(time.Minute)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		keep(store, cluster, meter, next)
	}
}

// keep takes the samples of the minute that ends now.
func keep(store *Store, cluster Reader, meter Meter, now time.Time) {
	var data []Datum
	cluster.Read(func(v engine.View) { data = ECS(v, meter, now.Add(-time.Minute)) })
	store.Put(now, data...)
}
