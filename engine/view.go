package engine

import "plimsoll"

// View reads the state between two steps. What it gives is the Machine's own:
// it is not to be changed, nor kept after the read. Lists are in a stable
// order: by name, definitions by family and revision, tasks and instances by
// their time of creation. Clusters, services, tasks, instances and definitions
// may be named by name (id, family, family:revision) or ARN.
type View interface {
	Region() string
	Account() string
	Clusters() []*Cluster
	Cluster(ref string) (*Cluster, bool)
	TaskDefinitions() []*TaskDefinition
	TaskDefinition(ref string) (*TaskDefinition, bool)
	Services(cluster string) []*Service
	Service(cluster, ref string) (*Service, bool)
	// ServiceCounts are the tasks of a service that run, and that are on the
	// way to running (placed or not).
	ServiceCounts(cluster, service string) (running, pending int)
	Tasks(cluster string) []*Task
	// Task finds a task by id or ARN; an empty cluster searches all.
	Task(cluster, ref string) (*Task, bool)
	Instances(cluster string) []*ContainerInstance
	Instance(cluster, ref string) (*ContainerInstance, bool)
	// Remaining is what is left of an instance; Counts are its tasks.
	Remaining(instanceARN string) plimsoll.Resources
	InstanceCounts(instanceARN string) (running, pending int)
}
