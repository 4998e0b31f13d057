package runtimetest

import (
	"strings"
	"testing"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// after is a task of an essential container "main" that depends on "first".
func (w *world) after(id string, first Program, condition string) runtime.Spec {
	spec := w.task(id, Trap)
	c := w.h.Container(first)
	c.Name, c.StopTimeout = "first", long
	spec.Containers[0].DependsOn = []order.Dependency{{Container: "first", Condition: condition}}
	spec.Containers = append(spec.Containers, c)
	return w.know(spec)
}

// check is a health check with that outcome.
func (w *world) check(healthy bool) *order.Health {
	return &order.Health{Command: w.h.Check(healthy), Interval: time.Second, Timeout: 10 * time.Second, Retries: 1}
}

func dependsOnSuccess(t *testing.T, w *world) {
	r := w.engine()
	r.Start(w.after("job", Once, order.Success))
	e := w.wait("job", runtime.Started)
	w.readyContainer(r, "job", "main")
	for _, s := range e.States {
		if s.Container == "first" && (s.Phase != order.Ended || s.Exit == nil || s.Exit.Code != 0) || s.Container == "main" && s.Phase != order.Running {
			t.Errorf("state %+v", s)
		}
	}
	if len(e.States) != 2 {
		t.Errorf("states %+v", e.States)
	}
	r.Stop("job")
	w.codes(w.wait("job", runtime.Exited), map[string]int{"main": 0, "first": 0})
}

func dependencyFails(t *testing.T, w *world) {
	r := w.engine()
	r.Start(w.after("job", OnceBadly, order.Success))
	e := w.wait("job", runtime.StartFailed)
	if !strings.Contains(e.Reason, "container main depends on container first (SUCCESS), which exited with code 7") {
		t.Errorf("the reason is %q", e.Reason)
	}
	w.codes(e, map[string]int{"first": EndCode})
	w.gone("job")
}

func dependencyLate(t *testing.T, w *world) {
	r := w.engine()
	spec := w.after("job", Trap, order.Healthy)
	spec.Containers[1].StartTimeout = time.Second
	spec.Containers[1].HealthCheck = w.check(false)
	spec.Containers[1].HealthCheck.StartPeriod = time.Minute
	r.Start(spec)
	if e := w.wait("job", runtime.StartFailed); !strings.Contains(e.Reason, "startTimeout of 1s") {
		t.Errorf("the reason is %q", e.Reason)
	}
	w.gone("job")
}

func dependsOnHealth(t *testing.T, w *world) {
	r := w.engine()
	spec := w.after("web", Trap, order.Healthy)
	spec.Containers[1].HealthCheck = w.check(true)
	w.start(r, spec)
	w.state("web", "first", "healthy", func(s runtime.State) bool { return s.Health == order.HealthHealthy })
	r.Stop("web")
	w.codes(w.wait("web", runtime.Exited), map[string]int{"main": 0, "first": 0})
}

func essentialEndsEarly(t *testing.T, w *world) {
	r := w.engine()
	spec := w.after("web", Trap, order.Healthy)
	spec.Containers[1].HealthCheck = w.check(false)
	spec.Containers[1].HealthCheck.StartPeriod = time.Minute
	third := w.h.Container(Trap)
	third.Name, third.Essential, third.StopTimeout = "third", true, long
	spec.Containers = append(spec.Containers, third)
	spec = w.know(spec)
	r.Start(spec)
	w.readyContainerSoon(r, "web", "third")
	w.readyContainerSoon(r, "web", "first")
	w.h.End(t, "web", "third")
	w.codes(w.wait("web", runtime.Exited), map[string]int{"third": EndCode, "first": 0})
}

func stopsInReverse(t *testing.T, w *world) {
	r := w.engine()
	spec := w.after("web", Trap, order.Start)
	ignore := w.h.Container(Ignore)
	ignore.Name, ignore.Essential, ignore.StopTimeout, ignore.DependsOn = "main", true, long, spec.Containers[0].DependsOn
	spec.Containers[0] = ignore
	spec.Containers[1].StopTimeout = time.Second // a runtime may have a whole task ignore the signal
	w.start(r, w.know(spec))
	r.Stop("web")
	w.stopped(r, "web")
	if w.h.Identity(t, "web", "first") == "" {
		t.Error("first was stopped while main, which depends on it, still ran")
	}
	w.h.End(t, "web", "main")
	e := w.wait("web", runtime.Exited)
	for _, x := range e.Exits {
		if x.Container == "main" && x.Code != EndCode {
			t.Errorf("main: %+v", x)
		}
	}
	if len(e.Exits) != 2 {
		t.Errorf("exits %+v", e.Exits)
	}
}

func unhealthy(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("web", Trap)
	spec.Containers[0].HealthCheck = w.check(false)
	w.start(r, spec)
	w.state("web", "main", "unhealthy", func(s runtime.State) bool { return s.Health == order.HealthUnhealthy && s.Phase == order.Running })
	r.Stop("web")
	w.codes(w.wait("web", runtime.Exited), map[string]int{"main": 0})
}

func restarted(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("web", Trap)
	spec.Containers[0].Restart = &order.Restart{IgnoredExitCodes: []int{0}}
	w.start(r, spec)
	before := w.h.Identity(t, "web", "main")
	w.h.End(t, "web", "main")
	w.state("web", "main", "started again", func(s runtime.State) bool {
		return s.Restarts == 1 && s.Phase == order.Running && s.Exit != nil && s.Exit.Code == EndCode
	})
	w.eventually("another main runs", func() bool {
		now := w.h.Identity(t, "web", "main")
		return now != "" && now != before
	})
	r.Stop("web")
	w.wait("web", runtime.Exited)
}

func notRestarted(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("web", Trap)
	spec.Containers[0].Restart = &order.Restart{IgnoredExitCodes: []int{EndCode}}
	w.start(r, spec)
	w.h.End(t, "web", "main")
	w.codes(w.wait("web", runtime.Exited), map[string]int{"main": EndCode})
}

func adoptWaiting(t *testing.T, w *world) {
	r := w.engine()
	spec := w.after("job", Trap, order.Complete)
	if w.h.Unending != nil {
		w.h.Unending("job", "first")
	}
	r.Start(spec)
	w.readyContainerSoon(r, "job", "first")
	w.restart(spec)
	if got := w.h.Identity(t, "job", "main"); got != "" {
		t.Errorf("main runs before first has ended: %s", got)
	}
	w.h.End(t, "job", "first")
	w.wait("job", runtime.Started)
	w.readyContainer(w.r, "job", "main")
	w.r.Stop("job")
	w.codes(w.wait("job", runtime.Exited), map[string]int{"main": 0, "first": EndCode})
}

func adoptHealth(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("web", Trap)
	spec.Containers[0].HealthCheck = w.check(true)
	w.start(r, spec)
	healthy := func(s runtime.State) bool { return s.Health == order.HealthHealthy }
	w.state("web", "main", "healthy", healthy)
	w.restart(spec)
	w.wait("web", runtime.Started)
	w.state("web", "main", "healthy after the restart", healthy)
	w.r.Stop("web")
	w.wait("web", runtime.Exited)
}

// state waits until the last that was said of a container is as is wanted.
func (w *world) state(taskID, container, what string, is func(runtime.State) bool) {
	w.t.Helper()
	w.eventually(container+" of "+taskID+" is "+what, func() bool {
		events := w.events(taskID)
		for i := len(events) - 1; i >= 0; i-- {
			if events[i].States == nil {
				continue
			}
			for _, s := range events[i].States {
				if s.Container == container {
					return is(s)
				}
			}
		}
		return false
	})
}

// readyContainerSoon is readyContainer of one that has perhaps not begun yet.
func (w *world) readyContainerSoon(r runtime.Runtime, taskID, container string) {
	w.t.Helper()
	w.eventually(container+" of "+taskID+" begins", func() bool { return w.h.Identity(w.t, taskID, container) != "" })
	w.readyContainer(r, taskID, container)
}
