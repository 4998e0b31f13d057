package platformtest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/platform"
)

func unknownTaskIsNotFound(t *testing.T, h *harness) {
	err := h.Platform.StopTask(t.Context(), "00000000000000000000000000000000", "test")
	if !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}

func hostsShowCapacity(t *testing.T, h *harness) {
	cluster := h.snapshot(t)
	if len(cluster.Instances) == 0 {
		t.Fatal("no container instances")
	}
	for _, i := range cluster.Instances {
		if i.ARN == "" || i.InstanceID == "" || i.Zone == "" {
			t.Errorf("instance %+v: ARN, EC2 instance id and zone have to be known", i)
		}
		if !i.Schedulable() {
			t.Errorf("instance %s: status %s, connected %t; want one that is schedulable", i.ARN, i.Status, i.Connected)
		}
		if i.Registered.CPU <= 0 || i.Registered.Memory <= 0 || i.Remaining != i.Registered {
			t.Errorf("instance %s: registered %v, remaining %v; want all of it free", i.ARN, i.Registered, i.Remaining)
		}
	}
}

func tasksFollow(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 2))
	for _, task := range h.untilRunning(t, "web", 2) {
		if task.ContainerInstance == "" || task.Zone == "" || task.StartedAt.IsZero() || task.CreatedAt.IsZero() {
			t.Errorf("task %+v: host, zone and times have to be known", task)
		}
		for _, e := range task.Endpoints {
			if e.Port == 0 || e.Host == "" {
				t.Errorf("endpoint %+v: host and port have to be known", e)
			}
		}
		if len(task.Endpoints) != len(h.Container.Ports) {
			t.Errorf("endpoints %v, want %d", task.Endpoints, len(h.Container.Ports))
		}
	}
	h.setDesired(t, "web", 5)
	h.untilRunning(t, "web", 5)
	h.setDesired(t, "web", 0)
	h.untilRunning(t, "web", 0)
}

func tasksReserve(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 3))
	h.untilRunning(t, "web", 3)
	cluster := h.snapshot(t)
	var held plimsoll.Resources
	for _, task := range tasksOf(cluster, "web", plimsoll.Task.Live) {
		if task.Reserved != h.Container.Reserved {
			t.Errorf("task %s reserves %v, want %v", task.ID(), task.Reserved, h.Container.Reserved)
		}
		held = held.Add(task.Reserved)
	}
	running := 0
	for _, i := range cluster.Instances {
		held = held.Sub(i.Registered.Sub(i.Remaining))
		running += i.Running
	}
	if !held.IsZero() {
		t.Errorf("the tasks reserve %v more than the hosts have given away", held)
	}
	if running != 3 {
		t.Errorf("the hosts run %d tasks, want 3", running)
	}
}

func stoppedIsShown(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 2))
	victim := h.untilRunning(t, "web", 2)[0]
	if err := h.Platform.StopTask(t.Context(), victim.ARN, "for the test"); err != nil {
		t.Fatal(err)
	}
	cluster := h.until(t, "the task shown as stopped", func(c plimsoll.Cluster) bool {
		task, ok := taskByARN(c, victim.ARN)
		return ok && task.LastStatus == plimsoll.StatusStopped
	})
	stopped, _ := taskByARN(cluster, victim.ARN)
	if stopped.StoppedReason != "for the test" || stopped.StopCode != "UserInitiated" || stopped.StoppedAt.IsZero() {
		t.Errorf("stopped with code %q, reason %q, at %s", stopped.StopCode, stopped.StoppedReason, stopped.StoppedAt)
	}
	if stopped.Service != "web" || stopped.Live() || len(stopped.Endpoints) > 0 {
		t.Errorf("stopped task %+v: want it of its service, not live, without endpoints", stopped)
	}
	for _, task := range h.untilRunning(t, "web", 2) {
		if task.ARN == victim.ARN {
			t.Errorf("the stopped task %s runs", task.ID())
		}
	}
	h.until(t, "the stopped task, still shown", func(c plimsoll.Cluster) bool {
		task, ok := taskByARN(c, victim.ARN)
		return ok && task.LastStatus == plimsoll.StatusStopped
	})
}

