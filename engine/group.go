package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"plimsoll"
)

// Group is an Auto Scaling group: as many logical hosts of a kind, in a cluster, as
// are desired. A launch takes LaunchTime, after which the host joins the cluster.
type Group struct {
	Name    string `json:",omitzero"`
	ARN     string `json:",omitzero"`
	Cluster string `json:",omitzero"` // name; the hosts join it if it is there
	// Min and Max bound Desired.
	Min     int `json:",omitzero"`
	Max     int `json:",omitzero"`
	Desired int `json:",omitzero"`
	// Zones are kept even, in this order where they are.
	Zones []string `json:",omitzero"`
	// Type is the instance type, Each what a host of it has.
	Type       string             `json:",omitzero"`
	Each       plimsoll.Resources `json:",omitzero"`
	LaunchTime time.Duration      `json:",omitzero"`
	// ProtectNew protects new instances from scale-in.
	ProtectNew bool              `json:",omitzero"`
	Tags       map[string]string `json:",omitzero"`
	CreatedAt  time.Time         `json:",omitzero"`
	// Deleting groups are forgotten with their last instance.
	Deleting bool `json:",omitzero"`
	// Members are the instances, in the order of their launches.
	Members []Member `json:",omitzero"`
	// Activities are the newest first, at most keptActivities.
	Activities []Activity `json:",omitzero"`
	// Raw is what the wire keeps of the group to give back.
	Raw []byte `json:",omitzero"`
}

// The states of a Member, in Auto Scaling's words.
const (
	MemberPending     = "Pending"
	MemberInService   = "InService"
	MemberTerminating = "Terminating"
)

// Member is an instance of a group.
type Member struct {
	InstanceID string    `json:",omitzero"`
	Zone       string    `json:",omitzero"`
	State      string    `json:",omitzero"`
	Protected  bool      `json:",omitzero"` // from scale-in
	LaunchedAt time.Time `json:",omitzero"`
	ReadyAt    time.Time `json:",omitzero"` // a Pending one joins then
}

// Activity is a line of a group's history.
type Activity struct {
	ID          string    `json:",omitzero"`
	InstanceID  string    `json:",omitzero"`
	Description string    `json:",omitzero"`
	Cause       string    `json:",omitzero"`
	Zone        string    `json:",omitzero"`
	StartedAt   time.Time `json:",omitzero"`
	EndedAt     time.Time `json:",omitzero"` // zero: it is under way
}

const (
	keptActivities    = 100
	defaultLaunchTime = 3 * time.Second
	maxGroupSize      = 10_000
)

// CreateGroup gives *Group. ARN, CreatedAt, Members and Activities are the
// engine's to set. A group that is there is refused.
type CreateGroup struct{ Group Group }

// UpdateGroup gives *Group. Nil and empty fields stay as they are. A Desired that
// is not given follows the bounds.
type UpdateGroup struct {
	Name              string
	Min, Max, Desired *int
	Zones             []string
	Each              *plimsoll.Resources // of new hosts
	LaunchTime        *time.Duration
	ProtectNew        *bool
	Raw               []byte
	SetTags           map[string]string
	DropTags          []string
}

// DeleteGroup gives *Group. One with instances is refused, unless Force is set:
// then they are terminated, and it goes with the last of them.
type DeleteGroup struct {
	Name  string
	Force bool
}

// TerminateMember terminates an instance of a group and gives *Activity. With
// Decrement there is one less from now on, which must not be below the minimum;
// else another is launched in its place.
type TerminateMember struct {
	InstanceID string
	Decrement  bool
}

// ProtectMembers protects instances of a group from scale-in, or ends that, and
// gives *Group.
type ProtectMembers struct {
	Name        string
	InstanceIDs []string
	Protected   bool
}

func (CreateGroup) command()     {}
func (UpdateGroup) command()     {}
func (DeleteGroup) command()     {}
func (TerminateMember) command() {}
func (ProtectMembers) command()  {}

// codeGroup is Auto Scaling's error for what is not right with a request.
const codeGroup = "ValidationError"

// editGroup gives the group a new state.
func (m *Machine) editGroup(name string, edit func(*Group)) *Group {
	changed := *m.groups[name]
	changed.Members = slices.Clone(changed.Members)
	changed.Activities = slices.Clone(changed.Activities)
	changed.Tags = maps.Clone(changed.Tags)
	edit(&changed)
	m.keepGroup(&changed)
	return &changed
}

func (m *Machine) keepGroup(g *Group) {
	m.groups[g.Name] = g
	m.changedGroup(g.Name)
}

