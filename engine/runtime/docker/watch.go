package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	docker "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// summary is a container as Docker lists it.
type summary = docker.Summary

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
	found := map[string][]summary{}
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
	r.spawn(r.clean)
	return nil
}

// find takes up what is there of a task.
func (t *task) find(ctx context.Context, containers []summary) {
	if len(containers) == 0 {
		t.fail("CannotStartContainerError: no trace of the task was found when the engine came back")
		return
	}
	byName := map[string]summary{}
	for _, c := range containers {
		byName[c.Labels[labelName]] = c
	}
	if len(byName) < len(t.spec.Containers) {
		t.remove()
		t.r.mu.Lock()
		t.r.tasks[t.spec.TaskID] = t
		t.r.mu.Unlock()
		t.fail("CannotStartContainerError: the engine ended before it had made the whole task")
		return
	}
	for i, c := range t.spec.Containers {
		t.take(ctx, i, byName[c.Name].ID)
	}
	t.mu.Lock()
	t.acting = true
	if t.spec.Stopping {
		t.stopping = true
		t.course.Stop()
	}
	t.mu.Unlock()
	t.goOn()
}

// take notes a container that was there before, with how far it has come.
func (t *task) take(ctx context.Context, i int, id string) {
	t.has(i, id)
	got, err := t.r.inspect(ctx, id)
	if err != nil || got.State == nil || got.State.Status == docker.StateCreated {
		return
	}
	var bindings []runtime.Binding
	if got.State.Running {
		if bindings, err = t.bindingsOf(i); err != nil {
			t.r.o.Log.Warn("the ports of a task cannot be read", "task", t.spec.TaskID, "error", err)
		}
	}
	e := t.r.endOf(t.spec.Containers[i].Name, got)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bindings = append(t.bindings, bindings...)
	t.course.Began(i, moment(got.State.StartedAt, t.r.o.Now()))
	if h := got.State.Health; got.State.Running && h != nil && t.spec.Containers[i].HealthCheck != nil && h.Status != docker.Starting {
		t.course.Judge(i, h.Status == docker.Healthy)
	}
	if !got.State.Running {
		t.took(i, e)
	}
}

// adoptStray ends a task that no spec names. One that has ended is kept for a
// while, for its logs.
func (r *Runtime) adoptStray(ctx context.Context, id string, containers []summary) {
	spec := runtime.Spec{TaskID: id}
	recent := false
	for _, c := range containers {
		timeout, err := strconv.Atoi(c.Labels[labelStopTimeout])
		if err != nil {
			timeout = seconds(0)
		}
		spec.Containers = append(spec.Containers, runtime.Container{
			Name: c.Labels[labelName], StopTimeout: time.Duration(timeout) * time.Second,
		})
		recent = recent || r.o.Now().Sub(time.Unix(c.Created, 0)) < keepStopped
	}
	t := newTask(r, spec)
	t.silent = true
	for i, c := range containers {
		t.take(ctx, i, c.ID)
	}
	t.mu.Lock()
	t.acting, t.stopping = true, true
	t.course.Stop()
	runs := slices.ContainsFunc(spec.Containers, func(c runtime.Container) bool { return t.course.Running(t.course.Index(c.Name)) })
	t.mu.Unlock()
	if !runs && recent {
		return
	}
	r.mu.Lock()
	r.tasks[id] = t
	r.mu.Unlock()
	r.o.Log.Info("a task that the engine does not know is ended", "task", id)
	t.goOn()
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
		Filters: r.filter("").Clone().Add("type", string(events.ContainerEventType)).Add("event", string(events.ActionDie), string(events.ActionHealthStatus)),
	})
	for {
		select {
		case m := <-stream.Messages:
			switch m.Action {
			case events.ActionDie:
				r.died(m.Actor.ID)
			case events.ActionHealthStatusHealthy, events.ActionHealthStatusUnhealthy:
				r.judged(m.Actor.ID, m.Action == events.ActionHealthStatusHealthy)
			}
		case err := <-stream.Err:
			return err
		}
	}
}

// died takes the end of a container, whichever way it was learnt.
func (r *Runtime) died(id string) {
	r.mu.Lock()
	at, known := r.byID[id]
	r.mu.Unlock()
	if !known {
		return
	}
	name := at.task.spec.Containers[at.index].Name
	got, err := r.inspect(r.ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		at.task.ended(at.index, end{runtime.Exit{Container: name, Code: 137, Reason: "the container was removed"}, "removed", r.o.Now()})
	case err != nil || got.State == nil:
		at.task.ended(at.index, end{runtime.Exit{Container: name, Code: 137, Reason: fmt.Sprintf("its exit code cannot be read: %v", err)}, "unknown", r.o.Now()})
	case got.State.Running || got.State.Status == docker.StateCreated: // an old event
	default:
		at.task.ended(at.index, r.endOf(name, got))
	}
}

// judged takes what a health check has found.
func (r *Runtime) judged(id string, healthy bool) {
	r.mu.Lock()
	at, known := r.byID[id]
	r.mu.Unlock()
	if known {
		at.task.judged(at.index, healthy)
	}
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
	known := maps.Clone(r.byID)
	r.mu.Unlock()
	for id, at := range known {
		at.task.mu.Lock()
		runs := at.task.course.Running(at.index)
		at.task.mu.Unlock()
		switch {
		case runs && !running[id]:
			r.died(id)
		case runs && at.task.spec.Containers[at.index].HealthCheck != nil:
			got, err := r.inspect(r.ctx, id)
			if err == nil && got.State != nil && got.State.Health != nil && got.State.Health.Status != docker.Starting {
				r.judged(id, got.State.Health.Status == docker.Healthy)
			}
		}
	}
	return nil
}

// endOf is how a container ended.
func (r *Runtime) endOf(name string, got docker.InspectResponse) end {
	s := got.State
	x := runtime.Exit{Container: name, Code: s.ExitCode, OOM: s.OOMKilled, Reason: s.Error}
	if x.OOM {
		x.Reason = "OutOfMemoryError: the container used more than its memory limit"
	}
	return end{exit: x, finished: s.FinishedAt, at: moment(s.FinishedAt, r.o.Now())}
}

// moment reads a time of Docker's.
func moment(text string, otherwise time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return otherwise
	}
	return at
}
