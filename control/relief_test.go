package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/control"
)

// rollingOut is a departing platform whose services are deployed anew: it starts the
// tasks of the newest deployment, and stops those of former ones, as ECS does. It
// begins some seconds after it was asked, in which the loop looks once: what it stops
// before, or what has served for less, nobody can see out; nor those that are more than
// may be protected.
type rollingOut struct {
	*departing
	maximum   int           // per cent
	boots     time.Duration // until a new task is healthy; below 0: never
	hosts     int           // tasks that there is room for
	readErr   error
	working   sync.WaitGroup
	deploying int // the number of the newest deployment
	begins    time.Time
	crowded   time.Time // when more tasks were to be replaced than may be protected
}

func newRollingOut(n, minimum, maximum int, takes time.Duration) *rollingOut {
	c := &rollingOut{departing: newDeparting(n, takes), maximum: maximum, boots: 5 * time.Second, hosts: 1000}
	s := &c.services[0]
	s.Rolling, s.MinimumHealthy = true, minimum
	s.Deployments = []plimsoll.Deployment{{ID: "ecs-svc/0", Primary: true}}
	for i := range c.tasks {
		c.tasks[i].Deployment, c.tasks[i].Checked = "ecs-svc/0", true
	}
	return c
}

func (c *rollingOut) Snapshot(ctx context.Context) (plimsoll.Cluster, error) {
	seen, err := c.departing.Snapshot(ctx)
	for i := range seen.Services {
		seen.Services[i].Deployments = slices.Clone(seen.Services[i].Deployments)
	}
	return seen, err
}

func (c *rollingOut) SetDesired(_ context.Context, service string, desired int) error {
	c.edit(func() {
		c.writes = append(c.writes, fmt.Sprintf("%s=%d", service, desired))
		c.services[0].Desired = desired
	})
	return nil
}

func (c *rollingOut) ProtectedUntil(_ context.Context, _ string, arns []string) (map[string]time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := map[string]time.Time{}
	for _, arn := range arns {
		if t := c.protected[arn]; time.Now().Before(t) {
			until[arn] = t
		}
	}
	return until, c.readErr
}

// deploy makes deployment n the newest.
func (c *rollingOut) deploy(n int) {
	c.edit(func() {
		c.deploying, c.begins = n, time.Now().Add(3*time.Second)
		s, id := &c.services[0], fmt.Sprintf("ecs-svc/%d", n)
		kept := slices.DeleteFunc(slices.Clone(s.Deployments), func(d plimsoll.Deployment) bool { return d.ID == id })
		for i := range kept {
			kept[i].Primary = false
		}
		s.Deployments = append([]plimsoll.Deployment{{ID: id, Primary: true}}, kept...)
	})
}

// work is the platform's own until the context ends.
func (c *rollingOut) work(ctx context.Context) {
	for ctx.Err() == nil {
		c.edit(c.roll)
		time.Sleep(200 * time.Millisecond)
	}
}

func (c *rollingOut) roll() {
	if time.Now().Before(c.begins) {
		return
	}
	s, newest := &c.services[0], fmt.Sprintf("ecs-svc/%d", c.deploying)
	now, healthy, mine, live := time.Now(), 0, 0, 0
	for i := range c.tasks {
		t := &c.tasks[i]
		if !t.Live() {
			continue
		}
		if t.Unwell && c.boots >= 0 && now.Sub(t.CreatedAt) >= c.boots {
			t.Unwell, t.StartedAt = false, now
		}
		if live++; !t.Unwell {
			healthy++
		}
		if t.Deployment == newest {
			mine++
		}
	}
	if live-mine > s.Desired {
		c.crowded = now
	}
	floor := (s.Desired*s.MinimumHealthy + 99) / 100
	left := map[string]bool{newest: true}
	for i := range c.tasks {
		t := &c.tasks[i]
		if !t.Live() {
			continue
		}
		surplus := t.Deployment == newest && mine > s.Desired
		if may := t.Unwell || healthy > floor; !now.Before(c.protected[t.ARN]) && (surplus || t.Deployment != newest && may) {
			if !t.Unwell {
				healthy--
				if !c.drained[t.ARN] && now.Sub(c.crowded) > 3*time.Second && now.Sub(t.StartedAt) > 3*time.Second {
					c.rude = append(c.rude, t.ID())
				}
			}
			if surplus {
				mine--
			}
			live--
			t.LastStatus, t.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
			continue
		}
		left[t.Deployment] = true
	}
	for ; mine < s.Desired && live < min(c.hosts, s.Desired*c.maximum/100); mine, live = mine+1, live+1 {
		c.next++
		c.tasks = append(c.tasks, plimsoll.Task{
			ARN: fmt.Sprintf("task/fake/%d", c.next), Service: "web", Deployment: newest, Reserved: one, ContainerInstance: "ci/1", Zone: "a",
			LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning, CreatedAt: now, StartedAt: now, Checked: true, Unwell: true,
		})
	}
	s.Deployments = slices.DeleteFunc(s.Deployments, func(d plimsoll.Deployment) bool { return !left[d.ID] })
}

