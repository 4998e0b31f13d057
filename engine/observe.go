package engine

import (
	"fmt"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// observe takes in what the runtime has seen of a task.
func (m *Machine) observe(ev runtime.Event) {
	t := m.tasks[ev.TaskID]
	if t == nil || !t.alive() {
		if ev.Kind == runtime.Started || ev.Kind == runtime.Rebound {
			// Nobody wants it any more: it must not run on unseen.
			m.fx.Stops = append(m.fx.Stops, ev.TaskID)
		}
		return
	}
	at := ev.At.Round(0).UTC()
	if ev.At.IsZero() || at.After(m.now) {
		at = m.now
	}
	m.pulled(t, ev)
	switch ev.Kind {
	case runtime.Started:
		m.started(t, at, ev)
	case runtime.Changed:
		m.contained(t, ev.States)
	case runtime.Rebound:
		m.bind(t, ev.Bindings)
	case runtime.StartFailed:
		m.startFailed(t, ev)
	case runtime.Exited:
		m.exited(t, at, ev)
	}
}

func (m *Machine) started(t *task, at time.Time, ev runtime.Event) {
	adopted := t.unproven
	t.unproven = false
	switch t.LastStatus {
	case plimsoll.StatusPending:
		e := m.editTask(t)
		e.LastStatus, e.StartedAt = plimsoll.StatusRunning, at
		for i := range e.Containers {
			e.Containers[i].LastStatus = plimsoll.StatusRunning
		}
		m.bind(t, ev.Bindings)
		m.recount(t)
		if s := t.svc; s != nil {
			m.watchRun(t)
			m.watchHealthy(t)
			m.unsettle(s)
		}
		m.contained(t, ev.States)
	case plimsoll.StatusDeactivating:
		m.bind(t, ev.Bindings)
		if adopted {
			m.fx.Drains = append(m.fx.Drains, Drain{TaskID: t.ID, TaskARN: t.ARN, Service: t.Service, Deadline: t.DrainUntil})
		}
	case plimsoll.StatusStopping:
		// The stop may have been lost with the process that asked for it;
		// asking again does nothing if it was not.
		m.bind(t, ev.Bindings)
		m.fx.Stops = append(m.fx.Stops, t.ID)
	case plimsoll.StatusRunning:
		m.bind(t, ev.Bindings)
		m.contained(t, ev.States)
	}
}

// pulled notes when the images of the task were pulled.
func (m *Machine) pulled(t *task, ev runtime.Event) {
	began, ended := ev.PullBegan.Round(0).UTC(), ev.PullEnded.Round(0).UTC()
	if ev.PullBegan.IsZero() || t.PullStartedAt.Equal(began) && t.PullStoppedAt.Equal(ended) {
		return
	}
	e := m.editTask(t)
	e.PullStartedAt, e.PullStoppedAt = began, ended
}

// contained notes how the containers are.
func (m *Machine) contained(t *task, states []runtime.State) {
	for _, s := range states {
		i := slices.IndexFunc(t.Containers, func(c Container) bool { return c.Name == s.Container })
		if i < 0 {
			continue
		}
		now := t.Containers[i]
		now.LastStatus = statusOf(s.Phase)
		now.Health, now.Restarts = s.Health, s.Restarts
		if s.Reason != "" {
			now.Reason = s.Reason
		}
		if s.Exit != nil && (now.ExitCode == nil || *now.ExitCode != s.Exit.Code) {
			now.exit(*s.Exit)
		}
		if !now.equal(&t.Containers[i]) {
			m.editTask(t).Containers[i] = now
		}
	}
	m.reckon(t)
	m.judge(t)
}

// reckon has the task's service take in that the task has become healthy, or is
// so no more.
func (m *Machine) reckon(t *task) {
	was := t.counts
	m.recount(t)
	if t.svc == nil || t.counts == was {
		return
	}
	m.unsettle(t.svc)
	if t.sound() {
		m.watchHealthy(t)
	}
}

func statusOf(p order.Phase) plimsoll.Status {
	switch p {
	case order.Running:
		return plimsoll.StatusRunning
	case order.Ended, order.Never:
		return plimsoll.StatusStopped
	}
	return plimsoll.StatusPending
}

// equal compares what a runtime tells of a container.
func (c *Container) equal(o *Container) bool {
	return c.LastStatus == o.LastStatus && c.Health == o.Health && c.Restarts == o.Restarts && c.Reason == o.Reason && c.ExitCode == o.ExitCode
}

// judge has a service's task that is unhealthy replaced, as ECS's scheduler does,
// but not while it is protected: a worker that is too busy to answer its check is
// still at work. A standalone task is only said to be unhealthy.
func (m *Machine) judge(t *task) {
	s := t.svc
	if s == nil || !t.staying() || t.Protected(m.now) || t.Health(t.def.TaskDefinition) != order.HealthUnhealthy {
		return
	}
	if g := s.HealthGrace; g != nil && !t.StartedAt.IsZero() {
		if until := t.StartedAt.Add(*g); m.now.Before(until) {
			m.after(until, func() { m.judge(t) })
			return
		}
	}
	m.say(s, "(service %s) (task %s) failed container health checks.", s.Name, t.ID)
	// A rollout does not go on with a task that has not become healthy, however
	// long it has had for it: that is a failure of the deployment.
	young := t.StartedAt.IsZero() || m.now.Sub(t.StartedAt) < provenRun ||
		!t.stale() && s.Deployments[0].RolloutState == rolloutInProgress
	m.stop(t, stopScheduler, "Task failed container health checks")
	if young {
		m.failedRun(s, t.Task, "failed container health checks")
	}
}

// bind notes which host ports the containers have.
func (m *Machine) bind(t *task, bindings []runtime.Binding) {
	byContainer := map[string][]Binding{}
	for _, b := range bindings {
		byContainer[b.Container] = append(byContainer[b.Container], Binding{
			ContainerPort: b.ContainerPort, HostPort: b.HostPort, Address: b.Address, Protocol: b.Protocol,
		})
	}
	for i := range t.Containers {
		now := byContainer[t.Containers[i].Name]
		if !equalBindings(t.Containers[i].Bindings, now) {
			m.editTask(t).Containers[i].Bindings = now
		}
	}
}

func equalBindings(a, b []Binding) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// startFailed ends a task that never ran. A task that the engine had placed
// just before it ended itself, and of which there is no trace, is started: its
// start was promised and may never have been asked for.
func (m *Machine) startFailed(t *task, ev runtime.Event) {
	adopted := t.unproven
	t.unproven = false
	if adopted && t.LastStatus == plimsoll.StatusPending && m.halted == "" {
		m.start(t)
		return
	}
	leaving := !t.staying()
	m.ends(t, ev)
	if !leaving {
		e := m.editTask(t)
		e.StopCode, e.StoppedReason, e.StoppingAt = stopNoStart, ev.Reason, m.now
		e.ExecutionStopAt = m.now
		if t.LastStatus == plimsoll.StatusRunning {
			e.StopCode = stopEssential
		}
		if e.StoppedReason == "" {
			e.StoppedReason = "Task failed to start"
		}
	}
	s := t.svc
	m.finish(t)
	if s != nil && !leaving && !adopted {
		m.failedRun(s, t.Task, t.StoppedReason)
	}
}

// exited ends a task whose containers have all ended.
func (m *Machine) exited(t *task, at time.Time, ev runtime.Event) {
	t.unproven = false
	e := m.editTask(t)
	e.ExecutionStopAt = at
	m.ends(t, ev)
	leaving := !t.staying()
	if !leaving {
		e.StopCode, e.StoppingAt = stopEssential, m.now
		e.StoppedReason = "Essential container in task exited"
		if ev.Reason != "" {
			e.StoppedReason = ev.Reason
		}
	}
	s, ran := t.svc, time.Duration(0)
	if !e.StartedAt.IsZero() {
		ran = at.Sub(e.StartedAt)
	}
	counted := s != nil && !leaving && !t.stale() && !t.displaced()
	tookOff := s != nil && !leaving && m.gone(s, t, t.exitCode())
	m.finish(t)
	if s == nil || leaving || tookOff {
		return
	}
	if t.released() {
		if counted && s.Status == statusActive {
			m.excuse(s, t)
		}
		return
	}
	if ran < provenRun {
		m.failedRun(s, t.Task, t.exitSummary(t.def.TaskDefinition))
	} else {
		m.proven(s, t.StartedAt)
	}
}

// ends notes how the containers ended, and why one could not be started.
func (m *Machine) ends(t *task, ev runtime.Event) {
	e := m.editTask(t)
	for i := range e.Containers {
		c := &e.Containers[i]
		for _, s := range ev.States {
			if s.Container == c.Name {
				c.Reason, c.Restarts = s.Reason, s.Restarts
			}
		}
		for _, x := range ev.Exits {
			if x.Container == c.Name {
				c.exit(x)
			}
		}
	}
}

// exit notes how the container ended.
func (c *Container) exit(x runtime.Exit) {
	code := x.Code
	c.ExitCode, c.Reason = &code, x.Reason
	if x.OOM && c.Reason == "" {
		c.Reason = "OutOfMemoryError: Container killed due to memory usage"
	}
}

// exitCode is the first that is not 0, of the containers that have one.
func (t *Task) exitCode() int {
	for _, c := range t.Containers {
		if c.ExitCode != nil && *c.ExitCode != 0 {
			return *c.ExitCode
		}
	}
	return 0
}

// exitSummary says for people how the task ended: of several containers the one
// that matters, which is an essential one that failed.
func (t *Task) exitSummary(d *TaskDefinition) string {
	summary := t.StoppedReason
	weight := -1
	for _, c := range t.Containers {
		if c.ExitCode == nil {
			continue
		}
		w := 0
		if d.essential(c.Name) {
			w++
		}
		if *c.ExitCode != 0 {
			w += 2
		}
		if w > weight {
			weight, summary = w, fmt.Sprintf("container %s exited with code %d", c.Name, *c.ExitCode)
		}
	}
	return summary
}
