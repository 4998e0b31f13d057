// Package scale turns demand into counts: Decide is a pure function from an
// Input to a Plan. Time comes in as Input.Now, memory comes in and goes out; it
// does no I/O, logs nothing, locks nothing and starts no goroutine. The same
// function serves the live loop, --dry-run, explain and a simulation.
package scale

import (
	"time"

	"plimsoll"
)

// Input is all that a decision rests on.
type Input struct {
	Now time.Time
	// Cluster is a complete and fresh snapshot. Services that are in it and
	// not among Policies are left alone, but what they hold is counted.
	Cluster plimsoll.Cluster
	// Policies are the services under control, in the file's order.
	Policies []Policy
	// Readings has the readings of each service's triggers, by service name,
	// in the order of its Triggers.
	Readings map[string][]Reading
	// Overrides are the floors and pauses that people have set, by service.
	Overrides map[string]Override
	Memory    Memory
	Eviction  Eviction
	// Budget, if there is one, is the capacity of a cluster without container
	// instances (Fargate), which is then divided as that of one host.
	Budget *plimsoll.Resources
}

// Eviction bounds how tasks are taken from services for others.
type Eviction struct {
	// PerPass is how many tasks one decision takes before it leaves the rest to
	// the next; 0 is no bound. The tasks that the last place needs are taken
	// together.
	PerPass int
	// Quiet is how long a service that tasks were taken from gets none above
	// what it has and its minimum, so that it is not refilled and taken from
	// again within that time.
	Quiet time.Duration
}

// Policy is what the file says of one service.
type Policy struct {
	Service string
	// Priority 1 is the highest. Equal priorities share by Weight.
	Priority int
	// Weight is the service's share against others of the same priority, when
	// not all can be served; 0 counts as 1.
	Weight float64
	// Min and Max bound the count; Min is guaranteed before any want of
	// another service is met.
	Min, Max int
	// Remainder services want Max, and get what nobody else wants.
	Remainder bool
	// Reserved is what one task reserves, for a service not yet in the cluster.
	Reserved plimsoll.Resources
	Triggers []Trigger
	// Formula, if there is one, makes one count of all the triggers' values, in
	// place of the greatest want.
	Formula  *Formula
	Behavior Behavior
	// Spend, if there is one, bounds what the service may use in a time.
	Spend *Spend
	// Forecast, if there is one, scales out ahead of what recurs.
	Forecast *Forecast
}

// Trigger says how a reading becomes a count.
type Trigger struct {
	// Name is shown in reasons: "aws-sqs-queue jobs".
	Name string
	// Unit is what a reading counts, in the plural: "requests in flight". With
	// it a reason reads "18.0 requests in flight"; without it the name stands
	// in its place.
	Unit string
	Mode Mode
	// Target is the value per task (Average, Job, and Backlog until a rate is
	// known) or the value to hold (Ratio); over 0.
	Target float64
	// Steps are for the mode Steps, by rising From.
	Steps []Step
	// DrainWithin is the time in which a backlog is to be worked off (Backlog).
	DrainWithin time.Duration
	// Waiting tells that the value leaves out what is being worked on (Job):
	// then a task for each protected one is wanted on top.
	Waiting bool
	// Activation: at or under it the demand counts as none (KEDA's
	// activation thresholds).
	Activation float64
	// FailureCount is the count to want while the reading fails; nil holds
	// the last count. It can raise the count, and never lowers it.
	FailureCount *int
	// LastGoodFor is how long the last good value stands in for a reading that
	// fails, from when it was read; 0 never.
	LastGoodFor time.Duration
}

// Step is a break point: from this value on so many tasks are wanted.
type Step struct {
	From  float64
	Tasks int
}

// Formula makes one value of several.
type Formula struct {
	// Text is shown in reasons.
	Text string
	// Target and Activation are a trigger's of mode Average.
	Target, Activation float64
	// Eval gives the value; values are those of the triggers, in their order.
	// It must be pure, and must not keep the list.
	Eval func(values []float64) (float64, error)
}

// Spend is a ceiling on what a service uses in each period. When it is
// reached, the service has its minimum until the next period begins.
type Spend struct {
	// Limit is in Unit, and so is Price, which is that of one task in an hour.
	Limit, Price float64
	// Unit is for reasons: "task-hours".
	Unit string
	// Period: each begins at a multiple of it since 1970, in UTC.
	Period time.Duration
}