// scaledOut is a loop on it, whose service wants as many tasks as there are.
func (c *rollingOut) scaledOut(t *testing.T) (*control.Loop, *gauge) {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(c.working.Wait)
	t.Cleanup(stop)
	g := newGauge(float64(c.services[0].Desired))
	l := newLoop(t, control.Options{
		Platform: c, Drainer: c, Services: []control.Service{service("web", 1, 50, mute{g}, 0)},
	})
	running(t, l)
	c.working.Go(func() { c.work(ctx) })
	return l, g
}

// of are the ids of the tasks of a deployment that run.
func (c *rollingOut) of(deployment int) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.Live() && t.Deployment == fmt.Sprintf("ecs-svc/%d", deployment) {
			ids = append(ids, t.ID())
		}
	}
	return ids
}

func (c *rollingOut) stoppedRudely() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.rude)
}

func TestADeploymentStopsTasksWhenTheirRequestsHaveEnded(t *testing.T) {
	for _, percents := range [][2]int{{100, 200}, {100, 150}, {50, 100}, {75, 125}} {
		synctest.Test(t, func(t *testing.T) {
			c := newRollingOut(4, percents[0], percents[1], 7*time.Second)
			l, _ := c.scaledOut(t)
			time.Sleep(time.Second)
			c.deploy(1)
			time.Sleep(3 * time.Second)
			if rude := c.stoppedRudely(); len(rude) > 0 {
				t.Errorf("%v: %q were stopped at once", percents, rude)
			}
			time.Sleep(3 * time.Minute)
			if old, rude := c.of(0), c.stoppedRudely(); len(old) > 0 || len(rude) > 0 {
				t.Errorf("%v: %q are left, %q were stopped before they had drained", percents, old, rude)
			}
			if trace := c.trace(); trace != "" || len(c.of(1)) != 4 {
				t.Errorf("%v: %q of the new deployment run; %s", percents, c.of(1), trace)
			}
			of1 := slices.DeleteFunc(l.Events(0), func(e control.Event) bool { return e.Task != "1" })
			if want := []string{control.EventTaskOut, control.EventTaskDrained, control.EventTaskStopped}; !slices.Equal(kinds(of1), want) {
				t.Errorf("%v: the events of a task are %q, want %q", percents, kinds(of1), want)
			}
			said := slices.DeleteFunc(l.Events(0), func(e control.Event) bool { return e.Task != "" })
			if want := []string{control.EventDeploymentBegun, control.EventDeploymentEnded}; !slices.Equal(kinds(said), want) {
				t.Errorf("%v: the events of the deployment are %q, want %q", percents, kinds(said), want)
			}
		})
	}
}

func TestTasksOfADeploymentThatIsRolledBackServeOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 150, time.Minute)
		c.scaledOut(t)
		c.deploy(1)
		time.Sleep(30 * time.Second) // two are healthy, and two drain
		if marked := c.marked(); marked != "4 drains, 3 drains, " && marked != "3 drains, 4 drains, " {
			t.Errorf("before the rollback: %q", marked)
		}
		c.deploy(0)
		time.Sleep(5 * time.Second)
		if old := c.of(0); len(old) != 4 {
			t.Errorf("after the rollback %q run", old)
		}
		time.Sleep(3 * time.Minute)
		if old, rude := c.of(0), c.stoppedRudely(); len(old) != 4 || len(c.of(1)) > 0 || len(rude) > 0 || c.trace() != "" {
			t.Errorf("%q and %q run, %q were stopped before they had drained; %s", old, c.of(1), rude, c.trace())
		}
	})
}

