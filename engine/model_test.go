package engine_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// cluster runs a machine against a model of a runtime and of a disk. Nothing of
// it takes time but what a test lets pass.
type cluster struct {
	t   failer
	cfg engine.Config
	m   *engine.Machine
	now time.Time
	// disk has the latest value of each key, batches what each step appended.
	disk    map[string][]byte
	batches [][]engine.Record
	// tasks is what the runtime has, by task id.
	tasks   map[string]*modelTask
	drains  []string
	wake    time.Time
	notices []engine.Notice
	calls   uint64
	last    engine.Effects
}

// modelTask is a task of the runtime.
type modelTask struct {
	spec     runtime.Spec
	running  bool
	healthy  bool
	stopping bool
	exited   bool
	code     int
}

func newCluster(t failer, cfg engine.Config) *cluster {
	cfg.Seed = "test"
	return &cluster{
		t: t, cfg: cfg, m: engine.New(cfg), now: epoch,
		disk: map[string][]byte{}, tasks: map[string]*modelTask{},
	}
}

// newHosts is a cluster with hosts of 1,000 CPU units and 1,000 MiB in three
// zones.
func newHosts(t failer, n int) *cluster {
	c := newCluster(t, engine.Config{})
	c.do(engine.CreateCluster{})
	c.hosts(n)
	return c
}

func (c *cluster) hosts(n int) []*engine.ContainerInstance {
	c.t.Helper()
	return c.do(engine.PutHosts{Hosts: hostSpecs(n)}).([]*engine.ContainerInstance)
}

func hostSpecs(n int) []engine.HostSpec {
	specs := make([]engine.HostSpec, n)
	for i := range specs {
		specs[i] = engine.HostSpec{
			Name: fmt.Sprintf("host-%d", i+1), Zone: "us-east-1" + string(rune('a'+i%3)),
			Address: fmt.Sprintf("127.64.%d.%d", i/250, i%250+1), Resources: plimsoll.Resources{CPU: 1000, Memory: 1000},
		}
	}
	return specs
}

// step lets events happen and carries out what comes of them.
func (c *cluster) step(events ...engine.Event) engine.Effects {
	c.t.Helper()
	fx := c.m.Step(c.now, events)
	c.persist(fx)
	c.carryOut(fx)
	return fx
}

func (c *cluster) persist(fx engine.Effects) {
	for _, r := range fx.Records {
		if r.Value == nil {
			delete(c.disk, r.Key)
		} else {
			c.disk[r.Key] = r.Value
		}
	}
	c.batches = append(c.batches, fx.Records)
	c.notices = append(c.notices, fx.Notices...)
	c.wake, c.last = fx.Wake, fx
}

func (c *cluster) carryOut(fx engine.Effects) {
	c.t.Helper()
	for _, d := range fx.Drains {
		c.drains = append(c.drains, d.TaskID)
	}
	for _, id := range fx.Stops {
		if t := c.tasks[id]; t != nil {
			t.stopping = true
		}
	}
	for _, s := range fx.Starts {
		if c.tasks[s.TaskID] == nil {
			c.tasks[s.TaskID] = &modelTask{spec: s}
		}
	}
}

// try carries out a command and gives what it answers.
func (c *cluster) try(command engine.Command) (any, error) {
	c.t.Helper()
	c.calls++
	fx := c.step(engine.Call{ID: c.calls, Command: command})
	for _, r := range fx.Replies {
		if r.ID == c.calls {
			return r.Value, r.Err
		}
	}
	c.t.Fatalf("%T has no reply", command)
	return nil, nil
}

func (c *cluster) do(command engine.Command) any {
	c.t.Helper()
	value, err := c.try(command)
	if err != nil {
		c.t.Fatalf("%T: %v", command, err)
	}
	return value
}

// refused carries out a command that is to be refused, and gives the refusal.
func (c *cluster) refused(command engine.Command) *engine.Error {
	c.t.Helper()
	value, err := c.try(command)
	if err == nil {
		c.t.Fatalf("%T gives %+v and no refusal", command, value)
	}
	return err.(*engine.Error)
}

