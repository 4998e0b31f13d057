package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"plimsoll"
	"plimsoll/place"
)

// Daemon is the scheduling strategy of one task on each container instance.
const Daemon = "DAEMON"

// launchEC2 is the launch type of all tasks: they run on container instances.
const launchEC2 = "EC2"

// service is a service with its tasks and the counts over them.
type service struct {
	*Service
	home  *cluster
	epoch uint64
	dirty bool

	unsettled bool
	tasks     []*task // not stopped, in order of creation
	waiting   []*task // those of them that have no host yet
	excused   []*task // stopped, and still counted for the desired count
	sum       tally
	perDeploy map[string]*deployCount
	// events is how many the service has had; said are those of this step.
	events uint64
	// steady tells that the steady state has been reported.
	steady bool
	// spared is how many protected tasks were reported to hold up a scale-in.
	spared int
	// held is the same of a deployment, by the former one's ID.
	held map[string]int
	// wanted are the instances that a daemon is to be on, as far as they depend on
	// the board wantedOn alone.
	wanted   map[*instance]bool
	wantedOn *place.Board
	// proofAt is when the rollout is looked at again.
	proofAt    time.Time
	shortageAt time.Time
}

// tally counts tasks: a task's own is of ones and zeros, a service's is the sum.
type tally struct {
	live      int // staying: PROVISIONING, PENDING or RUNNING
	running   int
	healthy   int // running, and HEALTHY where containers have health checks
	stale     int // staying, of a deployment that is not the primary
	displaced int // staying, not stale, on a draining instance
}

// deployCount counts the tasks of one deployment; all are those that have not
// stopped.
type deployCount struct{ running, healthy, pending, all int }

func (t tally) add(o tally, sign int) tally {
	return tally{
		live: t.live + sign*o.live, running: t.running + sign*o.running, healthy: t.healthy + sign*o.healthy,
		stale: t.stale + sign*o.stale, displaced: t.displaced + sign*o.displaced,
	}
}

func newService(home *cluster, s *Service) *service {
	made := &service{Service: s, home: home, perDeploy: map[string]*deployCount{}}
	if made.daemon() {
		home.daemons = append(home.daemons, made)
	}
	return made
}

// editService gives a copy of the service that may be changed in this step.
func (m *Machine) editService(s *service) *Service {
	if s.epoch != m.epoch {
		changed := *s.Service
		changed.Deployments = slices.Clone(changed.Deployments)
		changed.Leaves = slices.Clone(changed.Leaves)
		s.Service, s.epoch = &changed, m.epoch
	}
	if !s.dirty {
		s.dirty = true
		m.changed.services = append(m.changed.services, s)
	}
	return s.Service
}

func (m *Machine) createService(c CreateService) (*Service, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if !validName(c.Name) {
		return nil, refuse(codeInvalid, "Service name %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", c.Name)
	}
	if old := home.services[c.Name]; old != nil {
		switch {
		case c.ClientToken != "" && c.ClientToken == old.ClientToken && old.Status == statusActive:
			return old.Service, nil
		case old.Status == statusActive:
			return nil, refuse(codeInvalid, "Creation of service was not idempotent.")
		case old.Status == statusDraining:
			return nil, refuse(codeInvalid, "Unable to Start a service that is still Draining.")
		}
		m.forgetService(old)
	}
	d, refusal := m.usable(c.TaskDefinition)
	if refusal != nil {
		return nil, refusal
	}
	made, refusal := m.newlyMade(home, c)
	if refusal != nil {
		return nil, refusal
	}
	s := newService(home, made)
	home.services[s.Name] = s
	m.deploy(s, d)
	m.unsettle(s)
	return s.Service, nil
}