// Mode is the formula of a trigger.
type Mode string

const (
	// Average: want = ceil(value / target), as the HPA has it for external
	// average values. It is the mode of a trigger that names none.
	Average Mode = "average"
	// Ratio: want = ceil(value/target * ready tasks), as the HPA has it for
	// values such as a latency. Tasks that are starting count as idle when the
	// count would grow and as fully busy when it would shrink, as the HPA has it
	// for missing pods; what turns round by that is held.
	Ratio Mode = "ratio"
	// Exact: want = value, as a schedule says it. No tolerance holds it.
	Exact Mode = "exact"
	// Steps: want = the tasks of the last step whose From is not over the
	// value, exactly, and none below the first.
	Steps Mode = "steps"
	// Backlog: want = ceil(value / (rate * DrainWithin)), and no less than that
	// was within the last DrainWithin while there is work for all: so each
	// piece of work is done within that time of its coming.
	// The rate is what one running task takes off the backlog in a second, as
	// it was measured while there was work for all of them. What arrived
	// meanwhile makes it too low rather than too high. Until it is known the
	// mode is Average. No more tasks are wanted than there is work.
	Backlog Mode = "backlog"
	// Job: want = ceil(value / target), one task for each message (KEDA's
	// accurate strategy for jobs): exactly, at once, up and down.
	Job Mode = "job"
)

// Behavior bounds how fast a count follows the demand.
type Behavior struct {
	// Tolerance: no change while |1 - value/(target*count)| is at most this.
	// The HPA's default is 0.1. It does not hold a count of zero.
	Tolerance float64
	// UpWindow: the count grows to the smallest want of this window.
	UpWindow time.Duration
	// DownWindow: the count shrinks to the largest want of this window.
	DownWindow time.Duration
	// Up and Down are the most that may change in a period; nil: no bound.
	Up, Down *Rate
	// Cooldown is the time without activity before the last task goes (N to 0).
	Cooldown time.Duration
	// Warmup is how long a task counts as starting after it runs, for values
	// that are held (Ratio): it is not yet worth a whole one.
	Warmup time.Duration
	// Panic, if there is one, answers short bursts at once.
	Panic *Panic
}

// Panic is Knative's panic mode: when Threshold times the running tasks are
// asked for, the count follows at once, past the up window and the rate, and
// does not shrink until Window has passed since that was last so.
type Panic struct {
	Threshold float64
	Window    time.Duration
}

// Rate allows max(Percent of the count, Tasks) of change in each Period.
type Rate struct {
	Percent float64
	Tasks   int
	Period  time.Duration
}

// Reading is one trigger's reading as the loop last had it.
type Reading struct {
	// Known is false if the last reading failed, is too old or is absurd; then
	// Problem says why, and Value is not to be used.
	Known   bool
	Problem string
	Value   float64
	Detail  string
	At      time.Time
}

