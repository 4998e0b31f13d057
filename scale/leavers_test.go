package scale_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

func leaverIDs(tasks []plimsoll.Task) (ids []string) {
	for _, t := range tasks {
		ids = append(ids, t.ID())
	}
	return ids
}

func TestWhoDoesNotServeLeavesBeforeWhoDoes(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	task := func(id, zone string, age time.Duration, change func(*plimsoll.Task)) plimsoll.Task {
		made := plimsoll.Task{
			ARN: "task/shop/" + id, Service: "web", TaskDefinition: "web:2", Zone: zone, ContainerInstance: "h1",
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning, CreatedAt: now.Add(-age),
		}
		if change != nil {
			change(&made)
		}
		return made
	}
	c := plimsoll.Cluster{
		Services: []plimsoll.Service{{Name: "web", TaskDefinition: "web:2", Deployments: []plimsoll.Deployment{{ID: "d2", Primary: true}, {ID: "d1"}}}},
		Instances: []plimsoll.ContainerInstance{
			{ARN: "h1", Status: plimsoll.InstanceActive}, {ARN: "h2", Status: plimsoll.InstanceDraining},
		},
		Tasks: []plimsoll.Task{
			task("a-old", "a", 9*time.Hour, nil), task("a-young", "a", time.Hour, nil),
			task("b-old", "b", 8*time.Hour, nil), task("b-young", "b", 2*time.Hour, nil),
			task("unwell", "b", 9*time.Hour, func(t *plimsoll.Task) { t.Unwell = true }),
			task("pending", "a", time.Minute, func(t *plimsoll.Task) { t.LastStatus = plimsoll.StatusPending }),
			task("draining", "a", 9*time.Hour, func(t *plimsoll.Task) { t.Draining = true }),
			task("protected", "a", time.Second, func(t *plimsoll.Task) { t.Protected = true }),
			task("leaving", "a", time.Second, func(t *plimsoll.Task) { t.DesiredStatus = plimsoll.StatusStopped }),
			task("replaced", "a", time.Second, func(t *plimsoll.Task) { t.ContainerInstance = "h2" }),
			task("stale", "a", time.Second, func(t *plimsoll.Task) { t.TaskDefinition = "web:1" }),
			task("forced", "a", time.Second, func(t *plimsoll.Task) { t.Deployment = "d1" }),
			task("other", "a", time.Second, func(t *plimsoll.Task) { t.Service = "mailer" }),
		},
	}
	leave, stay := scale.Leavers(c, "web", 0)
	// Of a (old, young, protected) and b (old, young) goes the youngest of the fuller.
	want := []string{"draining", "pending", "unwell", "a-young", "b-young", "a-old", "b-old"}
	if got := leaverIDs(leave); !slices.Equal(got, want) {
		t.Errorf("they leave in the order %q, want %q", got, want)
	}
	if got := leaverIDs(stay); !slices.Equal(got, []string{"protected"}) {
		t.Errorf("%q stay, want the protected one", got)
	}
}

func TestMoreToLeaveNeverChangesWhoLeavesForFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plimsoll.Cluster{Services: []plimsoll.Service{{Name: "web"}}}
		n := rapid.IntRange(0, 12).Draw(t, "tasks")
		for i := range n {
			c.Tasks = append(c.Tasks, plimsoll.Task{
				ARN: fmt.Sprintf("task/shop/%d", i), Service: "web", Zone: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone"),
				LastStatus:    rapid.SampledFrom([]plimsoll.Status{plimsoll.StatusPending, plimsoll.StatusRunning}).Draw(t, "status"),
				DesiredStatus: plimsoll.StatusRunning, Draining: rapid.IntRange(0, 3).Draw(t, "draining") == 0,
				Protected: rapid.IntRange(0, 3).Draw(t, "protected") == 0, Unwell: rapid.Bool().Draw(t, "unwell"),
				CreatedAt: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "at")), 0),
			})
		}
		all, _ := scale.Leavers(c, "web", 0)
		for desired := range n + 2 {
			leave, stay := scale.Leavers(c, "web", desired)
			if len(leave)+len(stay) != n {
				t.Fatalf("%d leave and %d stay of %d", len(leave), len(stay), n)
			}
			if len(leave) != min(len(all), max(0, n-desired)) || !slices.Equal(leaverIDs(leave), leaverIDs(all[:len(leave)])) {
				t.Fatalf("for %d of %d leave %q; for none %q", desired, n, leaverIDs(leave), leaverIDs(all))
			}
			if slices.ContainsFunc(leave, func(t plimsoll.Task) bool { return t.Protected }) {
				t.Fatalf("a protected task leaves: %q", leaverIDs(leave))
			}
		}
	})
}
