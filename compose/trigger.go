package compose

import (
	"slices"
	"strings"
	"time"
)

// Trigger is one reading that a service's count follows.
type Trigger struct {
	// Type is one of TriggerTypes.
	Type string `yaml:"type" jsonschema:"required" jsonschema_description:"The kind of trigger, by KEDA's names."`
	// Name is unique within its service.
	Name     string        `yaml:"name" jsonschema_description:"How reasons and readings name the trigger; without it its type and what it reads."`
	Interval time.Duration `yaml:"interval" jsonschema:"minimum=0s,maximum=1h" jsonschema_description:"The shortest time between two readings, unless the source says itself that it has changed."`
	// Fallback is nil where the last count is held.
	Fallback *Fallback `yaml:"fallback" jsonschema_description:"What holds while the reading fails; without it the last count is held."`
	// At most one of Mode, Steps and DrainWithin is set.
	Mode        string        `yaml:"mode" jsonschema:"enum=job" jsonschema_description:"job: one task for each message, exactly and at once, whatever the windows, the rates and the tolerance."`
	Steps       []Step        `yaml:"steps" jsonschema:"minItems=1" jsonschema_description:"A map from the reading to the count, in place of the target: from each break point on exactly so many tasks are wanted, and none below the first."`
	DrainWithin time.Duration `yaml:"drainWithin" jsonschema:"minimum=1s,maximum=24h" jsonschema_description:"The time within which each piece of work is to be done, by the rate at which the tasks are seen to work. Until that is known, the target holds."`
	// Parameters are those of the trigger's type: *Router, *SQSQueue, *Cron,
	// *Random, *Script, *MetricsAPI, *Prometheus, *PostgreSQL, *CloudWatch, *CPU
	// or *Memory.
	Parameters Parameters
}

// Parameters are a trigger's own keys, by its type.
type Parameters interface {
	// name is what tells the trigger from others of its type.
	name() string
	check(c check)
}

// Fallback is the count to want while a reading fails.
type Fallback struct {
	Replicas     *int          `yaml:"replicas" jsonschema:"minimum=0,maximum=5000" jsonschema_description:"The number of tasks to want meanwhile, if it is more than there are."`
	LastValueFor time.Duration `yaml:"lastValueFor" jsonschema:"minimum=1s,maximum=24h" jsonschema_description:"How long the last good value stands in, from when it was read; after that replicas, or the last count. One of both keys is needed."`
}

// Step is a break point.
type Step struct {
	From  float64 `yaml:"from" jsonschema:"required,minimum=0" jsonschema_description:"The reading from which on the step holds."`
	Tasks int     `yaml:"tasks" jsonschema:"required,minimum=0,maximum=5000" jsonschema_description:"The number of tasks."`
}

// Router follows what the router measures of the service's own requests.
// Exactly one of its keys is set.
type Router struct {
	Concurrency       float64       `yaml:"concurrency" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Requests in flight for each task."`
	RequestsPerSecond float64       `yaml:"requestsPerSecond" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Requests per second for each task."`
	LatencyP50        time.Duration `yaml:"latencyP50" jsonschema:"minimum=1ms,maximum=10m" jsonschema_description:"The median latency to hold."`
	LatencyP99        time.Duration `yaml:"latencyP99" jsonschema:"minimum=1ms,maximum=10m" jsonschema_description:"The 99th percentile of the latency to hold."`
}

// SQSQueue follows the length of an SQS queue. One of Queue (of the engine,
// made if absent) and QueueURL is set.
type SQSQueue struct {
	Queue                 string  `yaml:"queue" jsonschema:"pattern=^[A-Za-z0-9_-]{1\\,80}(\\.fifo)?$" words:"letters, digits, - and _, at most 80, and .fifo after them if it is one" jsonschema_description:"The name of a queue of the engine, made if absent. Either this or queueURL."`
	QueueURL              string  `yaml:"queueURL" jsonschema:"pattern=^https?://" words:"a URL that begins with http:// or https://" jsonschema_description:"The URL of a queue that is there already."`
	QueueLength           float64 `yaml:"queueLength" jsonschema:"default=5,exclusiveMinimum=0" jsonschema_description:"Messages for each task."`
	ActivationQueueLength float64 `yaml:"activationQueueLength" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under so many messages the queue counts as idle, and the count may go to 0."`
	AWSRegion             string  `yaml:"awsRegion" jsonschema:"pattern=^[a-z]{2}(-[a-z]+)+-[0-9]$" words:"a region such as eu-central-1" jsonschema_description:"The queue's region; without it that of the environment."`
	AWSEndpoint           string  `yaml:"awsEndpoint" jsonschema:"pattern=^https?://" words:"a URL that begins with http:// or https://" jsonschema_description:"The endpoint of SQS; without it that of the environment."`
	ScaleOnInFlight       bool    `yaml:"scaleOnInFlight" jsonschema:"default=true" jsonschema_description:"Messages that are being worked on count as well."`
	ScaleOnDelayed        bool    `yaml:"scaleOnDelayed" jsonschema:"default=false" jsonschema_description:"Delayed messages count as well."`
	CallsPerDay           int     `yaml:"callsPerDay" jsonschema:"default=20000,minimum=3000,maximum=90000" jsonschema_description:"The most calls in a day for a queueURL without an interval, which is read every second while there are messages, every 30 s while there are none, and less often than every second when the calls run short."`
}

