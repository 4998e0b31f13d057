package scale_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/scale"
)

// estate is a small cluster of hosts for tests of decisions on hosts.
type estate struct {
	scale.HostInput
	next int
}

var midday = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

var kind1 = plimsoll.HostType{Name: "large", Resources: plimsoll.Resources{CPU: 1000, Memory: 1000}}

func newEstate() *estate {
	e := &estate{HostInput: scale.HostInput{
		Now: midday, Rules: scale.DefaultHostRules(), Wants: map[string]scale.HostWant{},
		Groups: []plimsoll.HostGroup{{Name: "g", Types: []plimsoll.HostType{kind1}, Zones: []string{"a", "b", "c"}, Max: 100}},
	}}
	return e
}

// host adds a host to the first group.
func (e *estate) host(zone string) *plimsoll.ContainerInstance {
	e.next++
	c := plimsoll.ContainerInstance{
		ARN: fmt.Sprintf("ci/%03d", e.next), InstanceID: fmt.Sprintf("i-%03d", e.next), Zone: zone, Status: plimsoll.InstanceActive,
		Connected: true, Registered: kind1.Resources, Remaining: kind1.Resources,
	}
	e.Cluster.Instances = append(e.Cluster.Instances, c)
	g := &e.Groups[0]
	g.Desired++
	g.Hosts = append(g.Hosts, plimsoll.GroupHost{InstanceID: c.InstanceID, Zone: zone})
	return &e.Cluster.Instances[len(e.Cluster.Instances)-1]
}

// service adds a service with tasks of a size, want of them wanted, one on each of
// the hosts named.
func (e *estate) service(name string, want int, cpu, memory int64, on ...int) {
	size := plimsoll.Resources{CPU: cpu, Memory: memory}
	e.Cluster.Services = append(e.Cluster.Services, plimsoll.Service{Name: name, Desired: want, Reserved: size})
	e.Wants[name] = scale.HostWant{Tasks: want, Priority: 1}
	for _, h := range on {
		c := &e.Cluster.Instances[h]
		c.Running++
		c.Remaining = c.Remaining.Sub(size)
		e.Cluster.Tasks = append(e.Cluster.Tasks, plimsoll.Task{
			ARN: fmt.Sprintf("task/%s/%d", name, len(e.Cluster.Tasks)), Service: name, ContainerInstance: c.ARN, Reserved: size,
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
		})
	}
}

// settled decides twice, so far apart that what can be spared may go.
func (e *estate) settled() scale.HostPlan {
	first := scale.DecideHosts(e.HostInput)
	e.Memory, e.Now = first.Memory, e.Now.Add(e.Rules.In.Stable)
	return scale.DecideHosts(e.HostInput)
}

func moves(p scale.HostPlan) string {
	var words []string
	for _, m := range p.Moves {
		switch m.Deed {
		case scale.DeedLaunch:
			words = append(words, fmt.Sprintf("launch %s %d->%d %s", m.Group, m.From, m.To, strings.Join(m.Zones, "")))
		default:
			words = append(words, fmt.Sprintf("%s %s", m.Deed, m.InstanceID))
		}
	}
	return strings.Join(words, "; ")
}

func wantMoves(t *testing.T, p scale.HostPlan, want string) {
	t.Helper()
	if got := moves(p); got != want {
		t.Errorf("moves: %q, want %q\nreason: %s\nlacking: %q\nmoves: %+v", got, want, p.Reason, p.Lacking, p.Moves)
	}
}

func TestHostsComeForTasksWithoutRoomEvenlyOverTheZones(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.service("web", 9, 500, 100, 0, 0)
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 1->5 bcab")
}

func TestLaunchesUnderWayCount(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.service("web", 9, 500, 100, 0, 0)
	e.Groups[0].Desired = 4
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 4->5 b")
	e.Groups[0].Desired = 5
	wantMoves(t, scale.DecideHosts(e.HostInput), "")
}

