package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/platform"
	"plimsoll/scale"
)

// zoneName is an availability zone by its letter.
func zoneName(letter string) string { return "us-east-1" + letter }

// groupName is that of the Auto Scaling group that the hosts are of.
func (w *world) groupName() string { return w.cfg.Cluster + "-hosts" }

// launchHosts makes the group, and has its first hosts be there from the start:
// they are launched a nanosecond before it.
func (w *world) launchHosts() {
	h := &w.cfg.Hosts
	g := engine.Group{
		Name: w.groupName(), Cluster: w.cfg.Cluster, Min: h.Min, Max: h.Max, Desired: h.Count, Zones: w.openZones(),
		Type: "sim", Each: h.Each, LaunchTime: 1,
	}
	if !h.scale() {
		g.Min, g.Max = h.Count, h.Count
	}
	w.now = -1
	w.must(engine.CreateGroup{Group: g})
	w.now = 0
	w.step(engine.Tick{})
	w.prepareLaunch()
}

// scale tells whether hosts come and go.
func (h *Hosts) scale() bool { return h.Max > 0 }

// group is the hosts' group as it is now.
func (w *world) group() *engine.Group { return w.machine.Groups()[0] }

// openZones are the zones that are not lost.
func (w *world) openZones() (open []string) {
	for i := range w.cfg.Hosts.Zones {
		if letter := string(rune('a' + i)); w.lost[letter] <= w.now {
			open = append(open, zoneName(letter))
		}
	}
	return open
}

// prepareLaunch says what the next launches are like: how long they take, and
// where. While all zones are lost, a host comes when the first of them is back.
func (w *world) prepareLaunch() {
	launch, zones := w.spread(w.cfg.Delays.HostStart), w.openZones()
	if len(zones) == 0 {
		first := time.Duration(0)
		for i := range w.cfg.Hosts.Zones {
			letter := string(rune('a' + i))
			if back := w.lost[letter]; first == 0 || back < first {
				first, zones = back, []string{zoneName(letter)}
			}
		}
		launch += first - w.now
	}
	launch = max(launch, 1)
	w.must(engine.UpdateGroup{Name: w.groupName(), Zones: zones, LaunchTime: &launch})
}

// failHost has a host die, its tasks with it. Its group launches another.
func (w *world) failHost(instanceID string) {
	w.prepareLaunch()
	var ids []string
	for _, t := range w.tasksOn(w.instance(instanceID)) {
		ids = append(ids, t.ID)
	}
	w.must(engine.TerminateMember{InstanceID: instanceID})
	for _, id := range ids {
		w.end(id, "Host EC2 terminated")
	}
}

// failing are the instances that can die: those that have not begun to go.
func (w *world) failing(zone string) (ids []string) {
	for _, m := range w.group().Members {
		if m.State != engine.MemberTerminating && (zone == "" || m.Zone == zone) {
			ids = append(ids, m.InstanceID)
		}
	}
	return ids
}

// loseZone has all hosts of a zone die; their group launches others in the zones
// that are left, until it is back.
func (w *world) loseZone(f Fault) {
	w.lost[f.Name] = max(w.lost[f.Name], w.now+max(f.For, time.Second))
	for _, id := range w.failing(zoneName(f.Name)) {
		w.failHost(id)
	}
	w.prepareLaunch()
	w.at(w.lost[f.Name], w.prepareLaunch)
}

var _ platform.HostScaler = (*cluster)(nil)

// HostGroups gives the group that the hosts are launched in.
func (c *cluster) HostGroups(context.Context) ([]plimsoll.HostGroup, error) {
	w := c.world
	if w.outage(ClusterOutage, "") {
		return nil, errUnreadable
	}
	g := w.group()
	out := plimsoll.HostGroup{
		Name: g.Name, Zones: g.Zones, Min: g.Min, Max: g.Max, Desired: g.Desired,
		Types: []plimsoll.HostType{{Name: g.Type, Resources: g.Each}},
		Hosts: make([]plimsoll.GroupHost, 0, len(g.Members)),
	}
	for _, m := range g.Members {
		out.Hosts = append(out.Hosts, plimsoll.GroupHost{
			InstanceID: m.InstanceID, Zone: m.Zone, Protected: m.Protected, Leaving: m.State == engine.MemberTerminating,
		})
	}
	return []plimsoll.HostGroup{out}, nil
}

