// Package control is the loop: observe, decide, act; and the journal of what
// was decided. It reads demand and the cluster, calls scale.Decide, and is the
// only writer of desired counts. It must not know of the engine, the router,
// the configuration file or any adapter: all come in as interfaces.
package control

import (
	"errors"
	"log/slog"
	"time"

	"plimsoll"
	"plimsoll/demand"
	"plimsoll/platform"
	"plimsoll/scale"
)

// ErrUnknownService is wrapped by the errors about a service that is not under
// control.
var ErrUnknownService = errors.New("unknown service")

// ErrUnknownTask is wrapped by the errors about a task that the platform does not
// know.
var ErrUnknownTask = errors.New("unknown task")

// Options make a Loop. Platform and Services are required.
type Options struct {
	Platform platform.Cluster
	Services []Service
	// Eviction and Budget are the decision's, as scale.Input has them.
	Eviction scale.Eviction
	Budget   *plimsoll.Resources
	// Hosts, if given, has hosts come and go with what the services want.
	Hosts *Hosts
	// Drainer, if given, sees tasks out before a count is lowered for them, and those
	// that a host or a deployment which goes takes along.
	// DrainTime bounds that for each. Default 5 min.
	Drainer   Drainer
	DrainTime time.Duration
	// Dir is where overrides and the decisions' memory are kept over a
	// restart; empty keeps them in memory only.
	Dir string
	// Tick is the safety net: the longest time between two steps. Default 2 s.
	Tick time.Duration
	// Settle is the shortest time between two steps: wakes within it are
	// served together. Default 20 ms.
	Settle time.Duration
	// Timeout bounds each call of the platform. Default 15 s.
	Timeout time.Duration
	// DryRun decides and records, and changes nothing.
	DryRun bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service is one service under control with the sources of its triggers.
type Service struct {
	Policy scale.Policy
	// Sources has one entry for each of Policy.Triggers, in that order.
	Sources []Source
}

// Source is a trigger's source and how it is read.
type Source struct {
	Source demand.Source
	// Interval is the shortest time between two reads unless the source itself
	// says that it changed. 0 reads at each step.
	Interval time.Duration
	// Timeout bounds one read. Default 5 s.
	Timeout time.Duration
	// MaxAge is when the last good reading has gone stale. Default
	// 3 x Interval, at least 15 s.
	MaxAge time.Duration
}

// State is what the loop last saw and decided: the one value that the API, the
// terminal and the metrics show. It is never changed after it is published.
type State struct {
	// Step counts the steps since the start; 0 is before the first.
	Step    uint64
	At      time.Time
	Cluster plimsoll.Cluster
	Plan    scale.Plan
	// Hosts is the last decision on the hosts; HostProblem is why there is no newer
	// one.
	Hosts       scale.HostPlan
	HostProblem string
	// Overrides are those in force.
	Overrides map[string]scale.Override
	// Problem is why the last step decided nothing; empty if it did.
	Problem string
	// Took is how long the step lasted.
	Took time.Duration
}

// Decision is a line of the journal: a change and what came of it.
type Decision struct {
	// Seq grows by one with each decision since the start.
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Service string    `json:"service"`
	From    int       `json:"from"`
	To      int       `json:"to"`
	Want    int       `json:"want"`
	Grant   int       `json:"grant"`
	Reason  string    `json:"reason"`
	// Outcome is "done", "dry-run", "drains: …" (it is done when those tasks have)
	// or "failed: …". A change that is not done and only proposed again and again is
	// recorded once.
	Outcome string `json:"outcome"`
}

// Event is something that the loop saw happen in the cluster or to a source,
// found by comparing one snapshot with the next, or was told of (Note).
type Event struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Service string    `json:"service,omitempty"`
	Task    string    `json:"task,omitempty"` // id
	Host    string    `json:"host,omitempty"` // EC2 instance id
	Message string    `json:"message"`
}

// The kinds of events.
const (
	EventTaskRunning  = "task-running"
	EventTaskStopping = "task-stopping"
	EventTaskOut      = "task-out"      // of the router and the directories: nothing new reaches it
	EventTaskDrained  = "task-drained"  // its requests have ended, or their time has
	EventTaskSignaled = "task-signaled" // SIGTERM was sent
	EventTaskBack     = "task-back"     // it was to leave, and is needed after all
	EventTaskStopped  = "task-stopped"
	EventTaskLost     = "task-lost" // gone from the platform without having been seen to stop
	// A deployment that others have begun: its former tasks are seen out; they have
	// left; or it does not get on, and they are left to the platform.
	EventDeploymentBegun  = "deployment-begun"
	EventDeploymentEnded  = "deployment-ended"
	EventDeploymentLeft   = "deployment-left"
	EventHostJoined       = "host-joined"
	EventHostLeft         = "host-left"
	EventHostDraining     = "host-draining"
	EventHostActive       = "host-active"
	EventHostDisconnected = "host-disconnected"
	EventHostConnected    = "host-connected"
	EventDemandFailed     = "demand-failed"
	EventDemandRecovered  = "demand-recovered"
	EventStepFailed       = "step-failed"
	EventStepRecovered    = "step-recovered"
	EventHostsFailed      = "hosts-failed" // the groups of the hosts cannot be read
	EventHostsRecovered   = "hosts-recovered"
	EventHostsLacking     = "hosts-lacking"   // tasks wait, and no host can be had for them
	EventHostsBurstable   = "hosts-burstable" // a group's hosts have CPUs that may be throttled
)

// Point is a service's state at a second, for charts.
type Point struct {
	At time.Time `json:"at"`
	// Demand is nil while no reading is known.
	Demand  *float64 `json:"demand"`
	Want    int      `json:"want"`
	Grant   int      `json:"grant"`
	Desired int      `json:"desired"`
	Running int      `json:"running"`
	Pending int      `json:"pending"`
	// Forecast is how many tasks the forecast says will be needed within its
	// lead; nil where there is none, or it is off.
	Forecast *float64 `json:"forecast,omitempty"`
}