func (m *Machine) changedGroup(name string) {
	if !slices.Contains(m.changed.groups, name) {
		m.changed.groups = append(m.changed.groups, name)
	}
}

func (m *Machine) findGroup(name string) (*Group, *Error) {
	if g := m.groups[named(name)]; g != nil {
		return g, nil
	}
	return nil, refuse(codeGroup, "AutoScalingGroup name not found - AutoScalingGroup %q not found", name)
}

// check refuses a group whose figures make no sense.
func (g *Group) check() *Error {
	switch {
	case g.Min < 0 || g.Max < g.Min || g.Max > maxGroupSize:
		return refuse(codeGroup, "MinSize %d and MaxSize %d: 0 <= MinSize <= MaxSize <= %d is allowed.", g.Min, g.Max, maxGroupSize)
	case g.Desired < g.Min || g.Desired > g.Max:
		return refuse(codeGroup, "Desired capacity:%d must be between the specified min size:%d and max size:%d", g.Desired, g.Min, g.Max)
	case len(g.Zones) == 0:
		return refuse(codeGroup, "At least one Availability Zone or VPC Subnet is required.")
	case g.Each.CPU <= 0 || g.Each.Memory <= 0:
		return refuse(codeGroup, "The group's hosts have %s: CPU and memory must be over 0.", g.Each)
	}
	return nil
}

func (m *Machine) createGroup(c CreateGroup) (*Group, *Error) {
	g := c.Group
	if g.Name == "" || len(g.Name) > 255 {
		return nil, refuse(codeGroup, "AutoScalingGroupName %q: 1 to 255 characters are allowed.", g.Name)
	}
	if m.groups[g.Name] != nil {
		return nil, refuse("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", g.Name)
	}
	if g.LaunchTime <= 0 {
		g.LaunchTime = defaultLaunchTime
	}
	if refusal := g.check(); refusal != nil {
		return nil, refusal
	}
	g.ARN = fmt.Sprintf("arn:aws:autoscaling:%s:%s:autoScalingGroup:%s:autoScalingGroupName/%s", m.cfg.Region, m.cfg.Account, m.uuid(m.number()), g.Name)
	g.CreatedAt, g.Members, g.Activities, g.Deleting = m.now, nil, nil, false
	g.Tags = maps.Clone(g.Tags)
	m.keepGroup(&g)
	m.fillGroup(g.Name, "the group was created")
	return m.groups[g.Name], nil
}

func (m *Machine) updateGroup(c UpdateGroup) (*Group, *Error) {
	g, refusal := m.findGroup(c.Name)
	if refusal != nil {
		return nil, refusal
	}
	next := *g
	set := func(to *int, from *int) {
		if from != nil {
			*to = *from
		}
	}
	set(&next.Min, c.Min)
	set(&next.Max, c.Max)
	next.Desired = min(max(next.Desired, next.Min), next.Max)
	set(&next.Desired, c.Desired)
	if len(c.Zones) > 0 {
		next.Zones = slices.Clone(c.Zones)
	}
	if c.Each != nil {
		next.Each = *c.Each
	}
	if c.LaunchTime != nil && *c.LaunchTime > 0 {
		next.LaunchTime = *c.LaunchTime
	}
	if c.ProtectNew != nil {
		next.ProtectNew = *c.ProtectNew
	}
	if c.Raw != nil {
		next.Raw = c.Raw
	}
	if refusal := next.check(); refusal != nil {
		return nil, refusal
	}
	if g.Deleting {
		return nil, refuse("ScalingActivityInProgress", "The group %q is being deleted.", g.Name)
	}
	next.Tags = merged(next.Tags, c.SetTags)
	for _, key := range c.DropTags {
		delete(next.Tags, key)
	}
	m.editGroup(g.Name, func(to *Group) { *to = next })
	m.fillGroup(g.Name, fmt.Sprintf("the desired capacity changed from %d to %d", g.Desired, next.Desired))
	return m.groups[g.Name], nil
}

