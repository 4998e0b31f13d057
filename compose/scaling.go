package compose

import (
	"time"

	"plimsoll"
)

// The structs of this file and of trigger.go are the x-plimsoll extension: the
// decoder, the JSON Schema and the reference are all made from them. The tag
// yaml names a key; jsonschema holds its bounds and its default,
// words says a pattern for people, and jsonschema_description documents it.

// extension is the x-plimsoll section at the top level.
type extension struct {
	Eviction            Eviction      `yaml:"eviction" jsonschema_description:"How tasks give way to services of higher priority."`
	Budget              *Budget       `yaml:"budget" jsonschema_description:"The capacity to divide on a cluster without container instances (Fargate). Without it such a cluster has room for all that is wanted."`
	Prices              Prices        `yaml:"prices" jsonschema_description:"What capacity costs in an hour, for spend.cost."`
	Hosts               hosts         `yaml:"hosts" jsonschema_description:"The logical hosts (container instances) of the embedded engine."`
	DeregistrationDelay time.Duration `yaml:"deregistrationDelay" jsonschema:"default=30s,minimum=0s,maximum=1h" jsonschema_description:"The longest time for which a task that is to stop is kept for the requests that it still has, before it is sent the stop signal. Under plimsoll run nobody can tell when they have ended: there they get all of it."`
}

type hosts struct {
	Count        int           `yaml:"count" jsonschema:"default=3,minimum=1,maximum=10000" jsonschema_description:"The number of hosts. With max it is the number to begin with."`
	Min          int           `yaml:"min" jsonschema:"default=0,minimum=0,maximum=10000" jsonschema_description:"With max: the fewest hosts."`
	Max          int           `yaml:"max" jsonschema:"default=0,minimum=0,maximum=10000" jsonschema_description:"The most hosts. With it, hosts come for tasks that find no room, and go when what they have fits on the others. Without it there are always count of them."`
	LaunchTime   time.Duration `yaml:"launchTime" jsonschema:"default=3s,minimum=1ms,maximum=1h" jsonschema_description:"How long a host of the embedded engine takes to come."`
	Groups       []string      `yaml:"groups" jsonschema_description:"For plimsoll run: the Auto Scaling groups whose hosts come and go in the same way, within the groups' own bounds. Without it the hosts are left as they are."`
	Headroom     Headroom      `yaml:"headroom" jsonschema_description:"Room that is kept free, so that a task need not wait for a host."`
	LaunchAtOnce int           `yaml:"launchAtOnce" jsonschema:"default=10,minimum=1,maximum=1000" jsonschema_description:"The most hosts that one decision launches."`
	ScaleIn      HostsIn       `yaml:"scaleIn" jsonschema_description:"When hosts go."`
	Zones        int           `yaml:"zones" jsonschema:"default=3,minimum=1,maximum=26" jsonschema_description:"The number of availability zones that the hosts are spread over, at most one for each host."`
	CPU          int64         `yaml:"cpu" jsonschema:"default=1024,minimum=1,maximum=1048576" jsonschema_description:"CPU units of each host; 1024 are one virtual CPU."`
	Memory       MiB           `yaml:"memory" jsonschema:"default=1024M,minimum=1" jsonschema_description:"Memory of each host."`
}

// Headroom is room for so many tasks of a size.
type Headroom struct {
	Tasks  int   `yaml:"tasks" jsonschema:"default=0,minimum=0,maximum=5000" jsonschema_description:"The number of tasks that there is to be room for."`
	CPU    int64 `yaml:"cpu" jsonschema:"default=128,minimum=1" jsonschema_description:"CPU units of each."`
	Memory MiB   `yaml:"memory" jsonschema:"default=64M,minimum=1" jsonschema_description:"Memory of each."`
}

// HostsIn says when hosts go.
type HostsIn struct {
	Off          bool          `yaml:"off" jsonschema:"default=false" jsonschema_description:"No host goes."`
	Stable       time.Duration `yaml:"stable" jsonschema:"default=5m,minimum=1s,maximum=24h" jsonschema_description:"For how long room is kept for the most that each service wanted, and how long after hosts have come none goes. It grows, up to an hour, while hosts come soon after one has gone."`
	Batch        float64       `yaml:"batch" jsonschema:"default=0.1,exclusiveMinimum=0,maximum=1" jsonschema_description:"The share of the hosts that may be on their way out at a time; one always may."`
	MinPerZone   int           `yaml:"minPerZone" jsonschema:"default=0,minimum=0" jsonschema_description:"The fewest hosts that stay in each zone."`
	DrainTimeout time.Duration `yaml:"drainTimeout" jsonschema:"default=1h,minimum=1s,maximum=48h" jsonschema_description:"How long a host may drain; then stuck says what is done."`
	Stuck        string        `yaml:"stuck" jsonschema:"default=undrain,enum=undrain,enum=wait,enum=terminate" jsonschema_description:"What is done with a host that has drained for too long: it takes tasks again, is waited for, or is terminated with what runs there (never with a protected task)."`
	CPU          HostMetric    `yaml:"cpu" jsonschema_description:"Bounds on the reserved CPU of all hosts."`
	Memory       HostMetric    `yaml:"memory" jsonschema_description:"Bounds on the reserved memory of all hosts."`
}

