package api

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"plimsoll/router"
)

// routedFigures are the metrics of a router.
var routedFigures = []metric{
	{"router_refused_total", "Requests that were not routed, for their form.", prometheus.CounterValue, nil},
	{"router_unrouted_total", "Requests and connections that no route was found for.", prometheus.CounterValue, nil},
	{"router_tls_failures_total", "Handshakes of TLS with clients that came to nothing.", prometheus.CounterValue, nil},
	{"router_mirrored_total", "Copies of requests that were answered.", prometheus.CounterValue, nil},
	{"router_mirrors_lost_total", "Copies of requests that were not sent, or not answered.", prometheus.CounterValue, nil},

	{"router_spans_total", "Spans that were delivered by OTLP.", prometheus.CounterValue, nil},
	{"router_spans_lost_total", "Spans that were not: too many, or not taken.", prometheus.CounterValue, nil},

	{"router_requests_total", "Requests that were a service's to serve.", prometheus.CounterValue, byService},
	{"router_errors_total", "Answers with status 5xx.", prometheus.CounterValue, byService},
	{"router_requests_in_flight", "Requests without an answer yet.", prometheus.GaugeValue, byService},
	{"router_request_seconds", "The time from a request's arrival to the last byte of its answer.", prometheus.UntypedValue, byService},
	{"router_requests_held", "Requests that wait for a first target.", prometheus.GaugeValue, byService},
	{"router_waited_total", "Requests that have had to wait for a target.", prometheus.CounterValue, byService},
	{"router_retries_total", "Attempts after the first.", prometheus.CounterValue, byService},
	{"router_websockets", "Open WebSockets.", prometheus.GaugeValue, byService},

	{"router_route_requests_total", "Requests and connections of a route.", prometheus.CounterValue, byRoute},
	{"router_route_answers_total", "Answers by the first digit of their status; clients that left; connections that ended.", prometheus.CounterValue, []string{"service", "route", "class"}},
	{"router_route_failures_total", "Requests and connections that did not get what they came for, by cause.", prometheus.CounterValue, []string{"service", "route", "cause"}},
	{"router_route_requests_in_flight", "Requests without an answer yet, open WebSockets and connections.", prometheus.GaugeValue, byRoute},
	{"router_route_request_seconds", "The time from a request's arrival to the last byte of its answer.", prometheus.UntypedValue, byRoute},

	{"router_target_requests_total", "Requests sent to a task.", prometheus.CounterValue, byTarget},
	{"router_target_answers_total", "Whole answers of a task by the first digit of their status; clients that left; connections that ended.", prometheus.CounterValue, []string{"service", "task", "class"}},
	{"router_target_failures_total", "Requests to a task that ended without a whole answer, by cause.", prometheus.CounterValue, []string{"service", "task", "cause"}},
	{"router_target_request_seconds", "The time from the sending of a request to a task to the last byte of its answer.", prometheus.UntypedValue, byTarget},
	{"router_target_requests_in_flight", "Requests at a task without an answer yet, and open WebSockets.", prometheus.GaugeValue, byTarget},
	{"router_target_healthy", "1 while the router sends requests to a task by choice.", prometheus.GaugeValue, byTarget},
}

// routedCollector gives a router's figures as metrics at the time of a scrape.
type routedCollector struct {
	figureSet
	router Router
}

func newRoutedCollector(r Router) *routedCollector {
	return &routedCollector{newFigureSet(routedFigures), r}
}

// Collect implements prometheus.Collector.
func (c *routedCollector) Collect(out chan<- prometheus.Metric) {
	put := c.to(out)
	total := c.router.Totals()
	put("router_refused_total", float64(total.Refused))
	put("router_unrouted_total", float64(total.Unrouted))
	put("router_tls_failures_total", float64(total.Handshakes))
	put("router_mirrored_total", float64(total.Mirrored))
	put("router_mirrors_lost_total", float64(total.MirrorsLost))
	put("router_spans_total", float64(total.Spans))
	put("router_spans_lost_total", float64(total.SpansLost))
	for _, name := range c.router.Services() {
		c.collectService(out, name)
	}
	for _, r := range c.router.Routes() {
		put("router_route_requests_total", float64(r.Requests), r.Service, r.Route)
		put("router_route_requests_in_flight", float64(r.InFlight), r.Service, r.Route)
		putEach(put, "router_route_answers_total", r.Answers, r.Service, r.Route)
		putEach(put, "router_route_failures_total", r.Failures, r.Service, r.Route)
		c.histogram(out, "router_route_request_seconds", r.Latencies, 1, r.Service, r.Route)
	}
}

// putEach gives one figure for each class or cause that there was.
func putEach(put func(string, float64, ...string), name string, of map[string]uint64, labels ...string) {
	for label, n := range of {
		put(name, float64(n), append(slices.Clone(labels), label)...)
	}
}

// histogram gives latencies, with each step-th of their bounds.
func (c *routedCollector) histogram(out chan<- prometheus.Metric, name string, took router.Latencies, step int, labels ...string) {
	buckets := map[float64]uint64{}
	for i := 0; i < len(took.Bounds); i += step {
		buckets[took.Bounds[i].Seconds()] = took.Counts[i]
	}
	out <- prometheus.MustNewConstHistogram(c.descs[name], took.Count, took.Sum.Seconds(), buckets, labels...)
}

// targetStep thins the bounds of the tasks' latencies out, of which there are
// many.
const targetStep = 2

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
	put("router_waited_total", float64(stats.Waited), service)
	put("router_retries_total", float64(stats.Retries), service)
	put("router_websockets", float64(stats.WebSockets), service)
	c.histogram(out, "router_request_seconds", c.router.Latencies(service), 1, service)
	seen := map[string]bool{}
	for _, t := range c.router.Targets(service) {
		// A task that has moved to another address is there twice for a while.
		if seen[t.ID] || len(seen) == maxTargets {
			continue
		}
		seen[t.ID] = true
		put("router_target_requests_total", float64(t.Requests), service, t.ID)
		putEach(put, "router_target_answers_total", t.Answers, service, t.ID)
		putEach(put, "router_target_failures_total", t.Failures, service, t.ID)
		c.histogram(out, "router_target_request_seconds", t.Latencies, targetStep, service, t.ID)
		put("router_target_requests_in_flight", float64(t.InFlight), service, t.ID)
		put("router_target_healthy", truth(t.Healthy), service, t.ID)
	}
}

// RouterOptions make the handler of a router that runs alone. Router is required.
type RouterOptions struct {
	Router Router
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
	for _, c := range []prometheus.Collector{build, newRoutedCollector(o.Router)} {
		if err := o.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	s := &server{Options: Options{Token: o.Token, Log: o.Log, Registry: o.Registry}, mux: http.NewServeMux()}
	s.mux.Handle("GET /metrics", s.metrics())
	return s.guard(s.mux), nil
}