func TestALaunchThatNeverArrivesIsNotCountedOnForEver(t *testing.T) {
	e := newEstate()
	e.Groups = append(e.Groups, plimsoll.HostGroup{Name: "h", Types: []plimsoll.HostType{kind1}, Zones: []string{"a"}, Max: 5})
	e.host("a")
	e.service("web", 4, 500, 100, 0, 0)
	e.Groups[0].Desired = 2
	first := scale.DecideHosts(e.HostInput)
	wantMoves(t, first, "")
	e.Memory, e.Now = first.Memory, e.Now.Add(e.Rules.LaunchTimeout)
	p := scale.DecideHosts(e.HostInput)
	wantMoves(t, p, "launch h 0->1 a")
	if len(p.Lacking) != 1 || !strings.Contains(p.Lacking[0], `group "g"`) {
		t.Errorf("lacking: %q", p.Lacking)
	}
}

func TestTheSmallestCostThatFitsIsChosen(t *testing.T) {
	small := plimsoll.HostType{Name: "small", Resources: plimsoll.Resources{CPU: 500, Memory: 500}, Price: 1}
	large := plimsoll.HostType{Name: "large", Resources: plimsoll.Resources{CPU: 2000, Memory: 2000}, Price: 3}
	for _, c := range []struct {
		tasks int
		cpu   int64
		want  string
	}{
		{1, 400, "launch small 0->1 a"},
		{4, 500, "launch large 0->1 a"},
		{5, 500, "launch small 0->1 a; launch large 0->1 a"},
		{2, 500, "launch small 0->2 aa"},
		{1, 600, "launch large 0->1 a"},
	} {
		e := newEstate()
		e.Groups = []plimsoll.HostGroup{
			{Name: "small", Types: []plimsoll.HostType{small}, Zones: []string{"a"}, Max: 9},
			{Name: "large", Types: []plimsoll.HostType{large}, Zones: []string{"a"}, Max: 9},
		}
		e.service("web", c.tasks, c.cpu, 100)
		wantMoves(t, scale.DecideHosts(e.HostInput), c.want)
	}
}

func TestATaskThatFitsNoKindOfHostIsReportedAndNeverLoops(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.service("huge", 1, 5000, 100)
	for range 3 {
		p := scale.DecideHosts(e.HostInput)
		wantMoves(t, p, "")
		if len(p.Lacking) != 1 || !strings.Contains(p.Lacking[0], `service "huge"`) {
			t.Errorf("lacking: %q", p.Lacking)
		}
		e.Memory, e.Now = p.Memory, e.Now.Add(time.Minute)
	}
}

func TestWhatTheDaemonsTakeOfANewHostIsNotThere(t *testing.T) {
	e := newEstate()
	e.Cluster.Services = append(e.Cluster.Services, plimsoll.Service{Name: "logs", Daemon: true, Reserved: plimsoll.Resources{CPU: 200, Memory: 10}})
	e.service("web", 2, 500, 100)
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 0->2 ab")
}

func TestLaunchesAreBoundedInAPassAndGoToTheHighestPriority(t *testing.T) {
	e := newEstate()
	e.Rules.LaunchesPerPass = 1
	e.service("low", 1, 1000, 100)
	e.service("high", 1, 600, 100)
	e.Wants["low"] = scale.HostWant{Tasks: 1, Priority: 9}
	p := scale.DecideHosts(e.HostInput)
	wantMoves(t, p, "launch g 0->1 a")
	if !strings.Contains(p.Moves[0].Reason, "high") {
		t.Errorf("reason: %s", p.Moves[0].Reason)
	}
}

func TestAGroupAtItsMaximumIsSaidByName(t *testing.T) {
	e := newEstate()
	e.Groups[0].Max = 1
	e.service("web", 4, 500, 100)
	p := scale.DecideHosts(e.HostInput)
	wantMoves(t, p, "launch g 0->1 a")
	if len(p.Lacking) != 1 || !strings.Contains(p.Lacking[0], `service "web": 2 tasks wait`) {
		t.Errorf("lacking: %q", p.Lacking)
	}
}

func TestHeadroomIsKeptFree(t *testing.T) {
	e := newEstate()
	e.Rules.Headroom = []scale.Headroom{{Size: plimsoll.Resources{CPU: 500, Memory: 100}, Tasks: 2}}
	e.host("a")
	e.service("web", 1, 500, 100, 0)
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 1->2 b")
}

func TestElasticTasksHoldNoHost(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.host("b")
	e.service("rest", 0, 500, 100, 0, 0, 1, 1)
	e.Wants["rest"] = scale.HostWant{Elastic: true}
	e.service("web", 2, 500, 100)
	wantMoves(t, e.settled(), "drain i-001")
}

