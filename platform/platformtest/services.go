package platformtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"plimsoll"
	"plimsoll/platform"
)

func deployedIsShown(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 3))
	s := h.service(t, "web")
	if s.Desired != 3 {
		t.Errorf("desired count %d, want 3", s.Desired)
	}
	if s.ARN == "" || s.TaskDefinition == "" {
		t.Errorf("ARN %q, task definition %q: both have to be known", s.ARN, s.TaskDefinition)
	}
	if s.Reserved != h.Container.Reserved {
		t.Errorf("a task reserves %v, want %v", s.Reserved, h.Container.Reserved)
	}
	if s.Tags[plimsoll.TagPriority] != "2" {
		t.Errorf("tags %v, want priority 2", s.Tags)
	}
}

func desiredIsSeen(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 0))
	for _, n := range []int{4, 1, 0} {
		h.setDesired(t, "web", n)
		if s := h.service(t, "web"); s.Desired != n {
			t.Errorf("desired count %d, want %d", s.Desired, n)
		}
	}
}

func negativeIsRefused(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 1))
	if err := h.Platform.SetDesired(t.Context(), "web", -1); err == nil {
		t.Error("a desired count of -1 was accepted")
	}
	if s := h.service(t, "web"); s.Desired != 1 {
		t.Errorf("desired count %d after a refusal, want 1", s.Desired)
	}
}

func unknownIsNotFound(t *testing.T, h *harness) {
	if err := h.Platform.SetDesired(t.Context(), "nobody", 1); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}

func unknownClusterIsNotFound(t *testing.T, h *harness) {
	if _, err := h.Missing.Snapshot(t.Context()); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}

func allPagesAreSeen(t *testing.T, h *harness) {
	const count = 23 // three of the pages that ECS describes services in
	var wait sync.WaitGroup
	want := []string{}
	for i := range count {
		name := fmt.Sprintf("service-%02d", i)
		want = append(want, name)
		wait.Go(func() {
			if err := h.Platform.Deploy(t.Context(), h.spec(name, 0)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := names(h.snapshot(t)); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
}

func unchangedIsLeftAlone(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 1))
	before := h.service(t, "web")
	h.setDesired(t, "web", 2)
	h.deploy(t, h.spec("web", 1))
	after := h.service(t, "web")
	if after.TaskDefinition != before.TaskDefinition {
		t.Errorf("task definition %q, want %q as before", after.TaskDefinition, before.TaskDefinition)
	}
	if after.Desired != 2 || after.Deploying {
		t.Errorf("desired %d, deploying %t; want 2, false", after.Desired, after.Deploying)
	}
}

func changedKeepsDesired(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 1))
	before := h.service(t, "web")
	h.setDesired(t, "web", 2)
	changed := h.spec("web", 1)
	changed.Container.Environment = maps.Clone(changed.Container.Environment)
	if changed.Container.Environment == nil {
		changed.Container.Environment = map[string]string{}
	}
	changed.Container.Environment["COLOUR"] = "green"
	h.deploy(t, changed)
	after := h.service(t, "web")
	if after.TaskDefinition == before.TaskDefinition {
		t.Errorf("task definition %q as before, want a new one", after.TaskDefinition)
	}
	if after.Desired != 2 {
		t.Errorf("desired count %d, want 2 as it was set", after.Desired)
	}
	if _, lacks := h.Lacks[RunsTasks]; lacks {
		return
	}
	h.until(t, "two tasks of the new definition and none of the old", func(c plimsoll.Cluster) bool {
		live := tasksOf(c, "web", plimsoll.Task.Live)
		return len(live) == 2 && !slices.ContainsFunc(live, func(task plimsoll.Task) bool {
			return task.TaskDefinition != after.TaskDefinition || !task.Serving()
		})
	})
}

func changedTagsAreSeen(t *testing.T, h *harness) {
	spec := h.spec("web", 1)
	spec.Tags["team"] = "shop"
	h.deploy(t, spec)
	before := h.service(t, "web")
	spec.Tags = map[string]string{plimsoll.TagPriority: "1"}
	h.deploy(t, spec)
	after := h.service(t, "web")
	if after.Tags[plimsoll.TagPriority] != "1" {
		t.Errorf("priority %q, want 1", after.Tags[plimsoll.TagPriority])
	}
	if after.Tags["team"] != "shop" {
		t.Errorf("tag team is %q, want %q: it is not a deployment's to remove", after.Tags["team"], "shop")
	}
	if after.TaskDefinition != before.TaskDefinition {
		t.Errorf("task definition %q, want %q: a tag does not ask for a new one", after.TaskDefinition, before.TaskDefinition)
	}
	spec.Tags = nil
	h.deploy(t, spec)
	if value, ok := h.service(t, "web").Tags[plimsoll.TagPriority]; ok {
		t.Errorf("priority %q is left, want none", value)
	}
}

func removedIsGone(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 2))
	h.deploy(t, h.spec("mailer", 1))
	if err := h.Platform.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if got, want := names(h.snapshot(t)), []string{"mailer"}; !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	h.until(t, "no live task of the removed service", func(c plimsoll.Cluster) bool {
		return len(tasksOf(c, "web", plimsoll.Task.Live)) == 0
	})
}

func removedIsRefused(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 0))
	if err := h.Platform.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if err := h.Platform.SetDesired(t.Context(), "web", 1); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that wraps ErrNotFound", err)
	}
}

func removedComesBack(t *testing.T, h *harness) {
	h.deploy(t, h.spec("web", 2))
	if err := h.Platform.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	h.deploy(t, h.spec("web", 1))
	if s := h.service(t, "web"); s.Desired != 1 {
		t.Errorf("desired count %d, want 1: it is a new service", s.Desired)
	}
}

func removingUnknown(t *testing.T, h *harness) {
	if err := h.Platform.Remove(t.Context(), "nobody"); err != nil {
		t.Errorf("error %v, want none", err)
	}
}
