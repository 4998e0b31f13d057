package engine

import (
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/place/query"
)

// Config is what a Machine is made with. The zero value is good.
type Config struct {
	// Region and Account are in every ARN. Defaults: us-east-1, 123456789012.
	Region, Account string
	// Architecture is the hosts' ecs.cpu-architecture (x86_64, arm64); empty: they
	// have no such attribute.
	Architecture string
	// StoppedKeep is how long a stopped task is kept, StoppedMax how many are.
	// Defaults: 1 h, 1000. An INACTIVE service is kept for StoppedKeep too.
	StoppedKeep time.Duration
	StoppedMax  int
	// DeregistrationDelay is the longest time that a service's task stays
	// DEACTIVATING. Default 10 s.
	DeregistrationDelay time.Duration
	// Seed is what ids are derived from, together with a counter. The state
	// keeps the seed that it was begun with; two engines with the same seed
	// give the same ids.
	Seed string
	// TaskEnv gives the environment that each container gets from the engine;
	// what the definition and overrides say comes before it. It must be a pure
	// function. hasRole tells that the definition names a task role.
	TaskEnv func(taskID string, hasRole bool) map[string]string
}

// The machine's own constants, as ECS has them where it has them.
const (
	defaultCluster   = "default"
	defaultStop      = 30 * time.Second
	firstRetry       = time.Second
	lastRetry        = time.Minute
	provenRun        = time.Minute // a task that ran this long did not fail to start
	keptEvents       = 100
	shortageInterval = time.Minute
)

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Account == "" {
		c.Account = "123456789012"
	}
	if c.StoppedKeep <= 0 {
		c.StoppedKeep = time.Hour
	}
	if c.StoppedMax <= 0 {
		c.StoppedMax = 1000
	}
	if c.DeregistrationDelay <= 0 {
		c.DeregistrationDelay = 10 * time.Second
	}
	if c.TaskEnv == nil {
		c.TaskEnv = func(string, bool) map[string]string { return nil }
	}
	return c
}

// Machine is the whole state of the engine. It is not safe for concurrent use;
// what it gives out (replies and views) is never changed afterwards and may be
// kept.
type Machine struct {
	cfg Config
	ids identity

	clusters map[string]*cluster
	families map[string]*family
	tasks    map[string]*task // by id
	// providers are the account's capacity providers by name, settings its
	// settings by key.
	providers map[string]*CapacityProvider
	settings  map[string]*Setting
	// groups are the Auto Scaling groups by name; memberOf has the group of each
	// of their instances.
	groups   map[string]*Group
	memberOf map[string]string
	stopped  []*task // in the order in which they are forgotten
	timers   timers
	// expressions are those of constraints, parsed.
	expressions map[string]query.Expr
	// doomed are deleted definitions that are still referred to; disposal tells
	// that something has been forgotten that may have referred to them.
	doomed   []*definition
	disposal bool
	// retaining tells that a timer is set for the oldest stopped task.
	retaining bool
	// halted is why nothing is started any more; empty: things are.
	halted string
	// loading has what Load brought until the first Step; nil afterwards.
	loading *loading

	// The rest is of the current Step.
	now     time.Time
	step    uint64
	epoch   uint64
	fx      Effects
	changed changes
	// unsettled services are to be reconciled, roomy clusters to be placed in.
	unsettled []*service
	roomy     []*cluster
}

// New gives an empty machine: no cluster, no host.
func New(cfg Config) *Machine {
	cfg = cfg.withDefaults()
	return &Machine{
		cfg:         cfg,
		ids:         identity{Seed: cfg.Seed},
		clusters:    map[string]*cluster{},
		families:    map[string]*family{},
		tasks:       map[string]*task{},
		providers:   map[string]*CapacityProvider{},
		settings:    map[string]*Setting{},
		groups:      map[string]*Group{},
		memberOf:    map[string]string{},
		expressions: map[string]query.Expr{},
		loading:     &loading{},
	}
}

// Step takes what happened, in its order, and gives all that is to be done
// about it. The state has changed when Step returns; the effects are the
// caller's to carry out, the records first. The state is settled after each
// event, before the next is looked at. The same events at the same times give
// the same effects.
func (m *Machine) Step(now time.Time, events []Event) Effects {
	m.build()
	m.now = now.Round(0).UTC()
	m.fx = Effects{}
	m.step++
	m.epoch++
	m.fireTimers()
	m.settle()
	for _, e := range events {
		m.handle(e)
		m.settle()
		m.epoch++
	}
	m.retain()
	m.settle()
	m.dispose()
	m.record()
	m.fx.Wake = m.timers.next()
	return m.fx
}

