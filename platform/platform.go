// Package platform is the seam to where tasks run. The control loop and the
// deployment of a compose file see a cluster through it and nothing else. It
// knows no vendor and none of the decisions; platform/ecs is the adapter for
// ECS, and platform/platformtest the contract that every adapter passes.
package platform

import (
	"context"
	"errors"
	"time"

	"plimsoll"
)

// ErrNotFound is wrapped by the errors about a cluster, service or task that
// does not exist.
var ErrNotFound = errors.New("not found")

// ErrProtected is wrapped by the error of a change that would have stopped a
// protected task.
var ErrProtected = errors.New("task is protected")

// Cluster is what the control loop needs of a platform.
type Cluster interface {
	// Snapshot reads the whole cluster: every page of every list. A part that
	// cannot be read fails the whole.
	Snapshot(ctx context.Context) (plimsoll.Cluster, error)
	// SetDesired sets the desired count of a service. It wraps ErrNotFound
	// for an unknown service.
	SetDesired(ctx context.Context, service string, desired int) error
}

// Watcher is the optional ability of a platform to say that something in the
// cluster changed. The channel is never closed and holds at most one notice.
type Watcher interface {
	Changed() <-chan struct{}
}

// Deployer is the optional ability to create and remove services.
type Deployer interface {
	// Deploy makes the service exist as the specification says, and leaves a
	// service alone whose digest has not changed. The desired count of a
	// service that exists already is kept.
	Deploy(ctx context.Context, spec ServiceSpec) error
	// Remove deletes a service and lets its tasks stop. It is no error if the
	// service does not exist.
	Remove(ctx context.Context, service string) error
}

// TaskStopper is the optional ability to stop one task by its ARN.
type TaskStopper interface {
	StopTask(ctx context.Context, arn, reason string) error
}

// Releaser is the optional ability to mark a task that has asked to be counted
// out (plimsoll.Task.Released). The mark is durable, and is seen in snapshots
// for as long as the task is. Both wrap ErrNotFound for a task that is unknown;
// saying either again is no error.
type Releaser interface {
	Release(ctx context.Context, arn string) error
	// TakeBack ends the mark: the task is one like all others again, and is
	// replaced if it has ended.
	TakeBack(ctx context.Context, arn string) error
}

// Drainer is the optional ability to mark a task as the next to be stopped
// (plimsoll.Task.Draining), for all who route to it. The mark is durable and lapses at
// a time; the zero time takes it back. It wraps ErrNotFound for a task that is unknown.
type Drainer interface {
	MarkDraining(ctx context.Context, arn string, until time.Time) error
}

// Protector is the optional ability to protect tasks from being stopped by
// scale-in. Expires is ignored when protecting is false.
type Protector interface {
	Protect(ctx context.Context, service string, arns []string, protecting bool, expires time.Duration) error
}

// ProtectionReader is the optional ability to read the protection of tasks that
// snapshots do not show it of.
type ProtectionReader interface {
	// ProtectedUntil gives until when tasks are protected, by ARN: of those that are.
	// Unknown tasks are not.
	ProtectedUntil(ctx context.Context, service string, arns []string) (map[string]time.Time, error)
}

// HostReader is the optional ability to show the groups that a cluster's hosts
// are launched in: all of them, with all of their instances, or an error.
type HostReader interface {
	HostGroups(ctx context.Context) ([]plimsoll.HostGroup, error)
}

// HostScaler is the optional ability to have hosts come and go. Doing again what
// was done is no error.
type HostScaler interface {
	HostReader
	// SetCapacity sets the number of hosts that a group is to have.
	SetCapacity(ctx context.Context, group string, desired int) error
	// Drain has a host take no more tasks and its services' tasks replaced
	// elsewhere, and notes that it was told so (ContainerInstance.DrainedAt); or
	// ends that. Host is the ARN of the container instance.
	Drain(ctx context.Context, host string, draining bool) error
	// Terminate takes an instance out of its group, which desires one less from
	// then on. The platform refuses it where the group is at its minimum.
	Terminate(ctx context.Context, instanceID string) error
}

// ServiceSpec is a service to be deployed: one container, as compose files
// have it.
type ServiceSpec struct {
	// Name is the service's name, and its task definition's family.
	Name string
	// Desired is the count to create the service with.
	Desired   int
	Container ContainerSpec
	// TaskRoleARN, if any, is the role whose credentials the tasks get.
	TaskRoleARN string
	// Tags are put on the service.
	Tags map[string]string
}

// ContainerSpec is the one container of a ServiceSpec.
type ContainerSpec struct {
	// Image may be empty where the platform runs plain processes.
	Image       string
	EntryPoint  []string
	Command     []string
	WorkingDir  string
	User        string
	Environment map[string]string
	Reserved    plimsoll.Resources
	Ports       []PortSpec
	// StopTimeout is the time between SIGTERM and SIGKILL; 0 is the platform's
	// default (30 s on ECS).
	StopTimeout time.Duration
	HealthCheck *plimsoll.HealthCheck `json:",omitzero"`
	Ulimits     []plimsoll.Ulimit     `json:",omitzero"`
	Tmpfs       []plimsoll.Tmpfs      `json:",omitzero"`
	Mounts      []plimsoll.Mount      `json:",omitzero"`
	// AddCapabilities and DropCapabilities are Linux's, without CAP_.
	AddCapabilities  []string `json:",omitzero"`
	DropCapabilities []string `json:",omitzero"`
	// Init asks for a process 1 that reaps orphans; nil is the platform's default.
	Init         *bool `json:",omitzero"`
	ReadOnlyRoot bool  `json:",omitzero"`
}

// PortSpec is a port of a container; HostPort 0 is dynamic.
type PortSpec struct {
	ContainerPort int
	HostPort      int
	Protocol      string // "tcp" or "udp"
}
