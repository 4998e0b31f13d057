// Package sim replays demand in virtual time: the control loop, the decisions,
// the engine's state machine and the placement are the ones that run live; what
// is made up is the work that arrives, how fast tasks work, and how long starts,
// stops and launches take. The same Config gives the same Result, to the byte.
//
// It knows no file, no flag and no network: traces come in as values, and what
// comes out is a value.
package sim

import (
	"errors"
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/demand"
	"plimsoll/scale"
	"plimsoll/sim/baseline"
)

// Config is one simulated world.
type Config struct {
	Cluster  string
	Services []Service
	Hosts    Hosts
	Eviction scale.Eviction
	Delays   Delays
	// Length is how long the world lasts, Step the time between two steps of the
	// control loop; what arrives and what runs is counted at each Step too.
	Length, Step time.Duration
	// Seed is what the spread of the delays and the ids come from.
	Seed   uint64
	Faults []Fault
	// Baseline, if there is one, takes the place of the control loop.
	Baseline baseline.Policy
	// Progress, if there is one, is told now and then how far it is.
	Progress func(done time.Duration)
	// Checked has the invariants checked after every event: much slower.
	Checked bool
}

// Service is one service of the world.
type Service struct {
	Policy scale.Policy
	// Reads has one entry for each of Policy.Triggers.
	Reads []Reads
	// Arrivals is the work that comes, Rate the work that one task does in a
	// second.
	Arrivals Curve
	Rate     float64
	// Cooperative tasks are protected while they work.
	Cooperative bool
}

// Reads is what a trigger reads of the world.
type Reads struct {
	Kind Kind
	// Interval is the shortest time between two readings.
	Interval time.Duration
	// Source makes the source of the kind Other, by the world's clock.
	Source func(now func() time.Time) (demand.Source, error)
}

// Kind is what is read.
type Kind string

const (
	// Backlog is the work that waits and that is being done.
	Backlog Kind = "backlog"
	// Waiting is the work that waits alone.
	Waiting Kind = "waiting"
	// Concurrency is the requests in flight. A task that is fully used has the
	// trigger's target of them.
	Concurrency Kind = "concurrency"
	// Arrivals is the work that came in a second, since the last reading.
	Arrivals Kind = "arrivals"
	// Latency is the time that a piece of work takes, its wait included, in
	// milliseconds.
	Latency Kind = "latency"
	// Other is a source of its own, such as a schedule.
	Other Kind = "other"
)

// Hosts are the world's container instances: of one Auto Scaling group.
type Hosts struct {
	// Count is how many there are at first, in Zones zones.
	Count, Zones int
	Each         plimsoll.Resources
	// Min and Max bound how many there are; Max 0: there are always Count.
	Min, Max int
	// Rules are those by which the control loop has hosts come and go.
	Rules scale.HostRules
}

// Delays are how long things take. Each is spread by up to a tenth, by the seed.
type Delays struct {
	// TaskStart is from the placement of a task until it runs: the pull of its
	// image and its warm-up. TaskStop is from the stop signal to its end.
	TaskStart, TaskStop time.Duration
	// HostStart is from the launch of a host until it takes tasks. All that are
	// launched at once take the same time.
	HostStart time.Duration
}

// FaultKind is what breaks.
type FaultKind string

const (
	// HostDeath ends a host and all of its tasks; its group launches a new one.
	HostDeath FaultKind = "host"
	// ZoneLoss ends all hosts of a zone; until it is over their group launches
	// new ones in the other zones, as Auto Scaling does.
	ZoneLoss FaultKind = "zone"
	// MetricOutage has the readings of a service fail (of all, without a name).
	MetricOutage FaultKind = "metrics"
	// ClusterOutage has the cluster not be readable.
	ClusterOutage FaultKind = "cluster"
)

// Fault is something that breaks at a time.
type Fault struct {
	Kind FaultKind
	At   time.Duration
	For  time.Duration
	// Name is the zone's letter, or the service.
	Name string
}

// began is when every world begins: a Monday, at midnight, in UTC.
var began = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// check finds what a world cannot be made of.
func (c *Config) check() error {
	switch {
	case c.Step <= 0 || c.Length <= 0:
		return fmt.Errorf("sim: a length of %s at steps of %s: both must be over 0", c.Length, c.Step)
	case c.Length/c.Step > 100_000_000:
		return fmt.Errorf("sim: %s at steps of %s are more than 100 million steps; take longer steps", c.Length, c.Step)
	case c.Hosts.Zones < 1 || !c.Hosts.scale() && c.Hosts.Count < 1:
		return fmt.Errorf("sim: %d hosts in %d zones: at least one of each is needed", c.Hosts.Count, c.Hosts.Zones)
	case c.Hosts.scale() && (c.Hosts.Min < 0 || c.Hosts.Count < c.Hosts.Min || c.Hosts.Count > c.Hosts.Max):
		return fmt.Errorf("sim: %d hosts, bounded by %d and %d: 0 <= min <= count <= max is allowed", c.Hosts.Count, c.Hosts.Min, c.Hosts.Max)
	case len(c.Services) == 0:
		return errors.New("sim: there are no services")
	case c.Delays.TaskStart < 0 || c.Delays.TaskStop < 0 || c.Delays.HostStart < 0:
		return errors.New("sim: a delay is below 0")
	}
	for _, s := range c.Services {
		switch {
		case !(s.Rate > 0):
			return fmt.Errorf("sim: service %q: its tasks work at a rate of %v; it must be over 0", s.Policy.Service, s.Rate)
		case len(s.Reads) != len(s.Policy.Triggers):
			return fmt.Errorf("sim: service %q: %d triggers and %d things to read", s.Policy.Service, len(s.Policy.Triggers), len(s.Reads))
		}
	}
	return nil
}
