package engine

import (
	"time"

	"plimsoll"
)

// Cluster is an ECS cluster.
type Cluster struct {
	Name      string            `json:",omitzero"`
	ARN       string            `json:",omitzero"`
	Status    string            `json:",omitzero"` // ACTIVE, INACTIVE
	Tags      map[string]string `json:",omitzero"`
	CreatedAt time.Time         `json:",omitzero"`
}

// TaskDefinition is one revision of a family.
type TaskDefinition struct {
	ARN          string                `json:",omitzero"`
	Family       string                `json:",omitzero"`
	Revision     int                   `json:",omitzero"`
	Status       string                `json:",omitzero"` // ACTIVE, INACTIVE
	Containers   []ContainerDefinition `json:",omitzero"`
	CPU, Memory  int64                 `json:",omitzero"` // task level; 0 where the definition names none
	NetworkMode  string                `json:",omitzero"`
	TaskRoleARN  string                `json:",omitzero"`
	Tags         map[string]string     `json:",omitzero"`
	RegisteredAt time.Time             `json:",omitzero"`
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
	// ClientToken is that of CreateService: with it, the call may be repeated.
	ClientToken string `json:",omitzero"`
	// Raw is what the wire keeps of CreateService and UpdateService to give
	// back in DescribeServices (load balancers, network configuration, …).
	Raw []byte `json:",omitzero"`
}

// Deployment is one rollout of a task definition. The first is PRIMARY.
type Deployment struct {
	ID             string    `json:",omitzero"`
	Status         string    `json:",omitzero"` // PRIMARY, ACTIVE
	TaskDefinition string    `json:",omitzero"`
	RolloutState   string    `json:",omitzero"` // IN_PROGRESS, COMPLETED
	FailedTasks    int       `json:",omitzero"`
	CreatedAt      time.Time `json:",omitzero"`
	UpdatedAt      time.Time `json:",omitzero"`
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
	ClientToken       string             `json:",omitzero"`
	Request           string             `json:",omitzero"`
	ID, ARN           string             `json:",omitzero"`
	Cluster           string             `json:",omitzero"` // name
	TaskDefinition    string             `json:",omitzero"` // ARN
	Family            string             `json:",omitzero"`
	Service           string             `json:",omitzero"` // name; empty for a standalone task
	Deployment        string             `json:",omitzero"` // id
	Group             string             `json:",omitzero"`
	StartedBy         string             `json:",omitzero"`
	LaunchType        string             `json:",omitzero"`
	ContainerInstance string             `json:",omitzero"` // ARN; empty until placed
	Zone              string             `json:",omitzero"`
	Priority          int                `json:",omitzero"`
	Reserved          plimsoll.Resources `json:",omitzero"`
	FixedPorts        []int              `json:",omitzero"`
	LastStatus        plimsoll.Status    `json:",omitzero"`
	DesiredStatus     plimsoll.Status    `json:",omitzero"`
	Containers        []Container        `json:",omitzero"`
	ProtectedUntil    time.Time          `json:",omitzero"` // zero: not protected
	// Excused tells of a released task that has ended by itself: it still counts
	// for the desired count, so that nothing is started in its place before the
	// count has followed.
	Excused         bool                `json:",omitzero"`
	StopCode        string              `json:",omitzero"`
	StoppedReason   string              `json:",omitzero"`
	Tags            map[string]string   `json:",omitzero"`
	Overrides       []ContainerOverride `json:",omitzero"`
	Version         int64               `json:",omitzero"`
	CreatedAt       time.Time           `json:",omitzero"`
	PlacedAt        time.Time           `json:",omitzero"`
	StartedAt       time.Time           `json:",omitzero"`
	StoppingAt      time.Time           `json:",omitzero"`
	ExecutionStopAt time.Time           `json:",omitzero"`
	StoppedAt       time.Time           `json:",omitzero"`
	// DrainUntil is when a DEACTIVATING task is stopped at the latest.
	DrainUntil time.Time `json:",omitzero"`
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
}

// Binding is a host port that a container has.
type Binding struct {
	ContainerPort int    `json:",omitzero"`
	HostPort      int    `json:",omitzero"`
	Address       string `json:",omitzero"`
	Protocol      string `json:",omitzero"`
}

// ContainerOverride changes one container of a task at RunTask.
type ContainerOverride struct {
	Name        string            `json:",omitzero"`
	Command     []string          `json:",omitzero"` // nil: as defined
	Environment map[string]string `json:",omitzero"`
	CPU, Memory int64             `json:",omitzero"` // 0: as defined
}