// SetCapacity sets how many hosts the group is to have.
func (c *cluster) SetCapacity(_ context.Context, _ string, desired int) error {
	return c.world.setCapacity(desired)
}

// Drain has a host drain, or take tasks again.
func (c *cluster) Drain(_ context.Context, host string, draining bool) error {
	return c.world.drain(host, draining)
}

// Terminate takes a host out of its group.
func (c *cluster) Terminate(_ context.Context, instanceID string) error {
	return c.world.terminate(instanceID)
}

func (w *world) setCapacity(desired int) error {
	w.prepareLaunch()
	_, err := w.call(engine.UpdateGroup{Name: w.groupName(), Desired: &desired})
	return err
}

// instance is a host in the cluster by its EC2 id; nil: it is not there.
func (w *world) instance(id string) *engine.ContainerInstance {
	list := w.machine.Instances(w.cfg.Cluster)
	if at := slices.IndexFunc(list, func(i *engine.ContainerInstance) bool { return i.EC2InstanceID == id }); at >= 0 {
		return list[at]
	}
	return nil
}

func (w *world) drain(host string, draining bool) error {
	status := plimsoll.InstanceActive
	delete(w.drained, host)
	if draining {
		status = plimsoll.InstanceDraining
		w.drained[host] = w.clock()
	}
	result, err := w.call(engine.UpdateContainerInstancesState{Cluster: w.cfg.Cluster, Instances: []string{host}, Status: status})
	if err != nil {
		return err
	}
	if failed := result.(*engine.InstancesResult).Failures; len(failed) > 0 {
		return fmt.Errorf("sim: host %q: %s", host, failed[0].Reason)
	}
	return nil
}

func (w *world) terminate(instanceID string) error {
	if w.check != nil {
		w.verifyTermination(instanceID)
	}
	_, err := w.call(engine.TerminateMember{InstanceID: instanceID, Decrement: true})
	return err
}

// tasksOn are the tasks that have not stopped on a host.
func (w *world) tasksOn(host *engine.ContainerInstance) (on []*engine.Task) {
	if host == nil {
		return nil
	}
	for _, t := range w.machine.Tasks(w.cfg.Cluster) {
		if t.ContainerInstance == host.ARN && alive(t) {
			on = append(on, t)
		}
	}
	return on
}

// countHosts notes how many hosts are paid for from now on: from a launch until a
// host has gone.
func (w *world) countHosts() {
	w.hosts = 0
	if groups := w.machine.Groups(); len(groups) > 0 {
		w.hosts = len(groups[0].Members)
	}
}

// verifyHosts: the group is within its bounds, and the hosts in the cluster are
// its own.
func (w *world) verifyHosts() {
	groups := w.machine.Groups()
	if len(groups) == 0 {
		return
	}
	g, staying := groups[0], 0
	for _, m := range g.Members {
		if m.State != engine.MemberTerminating {
			staying++
		}
	}
	if g.Desired < g.Min || g.Desired > g.Max || staying > g.Max {
		w.broken("%s is to have %d hosts and has %d that stay; allowed: %d to %d", g.Name, g.Desired, staying, g.Min, g.Max)
	}
	for _, i := range w.machine.Instances(w.cfg.Cluster) {
		if !slices.ContainsFunc(g.Members, func(m engine.Member) bool { return m.InstanceID == i.EC2InstanceID }) {
			w.broken("host %s is in the cluster and not in %s", i.EC2InstanceID, g.Name)
		}
	}
}

// verifyTermination: a host that is taken out has no tasks.
func (w *world) verifyTermination(instanceID string) {
	on := w.tasksOn(w.instance(instanceID))
	if len(on) > 0 && (w.cfg.Baseline != nil || w.cfg.Hosts.Rules.In.Stuck != scale.StuckTerminate) {
		w.broken("host %s is taken out with %d tasks", instanceID, len(on))
	}
	for _, t := range on {
		if t.Protected(w.clock()) {
			w.broken("host %s is taken out with the protected task %s", instanceID, t.ID)
		}
	}
}