func (m *Machine) deleteGroup(c DeleteGroup) (*Group, *Error) {
	g, refusal := m.findGroup(c.Name)
	if refusal != nil {
		return nil, refusal
	}
	if len(g.Members) > 0 && !c.Force {
		return nil, refuse("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	}
	ended := m.editGroup(g.Name, func(g *Group) { g.Deleting, g.Min, g.Desired = true, 0, 0 })
	m.fillGroup(g.Name, "the group is being deleted")
	m.forgetGroup(g.Name)
	return ended, nil
}

// forgetGroup drops a deleted group that has no instances any more.
func (m *Machine) forgetGroup(name string) {
	if g := m.groups[name]; g != nil && g.Deleting && len(g.Members) == 0 {
		delete(m.groups, name)
		m.changedGroup(name)
	}
}

// fillGroup launches what a group lacks, and terminates what it has too much.
func (m *Machine) fillGroup(name, cause string) {
	for g := m.groups[name]; g.staying() < g.Desired; g = m.groups[name] {
		m.launch(g, cause)
	}
	for g := m.groups[name]; g != nil && g.staying() > g.Desired; g = m.groups[name] {
		victim := g.victim()
		if victim == nil {
			return // all are protected, and stay
		}
		m.terminate(name, victim.InstanceID, cause)
	}
}

// staying are the instances that are not on their way out.
func (g *Group) staying() (n int) {
	for _, i := range g.Members {
		if i.State != MemberTerminating {
			n++
		}
	}
	return n
}

// inZone counts them by zone.
func (g *Group) inZone() map[string]int {
	count := map[string]int{}
	for _, i := range g.Members {
		if i.State != MemberTerminating {
			count[i.Zone]++
		}
	}
	return count
}

// victim is the instance that goes next: one that is not there yet, then one of
// the fullest zone, the oldest first.
func (g *Group) victim() *Member {
	count := g.inZone()
	var best *Member
	order := func(a, b *Member) int {
		pending := func(i *Member) int { return len(i.State) - len(MemberPending) } // Pending has the shorter name
		return cmp.Or(cmp.Compare(pending(a), pending(b)), cmp.Compare(count[b.Zone], count[a.Zone]), a.LaunchedAt.Compare(b.LaunchedAt))
	}
	for n := range g.Members {
		i := &g.Members[n]
		if i.State != MemberTerminating && (!i.Protected || g.Deleting) && (best == nil || order(i, best) < 0) {
			best = i
		}
	}
	return best
}

// launch begins the launch of one instance, in the zone with the fewest.
func (m *Machine) launch(g *Group, cause string) {
	count := g.inZone()
	zone := slices.MinFunc(g.Zones, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	n := m.number()
	i := Member{
		InstanceID: "i-" + m.hexID(n)[:17], Zone: zone, State: MemberPending, Protected: g.ProtectNew,
		LaunchedAt: m.now, ReadyAt: m.now.Add(g.LaunchTime),
	}
	m.editGroup(g.Name, func(g *Group) {
		g.Members = append(g.Members, i)
		g.begin(Activity{ID: m.uuid(n), InstanceID: i.InstanceID, Description: "Launching a new EC2 instance: " + i.InstanceID, Cause: cause, Zone: zone, StartedAt: m.now})
	})
	m.memberOf[i.InstanceID] = g.Name
	m.after(i.ReadyAt, func() { m.join(i.InstanceID) })
}

func (g *Group) begin(a Activity) {
	g.Activities = slices.Insert(g.Activities, 0, a)
	g.Activities = g.Activities[:min(len(g.Activities), keptActivities)]
}

// end notes that what was under way with an instance is done.
func (g *Group) end(instanceID string, at time.Time) {
	for n := range g.Activities {
		if a := &g.Activities[n]; a.InstanceID == instanceID && a.EndedAt.IsZero() {
			a.EndedAt = at
		}
	}
}

// member finds an instance in its group; at is its index.
func (m *Machine) member(instanceID string) (g *Group, at int) {
	g = m.groups[m.memberOf[instanceID]]
	if g == nil {
		return nil, 0
	}
	at = slices.IndexFunc(g.Members, func(i Member) bool { return i.InstanceID == instanceID })
	if at < 0 {
		return nil, 0
	}
	return g, at
}

// join has a launched instance join its cluster.
func (m *Machine) join(instanceID string) {
	g, at := m.member(instanceID)
	if g == nil || g.Members[at].State != MemberPending {
		return
	}
	i := g.Members[at]
	m.editGroup(g.Name, func(g *Group) {
		g.Members[at].State = MemberInService
		g.end(instanceID, m.now)
	})
	home := m.clusters[g.Cluster]
	if home == nil {
		return
	}
	n := m.number()
	made := &instance{home: home, epoch: m.epoch, ContainerInstance: &ContainerInstance{
		Seq: n, Name: i.InstanceID, ARN: m.arn("container-instance", home.Name+"/"+m.hexID(n)), Cluster: home.Name,
		EC2InstanceID: i.InstanceID, Address: m.freeAddress(), Zone: i.Zone, Status: plimsoll.InstanceActive,
		Registered: g.Each, RegisteredAt: m.now, Agent: true,
		Attributes: merged(m.hostAttributes(i.Zone), map[string]string{"ecs.instance-type": g.Type, AttributeGroup: g.Name}),
	}}
	m.admit(made)
	m.makeRoom(home, true, nil)
}

func (m *Machine) terminateMember(c TerminateMember) (*Activity, *Error) {
	g, at := m.member(c.InstanceID)
	if g == nil {
		return nil, refuse(codeGroup, "Instance Id not found - No managed instance found for instance ID: %s", c.InstanceID)
	}
	if g.Members[at].State == MemberTerminating {
		return nil, refuse("ScalingActivityInProgress", "The instance %s is being terminated.", c.InstanceID)
	}
	if c.Decrement && g.Desired <= g.Min {
		return nil, refuse(codeGroup, "Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. "+
			"Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.Min)
	}
	if c.Decrement {
		m.editGroup(g.Name, func(g *Group) { g.Desired-- })
	}
	activity := m.terminate(g.Name, c.InstanceID, "a client asked for it")
	m.fillGroup(g.Name, "an instance was terminated")
	return activity, nil
}

// terminate takes an instance out: at once if it has not joined, else as soon as
// its tasks have ended, which are told to.
func (m *Machine) terminate(name, instanceID, cause string) *Activity {
	g, at := m.member(instanceID)
	activity := Activity{ID: m.uuid(m.number()), InstanceID: instanceID, Description: "Terminating EC2 instance: " + instanceID, Cause: cause, Zone: g.Members[at].Zone, StartedAt: m.now}
	m.editGroup(name, func(g *Group) {
		g.Members[at].State = MemberTerminating
		g.end(instanceID, m.now)
		g.begin(activity)
	})
	i := m.instanceOf(g.Cluster, instanceID)
	if i == nil {
		m.left(instanceID)
		return &activity
	}
	tasks := slices.Clone(i.tasks)
	m.dismiss(i)
	for _, t := range tasks {
		m.stop(t, stopTermination, "Host EC2 (instance "+instanceID+") terminated.")
	}
	return &activity
}

// instanceOf finds the container instance of an EC2 instance.
func (m *Machine) instanceOf(cluster, instanceID string) *instance {
	home := m.clusters[cluster]
	if home == nil {
		return nil
	}
	for _, i := range home.instances {
		if i.EC2InstanceID == instanceID {
			return i
		}
	}
	return nil
}

// left notes that an instance of a group is gone, and has it replaced if the group
// desires that.
func (m *Machine) left(instanceID string) {
	g, at := m.member(instanceID)
	if g == nil {
		return
	}
	m.editGroup(g.Name, func(g *Group) {
		g.Members = slices.Delete(g.Members, at, at+1)
		g.end(instanceID, m.now)
	})
	delete(m.memberOf, instanceID)
	if m.groups[g.Name].Deleting {
		m.forgetGroup(g.Name)
		return
	}
	m.fillGroup(g.Name, "an instance had left")
}

func (m *Machine) protectMembers(c ProtectMembers) (*Group, *Error) {
	g, refusal := m.findGroup(c.Name)
	if refusal != nil {
		return nil, refusal
	}
	for _, id := range c.InstanceIDs {
		if of, _ := m.member(id); of == nil || of.Name != g.Name {
			return nil, refuse(codeGroup, "The instance %s is not part of Auto Scaling group %s.", id, g.Name)
		}
	}
	return m.editGroup(g.Name, func(g *Group) {
		for n := range g.Members {
			if slices.Contains(c.InstanceIDs, g.Members[n].InstanceID) {
				g.Members[n].Protected = c.Protected
			}
		}
	}), nil
}

// buildGroup puts a loaded group into the state, and goes on with its launches and
// terminations.
func (m *Machine) buildGroup(g *Group) {
	m.groups[g.Name] = g
	for _, i := range g.Members {
		m.memberOf[i.InstanceID] = g.Name
		if i.State == MemberPending {
			m.after(i.ReadyAt, func() { m.join(i.InstanceID) })
		}
	}
}

// Groups are all Auto Scaling groups, by name.
func (m *Machine) Groups() []*Group {
	list := make([]*Group, 0, len(m.groups))
	for _, name := range sortedKeys(m.groups) {
		list = append(list, m.groups[name])
	}
	return list
}
