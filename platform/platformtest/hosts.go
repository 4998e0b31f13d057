package platformtest

import (
	"slices"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/platform"
)

// HostPlatform is all that the contract of hosts tests.
type HostPlatform interface {
	platform.Cluster
	platform.HostScaler
}

// HostHarness is a platform under test whose cluster has one group of hosts: of at
// least one and at most five, with one desired.
type HostHarness struct {
	Platform HostPlatform
	Group    string
	// Patience is how long something is waited for. Default 10 s.
	Patience time.Duration
}

// RunHosts runs the contract of hosts that come and go.
func RunHosts(t *testing.T, h HostHarness) {
	if h.Patience == 0 {
		h.Patience = 10 * time.Second
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	group := func() plimsoll.HostGroup {
		t.Helper()
		groups, err := h.Platform.HostGroups(t.Context())
		must(err)
		at := slices.IndexFunc(groups, func(g plimsoll.HostGroup) bool { return g.Name == h.Group })
		if at < 0 {
			t.Fatalf("the group %q is not among %+v", h.Group, groups)
		}
		return groups[at]
	}
	hosts := func(n int) plimsoll.Cluster {
		t.Helper()
		return h.until(t, func(c plimsoll.Cluster) bool { return len(c.Instances) == n })
	}
	hosts(1)
	g := group()
	if g.Min != 1 || g.Max != 5 || g.Desired != 1 || len(g.Zones) == 0 || len(g.Types) == 0 || g.Types[0].Resources.CPU <= 0 {
		t.Fatalf("group %+v", g)
	}

	must(h.Platform.SetCapacity(t.Context(), h.Group, 3))
	if g := group(); g.Desired != 3 {
		t.Errorf("the group desires %d hosts at once, want 3", g.Desired)
	}
	first := hosts(3).Instances[0]
	if g := group(); !slices.ContainsFunc(g.Hosts, func(i plimsoll.GroupHost) bool { return i.InstanceID == first.InstanceID && i.Zone == first.Zone }) {
		t.Errorf("host %s is not among the group's: %+v", first.InstanceID, g.Hosts)
	}
	if !first.DrainedAt.IsZero() {
		t.Errorf("a host that was never drained says %s", first.DrainedAt)
	}

	shown := func(draining bool) {
		t.Helper()
		h.until(t, func(c plimsoll.Cluster) bool {
			i := c.Instances[slices.IndexFunc(c.Instances, func(i plimsoll.ContainerInstance) bool { return i.ARN == first.ARN })]
			return draining == (i.Status == plimsoll.InstanceDraining) && draining == !i.DrainedAt.IsZero()
		})
	}
	for _, draining := range []bool{true, true, false, false, true} { // saying it again is no error
		must(h.Platform.Drain(t.Context(), first.ARN, draining))
		shown(draining)
	}

	must(h.Platform.Terminate(t.Context(), first.InstanceID))
	for _, i := range hosts(2).Instances {
		if i.ARN == first.ARN {
			t.Errorf("the terminated host is there still")
		}
	}
	if g := group(); g.Desired != 2 {
		t.Errorf("the group desires %d hosts after one of 3 was terminated", g.Desired)
	}
	must(h.Platform.SetCapacity(t.Context(), h.Group, 1))
	last := hosts(1).Instances[0]
	if err := h.Platform.Terminate(t.Context(), last.InstanceID); err == nil {
		t.Error("a group goes below its minimum")
	}
	if err := h.Platform.SetCapacity(t.Context(), h.Group, 6); err == nil {
		t.Error("a group goes above its maximum")
	}
}

// until reads snapshots until one satisfies what is waited for, and gives it.
func (h HostHarness) until(t *testing.T, satisfied func(plimsoll.Cluster) bool) plimsoll.Cluster {
	t.Helper()
	for end := time.Now().Add(h.Patience); ; time.Sleep(20 * time.Millisecond) {
		cluster, err := h.Platform.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if satisfied(cluster) {
			return cluster
		}
		if time.Now().After(end) {
			t.Fatalf("the hosts were waited for in vain for %s: %+v", h.Patience, cluster.Instances)
		}
	}
}