// Override is what a person set by hand.
type Override struct {
	// Floor is a minimum count until Until; 0 is none. It raises what the
	// service wants, up to Max; priority decides what it gets of it.
	Floor int       `json:"floor,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Ceiling is a maximum count until CeilingUntil; zero is none. It does not
	// go below Min.
	Ceiling      int       `json:"ceiling,omitempty"`
	CeilingUntil time.Time `json:"ceilingUntil,omitzero"`
	// Paused services keep their desired count.
	Paused bool `json:"paused,omitempty"`
}

// Memory is what one decision hands to the next, by service. It can be written
// as JSON and read again.
type Memory struct {
	Services map[string]ServiceMemory `json:"services"`
}

// ServiceMemory is what is remembered of one service.
type ServiceMemory struct {
	// Wants are the recommendations within the windows, oldest first.
	Wants []Want `json:"wants,omitempty"`
	// ActiveAt is when a trigger last was over its activation.
	ActiveAt time.Time `json:"activeAt,omitzero"`
	// Moves are the changes within the rates' periods, oldest first.
	Moves []Move `json:"moves,omitempty"`
	// SeenAt is when the service was last decided on. Zero says that nothing is
	// remembered: the present count then stands for the lost history, so that
	// nothing shrinks for lack of it.
	SeenAt time.Time `json:"seenAt,omitzero"`
	// Desired was the desired count then, Want what the service wanted, and
	// Asked the desired count that was asked for, smaller than Want while room
	// is short.
	Desired int `json:"desired,omitempty"`
	Want    int `json:"want,omitempty"`
	Asked   int `json:"asked,omitempty"`
	// PanicAt is when the panic threshold was last reached.
	PanicAt time.Time `json:"panicAt,omitzero"`
	// TakenAt is when tasks were last taken for others, within Eviction.Quiet.
	TakenAt time.Time `json:"takenAt,omitzero"`
	// Triggers is what is remembered of triggers, by name.
	Triggers map[string]TriggerMemory `json:"triggers,omitempty"`
	// Spent is what was used since the period began at SpentSince.
	Spent      float64   `json:"spent,omitempty"`
	SpentSince time.Time `json:"spentSince,omitzero"`
	// Forecast is nil without a forecast. It is large and changes seldom, so
	// that whoever keeps the memory keeps its Past apart.
	Forecast *ForecastMemory `json:"-"`
}

// TriggerMemory is what is remembered of one trigger.
type TriggerMemory struct {
	// Good is the last good value, read at GoodAt.
	Good   float64   `json:"good,omitempty"`
	GoodAt time.Time `json:"goodAt,omitzero"`
	// Rate is what a task takes off the backlog in a second; 0 is unknown.
	Rate float64 `json:"rate,omitempty"`
	// Since is when the measurement under way began, with a backlog of From
	// and that many Running.
	Since   time.Time `json:"since,omitzero"`
	From    float64   `json:"from,omitempty"`
	Running int       `json:"running,omitempty"`
	// Needs are the counts that the backlog needed within the time in which it
	// is to be worked off.
	Needs []Want `json:"needs,omitempty"`
}

// Want is a recommendation at a time.
type Want struct {
	At    time.Time `json:"at"`
	Count int       `json:"count"`
}

// Move is a change of a desired count at a time.
type Move struct {
	At    time.Time `json:"at"`
	Delta int       `json:"delta"`
}

// Plan is what is to change, and why. Verdicts has one entry for every policy
// in the order of the Input; Changes only those whose desired count is to be
// set, in the order in which that is to be done (all that shrink first).
type Plan struct {
	At       time.Time
	Verdicts []Verdict
	Changes  []Change
	Memory   Memory
	// Recheck is when the decision would differ by the passing of time alone
	// (a window or cool-down ends); zero: not foreseeable.
	Recheck time.Time

	whereabouts *whereabouts // nil: not kept
}

// whereabouts are what a decision on services found out of a snapshot's tasks, for
// the one on hosts that follows.
type whereabouts struct {
	tasks     []plimsoll.Task
	instances []plimsoll.ContainerInstance
	// hostOf and ownerOf are pass's, byName has the services' numbers in ownerOf.
	hostOf, ownerOf []int32
	byName          map[string]int32
	services        int
}

// of tells whether they are those of this very snapshot.
func (w *whereabouts) of(c *plimsoll.Cluster) bool {
	return w != nil && same(w.tasks, c.Tasks) && same(w.instances, c.Instances)
}

// same tells whether two lists are one.
func same[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Verdict is the decision on one service.
type Verdict struct {
	Service  string
	Priority int
	Min, Max int
	// Demand is the sum of the known readings' values; nil if none is known.
	Demand *float64
	// Want is the count that demand asks for, within Min and Max; Grant is
	// what priority and capacity allow of it; Desired is what is asked of the
	// platform now, which follows the grant as capacity comes free.
	Want, Grant, Desired int
	// Running, Pending and Protected are as the snapshot has them.
	Running, Pending, Protected int
	// Waiting is how many tasks of the grant are not asked for yet, because
	// their room is still being freed.
	Waiting int
	// Reason is one sentence with the numbers. Triggers has a sentence for
	// each reading.
	Reason   string
	Triggers []TriggerVerdict
	// Forecast is nil for a service without a forecast.
	Forecast *Outlook
}

// TriggerVerdict is what one trigger contributed.
type TriggerVerdict struct {
	Name   string
	Known  bool
	Value  float64
	Want   int
	Active bool
	Reason string
}

// Change is a desired count to be set.
type Change struct {
	Service  string
	From, To int
	Reason   string
}