// ids are the tasks of the runtime for which the condition holds, sorted.
func (c *cluster) ids(is func(*modelTask) bool) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(c.tasks)) {
		if is(c.tasks[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *cluster) started(id string) engine.Event {
	t := c.tasks[id]
	t.running = true
	return c.says(id, runtime.Started)
}

func (c *cluster) says(id string, kind runtime.Kind) engine.Event {
	e := runtime.Event{TaskID: id, Kind: kind, At: c.now}
	t := c.tasks[id]
	if t == nil {
		return engine.Observed{Event: e}
	}
	for _, container := range t.spec.Containers {
		for _, p := range container.Ports {
			e.Bindings = append(e.Bindings, runtime.Binding{
				Container: container.Name, ContainerPort: p.ContainerPort, HostPort: cmp.Or(p.HostPort, 20000),
				Address: t.spec.Address, Protocol: p.Protocol,
			})
		}
		if kind == runtime.Exited {
			e.Exits = append(e.Exits, runtime.Exit{Container: container.Name, Code: t.code})
		}
	}
	if kind != runtime.Exited {
		return engine.Observed{Event: e}
	}
	e.Bindings = nil
	return engine.Observed{Event: e}
}

// turns is the runtime saying that the first container's health is this now.
func (c *cluster) turns(id, health string) engine.Event {
	t := c.tasks[id]
	t.healthy = health == order.HealthHealthy
	return engine.Observed{Event: runtime.Event{TaskID: id, Kind: runtime.Changed, At: c.now, States: []runtime.State{
		{Container: t.spec.Containers[0].Name, Phase: order.Running, Health: health},
	}}}
}

func (c *cluster) exited(id string, code int) engine.Event {
	c.tasks[id].code = code
	e := c.says(id, runtime.Exited)
	delete(c.tasks, id)
	return e
}

// run lets everything happen that needs no time: starts succeed, what has a
// health check is healthy, drains end, stopped tasks exit with 0.
func (c *cluster) run() {
	c.t.Helper()
	for range 1000 {
		var events []engine.Event
		for _, id := range c.ids(func(t *modelTask) bool { return !t.running && !t.stopping }) {
			events = append(events, c.started(id))
		}
		for _, id := range c.ids(func(t *modelTask) bool {
			return t.running && !t.healthy && !t.stopping && t.spec.Containers[0].HealthCheck != nil
		}) {
			events = append(events, c.turns(id, order.HealthHealthy))
		}
		for _, id := range c.drains {
			events = append(events, engine.Drained{TaskID: id})
		}
		c.drains = nil
		for _, id := range c.ids(func(t *modelTask) bool { return t.stopping }) {
			events = append(events, c.exited(id, 0))
		}
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			c.step(e)
		}
	}
	c.t.Fatalf("the cluster does not come to rest")
}

// pass lets time pass, with a step whenever one is due.
func (c *cluster) pass(d time.Duration) {
	c.t.Helper()
	end := c.now.Add(d)
	for !c.wake.IsZero() && !c.wake.After(end) {
		c.now = c.wake
		c.step(engine.Tick{})
	}
	c.now = end
	c.step(engine.Tick{})
}

// restart loses the machine, brings it back from the disk and lets the runtime
// say what it still has.
func (c *cluster) restart() {
	c.t.Helper()
	c.m = reload(c.t, c.cfg, c.disk)
	c.drains = nil
	events := c.adopt(c.m.Specs())
	c.step(engine.Tick{})
	for _, e := range events {
		c.step(e)
	}
}

// adopt is the runtime's side of Adopt.
func (c *cluster) adopt(specs []runtime.Spec) []engine.Event {
	var events []engine.Event
	known := map[string]bool{}
	for _, s := range specs {
		known[s.TaskID] = true
		switch t := c.tasks[s.TaskID]; {
		case t == nil:
			events = append(events, engine.Observed{Event: runtime.Event{TaskID: s.TaskID, Kind: runtime.StartFailed, At: c.now, Reason: "no trace of it"}})
		case t.exited:
			events = append(events, c.exited(s.TaskID, t.code))
		case t.running:
			events = append(events, c.started(s.TaskID))
		}
	}
	for id := range c.tasks {
		if !known[id] {
			delete(c.tasks, id)
		}
	}
	return events
}

func reload(t failer, cfg engine.Config, disk map[string][]byte) *engine.Machine {
	t.Helper()
	m := engine.New(cfg)
	for _, key := range slices.Sorted(maps.Keys(disk)) {
		if err := m.Load(key, disk[key]); err != nil {
			t.Fatalf("%v", err)
		}
	}
	m.Specs()
	return m
}

// dump is all that a View shows, as text.
func dump(v engine.View) string {
	type service struct {
		*engine.Service
		Events           []engine.ServiceEvent
		Running, Pending int
		Deployments      [][2]int
	}
	type instance struct {
		*engine.ContainerInstance
		Remaining        plimsoll.Resources
		Running, Pending int
	}
	var all []any
	all = append(all, v.Clusters(), v.TaskDefinitions())
	for _, c := range v.Clusters() {
		for _, s := range v.Services(c.Name) {
			running, pending := v.ServiceCounts(c.Name, s.Name)
			shown := service{Service: s, Events: s.Events, Running: running, Pending: pending}
			for _, d := range s.Deployments {
				r, p := v.DeploymentCounts(c.Name, s.Name, d.ID)
				shown.Deployments = append(shown.Deployments, [2]int{r, p})
			}
			all = append(all, shown, s.Deployments, len(v.ServiceTasks(c.Name, s.Name)))
		}
		all = append(all, v.Tasks(c.Name))
		for _, i := range v.Instances(c.Name) {
			running, pending := v.InstanceCounts(i.ARN)
			all = append(all, instance{i, v.Remaining(i.ARN), running, pending})
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// definition registers a definition of one container and gives its ARN.
func (c *cluster) definition(family string, cpu, memory int64, ports ...int) string {
	c.t.Helper()
	d := engine.TaskDefinition{Family: family, Containers: []engine.ContainerDefinition{{
		Name: "main", Image: "busybox", CPU: cpu, Memory: memory, Essential: true,
	}}}
	for _, p := range ports {
		d.Containers[0].PortMappings = append(d.Containers[0].PortMappings, engine.PortMapping{ContainerPort: 80, HostPort: p})
	}
	return c.do(engine.RegisterTaskDefinition{Definition: d}).(*engine.TaskDefinition).ARN
}

// service creates a service of its own definition.
func (c *cluster) service(name string, desired, priority int, cpu int64) {
	c.t.Helper()
	c.do(engine.CreateService{
		Name: name, TaskDefinition: c.definition(name, cpu, 10), Desired: desired,
		Tags: map[string]string{plimsoll.TagPriority: fmt.Sprint(priority)},
	})
}

func (c *cluster) desire(service string, n int) {
	c.t.Helper()
	c.do(engine.UpdateService{Service: service, Desired: &n})
}

func (c *cluster) protect(ids ...string) {
	c.t.Helper()
	r := c.do(engine.UpdateTaskProtection{Tasks: ids, Enabled: true}).(*engine.ProtectionResult)
	if len(r.Failures) > 0 {
		c.t.Fatalf("not protected: %+v", r.Failures)
	}
}

// with gives the ids of a service's tasks in a state, in order of creation; a
// dead state has stopped ones.
func (c *cluster) with(service string, status plimsoll.Status) []string {
	var ids []string
	for _, t := range c.m.Tasks("") {
		if t.Service == service && t.LastStatus == status {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

func (c *cluster) task(id string) *engine.Task {
	c.t.Helper()
	t, ok := c.m.Task("", id)
	if !ok {
		c.t.Fatalf("no task %q", id)
	}
	return t
}

func (c *cluster) counts(service string) (running, pending int) {
	return c.m.ServiceCounts("", service)
}

// expect checks how many of a service run and are on the way.
func (c *cluster) expect(service string, running, pending int) {
	c.t.Helper()
	if r, p := c.counts(service); r != running || p != pending {
		c.t.Fatalf("%s has %d running and %d pending tasks, want %d and %d", service, r, p, running, pending)
	}
}

// said counts the service's events that contain the words.
func (c *cluster) said(service, words string) int {
	s, _ := c.m.Service("", service)
	n := 0
	for _, e := range s.Events {
		if strings.Contains(e.Message, words) {
			n++
		}
	}
	return n
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