// Cron wants a number of tasks between two times.
type Cron struct {
	Start           string `yaml:"start" jsonschema:"required,example=0 8 * * 1-5" jsonschema_description:"When it begins, in cron's five fields."`
	End             string `yaml:"end" jsonschema:"required,example=0 18 * * 1-5" jsonschema_description:"When it ends, in cron's five fields."`
	Timezone        string `yaml:"timezone" jsonschema:"default=UTC,example=Europe/Zurich" jsonschema_description:"The time zone of both, as the IANA database names it."`
	DesiredReplicas int    `yaml:"desiredReplicas" jsonschema:"required,minimum=1,maximum=5000" jsonschema_description:"The number of tasks in between."`
}

// Random wants what a seeded generator says, to try a configuration out.
type Random struct {
	Seed   int64         `yaml:"seed" jsonschema:"default=1,minimum=0" jsonschema_description:"The same seed gives the same demand."`
	Min    int           `yaml:"min" jsonschema:"default=0,minimum=0" jsonschema_description:"The smallest demand."`
	Max    int           `yaml:"max" jsonschema:"required,minimum=0" jsonschema_description:"The greatest demand."`
	Period time.Duration `yaml:"period" jsonschema:"default=10s,minimum=100ms,maximum=24h" jsonschema_description:"How long each demand lasts."`
	Target float64       `yaml:"target" jsonschema:"default=1,exclusiveMinimum=0" jsonschema_description:"Demand for each task."`
}

// Script follows the number that a command prints.
type Script struct {
	Command               Command       `yaml:"command" jsonschema:"required" jsonschema_description:"The command that prints a number: a list, or a text for /bin/sh -c. It runs in the file's folder."`
	Timeout               time.Duration `yaml:"timeout" jsonschema:"default=5s,minimum=10ms,maximum=5m" jsonschema_description:"The longest time that it may take."`
	TargetValue           float64       `yaml:"targetValue" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	ActivationTargetValue float64       `yaml:"activationTargetValue" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`
}

// Command is a program with its arguments; in the file a list, or a text for
// /bin/sh -c.
type Command []string

// MetricsAPI follows a number in the JSON answer of a URL.
type MetricsAPI struct {
	URL                   string  `yaml:"url" jsonschema:"required,pattern=^https?://" words:"a URL that begins with http:// or https://" jsonschema_description:"What is asked for (GET)."`
	ValueLocation         string  `yaml:"valueLocation" jsonschema:"required,example=queues.0.depth" jsonschema_description:"Where the number is in the answer, as a GJSON path."`
	TargetValue           float64 `yaml:"targetValue" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	ActivationTargetValue float64 `yaml:"activationTargetValue" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`
	Format                string  `yaml:"format" jsonschema:"default=json,enum=json" jsonschema_description:"The format of the answer."`
}

// Prometheus follows the result of a query.
type Prometheus struct {
	ServerAddress       string  `yaml:"serverAddress" jsonschema:"required,pattern=^https?://" words:"a URL that begins with http:// or https://" jsonschema_description:"The server's address."`
	Query               string  `yaml:"query" jsonschema:"required,example=sum(jobs_waiting)" jsonschema_description:"A PromQL expression of one number."`
	Threshold           float64 `yaml:"threshold" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	ActivationThreshold float64 `yaml:"activationThreshold" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`
	IgnoreNullValues    bool    `yaml:"ignoreNullValues" jsonschema:"default=false" jsonschema_description:"An empty result counts as 0, as by KEDA's default; without it the demand is unknown then."`
	CustomHeaders       string  `yaml:"customHeaders" jsonschema:"pattern=^[^=\\,]+=[^\\,]*(\\,[^=\\,]+=[^\\,]*)*$" words:"NAME=VALUE pairs with commas between them" jsonschema_description:"Headers of each request, such as X-Scope-OrgID=team,Authorization=Bearer ${TOKEN}."`
}

// PostgreSQL follows the one number that a query gives.
type PostgreSQL struct {
	Connection                 string  `yaml:"connection" jsonschema:"required,example=postgres://me:${PASSWORD}@db/shop" jsonschema_description:"A URL, or key=value pairs; what it does not name comes from the environment (PGHOST and so on)."`
	Query                      string  `yaml:"query" jsonschema:"required,example=SELECT count(*) FROM jobs WHERE state = 'waiting'" jsonschema_description:"A query that gives one row with one number. It can only read."`
	TargetQueryValue           float64 `yaml:"targetQueryValue" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	ActivationTargetQueryValue float64 `yaml:"activationTargetQueryValue" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`
}

