// Package platformtest is the contract that every platform passes: what the
// control loop and a deployment may rely on, wherever the tasks run. It must not
// know of any platform; what one of them cannot do is named in its Harness.
package platformtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/platform"
)

// Ability is something that a test platform may lack.
type Ability string

// The abilities.
const (
	// RunsTasks: tasks of services start, and stopped ones are replaced.
	RunsTasks Ability = "tasks of services run"
	// ProtectsTasks: protection is kept, shown and respected.
	ProtectsTasks Ability = "tasks are protected"
	// FindsTasks: an unknown task is told from other troubles.
	FindsTasks Ability = "unknown tasks are reported as such"
	// RefusesRemoved: the desired count of a removed service cannot be set.
	RefusesRemoved Ability = "removed services are refused"
	// ChangesTags: the tags of a service that exists can be changed.
	ChangesTags Ability = "tags of services are changed"
	// HasInstances: the cluster has container instances before the test.
	HasInstances Ability = "the cluster has container instances"
)

// Platform is all that the contract tests.
type Platform interface {
	platform.Cluster
	platform.Deployer
	platform.TaskStopper
	platform.Protector
	platform.ProtectionReader
	platform.Drainer
}

// Harness is one platform under test, with an empty cluster of its own.
type Harness struct {
	Platform Platform
	// Missing is the same platform, looking at a cluster that does not exist.
	Missing platform.Cluster
	// Container is what the services run: anything that runs until it is told
	// to stop. It has to leave room for a dozen in the cluster.
	Container platform.ContainerSpec
	// Lacks names the abilities that are lacking, each with the reason.
	Lacks map[Ability]string
	// Patience is how long something is waited for before the test fails.
	// Default 10 s.
	Patience time.Duration
}

// Run runs the contract; open makes a Harness for each test of it.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range []struct {
		name  string
		needs []Ability
		run   func(t *testing.T, h *harness)
	}{
		{"ADeployedServiceIsInTheSnapshot", nil, deployedIsShown},
		{"ADesiredCountThatIsSetIsSeen", nil, desiredIsSeen},
		{"ADesiredCountBelowZeroIsRefused", nil, negativeIsRefused},
		{"AnUnknownServiceIsNotFound", nil, unknownIsNotFound},
		{"AnUnknownTaskIsNotFound", []Ability{FindsTasks}, unknownTaskIsNotFound},
		{"AnUnknownClusterIsNotFound", nil, unknownClusterIsNotFound},
		{"AllServicesAreSeenBeyondOnePage", nil, allPagesAreSeen},
		{"AnUnchangedServiceIsLeftAlone", nil, unchangedIsLeftAlone},
		{"AChangedServiceKeepsItsDesiredCount", nil, changedKeepsDesired},
		{"AChangedPriorityIsSeen", []Ability{ChangesTags}, changedTagsAreSeen},
		{"ARemovedServiceIsGone", nil, removedIsGone},
		{"ARemovedServiceCannotBeScaled", []Ability{RefusesRemoved}, removedIsRefused},
		{"ARemovedServiceCanBeDeployedAgain", nil, removedComesBack},
		{"RemovingAnUnknownServiceIsNoError", nil, removingUnknown},
		{"HostsShowTheirCapacity", []Ability{HasInstances}, hostsShowCapacity},
		{"TasksFollowTheDesiredCount", []Ability{RunsTasks}, tasksFollow},
		{"TasksReserveTheirHostsCapacity", []Ability{RunsTasks, HasInstances}, tasksReserve},
		{"AStoppedTaskIsShownAsStoppedAndReplaced", []Ability{RunsTasks}, stoppedIsShown},
		{"AProtectedTaskSurvivesScaleIn", []Ability{RunsTasks, ProtectsTasks}, protectedSurvives},
		{"AMarkedTaskDrainsUntilTheMarkLapses", []Ability{RunsTasks}, markedDrains},
		{"MarkingAnUnknownTaskIsNotFound", []Ability{RunsTasks, FindsTasks}, markUnknown},
		{"TheProtectionOfTasksCanBeRead", []Ability{RunsTasks, ProtectsTasks}, protectionIsRead},
		{"ADeploymentAndItsTasksNameEachOther", []Ability{RunsTasks}, deploymentIsNamed},
		{"ProtectionCanBeEnded", []Ability{RunsTasks, ProtectsTasks}, protectionEnds},
		{"ProtectingAnUnknownTaskIsNotFound", []Ability{ProtectsTasks}, protectUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &harness{Harness: open(t)}
			for _, ability := range c.needs {
				if reason, lacks := h.Lacks[ability]; lacks {
					t.Skipf("not on this platform (%s): %s", ability, reason)
				}
			}
			if h.Patience == 0 {
				h.Patience = 10 * time.Second
			}
			c.run(t, h)
		})
	}
}

