package engine

import (
	"time"

	"plimsoll"
	"plimsoll/place"
)

// Command is a write of the ECS API in the engine's own terms. Each names the
// type of its result. Clusters, services and definitions may be named by name
// or ARN, as in ECS; an empty Cluster is "default".
type Command interface{ command() }

// CreateCluster gives *Cluster. Creating it again gives what is there.
type CreateCluster struct {
	Name              string
	Tags              map[string]string
	CapacityProviders []string
	DefaultStrategy   []ProviderShare
}

// DeleteCluster gives *Cluster, now INACTIVE and forgotten. A cluster with
// container instances, services or tasks is refused.
type DeleteCluster struct{ Cluster string }

// PutClusterCapacityProviders gives *Cluster, with just these providers and
// this default strategy.
type PutClusterCapacityProviders struct {
	Cluster           string
	CapacityProviders []string
	DefaultStrategy   []ProviderShare
}

// CreateCapacityProvider gives *CapacityProvider.
type CreateCapacityProvider struct {
	Name, Group string
	Tags        map[string]string
	Raw         []byte
}

// UpdateCapacityProvider gives *CapacityProvider.
type UpdateCapacityProvider struct {
	Name string // or ARN
	Raw  []byte
}

// DeleteCapacityProvider gives *CapacityProvider, now INACTIVE and forgotten.
// One that a cluster has is refused.
type DeleteCapacityProvider struct{ Name string }

// PutSetting gives *Setting. An empty Value takes the setting away again; then
// the result has the value that it had.
type PutSetting struct{ Name, Principal, Value string }

// PutAttributes sets attributes of container instances, and gives []Attribute.
type PutAttributes struct {
	Cluster    string
	Attributes []Attribute
}

// DeleteAttributes takes attributes off container instances, and gives
// []Attribute. One that has a Value is only taken off if it has just that.
type DeleteAttributes struct {
	Cluster    string
	Attributes []Attribute
}

// Attribute is one of a container instance's; Target is its id or ARN.
type Attribute struct {
	Name, Target string
	Value        *string
}

// RegisterInstance registers a container instance as its agent would: a further
// logical host of this machine. It gives *ContainerInstance. With the ARN of one
// that is there, that one is brought up to date.
type RegisterInstance struct {
	Cluster, ARN  string
	EC2InstanceID string // empty: one is made up
	Zone          string
	AgentVersion  string
	AgentHash     string
	DockerVersion string
	Resources     plimsoll.Resources
	Ports         []int // in use already
	Attributes    map[string]string
	Tags          map[string]string
}

// DeregisterInstance gives *ContainerInstance, now INACTIVE. One with tasks is
// refused, unless Force is set: then they are stopped, and it leaves with the
// last of them.
type DeregisterInstance struct {
	Cluster, Instance string
	Force             bool
}

// DeleteTaskDefinitions gives *DefinitionsResult. What is still in use is
// DELETE_IN_PROGRESS until it is not.
type DeleteTaskDefinitions struct{ TaskDefinitions []string }

// DefinitionsResult is what became of a DeleteTaskDefinitions.
type DefinitionsResult struct {
	Definitions []*TaskDefinition
	Failures    []Failure
}

// StartTask places one task on each of the instances named, without choosing,
// and gives *RunTaskResult.
type StartTask struct {
	Cluster        string
	TaskDefinition string
	Instances      []string
	Group          string
	StartedBy      string
	Tags           map[string]string
	Override       TaskOverride
	PropagateTags  string // as in RunTask
	ManagedTags    bool
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
	// Scheduling is REPLICA or DAEMON; a daemon has no Desired and no Strategies.
	Scheduling       string
	Strategies       []place.Strategy
	Constraints      []place.Constraint
	ProviderStrategy []ProviderShare
	Breaker          Breaker
	HealthGrace      *time.Duration
	PropagateTags    string // SERVICE, TASK_DEFINITION, or empty for none
	ManagedTags      bool
	CreatedBy        string // the ARN of who asks
}

// UpdateService gives *Service. Nil and empty fields stay as they are; lists
// that are empty and not nil are emptied.
type UpdateService struct {
	Cluster, Service      string
	TaskDefinition        string
	Desired               *int
	ForceNewDeployment    bool
	MinimumHealthyPercent *int
	MaximumPercent        *int
	Raw                   []byte
	Strategies            []place.Strategy
	Constraints           []place.Constraint
	ProviderStrategy      []ProviderShare
	Breaker               *Breaker
	HealthGrace           *time.Duration
	PropagateTags         *string
	ManagedTags           *bool
	// Caller is the id of the task whose own credentials the call was made with;
	// empty: it was not a task's.
	Caller string
}

// TagResource sets and removes tags of what the ARN names, and gives its tags,
// a map[string]string. A service's plimsoll:priority takes effect at once, and so
// does a task's plimsoll:released: it is the first to go when its service is
// scaled in, and is not replaced if it ends before that.
type TagResource struct {
	ARN    string
	Set    map[string]string
	Remove []string
}

// StopServiceDeployment gives *Service, on its way back to the last deployment
// that was completed. Deployment is the RevisionID of the one in progress.
type StopServiceDeployment struct{ Cluster, Service, Deployment string }

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
	LaunchType     string // empty: by the strategy, or the cluster's default
	Tags           map[string]string
	Override       TaskOverride
	ClientToken    string
	Strategies     []place.Strategy
	Constraints    []place.Constraint
	// ProviderStrategy chooses capacity providers; not with a launch type.
	ProviderStrategy []ProviderShare
	// PropagateTags is TASK_DEFINITION or empty; ManagedTags adds ECS's own.
	PropagateTags string
	ManagedTags   bool
	// ReferenceID is a name that the caller has for the request. It tells one
	// request with a ClientToken from another, and nothing else.
	ReferenceID string
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
func (DeleteService) command()                 {}
func (RunTask) command()                       {}
func (StopTask) command()                      {}
func (UpdateContainerInstancesState) command() {}
func (UpdateTaskProtection) command()          {}
func (StopAll) command()                       {}
func (TagResource) command()                   {}
func (DeleteCluster) command()                 {}
func (PutClusterCapacityProviders) command()   {}
func (CreateCapacityProvider) command()        {}
func (UpdateCapacityProvider) command()        {}
func (DeleteCapacityProvider) command()        {}
func (PutSetting) command()                    {}
func (PutAttributes) command()                 {}
func (DeleteAttributes) command()              {}
func (RegisterInstance) command()              {}
func (DeregisterInstance) command()            {}
func (DeleteTaskDefinitions) command()         {}
func (StartTask) command()                     {}
func (StopServiceDeployment) command()         {}

// Error is a refusal in ECS's words. Code is the name of the exception in the
// API model ("ServiceNotFoundException", "InvalidParameterException",
// "ClientException", "ClusterNotFoundException", …).
type Error struct {
	Code    string
	Message string
	// Resources are the ARNs of what is in the way, of a ConflictException.
	Resources []string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
