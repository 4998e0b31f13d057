package engine

import (
	"slices"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/place"
)

// Cluster is an ECS cluster.
type Cluster struct {
	Name      string            `json:",omitzero"`
	ARN       string            `json:",omitzero"`
	Status    string            `json:",omitzero"` // ACTIVE, INACTIVE
	Tags      map[string]string `json:",omitzero"`
	CreatedAt time.Time         `json:",omitzero"`
	// CapacityProviders are the names of those that its tasks may ask for;
	// DefaultStrategy is of tasks and services that name neither a launch type
	// nor a strategy.
	CapacityProviders []string        `json:",omitzero"`
	DefaultStrategy   []ProviderShare `json:",omitzero"`
}

// ProviderShare is one part of a capacity provider strategy: Base tasks at
// least go to the provider, and of the rest a share in proportion to Weight.
type ProviderShare struct {
	Provider string `json:",omitzero"`
	Weight   int    `json:",omitzero"` // 0 to 1000
	Base     int    `json:",omitzero"` // 0 to 100,000; at most one share of a strategy has one
}

// CapacityProvider is a name for the container instances of an Auto Scaling
// group. Instances say by the attribute AttributeGroup which group they are of.
type CapacityProvider struct {
	Name   string            `json:",omitzero"`
	ARN    string            `json:",omitzero"`
	Status string            `json:",omitzero"` // ACTIVE
	Group  string            `json:",omitzero"` // the name of the Auto Scaling group
	Tags   map[string]string `json:",omitzero"`
	// Updated tells whether the provider has been changed since it was created.
	Updated bool `json:",omitzero"`
	// Raw is what the wire keeps of the provider to give it back.
	Raw []byte `json:",omitzero"`
}

// AttributeGroup is the attribute of a container instance that names its Auto
// Scaling group. An instance without it serves every capacity provider.
const AttributeGroup = "plimsoll.auto-scaling-group"

// AttributeArchitecture is ECS's attribute of a container instance, and of the tasks
// on it, that names its kind of processor.
const AttributeArchitecture = "ecs.cpu-architecture"

// Setting is an account setting. Principal is the ARN of the user or role that
// it is of; empty: the account's default.
type Setting struct {
	Name      string `json:",omitzero"`
	Principal string `json:",omitzero"`
	Value     string `json:",omitzero"`
}

// TaskDefinition is one revision of a family.
type TaskDefinition struct {
	ARN         string                `json:",omitzero"`
	Family      string                `json:",omitzero"`
	Revision    int                   `json:",omitzero"`
	Status      string                `json:",omitzero"` // ACTIVE, INACTIVE
	Containers  []ContainerDefinition `json:",omitzero"`
	CPU, Memory int64                 `json:",omitzero"` // task level; 0 where the definition names none
	NetworkMode string                `json:",omitzero"`
	// PIDMode and IPCMode are empty or "host".
	PIDMode      string            `json:",omitzero"`
	IPCMode      string            `json:",omitzero"`
	Volumes      []runtime.Volume  `json:",omitzero"`
	TaskRoleARN  string            `json:",omitzero"`
	Tags         map[string]string `json:",omitzero"`
	RegisteredAt time.Time         `json:",omitzero"`
	// DeregisteredAt is when it became INACTIVE.
	DeregisteredAt time.Time `json:",omitzero"`
	// Constraints hold for every task of the definition; they are of the type
	// memberOf.
	Constraints []place.Constraint `json:",omitzero"`
	// Raw is the JSON of the SDK's TaskDefinition as it was registered, kept by
	// the wire so that DescribeTaskDefinition gives back what came in.
	Raw []byte `json:",omitzero"`
}

// Reserved is what a task of the definition reserves on a host: the task
// level's figures, else the sums over the containers.
func (d *TaskDefinition) Reserved() plimsoll.Resources {
	r := plimsoll.Resources{CPU: d.CPU, Memory: d.Memory}
	var sum plimsoll.Resources
	for _, c := range d.Containers {
		memory := c.MemoryReservation
		if memory == 0 {
			memory = c.Memory
		}
		sum = sum.Add(plimsoll.Resources{CPU: c.CPU, Memory: memory})
	}
	if r.CPU == 0 {
		r.CPU = sum.CPU
	}
	if r.Memory == 0 {
		r.Memory = sum.Memory
	}
	return r
}

