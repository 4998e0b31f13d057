package control_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/scale"
)

// evacuating is a departing platform with hosts ci/1 and ci/2, of which one is
// enough. Tasks of a host that drains are replaced after a while, and then stopped
// at once unless they are protected.
type evacuating struct {
	*departing
	starts   time.Duration // of a replacement
	draining map[string]bool
	gone     map[string]bool // hosts, by instance id
	ended    []string        // tasks, by id
	over     context.Context
	working  sync.WaitGroup
}

func newEvacuating(n int, takes, starts time.Duration) *evacuating {
	c := &evacuating{departing: newDeparting(n, takes), starts: starts, draining: map[string]bool{}, gone: map[string]bool{}}
	for i := range c.tasks {
		c.tasks[i].ContainerInstance = fmt.Sprintf("ci/%d", 1+i%2)
	}
	return c
}

func (c *evacuating) Snapshot(ctx context.Context) (plimsoll.Cluster, error) {
	seen, err := c.departing.Snapshot(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	seen.Instances = nil
	for n := 1; n <= 2; n++ {
		h := plimsoll.ContainerInstance{
			ARN: fmt.Sprintf("ci/%d", n), InstanceID: fmt.Sprintf("i-%d", n), Zone: "a", Status: plimsoll.InstanceActive, Connected: true,
			Registered: one.Times(20), Remaining: one.Times(20),
		}
		for _, t := range seen.Tasks {
			if t.Live() && t.ContainerInstance == h.ARN {
				h.Remaining, h.Running = h.Remaining.Sub(one), h.Running+1
			}
		}
		if c.draining[h.ARN] {
			h.Status, h.DrainedAt = plimsoll.InstanceDraining, time.Now()
		}
		if !c.gone[h.InstanceID] {
			seen.Instances = append(seen.Instances, h)
		}
	}
	return seen, err
}

// evacuatingHosts are its hosts.
type evacuatingHosts struct{ *evacuating }

func (c evacuatingHosts) HostGroups(context.Context) ([]plimsoll.HostGroup, error) {
	g := plimsoll.HostGroup{Name: "g", Max: 2, Zones: []string{"a"}, Types: []plimsoll.HostType{{Resources: one.Times(20)}}}
	for _, id := range []string{"i-1", "i-2"} {
		if !c.gone[id] {
			g.Hosts, g.Desired = append(g.Hosts, plimsoll.GroupHost{InstanceID: id, Zone: "a"}), g.Desired+1
		}
	}
	return []plimsoll.HostGroup{g}, nil
}

func (c evacuatingHosts) SetCapacity(context.Context, string, int) error { return nil }

func (c evacuatingHosts) Terminate(_ context.Context, id string) error {
	c.gone[id] = true
	return nil
}

func (c evacuatingHosts) Drain(_ context.Context, host string, draining bool) error {
	c.edit(func() { c.draining[host] = draining })
	if draining {
		c.working.Go(func() { c.replace(host) })
	}
	return nil
}

// replace starts as many tasks elsewhere, and stops those of the host as it may.
func (c *evacuating) replace(host string) {
	time.Sleep(c.starts)
	c.edit(func() {
		for _, t := range slices.Clone(c.tasks) {
			if t.ContainerInstance == host && t.Live() {
				c.next++
				t.ARN, t.ContainerInstance, t.CreatedAt, t.Draining = fmt.Sprintf("task/fake/%d", c.next), "ci/"+map[string]string{"ci/1": "2", "ci/2": "1"}[host], time.Now(), false
				c.tasks = append(c.tasks, t)
			}
		}
	})
	for c.over.Err() == nil {
		c.edit(func() {
			for i := range c.tasks {
				t := &c.tasks[i]
				if t.ContainerInstance != host || !t.Live() || time.Now().Before(c.protected[t.ARN]) || !c.draining[host] {
					continue
				}
				if !c.drained[t.ARN] {
					c.rude = append(c.rude, t.ID())
				}
				t.LastStatus, t.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
				c.ended = append(c.ended, t.ID())
			}
		})
		time.Sleep(100 * time.Millisecond)
	}
}

// scaledHosts is a loop that scales its hosts, too.
func (c *evacuating) scaledHosts(t *testing.T) (*control.Loop, *gauge) {
	c.over = t.Context()
	t.Cleanup(c.working.Wait)
	g := newGauge(float64(c.services[0].Desired))
	l := newLoop(t, control.Options{
		Platform: c, Drainer: c, Services: []control.Service{service("web", 1, 50, mute{g}, 0)},
		Hosts: &control.Hosts{Scaler: evacuatingHosts{c}, Rules: scale.DefaultHostRules()},
	})
	running(t, l)
	return l, g
}

// awaitDrain waits until a host is drained.
func (c *evacuating) awaitDrain() {
	for drains := false; !drains; time.Sleep(time.Second) {
		c.edit(func() { drains = len(c.draining) > 0 })
	}
}

// stopped are the ids of the tasks that have ended, and of those of them that had not
// drained; hosts is how many hosts have gone.
func (c *evacuating) stopped() (ended, rude []string, hosts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ended), slices.Clone(c.rude), len(c.gone)
}

func TestAHostIsGivenBackWhenItsTasksHaveDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEvacuating(4, 7*time.Second, 20*time.Second)
		c.scaledHosts(t)
		time.Sleep(30 * time.Minute)
		ended, rude, hosts := c.stopped()
		if len(ended) != 2 || len(rude) > 0 {
			t.Errorf("%q were stopped, of which %q had not drained", ended, rude)
		}
		if hosts != 1 || len(c.left()) != 4 {
			t.Errorf("%d hosts have left, %q run", hosts, c.left())
		}
		if trace := c.trace(); trace != "" {
			t.Error(trace)
		}
	})
}

func TestATaskOfADrainingHostServesUntilAnotherDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEvacuating(4, time.Second, 8*time.Minute)
		c.scaledHosts(t)
		c.awaitDrain()
		time.Sleep(7 * time.Minute)
		if trace := c.marked(); trace != "" {
			t.Errorf("nobody is there in the place of others yet, and %s", trace)
		}
		time.Sleep(3 * time.Minute)
		if ended, rude, _ := c.stopped(); len(ended) != 2 || len(rude) > 0 {
			t.Errorf("%q were stopped, of which %q had not drained", ended, rude)
		}
	})
}

func TestAHostThatTakesTasksAgainKeepsItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEvacuating(4, time.Hour, 10*time.Second)
		_, g := c.scaledHosts(t)
		c.awaitDrain()
		time.Sleep(20 * time.Second) // they drain now
		g.set(25, nil)
		time.Sleep(30 * time.Second)
		if ended, _, _ := c.stopped(); c.trace() != "" || len(ended) > 0 {
			t.Errorf("%s; %q were stopped", c.trace(), ended)
		}
	})
}