// HostMetric is a threshold on a metric of all hosts together, in percent.
type HostMetric struct {
	Below float64 `yaml:"below" jsonschema:"default=0,minimum=0,maximum=100" jsonschema_description:"Hosts with tasks go only while the metric is below this; 0: whatever it is."`
	After float64 `yaml:"after" jsonschema:"default=100,minimum=1,maximum=100" jsonschema_description:"Hosts go only if the metric is at most this when all of them have gone."`
}

// Eviction bounds how tasks give way.
type Eviction struct {
	PerPass int           `yaml:"perPass" jsonschema:"default=100,minimum=1,maximum=5000" jsonschema_description:"The most tasks that give way in one decision, but for those that a single place needs; the next follows within a second."`
	Quiet   time.Duration `yaml:"quiet" jsonschema:"default=5s,minimum=0s,maximum=1h" jsonschema_description:"How long a service that gave way gets no more than it has and its min, so that it is not refilled and taken from again at once."`
}

// Budget is the capacity of a cluster without container instances.
type Budget struct {
	CPU    int64 `yaml:"cpu" jsonschema:"required,minimum=1" jsonschema_description:"CPU units of all tasks together; 1024 are one virtual CPU."`
	Memory MiB   `yaml:"memory" jsonschema:"required,minimum=1" jsonschema_description:"Memory of all tasks together."`
}

// Prices are those of one hour, in any currency.
type Prices struct {
	CPU    float64 `yaml:"cpu" jsonschema:"default=0,minimum=0" jsonschema_description:"The price of one virtual CPU (1024 CPU units) for an hour."`
	Memory float64 `yaml:"memory" jsonschema:"default=0,minimum=0" jsonschema_description:"The price of 1 GiB of memory for an hour."`
}

// Hourly is what resources cost in an hour.
func (p Prices) Hourly(r plimsoll.Resources) float64 {
	return float64(r.CPU)/1024*p.CPU + float64(r.Memory)/1024*p.Memory
}

// MiB is an amount of memory, in MiB; in the file it has a unit: 64M, 1.5G.
type MiB int64

// Scaling is the x-plimsoll section of a service: how many tasks it gets, from
// what, and how fast.
type Scaling struct {
	Priority    int        `yaml:"priority" jsonschema:"default=1000,minimum=1,maximum=1000" jsonschema_description:"Who gets the capacity when it is short: 1 is the highest. Equal priorities share by their weights."`
	Weight      float64    `yaml:"weight" jsonschema:"default=1,exclusiveMinimum=0" jsonschema_description:"The share among services of the same priority when not all of them can have what they want: one of weight 2 gets twice the capacity of one of weight 1."`
	Min         int        `yaml:"min" jsonschema:"minimum=0,maximum=5000" jsonschema_description:"The least number of tasks, guaranteed before any want of another service is met. Without it: deploy.replicas, else 1."`
	Max         int        `yaml:"max" jsonschema:"minimum=0,maximum=5000" jsonschema_description:"The greatest number of tasks. A service with triggers or remainder must name it. Without it: deploy.replicas, else 1, at least min."`
	Cooperative bool       `yaml:"cooperative" jsonschema:"default=false" jsonschema_description:"The service's tasks protect themselves while they are busy, and are never stopped by scale-in meanwhile."`
	Remainder   bool       `yaml:"remainder" jsonschema:"default=false" jsonschema_description:"The service takes the capacity that nobody else wants, up to max, and gives way at once. It has no triggers."`
	Route       *Route     `yaml:"route" jsonschema_description:"Where the router sends requests to this service from. The service needs a TCP port."`
	Routes      []Route    `yaml:"routes" jsonschema:"minItems=1" jsonschema_description:"More routes to the service, each as route."`
	Register    *Register  `yaml:"register" jsonschema_description:"Where in AWS the healthy tasks are registered, too, by plimsoll run (and by plimsoll up --register). Not for a service whose tasks ECS registers there itself."`
	Registers   []Register `yaml:"registers" jsonschema:"minItems=1" jsonschema_description:"More such places, each as register."`
	Triggers    []Trigger  `yaml:"triggers" jsonschema:"minItems=1" jsonschema_description:"What the count follows. With several, the greatest want counts."`
	Formula     *Formula   `yaml:"formula" jsonschema_description:"One count made of all the triggers' readings, in place of the greatest want."`
	Spend       *Spend     `yaml:"spend" jsonschema_description:"A ceiling on what the service uses. When it is reached, the service has its minimum until the next period."`
	Forecast    *Forecast  `yaml:"forecast" jsonschema_description:"Scale out ahead of the rises that recur each day or week. Off without it, and by itself while its error is no better than that of the last value."`
	Behavior    Behavior   `yaml:"behavior" jsonschema_description:"How fast the count follows the demand."`
	Load        *Traffic   `yaml:"load" jsonschema_description:"What plimsoll up --load sends to this service."`
}

