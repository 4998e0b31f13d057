package api

import (
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"plimsoll"
)

// mib is the bytes of a MiB: metrics are in base units.
const mib = 1 << 20

// metric is what /metrics says of one figure.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
}

var (
	byService = []string{"service"}
	byTarget  = []string{"service", "task"}
	byHost    = []string{"host", "zone"}
	// A container's series are bounded by maxTargets tasks of each service.
	byContainer = []string{"service", "task", "container"}
)

// figures are all metrics of the API.
var figures = []metric{
	{"build_info", "The version of the program; always 1.", prometheus.GaugeValue, []string{"version", "goversion"}},
	{"steps_total", "Steps of the control loop since the start.", prometheus.CounterValue, nil},
	{"step_seconds", "How long the last step of the control loop took.", prometheus.GaugeValue, nil},
	{"problem", "1 while the last step could decide nothing.", prometheus.GaugeValue, nil},
	{"decisions_total", "Decided changes of a desired count since the start.", prometheus.CounterValue, nil},

	{"service_demand", "What the triggers read; absent while unknown.", prometheus.GaugeValue, byService},
	{"service_want", "The count that demand asks for.", prometheus.GaugeValue, byService},
	{"service_grant", "What priority and capacity allow of the want.", prometheus.GaugeValue, byService},
	{"service_desired", "The desired count.", prometheus.GaugeValue, byService},
	{"service_running", "Running tasks.", prometheus.GaugeValue, byService},
	{"service_pending", "Tasks on the way to running.", prometheus.GaugeValue, byService},
	{"service_protected", "Tasks that scale-in leaves alone.", prometheus.GaugeValue, byService},

	{"service_cpu_used", "CPU units that its tasks use; absent until measured.", prometheus.GaugeValue, byService},
	{"service_memory_used_bytes", "Memory that its tasks use; absent until measured.", prometheus.GaugeValue, byService},
	{"service_tasks_measured", "Tasks whose use is measured.", prometheus.GaugeValue, byService},
	{"task_cpu_used", "CPU units that a task uses.", prometheus.GaugeValue, byTarget},
	{"task_memory_used_bytes", "Memory that a task uses.", prometheus.GaugeValue, byTarget},
	{"container_cpu_used", "CPU units that a container uses.", prometheus.GaugeValue, byContainer},
	{"container_memory_used_bytes", "Memory that a container uses.", prometheus.GaugeValue, byContainer},

	{"host_cpu_used", "CPU units that the host's tasks use; absent until measured.", prometheus.GaugeValue, byHost},
	{"host_memory_used_bytes", "Memory that the host's tasks use; absent until measured.", prometheus.GaugeValue, byHost},
	{"host_cpu_reserved", "CPU units that tasks reserve; 1024 are one CPU.", prometheus.GaugeValue, byHost},
	{"host_cpu_capacity", "CPU units of the host; 1024 are one CPU.", prometheus.GaugeValue, byHost},
	{"host_memory_reserved_bytes", "Memory that tasks reserve.", prometheus.GaugeValue, byHost},
	{"host_memory_capacity_bytes", "Memory of the host.", prometheus.GaugeValue, byHost},
	{"tasks", "Tasks by their last status.", prometheus.GaugeValue, []string{"service", "status"}},

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

// collector gives the loop's last state as metrics at the time of a scrape; it
// keeps no figure of its own.
type collector struct {
	Options
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
}

func newCollector(o Options) *collector {
	c := &collector{Options: o, descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}}
	for _, m := range figures {
		c.descs[m.name] = prometheus.NewDesc("plimsoll_"+m.name, m.help, m.labels, nil)
		c.kinds[m.name] = m.kind
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, name := range slices.Sorted(maps.Keys(c.descs)) {
		out <- c.descs[name]
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	put := func(name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.descs[name], c.kinds[name], value, labels...)
	}
	st := c.Loop.State()
	put("build_info", 1, c.Version, runtime.Version())
	put("steps_total", float64(st.Step))
	put("step_seconds", st.Took.Seconds())
	put("problem", truth(st.Problem != ""))
	decided := uint64(0)
	if d := c.Loop.Decisions(0); len(d) > 0 {
		decided = d[len(d)-1].Seq // grows by one with each, so it is their number
	}
	put("decisions_total", float64(decided))
	for _, v := range c.serviceViews(st) {
		c.collectService(put, v)
		if v.Used != nil {
			putUsed(put, "service", v.Used, v.Name)
			put("service_tasks_measured", float64(v.Used.Tasks), v.Name)
		}
		if c.Router != nil && v.URL != "" {
			c.collectRouted(out, put, v.Name)
		}
	}
	for _, h := range c.hostViews(st.Cluster, nil) {
		putUsed(put, "host", h.Used, h.ID, h.Zone)
		put("host_cpu_reserved", float64(h.CPU-h.CPUFree), h.ID, h.Zone)
		put("host_cpu_capacity", float64(h.CPU), h.ID, h.Zone)
		put("host_memory_reserved_bytes", float64(h.Memory-h.MemoryFree)*mib, h.ID, h.Zone)
		put("host_memory_capacity_bytes", float64(h.Memory)*mib, h.ID, h.Zone)
	}
	c.collectTasks(put, st.Cluster)
	type state struct {
		service string
		status  plimsoll.Status
	}
	counts := map[state]int{}
	for _, t := range st.Cluster.Tasks {
		counts[state{t.Service, t.LastStatus}]++
	}
	for k, n := range counts {
		put("tasks", float64(n), k.service, string(k.status))
	}
}

// putUsed gives the figures of what a host's or a service's tasks use.
func putUsed(put func(string, float64, ...string), of string, used *UsedView, labels ...string) {
	if used == nil {
		return
	}
	put(of+"_memory_used_bytes", used.Memory*mib, labels...)
	if used.CPU != nil {
		put(of+"_cpu_used", *used.CPU, labels...)
	}
}

// collectTasks gives the figures of what single tasks and containers use, of so
// many tasks of each service.
func (c *collector) collectTasks(put func(string, float64, ...string), cluster plimsoll.Cluster) {
	told := map[string]int{}
	for _, t := range c.taskViews(cluster) {
		if t.Used == nil || told[t.Service] == maxTargets {
			continue
		}
		told[t.Service]++
		put("task_memory_used_bytes", t.Used.Memory()*mib, t.Service, t.ID)
		if cpu := t.Used.CPU(); cpu != nil {
			put("task_cpu_used", *cpu, t.Service, t.ID)
		}
		for _, u := range t.Used.Containers {
			put("container_memory_used_bytes", u.Memory*mib, t.Service, t.ID, u.Name)
			if u.CPU != nil {
				put("container_cpu_used", *u.CPU, t.Service, t.ID, u.Name)
			}
		}
	}
}

func (c *collector) collectService(put func(string, float64, ...string), v ServiceView) {
	if v.Demand != nil {
		put("service_demand", *v.Demand, v.Name)
	}
	if v.Want != nil {
		put("service_want", float64(*v.Want), v.Name)
		put("service_grant", float64(*v.Grant), v.Name)
	}
	put("service_desired", float64(v.Desired), v.Name)
	put("service_running", float64(v.Running), v.Name)
	put("service_pending", float64(v.Pending), v.Name)
	put("service_protected", float64(v.Protected), v.Name)
}

// maxTargets bounds the tasks of a service that have figures of their own: a
// series for each of thousands would cost more than it tells.
const maxTargets = 200

func (c *collector) collectRouted(out chan<- prometheus.Metric, put func(string, float64, ...string), service string) {
	stats := c.Router.Stats(service)
	put("router_requests_total", float64(stats.Requests), service)
	put("router_errors_total", float64(stats.Errors), service)
	put("router_requests_in_flight", float64(stats.InFlight), service)
	put("router_requests_held", float64(stats.Held), service)
	took := c.Router.Latencies(service)
	buckets := map[float64]uint64{}
	for i, bound := range took.Bounds {
		buckets[bound.Seconds()] = took.Counts[i]
	}
	out <- prometheus.MustNewConstHistogram(c.descs["router_request_seconds"], took.Count, took.Sum.Seconds(), buckets, service)
	seen := map[string]bool{}
	for _, t := range c.Router.Targets(service) {
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

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *server) metrics() http.Handler {
	return promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelError)})
}