// newlyMade is the service that CreateService asks for.
func (m *Machine) newlyMade(home *cluster, c CreateService) (*Service, *Error) {
	lowest, highest := 100, 200
	if c.Scheduling == Daemon {
		lowest, highest = 0, 100
	}
	if refusal := checkCreation(c); refusal != nil {
		return nil, refusal
	}
	priority, refusal := servicePriority(c.Scheduling, c.Tags)
	if refusal != nil {
		return nil, refusal
	}
	low, high, refusal := rollout(c.MinimumHealthyPercent, c.MaximumPercent, lowest, highest)
	if refusal != nil {
		return nil, refusal
	}
	var shares []ProviderShare
	if c.Scheduling != Daemon {
		if shares, refusal = home.shares(c.LaunchType, c.ProviderStrategy); refusal != nil {
			return nil, refusal
		}
	}
	made := &Service{
		ARN: m.arn("service", home.Name+"/"+c.Name), Cluster: home.Name, Name: c.Name,
		Status: statusActive, Desired: c.Desired, Priority: priority,
		Tags: maps.Clone(c.Tags), CreatedAt: m.now, CreatedBy: c.CreatedBy,
		MinimumHealthyPercent: low, MaximumPercent: high, ClientToken: c.ClientToken, Raw: c.Raw,
		Strategies: c.Strategies, Constraints: c.Constraints, Strategy: shares, Breaker: c.Breaker,
		HealthGrace: c.HealthGrace, PropagateTags: c.PropagateTags, ManagedTags: c.ManagedTags,
	}
	if c.Scheduling == Daemon {
		made.Scheduling = Daemon
	}
	if len(shares) == 0 {
		made.LaunchType = launchEC2
	}
	return made, nil
}

// checkCreation refuses what a service cannot be created with, whatever the
// cluster has.
func checkCreation(c CreateService) *Error {
	if refusal := checkDesired(c.Desired); refusal != nil {
		return refusal
	}
	if refusal := checkToken(c.ClientToken, 36); refusal != nil {
		return refusal
	}
	if c.Scheduling == Daemon {
		switch {
		case c.Desired > 0:
			return refuse(codeInvalid, "The daemon scheduling strategy does not support a desired count: one task runs on each container instance.")
		case len(c.Strategies) > 0:
			return refuse(codeInvalid, "The daemon scheduling strategy does not support a placement strategy.")
		case len(c.ProviderStrategy) > 0:
			return refuse(codeInvalid, "The daemon scheduling strategy does not support a capacity provider strategy.")
		}
	}
	if refusal := checkStrategies(c.Strategies); refusal != nil {
		return refusal
	}
	if refusal := checkBreaker(c.Breaker); refusal != nil {
		return refusal
	}
	return checkConstraints("placementConstraints", c.Constraints, c.Scheduling != Daemon)
}

// maxDesired is ECS's quota of tasks in a service. Each of them is an entity from
// the moment that it is asked for, so without a bound one number takes all memory.
const maxDesired = 5_000

func checkDesired(n int) *Error {
	if n < 0 || n > maxDesired {
		return refuse(codeInvalid, "desiredCount %d is invalid: 0 to %d are allowed.", n, maxDesired)
	}
	return nil
}

// servicePriority is that of a service's tasks: a daemon's are the first to be
// placed, unless its tag says otherwise.
func servicePriority(scheduling string, tags map[string]string) (int, *Error) {
	if _, said := tags[plimsoll.TagPriority]; scheduling == Daemon && !said {
		return 1, nil
	}
	return priorityOf(tags)
}

