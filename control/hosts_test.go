package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/scale"
)

// hostPlatform is the fake cluster with a group of hosts that its one host is not of.
type hostPlatform struct {
	*cluster
	group plimsoll.HostGroup
	calls []string
	err   error
}

func (h *hostPlatform) HostGroups(context.Context) ([]plimsoll.HostGroup, error) {
	return []plimsoll.HostGroup{h.group}, h.err
}

func (h *hostPlatform) SetCapacity(_ context.Context, group string, desired int) error {
	h.calls = append(h.calls, "capacity")
	h.group.Desired = desired
	return nil
}

func (h *hostPlatform) Drain(_ context.Context, host string, draining bool) error {
	h.calls = append(h.calls, "drain")
	return nil
}

func (h *hostPlatform) Terminate(_ context.Context, instanceID string) error {
	h.calls = append(h.calls, "terminate")
	return nil
}

func newHostLoop(t *testing.T, dry bool) (*control.Loop, *hostPlatform) {
	t.Helper()
	p := &hostPlatform{cluster: newCluster(2, "web"), group: plimsoll.HostGroup{
		Name: "g", Max: 5, Zones: []string{"a"}, Types: []plimsoll.HostType{{Resources: one.Times(2)}},
	}}
	l, err := control.New(control.Options{
		Platform: p, DryRun: dry, Hosts: &control.Hosts{Scaler: p, Rules: scale.DefaultHostRules(), Every: 1},
		Services: []control.Service{{Policy: scale.Policy{Service: "web", Min: 5, Max: 9, Reserved: one}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

func TestHostsAreLaunchedForWhatServicesWantAndJournaled(t *testing.T) {
	l, p := newHostLoop(t, false)
	for range 3 {
		l.Step(t.Context())
	}
	if !slices.Equal(p.calls, []string{"capacity"}) || p.group.Desired != 2 {
		t.Errorf("calls %q, desired %d; want one call for the 2 hosts that 3 tasks need", p.calls, p.group.Desired)
	}
	found := false
	for _, d := range l.Decisions(0) {
		found = found || d.Service == control.HostDecision("g") && d.From == 0 && d.To == 2 && d.Outcome == "done"
	}
	if !found {
		t.Errorf("decisions %+v", l.Decisions(0))
	}
}

func TestADryRunLaunchesNoHost(t *testing.T) {
	l, p := newHostLoop(t, true)
	l.Step(t.Context())
	if len(p.calls) > 0 || len(l.State().Hosts.Moves) != 1 {
		t.Errorf("calls %q, plan %+v", p.calls, l.State().Hosts)
	}
}

func TestGroupsThatCannotBeReadLeaveTheServicesAlone(t *testing.T) {
	l, p := newHostLoop(t, false)
	p.err = errors.New("throttled")
	state := l.Step(t.Context())
	if !strings.Contains(state.HostProblem, "throttled") || state.Problem != "" || len(p.calls) > 0 {
		t.Errorf("problem %q, host problem %q, calls %q", state.Problem, state.HostProblem, p.calls)
	}
	if !slices.Contains(p.writes, "web=2") {
		t.Errorf("writes %q: the service is to have what fits", p.writes)
	}
	p.err = nil
	if state := l.Step(t.Context()); state.HostProblem != "" || len(p.calls) != 1 {
		t.Errorf("after it: %q, calls %q", state.HostProblem, p.calls)
	}
}

func TestBurstableHostsAreWarnedOfOnce(t *testing.T) {
	l, p := newHostLoop(t, false)
	p.group.Types = append(p.group.Types, plimsoll.HostType{Name: "t3a.large", Resources: one}, plimsoll.HostType{Name: "m5.large", Resources: one}, plimsoll.HostType{Name: "trn1.2xlarge", Resources: one})
	for range 3 {
		l.Step(t.Context())
	}
	var said []string
	for _, e := range l.Events(0) {
		if e.Kind == control.EventHostsBurstable {
			said = append(said, e.Message)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "t3a.large") || !strings.Contains(said[0], `"g"`) {
		t.Errorf("said %q", said)
	}
}
