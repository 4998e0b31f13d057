package api

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// routedFigures are the metrics of a router.
var routedFigures = []metric{
	{"router_requests_total", "Requests that arrived at the router.", prometheus.CounterValue, byService},
	{"router_errors_total", "Answers with status 5xx.", prometheus.CounterValue, byService},
	{"router_requests_in_flight", "Requests without an answer yet.", prometheus.GaugeValue, byService},
	{"router_request_seconds", "The time from a request's arrival to the last byte of its answer.", prometheus.UntypedValue, byService},
	{"router_target_requests_total", "Requests sent to a task.", prometheus.CounterValue, byTarget},
	{"router_target_failures_total", "Requests to a task that ended without an answer.", prometheus.CounterValue, byTarget},
	{"router_target_requests_in_flight", "Requests at a task without an answer yet, and open WebSockets.", prometheus.GaugeValue, byTarget},
	{"router_target_healthy", "1 while the router sends requests to a task by choice.", prometheus.GaugeValue, byTarget},
	{"router_requests_held", "Requests that wait for a first target.", prometheus.GaugeValue, byService},
}

// routedCollector gives a router's figures as metrics at the time of a scrape.
type routedCollector struct {
	figureSet
	router   Router
	services func() []string
}

func newRoutedCollector(r Router, services func() []string) *routedCollector {
	return &routedCollector{newFigureSet(routedFigures), r, services}
}

// Collect implements prometheus.Collector.
func (c *routedCollector) Collect(out chan<- prometheus.Metric) {
	for _, name := range c.services() {
		c.collectService(out, name)
	}
}

// maxTargets bounds the tasks of a service that have figures of their own: a
// series for each of thousands would cost more than it tells.
const maxTargets = 200

// collectService gives the figures of one service.
func (c *routedCollector) collectService(out chan<- prometheus.Metric, service string) {
	put := c.to(out)
	stats := c.router.Stats(service)
	put("router_requests_total", float64(stats.Requests), service)
	put("router_errors_total", float64(stats.Errors), service)
	put("router_requests_in_flight", float64(stats.InFlight), service)
	put("router_requests_held", float64(stats.Held), service)
	took := c.router.Latencies(service)
	buckets := map[float64]uint64{}
	for i, bound := range took.Bounds {
		buckets[bound.Seconds()] = took.Counts[i]
	}
	out <- prometheus.MustNewConstHistogram(c.descs["router_request_seconds"], took.Count, took.Sum.Seconds(), buckets, service)
	seen := map[string]bool{}
	for _, t := range c.router.Targets(service) {
		// A task that has moved to another address is there twice for a while.
		if seen[t.ID] || len(seen) == maxTargets {
			continue
		}
		seen[t.ID] = true
		put("router_target_requests_total", float64(t.Requests), service, t.ID)
		put("router_target_failures_total", float64(t.Failures), service, t.ID)
		put("router_target_requests_in_flight", float64(t.InFlight), service, t.ID)
		put("router_target_healthy", truth(t.Healthy), service, t.ID)
	}
}

// RoutingRouter is a Router that knows which services it routes to. *router.Router
// is one.
type RoutingRouter interface {
	Router
	Services() []string
}

// RouterOptions make the handler of a router that runs alone. Router is required.
type RouterOptions struct {
	Router RoutingRouter
	// Token and Registry are those of Options.
	Token    string
	Registry Registry
	Version  string
	Log      *slog.Logger
}

// NewForRouter makes a handler that answers /metrics for a router that runs
// alone, guarded as the whole API is. It fails without a router, or if the registry
// holds the metrics of another handler already.
func NewForRouter(o RouterOptions) (http.Handler, error) {
	if o.Router == nil {
		return nil, errors.New("api: a router is required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "plimsoll_build_info", Help: buildHelp,
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{build, newRoutedCollector(o.Router, o.Router.Services)} {
		if err := o.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	s := &server{Options: Options{Token: o.Token, Log: o.Log, Registry: o.Registry}, mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", s.metrics())
	return s.guard(s.mux), nil
}