// Behavior bounds how fast a count follows the demand.
type Behavior struct {
	Tolerance float64       `yaml:"tolerance" jsonschema:"default=0.1,minimum=0,maximum=1" jsonschema_description:"No change while the demand is within this share of what the present count is for: 0.1 is 10 %."`
	ScaleUp   ScaleUp       `yaml:"scaleUp" jsonschema_description:"How the count grows."`
	ScaleDown ScaleDown     `yaml:"scaleDown" jsonschema_description:"How the count shrinks."`
	Cooldown  time.Duration `yaml:"cooldown" jsonschema:"default=60s,minimum=0s,maximum=24h" jsonschema_description:"The time without activity before the last task goes (from 1 to 0)."`
	Warmup    time.Duration `yaml:"warmup" jsonschema:"default=0s,minimum=0s,maximum=1h" jsonschema_description:"How long a task that runs counts as one that starts, for latencies to be held."`
	Panic     *Panic        `yaml:"panic" jsonschema_description:"An answer to short bursts: past the up window and the rate, and without shrinking."`
}

// Forecast says how far ahead a service is scaled out for what recurs.
type Forecast struct {
	Lead     time.Duration   `yaml:"lead" jsonschema:"default=5m,minimum=1s,maximum=1h" jsonschema_description:"How far ahead: the time that a task, and a host for it, takes to start."`
	Quantile float64         `yaml:"quantile" jsonschema:"default=0.9,minimum=0.5,maximum=0.99" jsonschema_description:"The share of the past rises that is met ahead."`
	Seasons  []time.Duration `yaml:"seasons" jsonschema:"minItems=1,maxItems=4" jsonschema_description:"The lengths of what may recur, each a multiple of 5m from 1h to 336h, and over twice the lead. The one with the least error counts. Without it: 24h and 168h."`
}

// Panic says when a burst is answered at once.
type Panic struct {
	Threshold float64       `yaml:"threshold" jsonschema:"default=2,minimum=1.1" jsonschema_description:"How many times the running tasks have to be asked for."`
	Window    time.Duration `yaml:"window" jsonschema:"default=60s,minimum=1s,maximum=1h" jsonschema_description:"How long after that the count does not shrink."`
}

// Spend is a ceiling on what a service uses in each period.
type Spend struct {
	TaskHours float64       `yaml:"taskHours" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Hours of tasks. Either this or cost."`
	Cost      float64       `yaml:"cost" jsonschema:"exclusiveMinimum=0" jsonschema_description:"The sum that the tasks' reservations may cost, by x-plimsoll.prices at the top level."`
	Period    time.Duration `yaml:"period" jsonschema:"default=24h,minimum=1m,maximum=744h" jsonschema_description:"The time for which it is meant. 24h begins at midnight UTC."`
}

// ScaleUp bounds growth.
type ScaleUp struct {
	StabilizationWindow time.Duration `yaml:"stabilizationWindow" jsonschema:"default=0s,minimum=0s,maximum=1h" jsonschema_description:"The count grows to the smallest want of this window."`
	Rate                *Rate         `yaml:"rate" jsonschema_description:"The most that the count may grow; without it there is no bound."`
}

// ScaleDown bounds shrinking.
type ScaleDown struct {
	StabilizationWindow time.Duration `yaml:"stabilizationWindow" jsonschema:"default=60s,minimum=0s,maximum=1h" jsonschema_description:"The count shrinks to the largest want of this window."`
	Rate                *Rate         `yaml:"rate" jsonschema_description:"The most that the count may shrink; without it there is no bound."`
}

// Rate allows the greater of Percent of the count and Tasks in each Period.
type Rate struct {
	Percent float64       `yaml:"percent" jsonschema:"default=0,minimum=0" jsonschema_description:"Percent of the count. The greater of percent and tasks holds; one of them is needed."`
	Tasks   int           `yaml:"tasks" jsonschema:"default=0,minimum=0" jsonschema_description:"A number of tasks."`
	Period  time.Duration `yaml:"period" jsonschema:"default=15s,minimum=1s,maximum=1h" jsonschema_description:"The time within which so much may change."`
}

// Traffic is what the load generator sends to a service. Paths and messages may
// hold {n}, the number of the request, and {random:A-B}.
type Traffic struct {
	Paths    []string `yaml:"paths" jsonschema:"minItems=1,pattern=^/" words:"paths that begin with /" jsonschema_description:"The paths that are asked for in turn, through the service's route. {n} is the number of the request, {random:A-B} a number from A to B."`
	Messages []string `yaml:"messages" jsonschema:"minItems=1" jsonschema_description:"The bodies of the messages that are sent in turn to the queue of the service's aws-sqs-queue trigger; with the same placeholders."`
	Share    float64  `yaml:"share" jsonschema:"default=1,minimum=0" jsonschema_description:"The weight of this service among those that get requests, and among those that get messages."`
}
