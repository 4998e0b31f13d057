// Package baseline has the scaling policies of the field, by their published
// rules and defaults, for comparison in the simulator. They are values and
// arithmetic: no I/O and no clock of their own.
package baseline

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Policy sets the count of each service, at its interval.
type Policy interface {
	Name() string
	Interval() time.Duration
	// Desired is the count that the service is to have; who asks keeps it within
	// Min and Max.
	Desired(o Observation) int
}

// Observation is what a policy sees of one service.
type Observation struct {
	Now     time.Time
	Service string
	Metrics []Metric
	// Ready are the tasks that run, Desired the count that was set.
	Ready, Desired int
	Min, Max       int
	// Capacity is how much of the first metric's value one task bears at most;
	// 0 where that cannot be said.
	Capacity float64
}

// Metric is one reading.
type Metric struct {
	Known  bool
	Value  float64
	Target float64
	Kind   Kind
	// Activation: at or under it the metric asks for nothing. Queue tells that
	// the value is work that waits, rather than what comes or is under way.
	Activation float64
	Queue      bool
}

// Kind says how a value becomes a count.
type Kind int

const (
	// Average: value / target tasks.
	Average Kind = iota
	// Ratio: value / target times the tasks that there are.
	Ratio
)

// ratio is by how much the ready tasks are too few.
func (m Metric) ratio(ready int) float64 {
	if m.Kind == Ratio {
		return m.Value / m.Target
	}
	return m.Value / (m.Target * float64(max(1, ready)))
}

// ceil rounds up, but for what is only a rounding error above a whole number.
func ceil(x float64) int { return int(math.Ceil(x - 1e-9)) }

// Names are the policies that there are.
func Names() []string {
	return []string{"hpa", "kpa", "ecs-target-tracking", "ecscale", "keda"}
}

// New makes a policy by its name.
func New(name string) (Policy, error) {
	switch name {
	case "hpa":
		return NewHPA(), nil
	case "kpa":
		return NewKPA(), nil
	case "ecs-target-tracking":
		return NewTargetTracking(name), nil
	case "ecscale":
		// ecscale takes hosts away; the counts of services are ECS's own.
		return NewTargetTracking(name), nil
	case "keda":
		return NewKEDA(), nil
	}
	return nil, fmt.Errorf("there is no policy %q; allowed: %s", name, strings.Join(Names(), ", "))
}

// sample is a value at a time.
type sample struct {
	at    time.Time
	value float64
}

// window keeps the samples of a time, oldest first.
type window []sample

func (w window) add(now time.Time, value float64, keep time.Duration) window {
	w = append(w, sample{now, value})
	first := slices.IndexFunc(w, func(s sample) bool { return s.at.After(now.Add(-keep)) })
	return slices.Delete(w, 0, first)
}

func (w window) most() float64 {
	most := w[0].value
	for _, s := range w {
		most = max(most, s.value)
	}
	return most
}

// mean is that of the samples after a time.
func (w window) mean(after time.Time) float64 {
	sum, n := 0.0, 0
	for _, s := range w {
		if s.at.After(after) {
			sum += s.value
			n++
		}
	}
	return sum / float64(max(1, n))
}
