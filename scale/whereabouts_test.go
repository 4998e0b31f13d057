package scale_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/scale"
)

// drawEstate is a small cluster in which any task may be anyone's, anywhere and on
// its way anywhere.
func drawEstate(t *rapid.T) scale.HostInput {
	e := newEstate()
	for range rapid.IntRange(0, 5).Draw(t, "hosts") {
		e.host(rapid.SampledFrom(e.Groups[0].Zones).Draw(t, "zone"))
	}
	names := []string{"", "gone", "web", "api", "agent"}
	for _, name := range names[2:] {
		size := plimsoll.Resources{CPU: rapid.Int64Range(50, 400).Draw(t, "cpu"), Memory: 100}
		e.Cluster.Services = append(e.Cluster.Services, plimsoll.Service{Name: name, Reserved: size, Daemon: name == "agent", Desired: 2})
		e.Wants[name] = scale.HostWant{Tasks: rapid.IntRange(0, 8).Draw(t, "want"), Priority: 1, Elastic: rapid.IntRange(0, 3).Draw(t, "elastic") == 0}
	}
	on := []string{"", "elsewhere"}
	for _, c := range e.Cluster.Instances {
		on = append(on, c.ARN)
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "tasks") {
		e.Cluster.Tasks = append(e.Cluster.Tasks, plimsoll.Task{
			ARN: fmt.Sprint("task/", i), Service: rapid.SampledFrom(names).Draw(t, "service"), ContainerInstance: rapid.SampledFrom(on).Draw(t, "host"),
			Reserved:      plimsoll.Resources{CPU: 100, Memory: 100},
			LastStatus:    rapid.SampledFrom([]plimsoll.Status{plimsoll.StatusRunning, plimsoll.StatusPending, plimsoll.StatusStopped}).Draw(t, "last"),
			DesiredStatus: rapid.SampledFrom([]plimsoll.Status{plimsoll.StatusRunning, plimsoll.StatusStopped}).Draw(t, "desired"),
			Protected:     rapid.IntRange(0, 5).Draw(t, "protected") == 0,
		})
	}
	return e.HostInput
}

func TestADecisionOnHostsIsTheSameWithAndWithoutTheOneOnServices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawEstate(t)
		in.Memory = scale.DecideHosts(in).Memory
		in.Now = in.Now.Add(in.Rules.In.Stable)
		alone := scale.DecideHosts(in)
		policies := []scale.Policy{policy("api", 1, 0, 9), policy("absent", 1, 0, 9), policy("web", 2, 0, 9)}
		plan := scale.Decide(scale.Input{Now: in.Now, Cluster: in.Cluster, Policies: policies})
		in.Plan = &plan
		if with := scale.DecideHosts(in); !reflect.DeepEqual(alone, with) {
			t.Fatalf("with the plan:\n%+v\nwithout:\n%+v", with, alone)
		}
		// A plan of another snapshot says nothing of this one.
		in.Cluster.Tasks = slices.Clone(in.Cluster.Tasks)
		slices.Reverse(in.Cluster.Tasks)
		in.Plan = nil
		turned := scale.DecideHosts(in)
		in.Plan = &plan
		if with := scale.DecideHosts(in); !reflect.DeepEqual(turned, with) {
			t.Fatalf("with the plan of another snapshot:\n%+v\nwithout:\n%+v", with, turned)
		}
	})
}
