// Package usage reads what a service's own tasks use, CPU or memory, on average,
// as the Kubernetes autoscaler does for KEDA's cpu and memory triggers. It knows
// the figures as a meter gives them, not who measures or how.
package usage

import (
	"context"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/demand"
)

// Resource is what is followed.
type Resource string

// The resources.
const (
	CPU    Resource = "cpu"
	Memory Resource = "memory"
)

// Tasks is what is known of a service's tasks.
type Tasks struct {
	// Desired is the desired count; Running are those that run and are to.
	Desired, Running int
	// Used has what those of the running were measured to use that were.
	Used []plimsoll.Usage
}

// Meter gives the tasks of a service.
type Meter interface {
	Tasks(service string) Tasks
}

// Options make a Source.
type Options struct {
	Service  string
	Resource Resource
	// Target is the value to be held, in the unit of the readings.
	Target float64
	// Reserved is what a task reserves (CPU units or MiB): readings are then in
	// percent of it. 0: readings are in CPU units or MiB.
	Reserved float64
	Meter    Meter
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source reads one resource of one service.
type Source struct{ o Options }

// New checks the options.
func New(o Options) (*Source, error) {
	if o.Resource != CPU && o.Resource != Memory {
		return nil, fmt.Errorf("usage: the resource is %q; allowed: %s, %s", o.Resource, CPU, Memory)
	}
	if o.Meter == nil || !(o.Target > 0) || o.Reserved < 0 {
		return nil, fmt.Errorf("usage: service %q needs a meter, a target over 0 and a reservation of 0 or more", o.Service)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{o: o}, nil
}

// Read gives the mean over the running tasks, as of the oldest measurement in it.
//
// A task that runs and has not been measured yet counts as the Kubernetes
// autoscaler counts a missing metric ("Algorithm details" of its documentation):
// as using nothing while the others ask for more tasks, as being on target while
// they ask for fewer; where that turns the answer round, the target itself is
// given. With no task measured the demand is unknown; with none wanted it is 0.
func (s *Source) Read(context.Context) (demand.Sample, error) {
	tasks := s.o.Meter.Tasks(s.o.Service)
	if tasks.Desired == 0 && tasks.Running == 0 {
		return demand.Sample{At: s.o.Now(), Detail: "no task"}, nil
	}
	sum, known, at := 0.0, 0, time.Time{}
	for _, u := range tasks.Used {
		value, ok := s.value(u)
		if !ok {
			continue
		}
		sum, known = sum+value, known+1
		if at.IsZero() || u.At.Before(at) {
			at = u.At
		}
	}
	if known == 0 {
		return demand.Sample{}, fmt.Errorf("the %s of service %q is not measured yet: %d tasks run", s.o.Resource, s.o.Service, tasks.Running)
	}
	mean := sum / float64(known)
	if unknown := tasks.Running - known; unknown > 0 {
		mean = s.withUnknown(sum, known, unknown)
	}
	if !demand.Valid(mean) {
		return demand.Sample{}, fmt.Errorf("the %s of service %q is %v: not a demand", s.o.Resource, s.o.Service, mean)
	}
	return demand.Sample{Value: mean, At: at, Detail: fmt.Sprintf("mean of %d of %d tasks", known, max(tasks.Running, known))}, nil
}

// withUnknown is the mean with the tasks that have no figure.
func (s *Source) withUnknown(sum float64, known, unknown int) float64 {
	all := float64(known + unknown)
	if sum/float64(known) > s.o.Target {
		return max(sum/all, s.o.Target)
	}
	return (sum + float64(unknown)*s.o.Target) / all
}

// value is one task's reading.
func (s *Source) value(u plimsoll.Usage) (float64, bool) {
	used := u.Memory()
	if s.o.Resource == CPU {
		cpu := u.CPU()
		if cpu == nil {
			return 0, false
		}
		used = *cpu
	}
	if s.o.Reserved > 0 {
		used *= 100 / s.o.Reserved
	}
	return used, true
}