// CloudWatch follows the newest datapoint of a metric of CloudWatch, or of an
// expression. One of MetricName and Expression is set.
type CloudWatch struct {
	Namespace                   string  `yaml:"namespace" jsonschema:"example=AWS/SQS" jsonschema_description:"The metric's namespace."`
	MetricName                  string  `yaml:"metricName" jsonschema:"example=ApproximateNumberOfMessagesVisible" jsonschema_description:"The metric. Either this or expression."`
	DimensionName               string  `yaml:"dimensionName" jsonschema:"example=QueueName" jsonschema_description:"The names of its dimensions, with semicolons between them."`
	DimensionValue              string  `yaml:"dimensionValue" jsonschema:"example=jobs" jsonschema_description:"Their values, in the same order."`
	Expression                  string  `yaml:"expression" jsonschema:"example=SELECT MAX(ApproximateNumberOfMessagesVisible) FROM \"AWS/SQS\"" jsonschema_description:"A Metrics Insights query, or metric math, that gives one series. The engine's own CloudWatch has none."`
	TargetMetricValue           float64 `yaml:"targetMetricValue" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	ActivationTargetMetricValue float64 `yaml:"activationTargetMetricValue" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`
	MinMetricValue              float64 `yaml:"minMetricValue" jsonschema:"default=0,minimum=0" jsonschema_description:"The value where there is no datapoint, with ignoreNullValues."`
	IgnoreNullValues            bool    `yaml:"ignoreNullValues" jsonschema:"default=false" jsonschema_description:"No datapoint counts as minMetricValue, as by KEDA's default; without it the demand is unknown then."`
	MetricStat                  string  `yaml:"metricStat" jsonschema:"default=Average,pattern=^(Average|Sum|Minimum|Maximum|SampleCount|IQM|(p|tm|wm|tc|ts|pr|TM|WM|TC|TS|PR)[0-9(].*)$" words:"Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99" jsonschema_description:"The statistic of a metric."`
	MetricStatPeriod            int     `yaml:"metricStatPeriod" jsonschema:"default=300,minimum=1,maximum=86400" jsonschema_description:"The length of a datapoint, in seconds: 1, 5, 10, 20, 30, or a multiple of 60."`
	MetricCollectionTime        int     `yaml:"metricCollectionTime" jsonschema:"default=300,minimum=1,maximum=86400" jsonschema_description:"How far back the newest datapoint may be, in seconds: a multiple of metricStatPeriod. Periods that are not over are not read."`
	MetricEndTimeOffset         int     `yaml:"metricEndTimeOffset" jsonschema:"default=0,minimum=0,maximum=86400" jsonschema_description:"How long datapoints take to be whole, in seconds."`
	MetricUnit                  string  `yaml:"metricUnit" jsonschema:"example=Count" jsonschema_description:"The unit whose samples count; without it all."`
	AWSRegion                   string  `yaml:"awsRegion" jsonschema:"pattern=^[a-z]{2}(-[a-z]+)+-[0-9]$" words:"a region such as eu-central-1" jsonschema_description:"The metric's region; without it that of the environment."`
	AWSEndpoint                 string  `yaml:"awsEndpoint" jsonschema:"pattern=^(engine|https?://.*)$" words:"engine, or a URL that begins with http:// or https://" jsonschema_description:"The endpoint of CloudWatch; without it that of the environment. engine is the engine's own, with plimsoll up."`
}

// CPU follows the CPU that the service's own tasks use, on average.
type CPU struct {
	MetricType string  `yaml:"metricType" jsonschema:"default=Utilization,enum=Utilization,enum=AverageValue" jsonschema_description:"Utilization: the value is in percent of what a task reserves. AverageValue: in CPU units; 1024 are one virtual CPU."`
	Value      float64 `yaml:"value" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"The use of a task to be held."`
}

// Memory follows the memory that the service's own tasks use, on average.
type Memory struct {
	MetricType string  `yaml:"metricType" jsonschema:"default=Utilization,enum=Utilization,enum=AverageValue" jsonschema_description:"Utilization: the value is in percent of what a task reserves. AverageValue: in MiB."`
	Value      float64 `yaml:"value" jsonschema:"required,exclusiveMinimum=0" jsonschema_description:"The use of a task to be held."`
}

// utilization is the metric type that is in percent of the reservation.
const utilization = "Utilization"

// Relative tells whether the value is in percent of the reservation.
func (c *CPU) Relative() bool { return c.MetricType == utilization }

// Relative tells whether the value is in percent of the reservation.
func (m *Memory) Relative() bool { return m.MetricType == utilization }

// triggerType is a kind of trigger that is supported.
type triggerType struct {
	name, doc string
	// interval is the default of the key of that name; 0 reads at each step.
	interval time.Duration
	make     func() Parameters
}

func triggerTypes() []triggerType {
	return []triggerType{
		{"router", "Follows what the router measures of the service's own requests: exactly one of its keys is set.", 0, func() Parameters { return &Router{} }},
		{"aws-sqs-queue", "Follows the length of an SQS queue.", 2 * time.Second, func() Parameters { return &SQSQueue{} }},
		{"cron", "Wants a number of tasks between two times.", 0, func() Parameters { return &Cron{} }},
		{"random", "Wants what a seeded generator says, to try a configuration out.", 0, func() Parameters { return &Random{} }},
		{"script", "Follows the number that a command prints.", 10 * time.Second, func() Parameters { return &Script{} }},
		{"metrics-api", "Follows a number in the JSON answer of a URL.", 5 * time.Second, func() Parameters { return &MetricsAPI{} }},
		{"prometheus", "Follows the result of a query to a Prometheus server.", 5 * time.Second, func() Parameters { return &Prometheus{} }},
		{"postgresql", "Follows the number that a query of a PostgreSQL database gives.", 5 * time.Second, func() Parameters { return &PostgreSQL{} }},
		{"aws-cloudwatch", "Follows the newest datapoint of a metric of Amazon CloudWatch, or of an expression.", 30 * time.Second, func() Parameters { return &CloudWatch{} }},
		{"cpu", "Holds the CPU that the service's own tasks use, on average over those that run. It is measured every 5 to 15 s by the embedded engine. Such a trigger alone needs a min of 1, for at 0 tasks there is nothing to measure.", 5 * time.Second, func() Parameters { return &CPU{} }},
		{"memory", "Holds the memory that the service's own tasks use, as cpu does.", 5 * time.Second, func() Parameters { return &Memory{} }},
	}
}

// TriggerTypes are the types of trigger that a file may name.
func TriggerTypes() []string {
	var names []string
	for _, t := range triggerTypes() {
		names = append(names, t.name)
	}
	return names
}

// plannedTriggers are KEDA's names that mean something, and are not there yet.
func plannedTriggers() []string {
	return []string{
		"aws-dynamodb", "external", "external-push", "kafka", "mysql", "nats-jetstream",
		"rabbitmq", "redis", "redis-streams",
	}
}

// decodeTrigger reads one item of triggers.
func (d *decoder) decodeTrigger(n *node) Trigger {
	var t Trigger
	if !d.isMapping(n) {
		return t
	}
	at := n.get("type")
	if at == nil {
		d.at(n, "type is missing; allowed: %s", strings.Join(TriggerTypes(), ", "))
		return t
	}
	if !d.text(at, &t.Type) {
		return t
	}
	types := triggerTypes()
	i := slices.IndexFunc(types, func(k triggerType) bool { return k.name == t.Type })
	if i < 0 {
		if slices.Contains(plannedTriggers(), t.Type) {
			d.at(at, "the trigger %q is not yet supported; supported are: %s", t.Type, strings.Join(TriggerTypes(), ", "))
		} else {
			d.at(at, "%s", unknown("trigger", t.Type, TriggerTypes(), nil))
		}
		return t
	}
	t.Parameters = types[i].make()
	before := len(d.errors)
	d.structs(n, &t, t.Parameters)
	if n.get("interval") == nil {
		t.Interval = types[i].interval
		if q, ok := t.Parameters.(*SQSQueue); ok && q.QueueURL != "" {
			t.Interval = 0 // by callsPerDay
		}
	}
	if len(d.errors) > before {
		return t
	}
	t.check(check{d.report, n})
	t.Parameters.check(check{d.report, n})
	if t.Name == "" {
		t.Name = strings.TrimSpace(t.Type + " " + t.Parameters.name())
	}
	return t
}

// uniqueNames reports triggers of one service that have the same name.
func (d *decoder) uniqueNames(list *node, triggers []Trigger) {
	taken := map[string]bool{}
	for i, t := range triggers {
		if t.Name != "" && taken[t.Name] {
			d.at(list.items[i], "a trigger named %q is there already; give it another name", t.Name)
		}
		taken[t.Name] = true
	}
}
