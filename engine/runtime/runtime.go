// Package runtime is the seam between the embedded engine and what really runs
// the containers of a task: plain processes, Docker, or nothing at all (fake).
// Its three adapters pass one contract test, runtimetest. A runtime knows tasks
// only by their id; it must not know of services, placement or the ECS API.
package runtime

import (
	"context"
	"io"
	"slices"
	"time"

	"plimsoll/engine/runtime/order"
)

// Spec is one task to be started. It is complete: a runtime asks nobody else.
type Spec struct {
	// TaskID is unique for ever; starting the same id twice is one start.
	TaskID  string
	TaskARN string
	Cluster string
	Family  string
	// Revision is that of the task definition.
	Revision int
	// Service is the name of the service; empty for a standalone task.
	Service string
	// Address is the IP address of the container instance: what the task's
	// host ports are bound to.
	Address    string
	Containers []Container
	// Network is ECS's networkMode: "bridge" (default), "host" or "none".
	Network string
	// PIDMode and IPCMode are ECS's: empty, or "host".
	PIDMode, IPCMode string
	// Volumes are those that the containers' Mounts name.
	Volumes []Volume
	// Stopping tells Adopt that the task was being stopped.
	Stopping bool
}

// Order is what the order of the task's containers depends on. What a container
// has links to, or volumes from, has to be there before it is.
func (s Spec) Order() []order.Container {
	list := make([]order.Container, len(s.Containers))
	for i, c := range s.Containers {
		list[i] = order.Container{
			Name: c.Name, Essential: c.Essential, DependsOn: c.DependsOn,
			StartTimeout: c.StartTimeout, StopTimeout: c.StopTimeout, Restart: c.Restart,
		}
		for _, name := range c.Setting.neighbours() {
			list[i].DependsOn = append(slices.Clip(list[i].DependsOn), order.Dependency{Container: name, Condition: order.Start})
		}
	}
	return list
}

// Container is one container of a task.
type Container struct {
	Name       string
	Image      string
	EntryPoint []string
	Command    []string
	WorkingDir string
	// User is "uid", "uid:gid" or a name; empty is the runtime's default.
	User string
	// Env is the whole environment that the definition and the engine give; a
	// runtime adds only what it alone can know (PORT, HOST).
	Env map[string]string
	// CPU is in CPU units, 0 for no reservation; Memory is in MiB, a hard
	// limit, 0 for none.
	CPU, Memory int64
	Ports       []Port
	// Essential containers stop the task when they end.
	Essential bool
	// StopTimeout is the time between the stop signal and SIGKILL.
	StopTimeout time.Duration
	Labels      map[string]string
	// DependsOn is what the container waits for before it is started; others
	// wait for it no longer than its StartTimeout (0: as long as it takes).
	DependsOn    []order.Dependency
	StartTimeout time.Duration
	HealthCheck  *order.Health
	Restart      *order.Restart
	Setting      Setting
}

// Port is a port mapping. HostPort 0 asks the runtime for a free one.
type Port struct {
	ContainerPort int
	HostPort      int
	Protocol      string
}

// Binding is a host port that a container really has.
type Binding struct {
	Container     string
	ContainerPort int
	Address       string
	HostPort      int
	Protocol      string
}

// Kind says what an Event is about.
type Kind string

const (
	// Started: all containers of the task run, or have run as others depend on
	// their end. Bindings are known.
	Started Kind = "started"
	// Changed: the States are those of the containers now; it may come before
	// Started and after it.
	Changed Kind = "changed"
	// Rebound: a container turned out to listen elsewhere than on the host's
	// address (127.0.0.1, for one); Bindings replace those of Started.
	Rebound Kind = "rebound"
	// StartFailed: nothing of the task runs; Reason says why, as the
	// stoppedReason of the task.
	StartFailed Kind = "start-failed"
	// Exited: nothing of the task runs any more. Exits has the exit code of
	// each container that ran.
	Exited Kind = "exited"
)

// Event is what a runtime has seen happen to a task. For one TaskID there is
// at most one Started and exactly one of StartFailed and Exited, in this order;
// after Adopt, the last of these is said again. An essential container that ends
// while others still wait for it ends the task without Started.
type Event struct {
	TaskID   string
	Kind     Kind
	At       time.Time
	Bindings []Binding
	Exits    []Exit
	Reason   string
	// States, if any, are those of all containers.
	States []State
	// PullBegan and PullEnded are when the images were pulled, as far as that
	// has come; zero where there are none to be pulled.
	PullBegan, PullEnded time.Time
}

// State is how one container is.
type State struct {
	Container string
	Phase     order.Phase
	// Health is order.HealthHealthy, …; empty without a health check.
	Health   string
	Restarts int
	// Exit is the end of its last run; nil if none has ended.
	Exit *Exit
	// Reason is why it could not be started.
	Reason string
}

// Exit is the end of a container. Code is 128+n after signal n (137: SIGKILL).
type Exit struct {
	Container string
	Code      int
	Reason    string
	// OOM tells that the memory limit ended it.
	OOM bool
}

// Runtime starts and stops tasks. Neither Start nor Stop waits: what comes of
// them is told through the sink that the runtime was made with. All three may
// be called from any goroutine; starts never wait behind stops.
type Runtime interface {
	// Start starts the task's containers. Starting an id that is known
	// already does nothing.
	Start(spec Spec)
	// Stop asks the containers to end: the stop signal, then after each
	// container's StopTimeout SIGKILL. Stopping twice, or an unknown id, does
	// nothing.
	Stop(taskID string)
	// Adopt is called once, before the first Start, with the tasks that the
	// engine believes to be alive. For each, the runtime says where it is:
	// Started if it still runs, Exited with its code if it ended meanwhile,
	// StartFailed if there is no trace of it. What runs and is in no spec is
	// stopped.
	Adopt(ctx context.Context, known []Spec) error
}

// Sink receives a runtime's events. It must not block for long.
type Sink func(Event)

// Logs is the optional ability of a runtime to show what a task printed.
type Logs interface {
	// Logs gives the output of one container (empty: all containers) of a
	// task, stopped tasks included while they are kept. With follow it goes on
	// until the task ends or ctx does. An unknown task is an error that wraps
	// fs.ErrNotExist.
	Logs(ctx context.Context, taskID, container string, follow bool) (io.ReadCloser, error)
}

// Cleaner is the optional ability to forget what is kept of stopped tasks
// (logs, exit codes, stopped containers).
type Cleaner interface {
	Forget(taskID string)
}

// Prefetcher is the optional ability to get an image ahead of need: it is pulled in
// the background if it is not there, and kept.
type Prefetcher interface {
	Prefetch(image string)
}