func TestTheGroupsMinimumIsLaunched(t *testing.T) {
	e := newEstate()
	e.Groups[0].Min = 2
	e.service("web", 1, 500, 100)
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 0->2 ab")
}

func TestEmptyHostsGoFirstAndOfThemOneOfTheFullestZone(t *testing.T) {
	e := newEstate()
	for _, zone := range []string{"a", "b", "b", "c"} {
		e.host(zone)
	}
	e.service("web", 2, 100, 100, 0, 3)
	wantMoves(t, e.settled(), "drain i-002")
}

func TestTheLeastUtilisedHostGoesIfItsTasksFitElsewhere(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.host("b")
	e.host("c")
	e.service("web", 1, 700, 100, 0)
	e.service("api", 1, 600, 100, 1)
	e.service("job", 1, 300, 100, 2)
	wantMoves(t, e.settled(), "drain i-003")

	e = newEstate()
	e.host("a")
	e.host("b")
	e.service("web", 1, 700, 100, 0)
	e.service("api", 1, 600, 100, 1)
	wantMoves(t, e.settled(), "")
}

func TestTheForecastIsOfTheWholeBatch(t *testing.T) {
	for _, c := range []struct {
		percent int64
		hosts   int
		want    string
	}{
		{34, 2, "drain i-001"}, // 68 after it
		{36, 2, ""},            // 72
		{20, 6, "drain i-001; drain i-002; drain i-003; drain i-004"}, // 60, and five would make 120
	} {
		e := newEstate()
		e.Rules.In.CPU = scale.Threshold{Below: 60, After: 70}
		e.Rules.In.Batch = 1
		on := []int{}
		for i := range c.hosts {
			e.host("a")
			on = append(on, i)
		}
		e.service("web", c.hosts, c.percent*10, 10, on...)
		wantMoves(t, e.settled(), c.want)
	}
}

func TestOneMetricThatIsHighKeepsAllHosts(t *testing.T) {
	used := 0.9
	for name, change := range map[string]func(e *estate){
		"memory": func(e *estate) { e.Rules.In.Memory = scale.Threshold{Below: 20} },
		"ports": func(e *estate) {
			e.Rules.In.Ports.After, e.Rules.In.MostPorts = 100, 1
			e.Cluster.Tasks[0].Ports = []int{80}
			e.Cluster.Tasks[1].Ports = []int{81}
		},
		"tasks":    func(e *estate) { e.Rules.In.Tasks.After, e.Rules.In.MostTasks = 100, 1 },
		"used CPU": func(e *estate) { e.Cluster.Instances[0].UsedCPU, e.Cluster.Instances[1].UsedCPU = &used, &used },
	} {
		e := newEstate()
		e.host("a")
		e.host("b")
		e.service("web", 2, 100, 300, 0, 1)
		if got := moves(e.settled()); got == "" {
			t.Fatal("nothing goes without the metric either: the test shows nothing")
		}
		e = newEstate()
		e.host("a")
		e.host("b")
		e.service("web", 2, 100, 300, 0, 1)
		change(e)
		p := e.settled()
		wantMoves(t, p, "")
		if !strings.Contains(p.Reason, name) {
			t.Errorf("reason %q does not name %q", p.Reason, name)
		}
	}
}

func TestHostsThatAreKeptStay(t *testing.T) {
	for name, change := range map[string]func(e *estate){
		"a protected task":       func(e *estate) { e.Cluster.Tasks[0].Protected = true },
		"a task that keeps it":   func(e *estate) { e.Cluster.Services[0].Tags = map[string]string{plimsoll.TagKeepHost: "true"} },
		"a protected instance":   func(e *estate) { e.Groups[0].Hosts[0].Protected = true },
		"the group's minimum":    func(e *estate) { e.Groups[0].Min = 2 },
		"the zone's minimum":     func(e *estate) { e.Rules.In.MinPerZone = 1 },
		"no group":               func(e *estate) { e.Groups[0].Hosts = e.Groups[0].Hosts[1:]; e.Groups[0].Desired-- },
		"in is off":              func(e *estate) { e.Rules.In.Off = true },
		"a launch is under way":  func(e *estate) { e.Groups[0].Desired++ },
		"it drains by others":    func(e *estate) { e.Cluster.Instances[0].Status = plimsoll.InstanceDraining },
		"tasks wait for room":    func(e *estate) { e.service("big", 1, 1000, 1000); e.Groups[0].Max = 2 },
		"hosts came a while ago": func(e *estate) { e.Memory.OutAt = midday.Add(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEstate()
			e.host("a")
			e.host("b")
			e.service("web", 1, 100, 100, 0)
			e.service("own", 1, 900, 900, 1)
			e.Cluster.Services[1].Tags = map[string]string{plimsoll.TagKeepHost: "true"}
			change(e)
			for _, m := range e.settled().Moves {
				if m.InstanceID == "i-001" && m.Deed != scale.DeedLaunch {
					t.Errorf("%s %s: %s", m.Deed, m.InstanceID, m.Reason)
				}
			}
		})
	}
}