func TestADeploymentThatDoesNotGetOnIsLeftToThePlatform(t *testing.T) {
	for what, stalls := range map[string]func(*rollingOut){
		"new tasks fail":            func(c *rollingOut) { c.boots = -1 },
		"there is no room for them": func(c *rollingOut) { c.hosts = 4 },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newRollingOut(4, 100, 200, time.Second)
			stalls(c)
			l, _ := c.scaledOut(t)
			c.deploy(1)
			time.Sleep(15 * time.Minute)
			if c.trace() == "" {
				t.Errorf("%s: nobody is protected any more after 15 minutes", what)
			}
			time.Sleep(10 * time.Minute)
			if trace := c.trace(); trace != "" || len(c.of(0)) != 4 {
				t.Errorf("%s: %q run; %s", what, c.of(0), trace)
			}
			if !slices.Contains(kinds(l.Events(0)), control.EventDeploymentLeft) {
				t.Errorf("%s: the journal has %q", what, kinds(l.Events(0)))
			}
		})
	}
}

func TestWhatAnApplicationProtectsIsLeftToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 200, time.Second)
		theirs := time.Now().Add(12 * time.Minute)
		c.protected["task/fake/2"] = theirs
		c.scaledOut(t)
		c.deploy(1)
		time.Sleep(8 * time.Minute)
		if old := c.of(0); !slices.Equal(old, []string{"2"}) || c.marked() != "" {
			t.Errorf("after 8 minutes %q are left, and %s", old, c.marked())
		}
		time.Sleep(3 * time.Minute)
		c.edit(func() {
			if !c.protected["task/fake/2"].Equal(theirs) {
				t.Errorf("it is protected until %s, not %s", c.protected["task/fake/2"], theirs)
			}
		})
		if old, marked := c.of(0), c.marked(); !slices.Equal(old, []string{"2"}) || marked != "2 drains, " {
			t.Errorf("before its end %q are left, and %s", old, marked)
		}
		time.Sleep(2 * time.Minute)
		if old, rude := c.of(0), c.stoppedRudely(); len(old) > 0 || len(rude) > 0 {
			t.Errorf("%q are left, %q were stopped before they had drained", old, rude)
		}
	})
}

// Whatever an earlier loop has marked and protected: another goes on with it.
func TestANewLoopGoesOnWithADeployment(t *testing.T) {
	for _, after := range []time.Duration{4 * time.Second, 9 * time.Second, 11 * time.Second, 20 * time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := newRollingOut(4, 100, 150, 8*time.Second)
			ctx, stop := context.WithCancel(t.Context())
			first := newLoop(t, control.Options{
				Platform: c, Drainer: c, Services: []control.Service{service("web", 1, 50, mute{newGauge(4)}, 0)},
			})
			time.AfterFunc(after, stop)
			working, end := context.WithCancel(t.Context())
			c.working.Go(func() { c.work(working) })
			c.deploy(1)
			if err := first.Run(ctx); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			end()
			c.working.Wait()
			c.edit(func() { clear(c.drained) }) // DNS has them again
			c.scaledOut(t)
			time.Sleep(8 * time.Minute)
			if old, fresh, rude := c.of(0), c.of(1), c.stoppedRudely(); len(old) > 0 || len(fresh) != 4 || len(rude) > 0 || c.trace() != "" {
				t.Errorf("after %s: %q and %q run, %q were stopped before they had drained; %s", after, old, fresh, rude, c.trace())
			}
		})
	}
}

func TestProtectionOfADeploymentLapsesWithoutALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 200, time.Second)
		c.boots = time.Hour
		ctx, stop := context.WithCancel(t.Context())
		l := newLoop(t, control.Options{
			Platform: c, Drainer: c, Services: []control.Service{service("web", 1, 50, mute{newGauge(4)}, 0)},
		})
		c.deploy(1)
		time.AfterFunc(20*time.Minute, stop)
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Minute)
		if trace := c.trace(); trace != "" {
			t.Error(trace)
		}
	})
}