// ContainerDefinition is a container of a task definition, as far as the
// engine acts on it.
type ContainerDefinition struct {
	Name              string            `json:",omitzero"`
	Image             string            `json:",omitzero"`
	EntryPoint        []string          `json:",omitzero"`
	Command           []string          `json:",omitzero"`
	WorkingDirectory  string            `json:",omitzero"`
	User              string            `json:",omitzero"`
	Environment       map[string]string `json:",omitzero"`
	CPU               int64             `json:",omitzero"`
	Memory            int64             `json:",omitzero"` // hard limit, MiB
	MemoryReservation int64             `json:",omitzero"` // MiB
	PortMappings      []PortMapping     `json:",omitzero"`
	Essential         bool              `json:",omitzero"`
	StopTimeout       time.Duration     `json:",omitzero"` // 0: the default, 30 s
	Labels            map[string]string `json:",omitzero"`
	// DependsOn is what the container waits for; others wait for it no longer
	// than its StartTimeout (0: as long as it takes).
	DependsOn    []order.Dependency `json:",omitzero"`
	StartTimeout time.Duration      `json:",omitzero"`
	HealthCheck  *order.Health      `json:",omitzero"`
	Restart      *order.Restart     `json:",omitzero"`
	Setting      runtime.Setting    `json:",omitzero"`
}

// PortMapping is a container port; HostPort 0 is dynamic.
type PortMapping struct {
	ContainerPort int    `json:",omitzero"`
	HostPort      int    `json:",omitzero"`
	Protocol      string `json:",omitzero"`
}

// ContainerInstance is a logical host of this machine.
type ContainerInstance struct {
	// Seq grows with each entity made; it is the order of creation.
	Seq  uint64 `json:",omitzero"`
	Name string `json:",omitzero"` // HostSpec.Name
	// Surplus hosts are in no host list any more: they leave with their last task.
	Surplus       bool               `json:",omitzero"`
	ARN           string             `json:",omitzero"`
	Cluster       string             `json:",omitzero"` // name
	EC2InstanceID string             `json:",omitzero"`
	Address       string             `json:",omitzero"` // loopback address
	Zone          string             `json:",omitzero"`
	Status        string             `json:",omitzero"` // ACTIVE, DRAINING
	Registered    plimsoll.Resources `json:",omitzero"`
	RegisteredAt  time.Time          `json:",omitzero"`
	Attributes    map[string]string  `json:",omitzero"`
	Tags          map[string]string  `json:",omitzero"`
	// Agent tells that the instance was registered through the API, and not by
	// PutHosts; ReservedPorts are those that it came with in use.
	Agent         bool  `json:",omitzero"`
	ReservedPorts []int `json:",omitzero"`
	// AgentVersion, AgentHash and DockerVersion are what the agent that registered
	// it said of itself.
	AgentVersion  string `json:",omitzero"`
	AgentHash     string `json:",omitzero"`
	DockerVersion string `json:",omitzero"`
}