// harness adds to a Harness what the tests ask of it again and again.
type harness struct{ Harness }

// spec is a service that runs the harness' container.
func (h *harness) spec(name string, desired int) platform.ServiceSpec {
	return platform.ServiceSpec{
		Name: name, Desired: desired, Container: h.Container,
		Tags: map[string]string{plimsoll.TagPriority: "2"},
	}
}

func (h *harness) deploy(t *testing.T, spec platform.ServiceSpec) {
	t.Helper()
	if err := h.Platform.Deploy(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) setDesired(t *testing.T, service string, desired int) {
	t.Helper()
	if err := h.Platform.SetDesired(t.Context(), service, desired); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) snapshot(t *testing.T) plimsoll.Cluster {
	t.Helper()
	cluster, err := h.Platform.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// service gives a service that has to be in the snapshot.
func (h *harness) service(t *testing.T, name string) plimsoll.Service {
	t.Helper()
	cluster := h.snapshot(t)
	s, ok := find(cluster, name)
	if !ok {
		t.Fatalf("service %q is not in the snapshot, which has %v", name, names(cluster))
	}
	return s
}

// until reads snapshots until one satisfies what is waited for, and gives it.
func (h *harness) until(t *testing.T, what string, satisfied func(plimsoll.Cluster) bool) plimsoll.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), h.Patience)
	defer cancel()
	for {
		cluster := h.snapshot(t)
		if satisfied(cluster) {
			return cluster
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s was waited for in vain for %s; last seen:\n%s", what, h.Patience, describe(cluster))
		}
	}
}

// untilRunning waits until exactly n tasks of a service run, no more are on
// their way up or down, and gives those that run.
func (h *harness) untilRunning(t *testing.T, service string, n int) []plimsoll.Task {
	t.Helper()
	cluster := h.until(t, fmt.Sprintf("service %q with %d running tasks", service, n), func(c plimsoll.Cluster) bool {
		live := tasksOf(c, service, plimsoll.Task.Live)
		s, ok := find(c, service)
		return ok && len(live) == n && len(tasksOf(c, service, plimsoll.Task.Serving)) == n && s.Running == n && s.Pending == 0
	})
	return tasksOf(cluster, service, plimsoll.Task.Serving)
}

func find(c plimsoll.Cluster, service string) (plimsoll.Service, bool) {
	for _, s := range c.Services {
		if s.Name == service {
			return s, true
		}
	}
	return plimsoll.Service{}, false
}

func names(c plimsoll.Cluster) []string {
	list := []string{}
	for _, s := range c.Services {
		list = append(list, s.Name)
	}
	return list
}

func tasksOf(c plimsoll.Cluster, service string, which func(plimsoll.Task) bool) []plimsoll.Task {
	var list []plimsoll.Task
	for _, task := range c.Tasks {
		if task.Service == service && which(task) {
			list = append(list, task)
		}
	}
	return list
}

func taskByARN(c plimsoll.Cluster, arn string) (plimsoll.Task, bool) {
	for _, task := range c.Tasks {
		if task.ARN == arn {
			return task, true
		}
	}
	return plimsoll.Task{}, false
}

func describe(c plimsoll.Cluster) string {
	text := ""
	for _, s := range c.Services {
		text += fmt.Sprintf("service %s: desired %d, running %d, pending %d\n", s.Name, s.Desired, s.Running, s.Pending)
	}
	for _, task := range c.Tasks {
		text += fmt.Sprintf("task %s of %q: %s, to be %s, protected %t, %s\n",
			task.ID(), task.Service, task.LastStatus, task.DesiredStatus, task.Protected, task.StoppedReason)
	}
	return text
}
