package app

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/demand"
	"plimsoll/demand/cloudwatch"
	"plimsoll/demand/cron"
	"plimsoll/demand/metricsapi"
	"plimsoll/demand/postgresql"
	"plimsoll/demand/prometheus"
	"plimsoll/demand/random"
	demandrouter "plimsoll/demand/router"
	"plimsoll/demand/script"
	"plimsoll/demand/sqs"
	demandusage "plimsoll/demand/usage"
	"plimsoll/engine/usage"
	"plimsoll/router"
)

// awsAccess is how AWS is reached: the embedded engine's endpoint and key, or
// nothing for what the environment names.
type awsAccess struct {
	Endpoint    string
	Region      string
	Credentials aws.CredentialsProvider
}

// sources makes the sources of the services' triggers.
type sources struct {
	project *compose.Project
	aws     awsAccess
	// router is nil where Plimsoll routes nothing itself.
	router *router.Router
	// meter is nil where Plimsoll runs no tasks itself.
	meter demandusage.Meter
	// arrivals, if any, gives the notices of the engine's own queues.
	arrivals *arrivals
}

// services are the services under control, with their sources.
func (m sources) services() ([]control.Service, error) {
	var out []control.Service
	for _, s := range m.project.Services {
		service := control.Service{Policy: policy(s, m.project.Prices)}
		for _, t := range s.Scaling.Triggers {
			source, err := m.source(s, t)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: services.%s: trigger %q: %w", m.project.File, s.Line, s.Name, t.Name, err)
			}
			service.Sources = append(service.Sources, control.Source{Source: source, Interval: t.Interval, Timeout: readTimeout(t), MaxAge: maxAge(t)})
		}
		out = append(out, service)
	}
	return out, nil
}

// readTimeout leaves a script the time that it was given; 0 is the default.
func readTimeout(t compose.Trigger) time.Duration {
	if p, ok := t.Parameters.(*compose.Script); ok {
		return p.Timeout + time.Second
	}
	return 0
}

func (m sources) source(s compose.Service, t compose.Trigger) (demand.Source, error) {
	switch p := t.Parameters.(type) {
	case *compose.Router:
		return m.routed(s, p)
	case *compose.SQSQueue:
		return m.queue(t, p)
	case *compose.Cron:
		return cron.New(cron.Options{Start: p.Start, End: p.End, Timezone: p.Timezone, DesiredReplicas: p.DesiredReplicas})
	case *compose.Random:
		return random.New(random.Options{Seed: uint64(p.Seed), Min: int(p.Min), Max: int(p.Max), Period: p.Period})
	case *compose.Script:
		return script.New(script.Options{Command: p.Command, Dir: m.project.Dir, Timeout: p.Timeout})
	case *compose.MetricsAPI:
		return metricsapi.New(metricsapi.Options{URL: p.URL, ValueLocation: p.ValueLocation, Format: p.Format})
	case *compose.Prometheus:
		return prometheus.New(prometheus.Options{
			ServerAddress: p.ServerAddress, Query: p.Query, IgnoreNullValues: p.IgnoreNullValues, Headers: p.Headers(),
		})
	case *compose.CPU:
		return m.used(s, demandusage.CPU, p.Value, reservedOf(p.Relative(), s.Reserved.CPU))
	case *compose.Memory:
		return m.used(s, demandusage.Memory, p.Value, reservedOf(p.Relative(), s.Reserved.Memory))
	case *compose.CloudWatch:
		return m.metric(p)
	case *compose.PostgreSQL:
		return postgresql.New(postgresql.Options{Connection: p.Connection, Query: p.Query})
	}
	return nil, fmt.Errorf("type %q has no source", t.Type)
}

func (m sources) routed(s compose.Service, p *compose.Router) (demand.Source, error) {
	if m.router == nil {
		return nil, fmt.Errorf("a router trigger reads Plimsoll's own router, which runs with `plimsoll up` only; use another trigger here")
	}
	metric := demandrouter.LatencyP99
	switch {
	case p.Concurrency > 0:
		metric = demandrouter.Concurrency
	case p.RequestsPerSecond > 0:
		metric = demandrouter.RequestsPerSecond
	case p.LatencyP50 > 0:
		metric = demandrouter.LatencyP50
	}
	return demandrouter.New(demandrouter.Options{
		Service: s.Name, Metric: metric, Stats: m.router, Pressure: m.router.Pressure(s.Name),
	})
}

// A queue that gives no notices is read at a pace between these.
const (
	leastPoll = time.Second
	mostPoll  = 30 * time.Second
)

