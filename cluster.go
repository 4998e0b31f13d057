// Package plimsoll is the vocabulary that every other package shares: plain
// values in ECS's own terms. It knows nothing of how they are read, decided on
// or carried out, and imports nothing but the standard library.
package plimsoll

import "time"

// Status is the state of a task, in ECS's words. LastStatus is where a task
// is, DesiredStatus where it is to go (RUNNING or STOPPED).
type Status string

// The states of a task, in the order in which it passes through them.
const (
	StatusProvisioning   Status = "PROVISIONING" // waits for a container instance
	StatusPending        Status = "PENDING"      // placed; its containers are being started
	StatusActivating     Status = "ACTIVATING"
	StatusRunning        Status = "RUNNING"
	StatusDeactivating   Status = "DEACTIVATING" // leaves the router; its requests end
	StatusStopping       Status = "STOPPING"     // has had SIGTERM
	StatusDeprovisioning Status = "DEPROVISIONING"
	StatusStopped        Status = "STOPPED"
)

// The states of a container instance that placement asks about.
const (
	InstanceActive   = "ACTIVE"
	InstanceDraining = "DRAINING"
)

// Tags that Plimsoll puts on ECS services, so that the wire stays ECS's.
const (
	// TagPriority is the service's priority: "1" is the highest.
	TagPriority = "plimsoll:priority"
	// TagCooperative is "true" on a service whose workers take themselves off: they
	// read the desired count, write it back less one, and exit.
	TagCooperative = "plimsoll:cooperative"
	// TagProject is the compose project that the service came from.
	TagProject = "plimsoll:project"
	// TagDigest is a digest of what was deployed, on the task definition, so that an
	// unchanged service is left alone.
	TagDigest = "plimsoll:digest"
	// TagReleased is on a task that has asked to be counted out: its work is over,
	// it takes no more, and ends by itself. Its value is when it asked.
	TagReleased = "plimsoll:released"
	// TagDraining is on a task that is to be stopped next and gets no new work until
	// then. Its value is when that lapses, so that nobody has to live on to take it
	// back.
	TagDraining = "plimsoll:draining"
	// TagKeepHost is "true" on a service whose tasks keep their hosts: no host
	// with one of them is taken out.
	TagKeepHost = "plimsoll:keep-host"
)

// Tags of Auto Scaling groups that say what a new host registers (CPU units, MiB)
// and costs in an hour.
const (
	TagHostCPU    = "plimsoll:cpu"
	TagHostMemory = "plimsoll:memory"
	TagHostPrice  = "plimsoll:price"
)

// LowestPriority is the priority of a service that names none.
const LowestPriority = 1000

// Cluster is one snapshot of an ECS cluster, as complete as the platform could
// read it. A snapshot that could not be read whole is an error, never a
// shorter list.
type Cluster struct {
	Name string
	// At is when the reading of the snapshot began.
	At        time.Time
	Services  []Service
	Tasks     []Task // stopped tasks included for as long as the platform shows them
	Instances []ContainerInstance
}

// Service is an ECS service.
type Service struct {
	ARN, Name      string
	TaskDefinition string
	// Desired, Running and Pending are ECS's own counts.
	Desired, Running, Pending int
	// Reserved is what one task of the current task definition reserves.
	Reserved Resources
	// Ports are the fixed host ports that each task of it needs.
	Ports []int
	// Daemon services have one task on each host, which comes and goes with it.
	Daemon bool
	// Registries are the ARNs of the target groups and Cloud Map services in which
	// ECS itself registers its tasks.
	Registries []string
	// Deploying is true while more than one deployment is in progress.
	Deploying bool
	// Deployments are those that have tasks still, or are to have. Rolling tells that
	// the platform itself has the tasks of the newest take the places of the others'
	// (deployment controller ECS, strategy ROLLING), with at least MinimumHealthy per
	// cent of the desired count healthy.
	Deployments    []Deployment
	Rolling        bool
	MinimumHealthy int
	Tags           map[string]string
	CreatedAt      time.Time
}

// Deployment is a deployment of a service.
type Deployment struct {
	ID string
	// Primary is the one that the service is to consist of.
	Primary bool
}

// Task is one ECS task.
type Task struct {
	ARN string
	// Service is the name of the service; empty for a standalone task.
	Service string
	// Deployment is the ID of the service's deployment that it is of.
	Deployment     string
	TaskDefinition string
	// ContainerInstance is the ARN of the host; empty until it is placed.
	ContainerInstance string
	Zone              string
	LastStatus        Status
	DesiredStatus     Status
	// Protected tells that scale-in must leave the task alone; ProtectedUntil
	// is when that lapses (zero: not protected).
	Protected      bool
	ProtectedUntil time.Time
	// Released tells that the task has asked to be counted out (TagReleased).
	Released bool
	// Draining tells that the task is to be stopped next (TagDraining).
	Draining bool
	// Unwell tells that the health check of a container fails, or has not passed yet.
	Unwell bool
	// Checked tells that a container has a health check: without one, ECS believes in
	// a task when it has run for 40 seconds.
	Checked       bool
	Reserved      Resources
	Ports         []int // the fixed host ports that it holds
	Endpoints     []Endpoint
	CreatedAt     time.Time
	StartedAt     time.Time // RUNNING was reached
	StoppingAt    time.Time
	StoppedAt     time.Time
	StopCode      string
	StoppedReason string
	// ExitCode is that of the first essential container; nil until known.
	ExitCode *int
}

// ID is the last part of the task's ARN.
func (t Task) ID() string { return ARNName(t.ARN) }

// Live tells whether the task holds, or will hold, capacity: it is not
// stopped.
func (t Task) Live() bool { return t.LastStatus != StatusStopped }

// Leaving tells whether the task has been asked to stop and has not stopped yet.
func (t Task) Leaving() bool { return t.Live() && t.DesiredStatus == StatusStopped }

// Serving tells whether new work may be sent to the task.
func (t Task) Serving() bool {
	return t.LastStatus == StatusRunning && t.DesiredStatus == StatusRunning && !t.Draining
}

// Endpoint is where a container port of a task can be reached.
type Endpoint struct {
	ContainerPort int    `json:"containerPort"`
	Host          string `json:"host"` // an IP address
	Port          int    `json:"port"`
}

// ContainerInstance is a host of the cluster.
type ContainerInstance struct {
	ARN string
	// InstanceID is the EC2 instance id.
	InstanceID string
	// Address is the host's IP address.
	Address string
	Zone    string
	// Status is InstanceActive, InstanceDraining or another word of ECS's.
	Status     string
	Connected  bool
	Registered Resources
	Remaining  Resources
	// Running and Pending are counts of tasks.
	Running, Pending int
	// DrainedAt is when Plimsoll had it drain, to take it out; zero: it did not,
	// and a host that drains was put there by somebody else.
	DrainedAt time.Time
	// UsedCPU is the CPU time that its tasks use, as a share of what it has;
	// nil where that is not known.
	UsedCPU *float64
}

// Schedulable tells whether new tasks may be placed on the instance.
func (c ContainerInstance) Schedulable() bool {
	return c.Status == InstanceActive && c.Connected
}

// ARNName is the part of an ARN, or of any name, after its last slash.
func ARNName(arn string) string {
	for i := len(arn) - 1; i >= 0; i-- {
		if arn[i] == '/' {
			return arn[i+1:]
		}
	}
	return arn
}
