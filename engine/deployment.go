package engine

import (
	"slices"
	"strings"
	"time"
)

// The states of a deployment's rollout.
const (
	rolloutInProgress = "IN_PROGRESS"
	rolloutCompleted  = "COMPLETED"
	rolloutFailed     = "FAILED"
)

// Whose tags a service's tasks get, and the tags that ECS itself gives.
const (
	propagateService    = "SERVICE"
	propagateDefinition = "TASK_DEFINITION"
	tagCluster          = "aws:ecs:clusterName"
	tagService          = "aws:ecs:serviceName"
)

// deploy makes the definition the service's primary deployment.
func (m *Machine) deploy(s *service, d *definition) {
	e := m.editService(s)
	for i := range e.Deployments {
		e.Deployments[i].Status = statusActive
		e.Deployments[i].UpdatedAt = m.now
	}
	e.Deployments = slices.Insert(e.Deployments, 0, Deployment{
		ID: m.deploymentID(m.number()), Status: "PRIMARY", TaskDefinition: d.ARN, Strategy: e.Strategy,
		RolloutState: rolloutInProgress, CreatedAt: m.now, UpdatedAt: m.now,
	})
	m.beginRollout(e)
	m.primaryChanged(s)
}

// primaryChanged has the service go on with the deployment that is the first
// now.
func (m *Machine) primaryChanged(s *service) {
	e := m.editService(s)
	e.TaskDefinition = e.Deployments[0].TaskDefinition
	// A new definition is a new chance: what failed was the old one.
	e.Failures, e.RetryAt = 0, time.Time{}
	s.steady, s.wantedOn = false, nil
	for _, t := range s.tasks {
		m.recount(t)
	}
}

// reconcile brings a service towards its desired count. In the steady state it
// looks at four numbers and nothing else.
func (m *Machine) reconcile(s *service) {
	if s.Status == statusDraining {
		m.wind(s)
		return
	}
	if s.Status != statusActive {
		return
	}
	switch {
	case m.halted != "":
	case s.daemon():
		m.reconcileDaemon(s)
	default:
		if (s.sum.stale > 0 || s.sum.displaced > 0) && s.Deployments[0].RolloutState != rolloutFailed {
			m.replaceOld(s)
		}
		if surplus := s.current() - s.Desired - s.expected(); surplus > 0 {
			m.scaleIn(s, surplus)
		}
		m.scaleOut(s)
	}
	m.completeRollout(s)
}

// current are the tasks that count for the desired count: those of the primary
// deployment that are not on a draining instance, and the excused.
func (s *service) current() int {
	return s.sum.live - s.sum.stale - s.sum.displaced + len(s.excused)
}

// healthyFloor is the fewest healthy tasks that are to be there during a
// deployment: ECS rounds it up.
func (s *service) healthyFloor() int { return (s.Desired*s.MinimumHealthyPercent + 99) / 100 }

// ceiling is the most tasks that may run or be about to: ECS rounds it down.
func (s *service) ceiling() int { return s.Desired * s.MaximumPercent / 100 }

// replaceOld stops tasks of former deployments and on draining instances, as
// far as those that replace them are healthy.
func (m *Machine) replaceOld(s *service) {
	drainFloor := s.Desired
	if s.ceiling() <= s.Desired {
		// No room for a replacement to run beside: the deployment's floor holds.
		drainFloor = s.healthyFloor()
	}
	var stale, displaced []*task
	held := map[string]int{}
	for _, t := range slices.Clone(s.tasks) {
		if !t.staying() || !(t.stale() || t.displaced()) {
			continue
		}
		switch {
		case t.Protected(m.now):
			if t.stale() {
				held[t.Deployment]++
			}
		case !t.sound():
			// It does not count for the floor, and may be what is in the way.
			m.stop(t, stopScheduler, s.oldReason(t))
		case t.stale():
			stale = append(stale, t)
		default:
			displaced = append(displaced, t)
		}
	}
	m.stopDownTo(s, stale, s.healthyFloor())
	m.stopDownTo(s, displaced, drainFloor)
	if s.sum.healthy > s.healthyFloor() {
		m.sayHeld(s, held)
	}
}

// sayHeld reports which former deployments' protected tasks keep a deployment from
// coming to its end, in ECS's words; once for each number of them.
func (m *Machine) sayHeld(s *service, held map[string]int) {
	for _, d := range s.Deployments[1:] {
		if n := held[d.ID]; n > 0 && n != s.held[d.ID] {
			m.say(s, "(service %s) was unable to reach steady state because (taskSet %s) was unable to scale in due to (reason %d tasks under protection)", s.Name, d.ID, n)
		}
	}
	s.held = held
}

// stopDownTo stops tasks of the list while more than the floor are healthy.
func (m *Machine) stopDownTo(s *service, old []*task, floor int) {
	n := min(s.sum.healthy-floor, len(old))
	if n <= 0 {
		return
	}
	victims := chooseVictims(s, old, n, nil)
	reasons := make([]string, len(victims))
	for i, t := range victims {
		reasons[i] = s.oldReason(t)
	}
	for i, t := range victims {
		m.stop(t, stopScheduler, reasons[i])
	}
	m.sayTasks(s, "has stopped", "running ", victims)
}

