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
	byRoute   = []string{"service", "route"}
	byHost    = []string{"host", "zone"}
	// A container's series are bounded by maxTargets tasks of each service.
	byContainer = []string{"service", "task", "container"}
)

// buildHelp is of the metric that every program has.
const buildHelp = "The version of the program; always 1."

// figures are the metrics of the loop and its cluster.
var figures = []metric{
	{"build_info", buildHelp, prometheus.GaugeValue, []string{"version", "goversion"}},
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
}

// figureSet is a list of figures as Prometheus has them.
type figureSet struct {
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
}

func newFigureSet(list []metric) figureSet {
	f := figureSet{descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}}
	for _, m := range list {
		f.descs[m.name] = prometheus.NewDesc("plimsoll_"+m.name, m.help, m.labels, nil)
		f.kinds[m.name] = m.kind
	}
	return f
}

// Describe implements prometheus.Collector.
func (f figureSet) Describe(out chan<- *prometheus.Desc) {
	for _, name := range slices.Sorted(maps.Keys(f.descs)) {
		out <- f.descs[name]
	}
}

// to gives a function that sends one figure's value.
func (f figureSet) to(out chan<- prometheus.Metric) func(name string, value float64, labels ...string) {
	return func(name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(f.descs[name], f.kinds[name], value, labels...)
	}
}

// collector gives the loop's last state as metrics at the time of a scrape; it
// keeps no figure of its own.
type collector struct {
	Options
	figureSet
}

func newCollector(o Options) *collector { return &collector{o, newFigureSet(figures)} }

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	put := c.to(out)
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

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *server) metrics() http.Handler { return scrapes(s.Registry, s.Log) }

func scrapes(from prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(from, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)})
}
