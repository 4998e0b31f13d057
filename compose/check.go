package compose

import (
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// check is what a rule over several keys reports through: the mapping that the
// keys are in.
type check struct {
	*report
	node *node
}

// has tells whether the file names a key.
func (c check) has(key string) bool { return c.node.get(key) != nil }

// key reports at a key's value, or at the mapping if the key is not there.
func (c check) key(key, format string, args ...any) {
	at := c.node.get(key)
	if at == nil {
		at = c.node
	}
	c.at(at, format, args...)
}

// one tells which of the keys is set, and reports unless it is exactly one.
func (c check) one(keys ...string) string {
	found := ""
	for _, key := range keys {
		if !c.has(key) {
			continue
		}
		if found != "" {
			c.key(key, "%q and %q are both set; keep one of: %s", found, key, strings.Join(keys, ", "))
			return found
		}
		found = key
	}
	if found == "" {
		c.at(c.node, "one of these is needed: %s", strings.Join(keys, ", "))
	}
	return found
}

// link checks a URL for a host.
func (c check) link(key, value string) {
	if value == "" {
		return
	}
	if u, err := url.Parse(value); err != nil || u.Host == "" {
		c.key(key, "found %q, allowed: a URL such as https://host/path", value)
	}
}

// check has the rules over the keys that all triggers share.
func (t *Trigger) check(c check) {
	var policies []string
	for _, key := range []string{"mode", "steps", "drainWithin"} {
		if c.has(key) {
			policies = append(policies, key)
		}
	}
	if len(policies) > 1 {
		c.key(policies[1], "%q and %q are both set; keep one of them", policies[0], policies[1])
	}
	for _, key := range policies {
		if t.Type == "cron" || (t.Type == "router" || t.uses()) && key != "steps" {
			c.key(key, "%s is for a reading that counts work to be done; a %s trigger has none", key, t.Type)
		}
	}
	for i := 1; i < len(t.Steps); i++ {
		if t.Steps[i].From <= t.Steps[i-1].From {
			c.at(c.node.get("steps").items[i], "from %v is not over the %v of the step before; write the steps by rising from", t.Steps[i].From, t.Steps[i-1].From)
		}
	}
	if t.Fallback != nil && t.Fallback.Replicas == nil && t.Fallback.LastValueFor == 0 {
		c.key("fallback", "one of these is needed: replicas, lastValueFor")
	}
}

func (r *Router) keys() []string {
	return []string{"concurrency", "requestsPerSecond", "latencyP50", "latencyP99"}
}

func (r *Router) name() string {
	switch {
	case r.Concurrency > 0:
		return "concurrency"
	case r.RequestsPerSecond > 0:
		return "requestsPerSecond"
	case r.LatencyP50 > 0:
		return "latencyP50"
	default:
		return "latencyP99"
	}
}

func (r *Router) check(c check) { c.one(r.keys()...) }

func (q *SQSQueue) name() string {
	if q.Queue != "" {
		return q.Queue
	}
	return path.Base(q.QueueURL)
}

func (q *SQSQueue) check(c check) {
	c.one("queue", "queueURL")
	c.link("queueURL", q.QueueURL)
	c.link("awsEndpoint", q.AWSEndpoint)
	if c.has("mode") && !c.has("queueLength") {
		q.QueueLength = 1
	}
	if q.Queue == "" {
		if c.has("callsPerDay") && c.has("interval") {
			c.key("callsPerDay", "with an interval the queue is read at that; remove one of both")
		}
		return
	}
	for _, key := range []string{"awsRegion", "awsEndpoint", "callsPerDay"} {
		if c.has(key) {
			c.key(key, "%s is for a queueURL; %q is a queue of the engine", key, q.Queue)
		}
	}
}

func (t *Cron) name() string { return t.Start }

func (t *Cron) check(c check) {
	for _, key := range []string{"start", "end"} {
		value := t.Start
		if key == "end" {
			value = t.End
		}
		if _, err := cron.ParseStandard(value); err != nil || strings.Contains(value, "TZ=") {
			c.key(key, "found %q, allowed: cron's five fields (minute, hour, day of month, month, day of week), such as \"0 8 * * 1-5\"", value)
		}
	}
	if t.Start == t.End {
		c.key("end", "end is the same as start (%q); the time in between is empty", t.End)
	}
	if _, err := time.LoadLocation(t.Timezone); err != nil {
		c.key("timezone", "unknown time zone %q; allowed: a name of the IANA database, such as \"Europe/Zurich\"", t.Timezone)
	}
}

func (r *Random) name() string { return "" }

func (r *Random) check(c check) {
	if r.Min > r.Max {
		c.key("min", "min %d is over max %d", r.Min, r.Max)
	}
}

func (s *Script) name() string {
	if len(s.Command) == 3 && s.Command[0] == "/bin/sh" {
		return s.Command[2]
	}
	return s.Command[0]
}

func (s *Script) check(check) {}

func (m *MetricsAPI) name() string {
	if u, err := url.Parse(m.URL); err == nil {
		return u.Host
	}
	return m.URL
}

func (m *MetricsAPI) check(c check) { c.link("url", m.URL) }

func (p *Prometheus) name() string {
	if u, err := url.Parse(p.ServerAddress); err == nil {
		return u.Host
	}
	return p.ServerAddress
}

func (p *Prometheus) check(c check) { c.link("serverAddress", p.ServerAddress) }

// Headers are the custom headers by name.
func (p *Prometheus) Headers() map[string]string {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(p.CustomHeaders, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return headers
}

func (p *PostgreSQL) name() string {
	if u, err := url.Parse(p.Connection); err == nil && u.Host != "" {
		return u.Host + u.Path
	}
	return ""
}

func (p *PostgreSQL) check(check) {}

// Engine tells whether the metric is one of the engine's own CloudWatch.
func (w *CloudWatch) Engine() bool { return w.AWSEndpoint == "engine" }

func (w *CloudWatch) name() string {
	if w.MetricName != "" {
		return strings.TrimSpace(w.MetricName + " " + w.DimensionValue)
	}
	return w.Expression
}

func (w *CloudWatch) check(c check) {
	if c.one("metricName", "expression") == "expression" {
		for _, key := range []string{"namespace", "dimensionName", "dimensionValue", "metricStat", "metricUnit"} {
			if c.has(key) {
				c.key(key, "%s is for a metricName; an expression names its metrics itself", key)
			}
		}
		if w.Engine() {
			c.key("expression", "the engine's own CloudWatch computes no expressions; name a metric of it by namespace and metricName")
		}
	} else if w.MetricName != "" && w.Namespace == "" {
		c.key("metricName", "namespace is missing; allowed: text, such as \"AWS/SQS\"")
	}
	if names, values := strings.Count(w.DimensionName, ";"), strings.Count(w.DimensionValue, ";"); names != values || c.has("dimensionName") != c.has("dimensionValue") {
		c.key("dimensionValue", "dimensionName %q and dimensionValue %q are to have the same number of parts, with semicolons between them", w.DimensionName, w.DimensionValue)
	}
	if p := w.MetricStatPeriod; p%60 != 0 && p != 1 && p != 5 && p != 10 && p != 20 && p != 30 {
		c.key("metricStatPeriod", "found %d, allowed: 1, 5, 10, 20, 30, or a multiple of 60", p)
	} else if w.MetricCollectionTime%p != 0 {
		c.key("metricCollectionTime", "found %d, allowed: a multiple of metricStatPeriod, which is %d", w.MetricCollectionTime, p)
	}
	if c.has("minMetricValue") && !w.IgnoreNullValues {
		c.key("minMetricValue", "minMetricValue is the value where there is no datapoint; set ignoreNullValues: true with it, or remove it")
	}
	if !w.Engine() {
		c.link("awsEndpoint", w.AWSEndpoint)
	}
}

// uses tells whether a trigger follows what the tasks themselves use.
func (t *Trigger) uses() bool { return t.Type == "cpu" || t.Type == "memory" }

func (c *CPU) name() string { return "" }

func (c *CPU) check(check) {}

func (m *Memory) name() string { return "" }

func (m *Memory) check(check) {}