// Service is an ECS service.
type Service struct {
	ARN            string            `json:",omitzero"`
	Cluster        string            `json:",omitzero"` // name
	Name           string            `json:",omitzero"`
	Status         string            `json:",omitzero"` // ACTIVE, DRAINING, INACTIVE
	TaskDefinition string            `json:",omitzero"` // ARN
	Desired        int               `json:",omitzero"`
	Priority       int               `json:",omitzero"` // from the tag plimsoll:priority; 1 is the highest
	LaunchType     string            `json:",omitzero"`
	Tags           map[string]string `json:",omitzero"`
	CreatedAt      time.Time         `json:",omitzero"`
	CreatedBy      string            `json:",omitzero"` // the ARN of a principal
	// MinimumHealthyPercent and MaximumPercent bound a rolling deployment.
	MinimumHealthyPercent int          `json:",omitzero"`
	MaximumPercent        int          `json:",omitzero"`
	Deployments           []Deployment `json:",omitzero"`
	// Events are the newest first, at most 100. Each has a record of its own.
	Events []ServiceEvent `json:"-"`
	// Failures counts starts that failed in a row; RetryAt is when the next
	// task may be started after them.
	Failures int       `json:",omitzero"`
	RetryAt  time.Time `json:",omitzero"`
	// InactiveAt is when the last task of a deleted service was gone.
	InactiveAt time.Time `json:",omitzero"`
	// Scheduling is REPLICA (the same as empty) or DAEMON; a daemon has one task on
	// each instance, and Desired follows their number.
	Scheduling  string             `json:",omitzero"`
	Strategies  []place.Strategy   `json:",omitzero"`
	Constraints []place.Constraint `json:",omitzero"`
	// Strategy says which capacity providers the tasks ask for; empty: none.
	Strategy []ProviderShare `json:",omitzero"`
	Breaker  Breaker         `json:",omitzero"`
	// HealthGrace is how long after its start a task may be UNHEALTHY; nil is 0
	// and nothing said.
	HealthGrace *time.Duration `json:",omitzero"`
	// PropagateTags is SERVICE or TASK_DEFINITION: whose tags new tasks get.
	// ManagedTags gives them ECS's own as well.
	PropagateTags string `json:",omitzero"`
	ManagedTags   bool   `json:",omitzero"`
	// LastGood is the last deployment that was completed: what a rollback goes
	// back to.
	LastGood *Deployment `json:",omitzero"`
	// Rollouts are the service deployments, the newest first, at most ten.
	Rollouts []Rollout `json:",omitzero"`
	// Leaves are workers' own decrements that wait for an exit.
	Leaves []Leave `json:",omitzero"`
	// Former are the desired counts before them: what other workers may have read.
	Former []FormerCount `json:",omitzero"`
	// ClientToken is that of CreateService: with it, the call may be repeated.
	ClientToken string `json:",omitzero"`
	// Raw is what the wire keeps of CreateService and UpdateService to give
	// back in DescribeServices (load balancers, network configuration, …).
	Raw []byte `json:",omitzero"`
}

// Breaker is a service's deployment circuit breaker.
type Breaker struct {
	Enable, Rollback bool `json:",omitzero"`
	// Threshold is how many failed tasks end a deployment, Type how it is meant:
	// COUNT, UNBOUNDED_PERCENT of the desired count, or BOUNDED_PERCENT, the same
	// between 3 and 200. Empty: BOUNDED_PERCENT, 50.
	Threshold int    `json:",omitzero"`
	Type      string `json:",omitzero"`
	// KeepCount tells that a task that runs well does not set the count back to 0.
	KeepCount bool `json:",omitzero"`
}

// How a circuit breaker's threshold is meant.
const (
	ThresholdCount     = "COUNT"
	ThresholdBounded   = "BOUNDED_PERCENT"
	ThresholdUnbounded = "UNBOUNDED_PERCENT"
)

// Leave is a decrement of the desired count by a worker that is about to exit.
type Leave struct {
	Until time.Time `json:",omitzero"` // it is waited for until then
	// Task is the worker that said it itself; empty: one of the service's.
	Task string `json:",omitzero"`
	// Lost tells that the call named a count that was taken already: it counts
	// only if an exit proves that it was another worker's.
	Lost bool `json:",omitzero"`
}

// FormerCount is a desired count of a short while ago.
type FormerCount struct {
	Desired int       `json:",omitzero"`
	Until   time.Time `json:",omitzero"` // it is forgotten then
}

// Deployment is one rollout of a task definition. The first is PRIMARY.
type Deployment struct {
	ID string `json:",omitzero"`
	// Revision is the ID of the deployment that this one goes back to; empty: it is
	// one of its own.
	Revision       string `json:",omitzero"`
	Status         string `json:",omitzero"` // PRIMARY, ACTIVE
	TaskDefinition string `json:",omitzero"`
	RolloutState   string `json:",omitzero"` // IN_PROGRESS, COMPLETED, FAILED
	// Reason is what is to be said of the state beyond the usual words.
	Reason string `json:",omitzero"`
	// Strategy is the capacity provider strategy of its tasks.
	Strategy    []ProviderShare `json:",omitzero"`
	FailedTasks int             `json:",omitzero"`
	CreatedAt   time.Time       `json:",omitzero"`
	UpdatedAt   time.Time       `json:",omitzero"`
}

// ServiceEvent is a line of a service's history.
type ServiceEvent struct {
	// Seq counts the events of the service.
	Seq     uint64    `json:",omitzero"`
	ID      string    `json:",omitzero"`
	At      time.Time `json:",omitzero"`
	Message string    `json:",omitzero"`
}

