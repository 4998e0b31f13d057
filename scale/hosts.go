package scale

import (
	"time"

	"plimsoll"
)

// HostInput is all that a decision on hosts rests on.
type HostInput struct {
	Now time.Time
	// Cluster is a complete and fresh snapshot.
	Cluster plimsoll.Cluster
	// Wants has, by service, how many tasks there is to be room for (HostWants).
	// A service that is not in it counts with its desired count. Tasks above it
	// of an elastic service hold no host.
	Wants map[string]HostWant
	// Groups are the groups that hosts are launched in, in the file's order.
	Groups []plimsoll.HostGroup
	Rules  HostRules
	Memory HostMemory
	// Plan, if there is one, is the decision on the services. What it found out of
	// the same Cluster is not looked for again; nothing else is taken from it.
	Plan *Plan
}

// HostWant is what one service wants of the hosts.
type HostWant struct {
	Tasks int
	// Priority decides whose hosts are launched first; 1 is the highest.
	Priority int
	// Elastic services take what is left, and give it up at once.
	Elastic bool
}

// HostWants gives what the services want of the hosts, as a plan has it: what
// demand asks for, whether there is room or not. Services that take the
// remainder want their minimum, paused ones what they have.
func HostWants(in Input, plan Plan) map[string]HostWant {
	wants := make(map[string]HostWant, len(plan.Verdicts))
	for i := range plan.Verdicts {
		v := &plan.Verdicts[i]
		w := HostWant{Tasks: max(v.Want, v.Protected), Priority: v.Priority}
		switch {
		case in.Overrides[v.Service].Paused:
			w.Tasks = v.Desired
		case in.Policies[i].Remainder:
			w.Tasks, w.Elastic = v.Min, true
		}
		wants[v.Service] = w
	}
	return wants
}

// HostRules bound how hosts come and go. DefaultHostRules has the defaults.
type HostRules struct {
	// Headroom is room that is kept free, in pieces of the size of a task.
	Headroom []Headroom
	// LaunchesPerPass bounds the launches of one pass, over all groups.
	LaunchesPerPass int
	// LaunchTimeout is how long a launch counts as coming capacity.
	LaunchTimeout time.Duration
	// In says when hosts may go.
	In HostsIn
}

// Headroom is room for so many tasks of a size.
type Headroom struct {
	Size  plimsoll.Resources
	Tasks int
}

// HostsIn says when hosts may go.
type HostsIn struct {
	// Off keeps all hosts.
	Off bool
	// CPU, Memory, Ports and Tasks are about what is reserved, and UsedCPU about
	// what is used, where it is known. Ports and tasks are shares of MostPorts
	// and MostTasks a host.
	CPU, Memory, Ports, Tasks, UsedCPU Threshold
	MostPorts, MostTasks               int
	// Batch bounds the hosts that are on their way out at a time: max(1, this
	// share of the hosts).
	Batch float64
	// MinPerZone is the fewest hosts that stay in each zone that a group has
	// hosts in.
	MinPerZone int
	// Stable is for how long room is kept for the most that each service wanted,
	// and how long after a scale-out no host goes. It doubles, up to StableMost,
	// each time that a host is launched within four times of it after one has
	// gone.
	Stable, StableMost time.Duration
	// DrainTimeout is how long a host may drain; then Stuck says what is done.
	DrainTimeout time.Duration
	Stuck        Stuck
}

// Threshold is a share in percent: hosts go only while the metric is below
// Below, and will be at most After when they have gone. 0: no bound.
type Threshold struct{ Below, After float64 }

// Stuck is what is done with a host that has drained for too long.
type Stuck string

const (
	// StuckUndrain has the host take tasks again; it is left alone for as long
	// as it drained.
	StuckUndrain Stuck = "undrain"
	// StuckWait waits on.
	StuckWait Stuck = "wait"
	// StuckTerminate terminates the host with what runs there, but never with
	// a protected task.
	StuckTerminate Stuck = "terminate"
)