func TestACountIsLoweredInADeploymentWithoutAskingNewTasksToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 200, 20*time.Second)
		l, g := c.scaledOut(t)
		c.deploy(1)
		time.Sleep(10 * time.Second)
		g.set(2, nil)
		time.Sleep(4 * time.Second)
		if d := l.Decisions(0); len(d) != 1 || d[0].Outcome != "drains: a deployment comes to its end first" {
			t.Errorf("the journal has %+v", d)
		}
		time.Sleep(2 * time.Minute)
		if old, fresh, rude := c.of(0), c.of(1), c.stoppedRudely(); len(old) > 0 || len(fresh) != 2 || len(rude) > 0 || c.trace() != "" {
			t.Errorf("%q and %q run, %q were stopped before they had drained; %s", old, fresh, rude, c.trace())
		}
	})
}

func TestADeploymentThatBeginsInAScaleInIsFollowedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 200, 20*time.Second)
		_, g := c.scaledOut(t)
		time.Sleep(time.Second)
		g.set(2, nil)
		time.Sleep(5 * time.Second) // two drain
		c.deploy(1)
		time.Sleep(2 * time.Minute)
		if old, fresh, rude := c.of(0), c.of(1), c.stoppedRudely(); len(old) > 0 || len(fresh) != 2 || len(rude) > 0 || c.trace() != "" {
			t.Errorf("%q and %q run, %q were stopped before they had drained; %s", old, fresh, rude, c.trace())
		}
	})
}

func TestWithoutTheProtectionNothingIsDoneInADeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRollingOut(4, 100, 200, time.Second)
		c.readErr = errors.New("not authorized to perform ecs:GetTaskProtection")
		_, g := c.scaledOut(t)
		c.deploy(1)
		time.Sleep(time.Minute)
		if c.protects > 0 || len(c.of(0)) > 0 || len(c.of(1)) != 4 {
			t.Errorf("%d calls to protect, %q and %q run", c.protects, c.of(0), c.of(1))
		}
		g.set(2, nil)
		time.Sleep(time.Minute)
		if got := c.desired("web"); got != 2 {
			t.Errorf("desired is %d, not 2", got)
		}
	})
}

// Whatever is deployed, rolled back and wanted when: no task is stopped that the loop
// has seen and that has not drained, and in the end no trace is left.
func TestNoTaskIsStoppedByADeploymentThatHasNotDrained(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(4, 6).Draw(r, "tasks") // of fewer, 130 % leaves no room for one more
		maximum := rapid.SampledFrom([]int{130, 150, 200}).Draw(r, "maximum percent")
		takes := rapid.IntRange(0, 40).Draw(r, "drain seconds")
		type step struct {
			deploy, want int
			wait         time.Duration
		}
		var steps []step
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			steps = append(steps, step{
				deploy: rapid.IntRange(-1, 3).Draw(r, "deployment"), want: rapid.IntRange(n, 8).Draw(r, "want"),
				wait: time.Duration(rapid.IntRange(1, 120_000).Draw(r, "ms")) * time.Millisecond,
			})
		}
		var failure error
		synctest.Test(t, func(t *testing.T) {
			c := newRollingOut(n, 100, maximum, time.Duration(takes)*time.Second)
			_, g := c.scaledOut(t)
			want := n
			for _, s := range steps {
				if s.deploy >= 0 {
					c.deploy(s.deploy)
				}
				// Less than before would be a choice of the platform's among the new.
				want = max(want, s.want)
				g.set(float64(want), nil)
				time.Sleep(s.wait)
			}
			time.Sleep(time.Duration(n+8) * time.Minute)
			c.mu.Lock()
			newest := c.deploying
			c.mu.Unlock()
			if rude := c.stoppedRudely(); len(rude) > 0 {
				failure = fmt.Errorf("%q were stopped before they had drained", rude)
			} else if fresh, all := c.of(newest), c.left(); len(fresh) != want || len(all) != want || c.trace() != "" {
				failure = fmt.Errorf("%q of %q run, not %d; %s", fresh, all, want, c.trace())
			}
		})
		if failure != nil {
			r.Fatal(failure)
		}
	})
}