// Specs are the tasks that have been placed and have not stopped, in the order
// of their creation: what the runtime is to adopt after Load.
func (m *Machine) Specs() []runtime.Spec {
	m.build()
	var specs []runtime.Spec
	for _, c := range m.sortedClusters() {
		for _, t := range c.tasks {
			if t.host != nil && t.alive() {
				specs = append(specs, m.spec(t))
			}
		}
	}
	return specs
}

// Live is the number of tasks that are not stopped.
func (m *Machine) Live() int { return len(m.tasks) - len(m.stopped) }

func (m *Machine) handle(e Event) {
	switch e := e.(type) {
	case Call:
		value, err := m.command(e.Command)
		if err != nil {
			value = nil
		}
		m.fx.Replies = append(m.fx.Replies, Reply{ID: e.ID, Value: value, Err: err})
	case Observed:
		m.observe(e.Event)
	case Drained:
		m.drained(e.TaskID)
	case Tick:
		// Step has looked at the timers already.
	}
}

// command carries out one command. The error, if any, is an *Error.
func (m *Machine) command(c Command) (any, error) {
	switch c := c.(type) {
	case CreateCluster:
		return answer(m.createCluster(c))
	case PutHosts:
		return answer(m.putHosts(c))
	case RegisterTaskDefinition:
		return answer(m.registerTaskDefinition(c))
	case DeregisterTaskDefinition:
		return answer(m.deregisterTaskDefinition(c))
	case CreateService:
		return answer(m.createService(c))
	case UpdateService:
		return answer(m.updateService(c))
	case StopServiceDeployment:
		return answer(m.stopRollout(c))
	case TagResource:
		return answer(m.tagResource(c))
	case DeleteService:
		return answer(m.deleteService(c))
	case RunTask:
		return answer(m.runTask(c))
	case StartTask:
		return answer(m.startTask(c))
	case StopTask:
		return answer(m.stopTask(c))
	case UpdateContainerInstancesState:
		return answer(m.updateContainerInstancesState(c))
	case UpdateTaskProtection:
		return answer(m.updateTaskProtection(c))
	case StopAll:
		m.stopAll(c)
		return nil, nil
	}
	return m.administer(c)
}

// administer carries out the commands that are about resources other than
// services and tasks.
func (m *Machine) administer(c Command) (any, error) {
	switch c := c.(type) {
	case DeleteCluster:
		return answer(m.deleteCluster(c))
	case PutClusterCapacityProviders:
		return answer(m.putClusterCapacityProviders(c))
	case CreateCapacityProvider:
		return answer(m.createCapacityProvider(c))
	case UpdateCapacityProvider:
		return answer(m.updateCapacityProvider(c))
	case DeleteCapacityProvider:
		return answer(m.deleteCapacityProvider(c))
	case PutSetting:
		return answer(m.putSetting(c))
	case PutAttributes:
		return answer(m.putAttributes(c))
	case DeleteAttributes:
		return answer(m.deleteAttributes(c))
	case RegisterInstance:
		return answer(m.registerInstance(c))
	case DeregisterInstance:
		return answer(m.deregisterInstance(c))
	case DeleteTaskDefinitions:
		return answer(m.deleteTaskDefinitions(c))
	case CreateGroup:
		return answer(m.createGroup(c))
	case UpdateGroup:
		return answer(m.updateGroup(c))
	case DeleteGroup:
		return answer(m.deleteGroup(c))
	case TerminateMember:
		return answer(m.terminateMember(c))
	case ProtectMembers:
		return answer(m.protectMembers(c))
	}
	return nil, refuse(codeInvalid, "unknown command %T", c)
}

// answer keeps a nil *Error from becoming an error that is not nil.
func answer[T any](value T, refusal *Error) (any, error) {
	if refusal != nil {
		return nil, refusal
	}
	return value, nil
}

// settle brings the services and the waiting tasks to where they should be
// after an event: it looks only at what the event has touched.
func (m *Machine) settle() {
	for len(m.unsettled) > 0 || len(m.roomy) > 0 {
		for len(m.unsettled) > 0 {
			s := m.unsettled[0]
			m.unsettled = m.unsettled[1:]
			s.unsettled = false
			m.reconcile(s)
		}
		for _, c := range m.roomy {
			m.placeWaiting(c)
		}
		m.roomy = m.roomy[:0]
	}
}

// unsettle has a service reconciled before the step goes on.
func (m *Machine) unsettle(s *service) {
	if !s.unsettled {
		s.unsettled = true
		m.unsettled = append(m.unsettled, s)
	}
}

// stopAll stops every task and starts none until the next process.
func (m *Machine) stopAll(c StopAll) {
	reason := c.Reason
	if reason == "" {
		reason = "The engine is shutting down"
	}
	m.halted = reason
	for _, home := range m.sortedClusters() {
		for _, t := range home.live() {
			m.stop(t, stopUser, reason)
		}
	}
}