// paced tells whether the source itself says when it is to be read.
func paced(t compose.Trigger) bool {
	p, ok := t.Parameters.(*compose.SQSQueue)
	return ok && p.QueueURL != "" && t.Interval == 0
}

// maxAge is when a reading has gone stale, 0 for the loop's default.
func maxAge(t compose.Trigger) time.Duration {
	switch t.Parameters.(type) {
	case *compose.CPU, *compose.Memory:
		return max(3*t.Interval, 4*usage.MostRest)
	}
	return 0
}

// reservedOf is the reservation that readings are in percent of; 0 for none.
func reservedOf(relative bool, reserved int64) float64 {
	if relative {
		return float64(reserved)
	}
	return 0
}

func (m sources) used(s compose.Service, r demandusage.Resource, target, reserved float64) (demand.Source, error) {
	if m.meter == nil {
		return nil, fmt.Errorf("a %s trigger reads what Plimsoll's own engine measures, which runs with `plimsoll up` only; use another trigger here, such as one on a metric of the platform's", r)
	}
	return demandusage.New(demandusage.Options{Service: s.Name, Resource: r, Target: target, Reserved: reserved, Meter: m.meter})
}

func (m sources) queue(t compose.Trigger, p *compose.SQSQueue) (demand.Source, error) {
	o := sqs.Options{
		QueueURL: p.QueueURL, Queue: p.Queue,
		Region:         cmp.Or(p.AWSRegion, m.aws.Region),
		Endpoint:       p.AWSEndpoint,
		IgnoreInFlight: !p.ScaleOnInFlight, Delayed: p.ScaleOnDelayed,
	}
	if paced(t) {
		o.Pace = &sqs.Pace{Least: leastPoll, Most: mostPoll, CallsPerDay: p.CallsPerDay}
	}
	// A queue elsewhere is reached as the environment says; one of the engine's
	// own, by the engine's key.
	if own := p.Queue != "" && p.AWSEndpoint == ""; own {
		o.Endpoint, o.Credentials = m.aws.Endpoint, m.aws.Credentials
		if m.arrivals != nil {
			o.Changed = m.arrivals.of(p.Queue)
		}
	}
	return sqs.New(o)
}

// metric is a metric elsewhere, which is reached as the environment says, or one of
// the engine's own, by the engine's key.
func (m sources) metric(p *compose.CloudWatch) (demand.Source, error) {
	o := cloudwatch.Options{
		Namespace: p.Namespace, MetricName: p.MetricName, Expression: p.Expression, Stat: p.MetricStat, Unit: p.MetricUnit,
		Period: time.Duration(p.MetricStatPeriod) * time.Second, Window: time.Duration(p.MetricCollectionTime) * time.Second,
		Offset: time.Duration(p.MetricEndTimeOffset) * time.Second,
		Region: cmp.Or(p.AWSRegion, m.aws.Region), Endpoint: p.AWSEndpoint,
	}
	if p.IgnoreNullValues {
		o.Null = &p.MinMetricValue
	}
	if names := p.DimensionName; names != "" {
		values := strings.Split(p.DimensionValue, ";") // as many as the names
		for i, name := range strings.Split(names, ";") {
			o.Dimensions = append(o.Dimensions, cloudwatch.Dimension{Name: strings.TrimSpace(name), Value: strings.TrimSpace(values[i])})
		}
	}
	if p.Engine() {
		if m.aws.Endpoint == "" {
			return nil, fmt.Errorf("awsEndpoint engine is the CloudWatch of Plimsoll's own engine, which runs with `plimsoll up` only; leave it out here")
		}
		o.Endpoint, o.Credentials = m.aws.Endpoint, m.aws.Credentials
	}
	return cloudwatch.New(o)
}

// arrivals hands on the notices of the engine's queues to the sources that
// read them, by the queue's name.
type arrivals struct {
	mu     sync.Mutex
	queues map[string][]chan struct{}
}

// of gives a channel that holds at most one notice of an arrival.
func (a *arrivals) of(queue string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queues == nil {
		a.queues = map[string][]chan struct{}{}
	}
	notice := make(chan struct{}, 1)
	a.queues[queue] = append(a.queues[queue], notice)
	return notice
}

// arrived tells those who read the queue that a message came.
func (a *arrivals) arrived(queue string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, notice := range a.queues[queue] {
		signal(notice)
	}
}

// signal leaves a notice in a channel that holds one, if there is none yet.
func signal(notice chan struct{}) {
	select {
	case notice <- struct{}{}:
	default:
	}
}