func TestATenthOfTheHostsDrainsAtATime(t *testing.T) {
	e := newEstate()
	for range 30 {
		e.host("a")
	}
	p := e.settled()
	if len(p.Moves) != 3 {
		t.Fatalf("%d hosts of 30 go: %s", len(p.Moves), moves(p))
	}
	for i := range e.Cluster.Instances {
		if slices.ContainsFunc(p.Moves, func(m scale.HostMove) bool { return m.Host == e.Cluster.Instances[i].ARN }) {
			e.Cluster.Instances[i].Status, e.Cluster.Instances[i].DrainedAt = plimsoll.InstanceDraining, e.Now
			e.Cluster.Instances[i].Running = 1 // a task that nobody moves
		}
	}
	e.Memory, e.Now = p.Memory, e.Now.Add(time.Minute)
	p = scale.DecideHosts(e.HostInput)
	wantMoves(t, p, "")
}

func TestADrainedHostIsTerminatedUnlessTheGroupIsAtItsMinimum(t *testing.T) {
	e := newEstate()
	e.host("a")
	c := e.host("b")
	c.Status, c.DrainedAt = plimsoll.InstanceDraining, midday.Add(-time.Minute)
	wantMoves(t, scale.DecideHosts(e.HostInput), "terminate i-002")
	e.Groups[0].Min = 2
	wantMoves(t, scale.DecideHosts(e.HostInput), "undrain i-002")
	e.Groups[0].Min = 0
	e.service("web", 1, 10, 10, 1)
	wantMoves(t, scale.DecideHosts(e.HostInput), "")
}

func TestADrainingHostComesBackBeforeOneIsLaunched(t *testing.T) {
	e := newEstate()
	e.host("a")
	c := e.host("b")
	c.Status, c.DrainedAt = plimsoll.InstanceDraining, midday.Add(-time.Minute)
	e.service("web", 3, 500, 100, 0, 0, 1)
	p := scale.DecideHosts(e.HostInput)
	wantMoves(t, p, "undrain i-002")
	e.Wants["web"] = scale.HostWant{Tasks: 5, Priority: 1}
	wantMoves(t, scale.DecideHosts(e.HostInput), "undrain i-002; launch g 2->3 c")
}

func TestAHostThatDrainsForTooLongIsDealtWithAsChosen(t *testing.T) {
	for stuck, want := range map[scale.Stuck]string{scale.StuckUndrain: "undrain i-002", scale.StuckWait: "", scale.StuckTerminate: "terminate i-002"} {
		e := newEstate()
		e.Rules.In.Stuck = stuck
		e.host("a")
		c := e.host("b")
		c.Status, c.DrainedAt = plimsoll.InstanceDraining, midday.Add(-e.Rules.In.DrainTimeout)
		e.service("web", 1, 100, 100, 1)
		p := scale.DecideHosts(e.HostInput)
		wantMoves(t, p, want)
		if stuck == scale.StuckTerminate {
			e.Cluster.Tasks[0].Protected = true
			wantMoves(t, scale.DecideHosts(e.HostInput), "")
		}
	}
}

func TestAnInterruptedHostDrainsAtOnceAndIsReplaced(t *testing.T) {
	e := newEstate()
	e.host("a")
	e.service("web", 1, 100, 100, 0)
	e.Groups[0].Hosts[0].Interrupted = true
	wantMoves(t, scale.DecideHosts(e.HostInput), "launch g 1->2 b; drain i-001")
}
