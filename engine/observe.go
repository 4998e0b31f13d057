package engine

import (
	"fmt"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
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
	switch ev.Kind {
	case runtime.Started:
		m.started(t, at, ev)
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
	if !leaving {
		e := m.editTask(t)
		e.StopCode, e.StoppedReason, e.StoppingAt = stopNoStart, ev.Reason, m.now
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
	for _, x := range ev.Exits {
		e.exit(x)
	}
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
		m.failedRun(s, t.Task, t.exitSummary())
	} else {
		m.proven(s, t.StartedAt)
	}
}

// exit notes how a container ended.
func (t *Task) exit(x runtime.Exit) {
	for i := range t.Containers {
		c := &t.Containers[i]
		if c.Name != x.Container {
			continue
		}
		code := x.Code
		c.ExitCode, c.Reason = &code, x.Reason
		if x.OOM && c.Reason == "" {
			c.Reason = "OutOfMemoryError: Container killed due to memory usage"
		}
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

// exitSummary says for people how the task ended.
func (t *Task) exitSummary() string {
	for _, c := range t.Containers {
		if c.ExitCode != nil {
			return fmt.Sprintf("container %s exited with code %d", c.Name, *c.ExitCode)
		}
	}
	return t.StoppedReason
}