// Task is an ECS task.
type Task struct {
	// Seq grows with each entity made; it is the order of creation.
	Seq uint64 `json:",omitzero"`
	// ClientToken and Request (a digest) tell a repeated RunTask.
	ClientToken       string `json:",omitzero"`
	Request           string `json:",omitzero"`
	ID, ARN           string `json:",omitzero"`
	Cluster           string `json:",omitzero"` // name
	TaskDefinition    string `json:",omitzero"` // ARN
	Family            string `json:",omitzero"`
	Service           string `json:",omitzero"` // name; empty for a standalone task
	Deployment        string `json:",omitzero"` // id
	Group             string `json:",omitzero"`
	StartedBy         string `json:",omitzero"`
	LaunchType        string `json:",omitzero"`
	ContainerInstance string `json:",omitzero"` // ARN; empty until placed
	Zone              string `json:",omitzero"`
	Priority          int    `json:",omitzero"`
	CapacityProvider  string `json:",omitzero"`
	// Target is the ARN of the instance that a daemon's task is made for.
	Target         string             `json:",omitzero"`
	Reserved       plimsoll.Resources `json:",omitzero"`
	FixedPorts     []int              `json:",omitzero"`
	LastStatus     plimsoll.Status    `json:",omitzero"`
	DesiredStatus  plimsoll.Status    `json:",omitzero"`
	Containers     []Container        `json:",omitzero"`
	ProtectedUntil time.Time          `json:",omitzero"` // zero: not protected
	// Excused tells of a released task that has ended by itself: it still counts
	// for the desired count, so that nothing is started in its place before the
	// count has followed.
	Excused       bool              `json:",omitzero"`
	StopCode      string            `json:",omitzero"`
	StoppedReason string            `json:",omitzero"`
	Tags          map[string]string `json:",omitzero"`
	Override      TaskOverride      `json:",omitzero"`
	Version       int64             `json:",omitzero"`
	CreatedAt     time.Time         `json:",omitzero"`
	PlacedAt      time.Time         `json:",omitzero"`
	// PullStartedAt and PullStoppedAt are when its images were pulled; zero where
	// nothing is.
	PullStartedAt   time.Time `json:",omitzero"`
	PullStoppedAt   time.Time `json:",omitzero"`
	StartedAt       time.Time `json:",omitzero"`
	StoppingAt      time.Time `json:",omitzero"`
	ExecutionStopAt time.Time `json:",omitzero"`
	StoppedAt       time.Time `json:",omitzero"`
	// DrainUntil is when a DEACTIVATING task is stopped at the latest.
	DrainUntil time.Time `json:",omitzero"`
}

// Health is the health of the task as ECS reckons it: UNHEALTHY if an essential
// container is, HEALTHY if all of them that have a health check are, else
// UNKNOWN.
func (t *Task) Health(d *TaskDefinition) string {
	if d == nil {
		return order.HealthUnknown
	}
	checked, healthy := 0, 0
	for i := range d.Containers {
		of := &d.Containers[i]
		if !of.Essential || of.HealthCheck == nil {
			continue
		}
		checked++
		at := slices.IndexFunc(t.Containers, func(c Container) bool { return c.Name == of.Name })
		switch {
		case at < 0:
		case t.Containers[at].Health == order.HealthUnhealthy:
			return order.HealthUnhealthy
		case t.Containers[at].Health == order.HealthHealthy:
			healthy++
		}
	}
	if checked == 0 || healthy < checked {
		return order.HealthUnknown
	}
	return order.HealthHealthy
}

// Protected tells whether scale-in must leave the task alone at now.
func (t *Task) Protected(now time.Time) bool { return now.Before(t.ProtectedUntil) }

// Container is a container of a task.
type Container struct {
	Name       string          `json:",omitzero"`
	ARN        string          `json:",omitzero"`
	Image      string          `json:",omitzero"`
	LastStatus plimsoll.Status `json:",omitzero"`
	ExitCode   *int            `json:",omitzero"`
	Reason     string          `json:",omitzero"`
	Bindings   []Binding       `json:",omitzero"`
	// Health is HEALTHY, UNHEALTHY or UNKNOWN; empty without a health check.
	Health string `json:",omitzero"`
	// Restarts counts how often its restart policy has started it again.
	Restarts int `json:",omitzero"`
}

// Binding is a host port that a container has.
type Binding struct {
	ContainerPort int    `json:",omitzero"`
	HostPort      int    `json:",omitzero"`
	Address       string `json:",omitzero"`
	Protocol      string `json:",omitzero"`
}
