package engine

import (
	"iter"

	"plimsoll"
	"plimsoll/place/query"
)

// View reads the state between two steps. What it gives is never changed by a
// later step and may be kept; the reader is not to change it either. Lists are
// in a stable order: by name, definitions by family and revision, tasks and
// instances by their time of creation. Clusters, services, tasks, instances and
// definitions may be named by name (id, family, family:revision) or ARN.
type View interface {
	Region() string
	Account() string
	Clusters() []*Cluster
	Cluster(ref string) (*Cluster, bool)
	// CapacityProviders are all, by name.
	CapacityProviders() []*CapacityProvider
	// Groups are the Auto Scaling groups, by name.
	Groups() []*Group
	// Settings are the account settings that have been set, by name and principal.
	Settings() []*Setting
	TaskDefinitions() []*TaskDefinition
	TaskDefinition(ref string) (*TaskDefinition, bool)
	Services(cluster string) []*Service
	Service(cluster, ref string) (*Service, bool)
	// ServiceCounts are the tasks of a service that run, and that are on the
	// way to running (placed or not).
	ServiceCounts(cluster, service string) (running, pending int)
	// DeploymentCounts are the same of one deployment of it, by id.
	DeploymentCounts(cluster, service, deployment string) (running, pending int)
	Tasks(cluster string) []*Task
	// ServiceTasks are the tasks of a service that have not stopped.
	ServiceTasks(cluster, service string) []*Task
	// TasksAfter and ServiceTasksAfter are those of them with a greater Seq, to be
	// read within the call that gives the view.
	TasksAfter(cluster string, seq uint64) iter.Seq[*Task]
	ServiceTasksAfter(cluster, service string, seq uint64) iter.Seq[*Task]
	// Task finds a task by id or ARN; an empty cluster searches all.
	Task(cluster, ref string) (*Task, bool)
	Instances(cluster string) []*ContainerInstance
	Instance(cluster, ref string) (*ContainerInstance, bool)
	// Matching are those of them for which an expression of the cluster query
	// language holds.
	Matching(cluster string, expr query.Expr) []*ContainerInstance
	// Remaining is what is left of an instance; Counts are its tasks.
	Remaining(instanceARN string) plimsoll.Resources
	InstanceCounts(instanceARN string) (running, pending int)
}
