package engine

import (
	"time"

	"plimsoll"
)

// Command is a write of the ECS API in the engine's own terms. Each names the
// type of its result. Clusters, services and definitions may be named by name
// or ARN, as in ECS; an empty Cluster is "default".
type Command interface{ command() }

// CreateCluster gives *Cluster. Creating it again gives what is there.
type CreateCluster struct {
	Name string
	Tags map[string]string
}

// PutHosts makes the container instances of a cluster be these many: the
// engine's own hosts, registered at its start. It gives []*ContainerInstance.
// Hosts that are there keep their identity; surplus hosts without tasks leave.
type PutHosts struct {
	Cluster string
	Hosts   []HostSpec
}

// HostSpec is one logical host. Name is stable over restarts ("host-1").
type HostSpec struct {
	Name      string
	Zone      string // "us-east-1a"
	Address   string
	Resources plimsoll.Resources
}

// RegisterTaskDefinition gives *TaskDefinition: the next revision of its
// family. ARN, Revision, Status and RegisteredAt are the engine's to set.
type RegisterTaskDefinition struct{ Definition TaskDefinition }

// DeregisterTaskDefinition gives *TaskDefinition, now INACTIVE.
type DeregisterTaskDefinition struct{ TaskDefinition string }

// CreateService gives *Service.
type CreateService struct {
	Cluster, Name         string
	TaskDefinition        string
	Desired               int
	LaunchType            string
	Tags                  map[string]string
	MinimumHealthyPercent *int
	MaximumPercent        *int
	ClientToken           string
	Raw                   []byte
}

// UpdateService gives *Service. Nil and empty fields stay as they are.
type UpdateService struct {
	Cluster, Service      string
	TaskDefinition        string
	Desired               *int
	ForceNewDeployment    bool
	MinimumHealthyPercent *int
	MaximumPercent        *int
	Raw                   []byte
}

// TagService sets and removes tags of a service, named by its ARN, and gives
// *Service. plimsoll:priority takes effect at once.
type TagService struct {
	Service string
	Set     map[string]string
	Remove  []string
}

// TagTask sets and removes tags of a task, named by its ARN, and gives *Task.
// plimsoll:released takes effect at once: the task is the first to go when its
// service is scaled in, and is not replaced if it ends before that.
type TagTask struct {
	Task   string
	Set    map[string]string
	Remove []string
}

// DeleteService gives *Service, now DRAINING (INACTIVE when its tasks are
// gone). Without Force a service with a desired count over 0 is refused.
type DeleteService struct {
	Cluster, Service string
	Force            bool
}

// RunTask gives *RunTaskResult. Tasks that find no room are failures
// ("RESOURCE:CPU"), said by name and never kept in silence.
type RunTask struct {
	Cluster        string
	TaskDefinition string
	Count          int // 1 to 10
	Group          string
	StartedBy      string
	LaunchType     string
	Tags           map[string]string
	Overrides      []ContainerOverride
	ClientToken    string
}

// RunTaskResult is what became of a RunTask.
type RunTaskResult struct {
	Tasks    []*Task
	Failures []Failure
}

// Failure is ECS's failure: not an error, but a thing that was not done.
type Failure struct{ ARN, Reason, Detail string }

// StopTask gives *Task, on its way to STOPPED (stopCode UserInitiated).
type StopTask struct {
	Cluster, Task, Reason string
}

// UpdateContainerInstancesState gives *InstancesResult. Status is ACTIVE or
// DRAINING.
type UpdateContainerInstancesState struct {
	Cluster   string
	Instances []string
	Status    string
}

// InstancesResult is what became of an UpdateContainerInstancesState.
type InstancesResult struct {
	Instances []*ContainerInstance
	Failures  []Failure
}

// UpdateTaskProtection gives *ProtectionResult. At most ten tasks a call;
// service tasks only; Expires between 1 and 2880 minutes, 0 for the default of
// two hours.
type UpdateTaskProtection struct {
	Cluster string
	Tasks   []string
	Enabled bool
	Expires time.Duration
}

// ProtectionResult is what became of an UpdateTaskProtection.
type ProtectionResult struct {
	Tasks    []*Task
	Failures []Failure
}

// StopAll stops every task of every cluster with the reason given, keeps the
// desired counts, and starts nothing more until the engine is started anew. It
// gives nil. It is how the engine is shut down.
type StopAll struct{ Reason string }

func (CreateCluster) command()                 {}
func (PutHosts) command()                      {}
func (RegisterTaskDefinition) command()        {}
func (DeregisterTaskDefinition) command()      {}
func (CreateService) command()                 {}
func (UpdateService) command()                 {}
func (TagService) command()                    {}
func (TagTask) command()                       {}
func (DeleteService) command()                 {}
func (RunTask) command()                       {}
func (StopTask) command()                      {}
func (UpdateContainerInstancesState) command() {}
func (UpdateTaskProtection) command()          {}
func (StopAll) command()                       {}

// Error is a refusal in ECS's words. Code is the name of the exception in the
// API model ("ServiceNotFoundException", "InvalidParameterException",
// "ClientException", "ClusterNotFoundException", …).
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