// DefaultHostRules load hosts to the line: they go when what they have really
// fits on the others, a tenth of them at a time, after five quiet minutes.
func DefaultHostRules() HostRules {
	return HostRules{
		LaunchesPerPass: 10, LaunchTimeout: 10 * time.Minute,
		In: HostsIn{
			CPU: Threshold{After: 100}, Memory: Threshold{After: 100}, Ports: Threshold{After: 100}, Tasks: Threshold{After: 100},
			UsedCPU: Threshold{After: 80}, MostPorts: 100, Batch: 0.1,
			Stable: 5 * time.Minute, StableMost: time.Hour, DrainTimeout: time.Hour, Stuck: StuckUndrain,
		},
	}
}

// HostMemory is what one decision on hosts hands to the next. It can be written
// as JSON and read again.
type HostMemory struct {
	// OutAt is when hosts were last launched or undrained for demand, InAt when
	// one last began to drain.
	OutAt time.Time `json:"outAt,omitzero"`
	InAt  time.Time `json:"inAt,omitzero"`
	// Stable is HostsIn.Stable as it has grown.
	Stable time.Duration `json:"stable,omitempty"`
	// Since is when this memory began, SeenAt when it was last kept: after a gap
	// longer than Stable (and than 30 s) it begins anew.
	Since  time.Time `json:"since,omitzero"`
	SeenAt time.Time `json:"seenAt,omitzero"`
	// Peaks are the wants of each service within the last Stable that no later one
	// was as great as, oldest first.
	Peaks map[string][]Want `json:"peaks,omitempty"`
	// Groups is what is remembered of the launches of each group.
	Groups map[string]GroupMemory `json:"groups,omitempty"`
	// Spared are hosts that were stuck, and until when they are left alone.
	Spared map[string]time.Time `json:"spared,omitempty"`
}

// GroupMemory is what is remembered of one group.
type GroupMemory struct {
	// Desired and Arrived are the numbers seen last; WaitingAt is when one of
	// them last changed.
	Desired   int       `json:"desired,omitempty"`
	Arrived   int       `json:"arrived,omitempty"`
	WaitingAt time.Time `json:"waitingAt,omitzero"`
}

// HostPlan is what is to become of the hosts, and why.
type HostPlan struct {
	At time.Time
	// Groups has one entry for every group, in the order of the Input.
	Groups []GroupVerdict
	// Moves are to be carried out in this order.
	Moves []HostMove
	// Lacking are tasks that no host could ever hold, or for which no group may
	// grow, in sentences that name the service.
	Lacking []string
	// Reason says why no host goes now, if none does.
	Reason string
	Memory HostMemory
	// Recheck is when the decision would differ by the passing of time alone;
	// zero: not foreseeable.
	Recheck time.Time
}

// GroupVerdict is the decision on one group.
type GroupVerdict struct {
	Group           string
	Min, Max        int
	Desired         int // what it is asked for after the plan
	Hosts, Draining int // in the cluster
	Coming          int // asked for and not in the cluster yet
	Stalled         bool
	CPU, Memory     float64 // reserved, in percent of the hosts that do not drain
}

// Deed is what is done with hosts.
type Deed string

// The deeds.
const (
	// DeedUndrain has a draining host take tasks again.
	DeedUndrain Deed = "undrain"
	// DeedLaunch raises the group's desired capacity From, To.
	DeedLaunch Deed = "launch"
	// DeedDrain has a host drain.
	DeedDrain Deed = "drain"
	// DeedTerminate terminates a host, and lowers its group's desired capacity.
	DeedTerminate Deed = "terminate"
)

// HostMove is one thing to be done.
type HostMove struct {
	Deed  Deed
	Group string
	// Host is the ARN of the container instance, InstanceID its EC2 id; empty
	// for a launch.
	Host, InstanceID, Zone string
	// From and To are the desired capacity before and after a launch; Zones are
	// those in which the new hosts are expected.
	From, To int
	Zones    []string
	Reason   string
}
