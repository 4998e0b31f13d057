package engine

import (
	"time"

	"plimsoll"
)

// Cluster is an ECS cluster.
type Cluster struct {
	Name      string
	ARN       string
	Status    string // ACTIVE, INACTIVE
	Tags      map[string]string
	CreatedAt time.Time
}

// TaskDefinition is one revision of a family.
type TaskDefinition struct {
	ARN          string
	Family       string
	Revision     int
	Status       string // ACTIVE, INACTIVE
	Containers   []ContainerDefinition
	CPU, Memory  int64 // task level; 0 where the definition names none
	NetworkMode  string
	TaskRoleARN  string
	Tags         map[string]string
	RegisteredAt time.Time
	// Raw is the JSON of the SDK's TaskDefinition as it was registered, kept by
	// the wire so that DescribeTaskDefinition gives back what came in.
	Raw []byte
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
	Name              string
	Image             string
	EntryPoint        []string
	Command           []string
	WorkingDirectory  string
	User              string
	Environment       map[string]string
	CPU               int64
	Memory            int64 // hard limit, MiB
	MemoryReservation int64 // MiB
	PortMappings      []PortMapping
	Essential         bool
	StopTimeout       time.Duration // 0: the default, 30 s
	Labels            map[string]string
}

// PortMapping is a container port; HostPort 0 is dynamic.
type PortMapping struct {
	ContainerPort int
	HostPort      int
	Protocol      string
}

// ContainerInstance is a logical host of this machine.
type ContainerInstance struct {
	ARN           string
	Cluster       string // name
	EC2InstanceID string
	Address       string // loopback address
	Zone          string
	Status        string // ACTIVE, DRAINING
	Registered    plimsoll.Resources
	RegisteredAt  time.Time
	Attributes    map[string]string
	Tags          map[string]string
}

// Service is an ECS service.
type Service struct {
	ARN            string
	Cluster        string // name
	Name           string
	Status         string // ACTIVE, DRAINING, INACTIVE
	TaskDefinition string // ARN
	Desired        int
	Priority       int // from the tag plimsoll:priority; 1 is the highest
	LaunchType     string
	Tags           map[string]string
	CreatedAt      time.Time
	// MinimumHealthyPercent and MaximumPercent bound a rolling deployment.
	MinimumHealthyPercent int
	MaximumPercent        int
	Deployments           []Deployment
	Events                []ServiceEvent // the newest first, bounded
	// Failures counts starts that failed in a row; RetryAt is when the next
	// task may be started after them.
	Failures int
	RetryAt  time.Time
	// Raw is what the wire keeps of CreateService and UpdateService to give
	// back in DescribeServices (load balancers, network configuration, …).
	Raw []byte
}

// Deployment is one rollout of a task definition. The first is PRIMARY.
type Deployment struct {
	ID             string
	Status         string // PRIMARY, ACTIVE
	TaskDefinition string
	RolloutState   string // IN_PROGRESS, COMPLETED
	FailedTasks    int
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// ServiceEvent is a line of a service's history.
type ServiceEvent struct {
	ID      string
	At      time.Time
	Message string
}

// Task is an ECS task.
type Task struct {
	ID, ARN           string
	Cluster           string // name
	TaskDefinition    string // ARN
	Family            string
	Service           string // name; empty for a standalone task
	Deployment        string // id
	Group             string
	StartedBy         string
	LaunchType        string
	ContainerInstance string // ARN; empty until placed
	Zone              string
	Priority          int
	Reserved          plimsoll.Resources
	FixedPorts        []int
	LastStatus        plimsoll.Status
	DesiredStatus     plimsoll.Status
	Containers        []Container
	ProtectedUntil    time.Time // zero: not protected
	StopCode          string
	StoppedReason     string
	Tags              map[string]string
	Overrides         []ContainerOverride
	Version           int64
	CreatedAt         time.Time
	PlacedAt          time.Time
	StartedAt         time.Time
	StoppingAt        time.Time
	ExecutionStopAt   time.Time
	StoppedAt         time.Time
	// DrainUntil is when a DEACTIVATING task is stopped at the latest.
	DrainUntil time.Time
}

// Protected tells whether scale-in must leave the task alone at now.
func (t *Task) Protected(now time.Time) bool { return now.Before(t.ProtectedUntil) }

// Container is a container of a task.
type Container struct {
	Name       string
	ARN        string
	Image      string
	LastStatus plimsoll.Status
	ExitCode   *int
	Reason     string
	Bindings   []Binding
}

// Binding is a host port that a container has.
type Binding struct {
	ContainerPort int
	HostPort      int
	Address       string
	Protocol      string
}

// ContainerOverride changes one container of a task at RunTask.
type ContainerOverride struct {
	Name        string
	Command     []string // nil: as defined
	Environment map[string]string
	CPU, Memory int64 // 0: as defined
}