// scaleOut starts what is missing, as far as the deployment's ceiling and the
// back-off allow.
func (m *Machine) scaleOut(s *service) {
	missing := min(s.Desired-s.current(), s.ceiling()-s.sum.live)
	if missing <= 0 || m.held(s) || s.Deployments[0].RolloutState == rolloutFailed {
		return
	}
	d := m.findDefinition(s.TaskDefinition)
	if d == nil {
		return
	}
	from := m.originOf(s, d)
	var have map[string]int
	if len(s.Strategy) > 0 {
		have = s.byProvider()
	}
	started := make([]*task, 0, missing)
	for range missing {
		if have != nil {
			from.provider = shareOf(s.Strategy, have)
			have[from.provider]++
		}
		started = append(started, m.createTask(s.home, d, from))
	}
	m.sayTasks(s, "has started", "", started)
}

// originOf is what the service's new tasks have in common.
func (m *Machine) originOf(s *service, d *definition) origin {
	return origin{
		svc: s, reserved: d.Reserved(), priority: s.Priority, group: "service:" + s.Name,
		startedBy: s.Deployments[0].ID, launch: launchEC2, tags: s.taskTags(d),
	}
}

// taskTags are the tags that the service's new tasks get.
func (s *service) taskTags(d *definition) map[string]string {
	var tags map[string]string
	switch s.PropagateTags {
	case propagateService:
		tags = s.Tags
	case propagateDefinition:
		tags = d.Tags
	}
	if s.ManagedTags {
		tags = merged(tags, map[string]string{tagCluster: s.Cluster, tagService: s.Name})
	}
	return tags
}

// byProvider counts the tasks that are to stay, by capacity provider.
func (s *service) byProvider() map[string]int {
	have := map[string]int{}
	for _, t := range s.tasks {
		if t.staying() && !t.stale() && !t.displaced() {
			have[t.CapacityProvider]++
		}
	}
	return have
}

// completeRollout drops deployments without tasks and reports the steady state.
func (m *Machine) completeRollout(s *service) {
	drop := func(d Deployment) bool {
		c := s.perDeploy[d.ID]
		return d.Status != "PRIMARY" && (c == nil || c.all == 0)
	}
	if slices.ContainsFunc(s.Deployments, drop) {
		e := m.editService(s)
		for _, d := range e.Deployments {
			if drop(d) {
				delete(s.perDeploy, d.ID)
			}
		}
		e.Deployments = slices.DeleteFunc(e.Deployments, drop)
	}
	healthy := s.deployCount(s.Deployments[0].ID).healthy
	if s.sum.stale == 0 && healthy >= s.Desired && s.Deployments[0].RolloutState == rolloutInProgress && m.provenRollout(s) {
		e := m.editService(s)
		e.Deployments[0].RolloutState, e.Deployments[0].UpdatedAt = rolloutCompleted, m.now
		good := e.Deployments[0]
		e.LastGood = &good
		m.completedRollout(e)
		m.say(s, "(service %s) (deployment %s) deployment completed.", s.Name, s.Deployments[0].ID)
	}
	steady := s.settled()
	if steady && !s.steady {
		m.say(s, "(service %s) has reached a steady state.", s.Name)
	}
	s.steady = steady
}

// settled tells whether all is as it is to be.
func (s *service) settled() bool {
	return len(s.Deployments) == 1 && s.sum.healthy == s.Desired && s.sum.live == s.Desired
}

// wind ends a service that is being deleted: protected tasks finish, and with
// the last task it is INACTIVE.
func (m *Machine) wind(s *service) {
	for _, t := range slices.Clone(s.tasks) {
		if !t.Protected(m.now) {
			m.stop(t, stopScheduler, s.scalingReason())
		}
	}
	if len(s.tasks) > 0 {
		return
	}
	e := m.editService(s)
	m.endRollout(e, RolloutStopped, "The service was deleted.")
	e.Status, e.Deployments, e.InactiveAt = statusInactive, nil, m.now
	m.expire(s)
}

func (s *service) scalingReason() string {
	if len(s.Deployments) == 0 {
		return "Scaling activity initiated by (service " + s.Name + ")"
	}
	return "Scaling activity initiated by (deployment " + s.Deployments[0].ID + ")"
}

// oldReason says why an old task is stopped.
func (s *service) oldReason(t *task) string {
	if t.displaced() {
		return "Container instance " + t.host.EC2InstanceID + " is being drained"
	}
	return s.scalingReason()
}

// sayTasks reports what was done to which tasks; of many it names the first ten.
func (m *Machine) sayTasks(s *service, done, what string, tasks []*task) {
	const named = 10
	var names strings.Builder
	for i, t := range tasks {
		if i == named {
			names.WriteString(" …")
			break
		}
		names.WriteString(" (task " + t.ID + ")")
	}
	m.say(s, "(service %s) %s %d %stasks:%s.", s.Name, done, len(tasks), what, names.String())
}