// priorityOf reads the priority from the tag that carries it.
func priorityOf(tags map[string]string) (int, *Error) {
	text, ok := tags[plimsoll.TagPriority]
	if !ok {
		return plimsoll.LowestPriority, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > plimsoll.LowestPriority {
		return 0, refuse(codeInvalid, "Tag %q has the value %q: a whole number from 1 (the highest priority) to %d is allowed.",
			plimsoll.TagPriority, text, plimsoll.LowestPriority)
	}
	return n, nil
}

// rollout checks the bounds of a rolling deployment.
func rollout(minimum, maximum *int, low, high int) (int, int, *Error) {
	if minimum != nil {
		low = *minimum
	}
	if maximum != nil {
		high = *maximum
	}
	switch {
	case low < 0 || low > 100:
		return 0, 0, refuse(codeInvalid, "minimumHealthyPercent %d is invalid: 0 to 100 is allowed.", low)
	case high < 100:
		return 0, 0, refuse(codeInvalid, "maximumPercent %d is invalid: 100 or more is allowed.", high)
	case low == 100 && high == 100:
		return 0, 0, refuse(codeInvalid, "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.")
	}
	return low, high, nil
}

// service finds a service that may be changed.
func (m *Machine) service(cluster, ref string) (*service, *Error) {
	if cluster == "" {
		cluster = clusterOf(ref)
	}
	home, refusal := m.cluster(cluster)
	if refusal != nil {
		return nil, refusal
	}
	s := m.findService(home, ref)
	if s == nil {
		return nil, refuse(codeServiceNotFound, "Service not found.")
	}
	return s, nil
}

func (m *Machine) findService(home *cluster, ref string) *service {
	if of := clusterOf(ref); of != "" && of != home.Name {
		return nil
	}
	if s := home.services[named(ref)]; s != nil && means(ref, s.ARN) {
		return s
	}
	return nil
}

func (m *Machine) updateService(c UpdateService) (*Service, *Error) {
	s, refusal := m.service(c.Cluster, c.Service)
	if refusal != nil {
		return nil, refusal
	}
	if s.Status != statusActive {
		return nil, refuse(codeServiceNotActive, "Service was not ACTIVE.")
	}
	var d *definition
	if c.TaskDefinition != "" {
		if d, refusal = m.usable(c.TaskDefinition); refusal != nil {
			return nil, refusal
		}
	}
	low, high, refusal := rollout(c.MinimumHealthyPercent, c.MaximumPercent, s.MinimumHealthyPercent, s.MaximumPercent)
	if refusal != nil {
		return nil, refusal
	}
	shares, refusal := s.checkUpdate(c)
	if refusal != nil {
		return nil, refusal
	}
	e := m.editService(s)
	e.MinimumHealthyPercent, e.MaximumPercent = low, high
	anew := e.replan(c, shares)
	if c.Desired != nil {
		m.desire(s, *c.Desired, c.Caller)
	}
	if d == nil && (c.ForceNewDeployment || anew) {
		d = m.findDefinition(s.TaskDefinition)
	}
	if d != nil && (d.ARN != s.TaskDefinition || c.ForceNewDeployment || anew) {
		m.deploy(s, d)
	}
	m.unsettle(s)
	return s.Service, nil
}

// checkUpdate refuses what a service cannot be updated with, and gives the
// capacity provider strategy that it is to have.
func (s *service) checkUpdate(c UpdateService) ([]ProviderShare, *Error) {
	if c.Desired != nil {
		if s.daemon() {
			return nil, refuse(codeInvalid, "The daemon scheduling strategy does not support a desired count: one task runs on each container instance.")
		}
		if refusal := checkDesired(*c.Desired); refusal != nil {
			return nil, refusal
		}
	}
	if s.daemon() && len(c.Strategies)+len(c.ProviderStrategy) > 0 {
		return nil, refuse(codeInvalid, "The daemon scheduling strategy does not support a placement or capacity provider strategy.")
	}
	if refusal := checkStrategies(c.Strategies); refusal != nil {
		return nil, refusal
	}
	if refusal := checkConstraints("placementConstraints", c.Constraints, !s.daemon()); refusal != nil {
		return nil, refusal
	}
	if c.Breaker != nil {
		if refusal := checkBreaker(*c.Breaker); refusal != nil {
			return nil, refusal
		}
	}
	if c.ProviderStrategy == nil {
		return s.Strategy, nil
	}
	if len(c.ProviderStrategy) > 0 && len(s.Strategy) == 0 && !c.ForceNewDeployment {
		return nil, refuse(codeInvalid, "To change from a launch type to a capacity provider strategy, forceNewDeployment must be set.")
	}
	return checkShares(c.ProviderStrategy, s.home.CapacityProviders)
}

// replan takes over what an update says, and tells whether running tasks have
// to be replaced for it: only a change of capacity providers asks for that.
func (e *Service) replan(c UpdateService, shares []ProviderShare) (anew bool) {
	if c.Raw != nil {
		e.Raw = c.Raw
	}
	if c.Strategies != nil {
		e.Strategies = c.Strategies
	}
	if c.Constraints != nil {
		e.Constraints = c.Constraints
	}
	if c.Breaker != nil {
		e.Breaker = *c.Breaker
	}
	if c.HealthGrace != nil {
		e.HealthGrace = c.HealthGrace
	}
	if c.PropagateTags != nil {
		e.PropagateTags = *c.PropagateTags
	}
	if c.ManagedTags != nil {
		e.ManagedTags = *c.ManagedTags
	}
	if slices.Equal(shares, e.Strategy) {
		return false
	}
	e.Strategy, e.LaunchType = shares, ""
	if len(shares) == 0 {
		e.LaunchType = launchEC2
	}
	return true
}

// setDesired changes the desired count.
func (m *Machine) setDesired(s *service, n int) {
	if n == s.Desired {
		return
	}
	e := m.editService(s)
	e.Desired = n
	e.Deployments[0].UpdatedAt = m.now
	s.spared, s.held, s.steady = 0, nil, false
	m.unsettle(s)
}

// deleteService sends a service on its way out. With Force its protected tasks
// are stopped too: whoever forces it has asked for just that.
func (m *Machine) deleteService(c DeleteService) (*Service, *Error) {
	s, refusal := m.service(c.Cluster, c.Service)
	if refusal != nil {
		return nil, refusal
	}
	if s.Status == statusInactive {
		return nil, refuse(codeServiceNotFound, "Service not found.")
	}
	if s.Desired > 0 && !c.Force && !s.daemon() {
		return nil, refuse(codeInvalid, "The service cannot be stopped while it is scaled above 0.")
	}
	e := m.editService(s)
	e.Status, e.Desired, e.Leaves = statusDraining, 0, nil
	m.countOut(s, len(s.excused))
	if c.Force {
		for _, t := range slices.Clone(s.tasks) {
			m.stop(t, stopScheduler, s.scalingReason())
		}
	}
	m.unsettle(s)
	return s.Service, nil
}

// say adds a line to the service's events.
func (m *Machine) say(s *service, format string, args ...any) {
	s.events++
	event := ServiceEvent{
		Seq: s.events, ID: m.uuid(m.number()), At: m.now, Message: fmt.Sprintf(format, args...),
	}
	// The events are no part of the service's record: only readers need a new copy.
	changed := *s.Service
	changed.Events = append([]ServiceEvent{event}, s.Events[:min(len(s.Events), keptEvents-1)]...)
	s.Service = &changed
	m.changed.events = append(m.changed.events, eventRecord{Cluster: s.Cluster, Service: s.Name, ServiceEvent: event})
	m.notify(Notice{Kind: "service", ARN: s.ARN, Service: s.Name, LastStatus: s.Status, Message: event.Message})
}

// dismiss takes a stopped task off the service's lists.
func (s *service) dismiss(t *task) {
	if at, found := slices.BinarySearchFunc(s.tasks, t.Seq, bySeq); found {
		s.tasks = slices.Delete(s.tasks, at, at+1)
	}
	if at, found := slices.BinarySearchFunc(s.waiting, t.Seq, bySeq); found {
		// A copy: the list may be a window on a longer one.
		s.waiting = append(slices.Clone(s.waiting[:at]), s.waiting[at+1:]...)
	}
	if len(s.waiting) == 0 {
		delete(s.home.lines, s)
	}
}

// protected is the number of tasks that scale-in has to leave alone.
func (s *service) protected(now time.Time) int {
	n := 0
	for _, t := range s.tasks {
		if t.staying() && t.Protected(now) {
			n++
		}
	}
	return n
}
