package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/demand"
	"plimsoll/platform"
	"plimsoll/scale"
)

// cluster is a stateful platform of one host: a change of a desired count
// starts and stops tasks at once, unless the test says otherwise.
type cluster struct {
	mu        sync.Mutex
	services  []plimsoll.Service
	tasks     []plimsoll.Task
	room      int // tasks that the host can hold
	next      int
	writes    []string
	snapshots int
	snapErr   error
	setErr    map[string]error
	stale     int // that many snapshots more show the counts from before
	old       []plimsoll.Service
	slow      time.Duration                     // of SetDesired
	busy      bool                              // inside SetDesired
	overlap   bool                              // a snapshot began inside SetDesired
	host      func(*plimsoll.ContainerInstance) // changes what is shown of it
	changed   chan struct{}
}

var one = plimsoll.Resources{CPU: 100, Memory: 100}

func newCluster(room int, services ...string) *cluster {
	c := &cluster{room: room, setErr: map[string]error{}, changed: make(chan struct{}, 1)}
	for _, name := range services {
		c.services = append(c.services, plimsoll.Service{Name: name, Reserved: one})
	}
	return c
}

func (c *cluster) Changed() <-chan struct{} { return c.changed }

func (c *cluster) Snapshot(ctx context.Context) (plimsoll.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshots++
	c.overlap = c.overlap || c.busy
	if c.snapErr != nil {
		return plimsoll.Cluster{}, c.snapErr
	}
	services := c.services
	if c.stale > 0 {
		c.stale--
		services = c.old
	}
	whole := one.Times(c.room)
	host := plimsoll.ContainerInstance{
		ARN: "ci/1", InstanceID: "i-1", Zone: "a", Status: plimsoll.InstanceActive, Connected: true,
		Registered: whole, Remaining: whole.Sub(one.Times(c.live())),
	}
	if c.host != nil {
		c.host(&host)
	}
	return plimsoll.Cluster{
		Name: "fake", At: time.Now(),
		Services: slices.Clone(services), Tasks: slices.Clone(c.tasks),
		Instances: []plimsoll.ContainerInstance{host},
	}, nil
}

func (c *cluster) live() int {
	n := 0
	for _, t := range c.tasks {
		if t.Live() {
			n++
		}
	}
	return n
}

func (c *cluster) SetDesired(ctx context.Context, service string, desired int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, fmt.Sprintf("%s=%d", service, desired))
	if err := c.setErr[service]; err != nil {
		return err
	}
	if c.slow > 0 {
		c.busy = true
		c.mu.Unlock()
		time.Sleep(c.slow)
		c.mu.Lock()
		c.busy = false
	}
	for i := range c.services {
		if s := &c.services[i]; s.Name == service {
			c.old = slices.Clone(c.services)
			s.Desired = desired
			c.follow(s)
			return nil
		}
	}
	return fmt.Errorf("service %q: %w", service, platform.ErrNotFound)
}

// follow starts and stops tasks until the service runs what is desired.
func (c *cluster) follow(s *plimsoll.Service) {
	for i := range c.tasks {
		if t := &c.tasks[i]; t.Service == s.Name && t.Live() && s.Running > s.Desired {
			t.LastStatus, t.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
			s.Running--
		}
	}
	for s.Running < s.Desired {
		c.next++
		s.Running++
		c.tasks = append(c.tasks, plimsoll.Task{
			ARN: fmt.Sprintf("task/fake/%d", c.next), Service: s.Name, Reserved: one,
			ContainerInstance: "ci/1", Zone: "a", CreatedAt: time.Now(),
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
		})
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// find is the task with that ARN; nil: there is none. c.mu is held.
func (c *cluster) find(arn string) *plimsoll.Task {
	for i := range c.tasks {
		if c.tasks[i].ARN == arn {
			return &c.tasks[i]
		}
	}
	return nil
}

func (c *cluster) edit(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cluster) desired(service string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.services {
		if s.Name == service {
			return s.Desired
		}
	}
	return -1
}

func (c *cluster) written() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.writes)
}

// gauge is a source that a test sets.
type gauge struct {
	mu      sync.Mutex
	value   float64
	err     error
	delay   time.Duration
	reads   int
	changed chan struct{}
}

func newGauge(v float64) *gauge { return &gauge{value: v, changed: make(chan struct{}, 1)} }

var errBroken = errors.New("the queue does not answer")

func (g *gauge) Read(ctx context.Context) (demand.Sample, error) {
	g.mu.Lock()
	g.reads++
	delay := g.delay
	g.mu.Unlock()
	if delay > 0 {
		select {
		case <-ctx.Done():
			return demand.Sample{}, ctx.Err()
		case <-time.After(delay):
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return demand.Sample{}, g.err
	}
	return demand.Sample{Value: g.value, At: time.Now()}, nil
}

func (g *gauge) Changed() <-chan struct{} { return g.changed }

func (g *gauge) set(v float64, err error) {
	g.mu.Lock()
	g.value, g.err = v, err
	g.mu.Unlock()
}

// announce sets the value and says so.
func (g *gauge) announce(v float64) {
	g.set(v, nil)
	g.changed <- struct{}{}
}

func (g *gauge) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reads
}

// mute is a source without notices.
type mute struct{ g *gauge }

func (m mute) Read(ctx context.Context) (demand.Sample, error) { return m.g.Read(ctx) }

// service wants a task for each unit of the source's value.
func service(name string, priority, limit int, from demand.Source, interval time.Duration) control.Service {
	return control.Service{
		Policy: scale.Policy{
			Service: name, Priority: priority, Max: limit,
			Triggers: []scale.Trigger{{Name: "gauge", Target: 1, Mode: scale.Average}},
		},
		Sources: []control.Source{{Source: from, Interval: interval}},
	}
}

// running runs a loop for the rest of the test's bubble.
func running(t *testing.T, l *control.Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func newLoop(t *testing.T, o control.Options) *control.Loop {
	t.Helper()
	l, err := control.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func kinds(events []control.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, e.Kind)
	}
	return list
}
