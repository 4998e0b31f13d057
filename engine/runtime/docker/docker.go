// Package docker is the runtime that runs the containers of a task with the
// Docker Engine, over its API. The Docker Engine outlives ours, so adoption is
// by the labels that the containers carry. It must not know of services, of
// placement or of the ECS API.
package docker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// Labels of the containers: ECS's own, then ours.
const (
	labelCluster  = "com.amazonaws.ecs.cluster"
	labelName     = "com.amazonaws.ecs.container-name"
	labelTaskARN  = "com.amazonaws.ecs.task-arn"
	labelFamily   = "com.amazonaws.ecs.task-definition-family"
	labelRevision = "com.amazonaws.ecs.task-definition-version"

	labelOwner       = "plimsoll.owner"
	labelTask        = "plimsoll.task"
	labelStopTimeout = "plimsoll.stop-timeout" // seconds
)

// DefaultOwner is the default of Options.Owner.
const DefaultOwner = "default"

// keepStopped is for how long the containers of a task that has ended are kept
// if nobody asks to forget it: ECS keeps stopped containers as long.
const keepStopped = 3 * time.Hour

// Options tune a Runtime. The zero value reaches the Docker Engine that the
// environment names (DOCKER_HOST, …), else the one of this machine.
type Options struct {
	// Host is the address of the Docker Engine, such as
	// "unix:///var/run/docker.sock"; empty: as the environment says.
	Host string
	// Owner tells the tasks of several engines over one Docker Engine apart:
	// each adopts, and stops, its own only. The folder of the engine's state is
	// a good one. Empty: DefaultOwner.
	Owner string
	// Allow is what tasks may have of the machine.
	Allow runtime.Allow
	// Images is where images come from and when they go.
	Images ImageOptions
	// Starts is how many tasks are started at the same time. 0: 4.
	Starts int
	// Now is the clock of the events. nil: time.Now.
	Now func() time.Time
	// Log is told of lost connections and pulls. nil discards.
	Log *slog.Logger
}

// Runtime runs tasks in Docker. It is a runtime.Runtime, and has all the
// optional abilities.
type Runtime struct {
	o      Options
	sink   runtime.Sink
	docker *client.Client
	broken error // why there is no client

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	starts *runtime.Queue
	// removals are done one after the other: many at once would slow starts down.
	removals *runtime.Queue
	images   *images

	mu     sync.Mutex
	tasks  map[string]*task
	byID   map[string]place // by container
	closed bool
}

// Available says whether a Docker Engine answers: nil, or why not.
func Available(ctx context.Context) error {
	c, err := connect(Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return ping(ctx, c)
}

func connect(o Options) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv}
	if o.Host != "" {
		opts = append(opts, client.WithHost(o.Host))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	return c, nil
}

func ping(ctx context.Context, c *client.Client) error {
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("no docker engine answers at %s: %w", c.DaemonHost(), err)
	}
	return nil
}

// New makes a runtime whose events go to sink. It connects to nothing by
// itself: Adopt is to be called next, and says if no Docker Engine answers.
func New(o Options, sink runtime.Sink) *Runtime {
	if o.Owner == "" {
		o.Owner = DefaultOwner
	}
	if o.Starts <= 0 {
		o.Starts = 4
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runtime{o: o, sink: sink, tasks: map[string]*task{}, byID: map[string]place{}, starts: runtime.NewQueue(o.Starts), removals: runtime.NewQueue(1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.docker, r.broken = connect(o)
	r.images = newImages(r)
	return r
}

// Start implements runtime.Runtime.
func (r *Runtime) Start(spec runtime.Spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.tasks[spec.TaskID] != nil {
		return
	}
	t := newTask(r, spec)
	r.tasks[spec.TaskID] = t
	r.starts.Put(t.start)
}

// Stop implements runtime.Runtime.
func (r *Runtime) Stop(taskID string) {
	if t := r.task(taskID); t != nil {
		t.stop()
	}
}

// Forget implements runtime.Cleaner: the containers of an ended task are
// removed.
func (r *Runtime) Forget(taskID string) {
	t := r.task(taskID)
	if t == nil {
		t = newTask(r, runtime.Spec{TaskID: taskID})
		t.over = true
	}
	if t.forget() {
		r.removals.Put(func() {
			if r.giveWay() {
				t.remove()
			}
		})
	}
}

// Close ends the watching. The tasks run on. No event comes after it.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.starts.Close()
	r.removals.Close()
	r.cancel()
	r.starts.Wait()
	r.removals.Wait()
	r.work.Wait()
	if r.docker == nil {
		return nil
	}
	return r.docker.Close()
}

// Prefetch implements runtime.Prefetcher.
func (r *Runtime) Prefetch(image string) {
	if r.broken == nil {
		r.spawn(func() { r.images.prefetch(image) })
	}
}

// Logs implements runtime.Logs.
func (r *Runtime) Logs(ctx context.Context, taskID, container string, follow bool) (io.ReadCloser, error) {
	return r.logs(ctx, taskID, container, follow)
}

func (r *Runtime) task(id string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks[id]
}

func (r *Runtime) spawn(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.work.Go(f)
	}
}

// filter selects this engine's containers; of one task, if it is named.
func (r *Runtime) filter(taskID string) client.Filters {
	f := client.Filters{}.Add("label", labelOwner+"="+r.o.Owner)
	if taskID != "" {
		f.Add("label", labelTask+"="+taskID)
	}
	return f
}

// seconds rounds a stop timeout up: Docker counts in seconds.
func seconds(d time.Duration) int {
	if d <= 0 {
		return 30
	}
	return int(math.Ceil(d.Seconds()))
}

// gone tells whether an error says that the container is not there, or does
// not run: what was asked of it needs not be done.
func gone(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsConflict(err) || errdefs.IsNotModified(err)
}
