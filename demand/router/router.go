// Package router reads the demand on a service from the figures of Plimsoll's
// own router: requests in flight, their rate, or their latency. It must not know
// how the router works, nor what a reading leads to.
package router

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"plimsoll/demand"
	"plimsoll/router"
)

// Metric says which figure a Source reads.
type Metric string

// The metrics, by the names of the trigger's keys.
const (
	Concurrency       Metric = "concurrency"       // requests in flight
	RequestsPerSecond Metric = "requestsPerSecond" // arrivals
	LatencyP50        Metric = "latencyP50"        // milliseconds
	LatencyP99        Metric = "latencyP99"        // milliseconds
)

// Stats gives the figures of a service as a whole; the router does.
type Stats interface {
	Demand(service string) router.Stats
}

// Options make a Source.
type Options struct {
	// Service is the name that the router knows the service by.
	Service string
	Metric  Metric
	Stats   Stats
	// Pressure, if any, gives a notice when there is reason to read at once: a
	// request is held, or many more are in flight. It is never closed.
	Pressure <-chan struct{}
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source reads one metric of one service.
type Source struct {
	o Options

	mu        sync.Mutex
	heldSince time.Time // for latencies: held requests were first seen
}

var (
	_ demand.Source   = (*Source)(nil)
	_ demand.Notifier = (*Source)(nil)
)

// New checks the options.
func New(o Options) (*Source, error) {
	switch o.Metric {
	case Concurrency, RequestsPerSecond, LatencyP50, LatencyP99:
	default:
		return nil, fmt.Errorf("router: metric %q: it must be one of %q, %q, %q, %q",
			o.Metric, Concurrency, RequestsPerSecond, LatencyP50, LatencyP99)
	}
	if o.Service == "" {
		return nil, fmt.Errorf("router: no service is named")
	}
	if o.Stats == nil {
		return nil, fmt.Errorf("router: service %q: there is no router to read from", o.Service)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{o: o}, nil
}

// Changed is Options.Pressure.
func (s *Source) Changed() <-chan struct{} { return s.o.Pressure }

// Read takes the router's present figures. Latencies are in milliseconds; with
// requests in flight and no answer to measure they are unknown, an error.
func (s *Source) Read(context.Context) (demand.Sample, error) {
	now, stats := s.o.Now(), s.o.Stats.Demand(s.o.Service)
	sample := demand.Sample{At: now}
	var err error
	switch s.o.Metric {
	case Concurrency:
		sample.Value, sample.Detail = concurrency(stats)
	case RequestsPerSecond:
		sample.Value, sample.Detail = rate(stats)
	case LatencyP50:
		sample.Value, sample.Detail, err = s.latency(now, "p50", stats.LatencyP50, stats)
	case LatencyP99:
		sample.Value, sample.Detail, err = s.latency(now, "p99", stats.LatencyP99, stats)
	}
	if err == nil && !demand.Valid(sample.Value) {
		err = fmt.Errorf("the router's figure is %v: not a demand", sample.Value)
	}
	if err != nil {
		return demand.Sample{}, fmt.Errorf("router: %s of service %q: %w", s.o.Metric, s.o.Service, err)
	}
	return sample, nil
}

// concurrency is the window's mean, which is calm under a steady load, unless
// the last second is above it by more than chance explains: then that counts.
//
// Knative's autoscaler answers a burst in the same way, with a second, shorter
// window at twice the capacity. Here the line is drawn by chance itself:
// requests that arrive independently are in flight in a Poisson distribution
// (M/G/∞), whose standard deviation is the root of its mean; the mean of a
// second is three of them above it rarely. The requests in flight at one moment
// are not used for this, because the router asks to be read when there are many
// of them, which is when chance has gathered them. Any request in flight counts
// as one at least, so that a service is never at zero under it; requests without
// any target count at once and in full.
func concurrency(s router.Stats) (float64, string) {
	detail := fmt.Sprintf("mean %.1f over %s, %.1f over the last second, %d held", s.Concurrency, s.Window, s.Recent, s.Held)
	value := s.Concurrency
	if s.Recent > s.Concurrency+3*math.Sqrt(s.Concurrency) {
		value = s.Recent
	}
	if s.Held > 0 {
		value = max(value, float64(s.InFlight))
	}
	return max(value, min(float64(s.InFlight), 1)), detail
}

// rate is the window's rate. A request that is held counts as one a second for
// as long as it is, so that it wakes a service whose window has run empty.
func rate(s router.Stats) (float64, string) {
	return max(s.RequestsPerSecond, float64(s.Held)),
		fmt.Sprintf("%.1f requests/s over %s, %d held", s.RequestsPerSecond, s.Window, s.Held)
}

// latency is the window's quantile. While requests are held their wait, as seen
// from here, counts as well: at zero tasks there is no answer to measure, and
// the service has to wake.
func (s *Source) latency(now time.Time, name string, value time.Duration, stats router.Stats) (float64, string, error) {
	waited := s.heldFor(now, stats.Held > 0)
	if value == 0 && waited == 0 && stats.InFlight > 0 {
		return 0, "", fmt.Errorf("no answer in %s while %d requests are in flight", stats.Window, stats.InFlight)
	}
	detail := fmt.Sprintf("%s %s over %s", name, value, stats.Window)
	if waited > 0 {
		detail += fmt.Sprintf(", %d held for %s", stats.Held, waited)
	}
	return float64(max(value, waited)) / float64(time.Millisecond), detail, nil
}

// heldFor is how long requests have been seen to be held without a pause: at
// least 1 ms while any is.
func (s *Source) heldFor(now time.Time, held bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !held {
		s.heldSince = time.Time{}
		return 0
	}
	if s.heldSince.IsZero() {
		s.heldSince = now
	}
	return max(now.Sub(s.heldSince), time.Millisecond)
}