// protectOne deploys a service of three tasks and protects one, which is
// neither the oldest nor the newest.
func protectOne(t *testing.T, h *harness) plimsoll.Task {
	t.Helper()
	h.deploy(t, h.spec("mailer", 3))
	chosen := h.untilRunning(t, "mailer", 3)[1]
	if err := h.Platform.Protect(t.Context(), "mailer", []string{chosen.ARN}, true, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, task := range tasksOf(h.snapshot(t), "mailer", plimsoll.Task.Live) {
		if want := task.ARN == chosen.ARN; task.Protected != want || task.ProtectedUntil.IsZero() == want {
			t.Errorf("task %s: protected %t until %s, want %t", task.ID(), task.Protected, task.ProtectedUntil, want)
		}
	}
	return chosen
}

func protectedSurvives(t *testing.T, h *harness) {
	chosen := protectOne(t, h)
	h.setDesired(t, "mailer", 1)
	if left := h.untilRunning(t, "mailer", 1); left[0].ARN != chosen.ARN {
		t.Fatalf("task %s is left, want the protected %s", left[0].ID(), chosen.ID())
	}
	h.setDesired(t, "mailer", 0)
	// That it stays cannot be waited for; another service's whole life can.
	h.deploy(t, h.spec("web", 1))
	h.untilRunning(t, "web", 1)
	h.setDesired(t, "web", 0)
	h.untilRunning(t, "web", 0)
	if task, ok := taskByARN(h.snapshot(t), chosen.ARN); !ok || !task.Serving() {
		t.Errorf("the protected task is %s, to be %s; want it to run on", task.LastStatus, task.DesiredStatus)
	}
}

func protectionIsRead(t *testing.T, h *harness) {
	chosen := protectOne(t, h)
	arns := []string{strings.Replace(chosen.ARN, chosen.ID(), "00000000000000000000000000000000", 1)}
	for _, task := range h.untilRunning(t, "mailer", 3) {
		arns = append(arns, task.ARN)
	}
	until, err := h.Platform.ProtectedUntil(t.Context(), "mailer", arns)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(until[chosen.ARN]); len(until) != 1 || left < 8*time.Minute || left > 10*time.Minute {
		t.Errorf("protected until %v, want task %s alone, for 10 minutes", until, chosen.ID())
	}
}

func deploymentIsNamed(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 1))
	task, s := h.untilRunning(t, "web", 1)[0], h.service(t, "web")
	if len(s.Deployments) != 1 || !s.Deployments[0].Primary || task.Deployment == "" || task.Deployment != s.Deployments[0].ID {
		t.Errorf("the task is of deployment %q, the service shows %+v", task.Deployment, s.Deployments)
	}
	if !s.Rolling || s.MinimumHealthy != 100 {
		t.Errorf("rolling %t with at least %d %% healthy, want true and 100 %%", s.Rolling, s.MinimumHealthy)
	}
}

func protectionEnds(t *testing.T, h *harness) {
	chosen := protectOne(t, h)
	h.setDesired(t, "mailer", 0)
	if err := h.Platform.Protect(t.Context(), "mailer", []string{chosen.ARN}, false, 0); err != nil {
		t.Fatal(err)
	}
	h.untilRunning(t, "mailer", 0)
}

func protectUnknown(t *testing.T, h *harness) {
	h.deploy(t, h.spec("mailer", 0))
	err := h.Platform.Protect(t.Context(), "mailer", []string{"00000000000000000000000000000000"}, true, time.Minute)
	if !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}

func markedDrains(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 2))
	chosen := h.untilRunning(t, "web", 2)[0]
	for _, step := range []struct {
		what  string
		until time.Time
		want  bool
	}{
		{"marked", time.Now().Add(time.Hour), true},
		{"taken back", time.Time{}, false},
		{"marked until a moment that is over", time.Now().Add(-time.Hour), false},
	} {
		if err := h.Platform.MarkDraining(t.Context(), chosen.ARN, step.until); err != nil {
			t.Fatal(err)
		}
		for _, task := range tasksOf(h.snapshot(t), "web", plimsoll.Task.Live) {
			if want := step.want && task.ARN == chosen.ARN; task.Draining != want || task.Serving() == want {
				t.Errorf("%s: task %s drains: %t, serves: %t", step.what, task.ID(), task.Draining, task.Serving())
			}
		}
	}
}

func markUnknown(t *testing.T, h *harness) {
	unknown := "arn:aws:ecs:us-east-1:123456789012:task/shop/00000000000000000000000000000000"
	if err := h.Platform.MarkDraining(t.Context(), unknown, time.Now().Add(time.Hour)); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}
