package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// Adopt implements runtime.Runtime. It is an error if no Docker Engine answers.
func (r *Runtime) Adopt(ctx context.Context, known []runtime.Spec) error {
	if r.broken != nil {
		return r.broken
	}
	if err := ping(ctx, r.docker); err != nil {
		return err
	}
	// Ends are looked for from before the list was read: none is lost between.
	since := time.Now()
	list, err := r.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.filter("")})
	if err != nil {
		return fmt.Errorf("docker engine at %s: %w", r.docker.DaemonHost(), err)
	}
	found := map[string][]container.Summary{}
	for _, c := range list.Items {
		found[c.Labels[labelTask]] = append(found[c.Labels[labelTask]], c)
	}
	for _, spec := range known {
		t := newTask(r, spec)
		r.mu.Lock()
		r.tasks[spec.TaskID] = t
		r.mu.Unlock()
		t.find(ctx, found[spec.TaskID])
		delete(found, spec.TaskID)
	}
	for id, containers := range found {
		r.adoptStray(ctx, id, containers)
	}
	r.spawn(func() { r.watch(since) })
	return nil
}

// find takes up what is there of a task.
func (t *task) find(ctx context.Context, containers []container.Summary) {
	if len(containers) == 0 {
		t.fail("CannotStartContainerError: no trace of the task was found when the engine came back")
		return
	}
	whole := len(containers) == len(t.spec.Containers)
	for _, c := range containers {
		whole = whole && c.State != container.StateCreated
	}
	if !whole {
		t.remove()
		t.r.mu.Lock()
		t.r.tasks[t.spec.TaskID] = t
		t.r.mu.Unlock()
		t.fail("CannotStartContainerError: the engine ended before it had started the whole task")
		return
	}
	for _, c := range containers {
		t.take(ctx, c)
	}
	t.mu.Lock()
	t.announced = len(t.running) == 0 // then only its end is said
	t.settle()
	over := t.over
	t.mu.Unlock()
	if over {
		return
	}
	bindings, err := t.bindings()
	if err != nil {
		t.r.o.Log.Warn("the ports of a task cannot be read", "task", t.spec.TaskID, "error", err)
	}
	t.began(bindings)
}

// take notes a container that was there before, with its exit code if it has
// ended.
func (t *task) take(ctx context.Context, c container.Summary) {
	name := c.Labels[labelName]
	timeout, err := strconv.Atoi(c.Labels[labelStopTimeout])
	if err != nil {
		timeout = seconds(0)
	}
	t.has(name, c.ID, timeout, true)
	if c.State != container.StateRunning && c.State != container.StatePaused && c.State != container.StateRestarting {
		t.ended(t.r.exit(ctx, name, c.ID))
	}
}

// adoptStray ends a task that no spec names. One that has ended is kept for a
// while, for its logs.
func (r *Runtime) adoptStray(ctx context.Context, id string, containers []container.Summary) {
	t := newTask(r, runtime.Spec{TaskID: id})
	t.silent = true
	recent := false
	for _, c := range containers {
		t.take(ctx, c)
		recent = recent || r.o.Now().Sub(time.Unix(c.Created, 0)) < keepStopped
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.running) == 0 && recent {
		return
	}
	r.mu.Lock()
	r.tasks[id] = t
	r.mu.Unlock()
	r.o.Log.Info("a task that the engine does not know is ended", "task", id)
	t.announced, t.stopping = true, true
	t.signal()
	t.settle()
}

// watch follows Docker's events. When they break off it catches up by a list.
func (r *Runtime) watch(since time.Time) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		begun := time.Now()
		err := r.follow(since)
		if r.ctx.Err() != nil {
			return
		}
		r.o.Log.Warn("docker's events broke off; they are asked for again", "error", err)
		if time.Since(begun) > time.Minute {
			pause = 100 * time.Millisecond
		}
		if !r.sleep(pause) {
			return
		}
		since = begun
		if err := r.resync(); err != nil {
			r.o.Log.Warn("docker's containers cannot be listed", "error", err)
		}
	}
}

func (r *Runtime) follow(since time.Time) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	stream := r.docker.Events(ctx, client.EventsListOptions{
		Since:   fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()),
		Filters: r.filter("").Clone().Add("type", string(events.ContainerEventType)).Add("event", string(events.ActionDie)),
	})
	for {
		select {
		case m := <-stream.Messages:
			r.died(m.Actor.ID)
		case err := <-stream.Err:
			return err
		}
	}
}

// died takes the end of a container, whichever way it was learnt.
func (r *Runtime) died(id string) {
	r.mu.Lock()
	t := r.byID[id]
	r.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	name := ""
	for n, i := range t.ids {
		if i == id && t.running[n] {
			name = n
		}
	}
	t.mu.Unlock()
	if name == "" {
		return
	}
	if c, err := r.inspect(r.ctx, id); err == nil && c.State != nil && c.State.Running {
		return // an old event
	}
	t.ended(r.exit(r.ctx, name, id))
}

// resync looks at every container that is believed to run.
func (r *Runtime) resync() error {
	list, err := r.docker.ContainerList(r.ctx, client.ContainerListOptions{Filters: r.filter("")})
	if err != nil {
		return err
	}
	running := map[string]bool{}
	for _, c := range list.Items {
		running[c.ID] = true
	}
	r.mu.Lock()
	missing := maps.Clone(r.byID)
	r.mu.Unlock()
	for id, t := range missing {
		if !running[id] && t.isAnnounced() {
			r.died(id)
		}
	}
	return nil
}

func (t *task) isAnnounced() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.announced
}

// exit reads how a container ended.
func (r *Runtime) exit(ctx context.Context, name, id string) runtime.Exit {
	x := runtime.Exit{Container: name, Code: 137}
	c, err := r.inspect(ctx, id)
	switch {
	case err == nil && c.State != nil:
		x.Code, x.OOM, x.Reason = c.State.ExitCode, c.State.OOMKilled, c.State.Error
		if x.OOM {
			x.Reason = "OutOfMemoryError: the container used more than its memory limit"
		}
	case errdefs.IsNotFound(err):
		x.Reason = "the container was removed"
	default:
		x.Reason = fmt.Sprintf("its exit code cannot be read: %v", errors.Unwrap(err))
	}
	return x
}
