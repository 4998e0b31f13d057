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
	"plimsoll/platform"
)

// departing is a platform that stops the oldest unprotected tasks some time after a
// count was lowered, and the Drainer of its loop.
type departing struct {
	*cluster
	takes   func(task string) time.Duration // to drain
	follows time.Duration                   // to stop tasks
	problem error                           // of Drain

	protected  map[string]time.Time
	drained    map[string]bool // and not restored
	rude       []string        // stopped while they had requests
	protects   int
	protectErr error
	markErr    error
}

func newDeparting(n int, takes time.Duration) *departing {
	c := &departing{
		cluster: newCluster(60, "web"), takes: func(string) time.Duration { return takes },
		protected: map[string]time.Time{}, drained: map[string]bool{},
	}
	c.services[0].Desired = n
	c.follow(&c.services[0])
	return c
}

func (c *departing) SetDesired(_ context.Context, service string, desired int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, fmt.Sprintf("%s=%d", service, desired))
	if err := c.setErr[service]; err != nil {
		return err
	}
	s := &c.services[0]
	s.Desired = desired
	written := time.Now()
	time.AfterFunc(c.follows, func() {
		c.edit(func() {
			for i := range c.tasks {
				t := &c.tasks[i]
				if !t.Live() || s.Running <= s.Desired || time.Now().Before(c.protected[t.ARN]) {
					continue
				}
				// What came up as the count was written is in no snapshot before.
				if !c.drained[t.ARN] && t.CreatedAt.Before(written) {
					c.rude = append(c.rude, t.ID())
				}
				t.LastStatus, t.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
				s.Running--
			}
			c.follow(s)
		})
	})
	return nil
}

func (c *departing) Protect(_ context.Context, _ string, arns []string, protecting bool, expires time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.protects++
	if c.protectErr != nil && protecting {
		return c.protectErr
	}
	for _, arn := range arns {
		if delete(c.protected, arn); protecting {
			c.protected[arn] = time.Now().Add(expires)
		}
	}
	return nil
}

func (c *departing) MarkDraining(_ context.Context, arn string, until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.find(arn)
	if t == nil {
		return platform.ErrNotFound
	}
	if c.markErr != nil {
		return c.markErr
	}
	t.Draining = !until.IsZero()
	return nil
}

func (c *departing) Drains(s *plimsoll.Service) bool { return s.Name == "web" }

func (c *departing) Drain(ctx context.Context, t *plimsoll.Task) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.takes(t.ID())):
	}
	c.edit(func() { c.drained[t.ARN] = true })
	return c.problem
}

func (c *departing) Restore(t *plimsoll.Task) { c.edit(func() { delete(c.drained, t.ARN) }) }

// left are the ids of the tasks that run on.
func (c *departing) left() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.Live() {
			ids = append(ids, t.ID())
		}
	}
	return ids
}

// trace says who drains or is protected; empty: nobody.
func (c *departing) trace() string {
	marks := c.marked()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.Live() && time.Now().Before(c.protected[t.ARN]) {
			marks += t.ID() + " is protected, "
		}
	}
	return marks
}

// marked says who drains; empty: nobody.
func (c *departing) marked() (marks string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.Live() && (t.Draining || c.drained[t.ARN]) {
			marks += t.ID() + " drains, "
		}
	}
	return marks
}

// scaled is a loop on it whose only service wants as many tasks as the gauge says.
func (c *departing) scaled(t *testing.T, want float64) (*control.Loop, *gauge) {
	g := newGauge(want)
	l := newLoop(t, control.Options{
		Platform: c, Drainer: c, Services: []control.Service{service("web", 1, 50, mute{g}, 0)},
	})
	running(t, l)
	return l, g
}

func TestATaskIsDrainedBeforeItsCountIsLowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDeparting(4, 7*time.Second)
		c.follows = 3 * time.Second
		l, _ := c.scaled(t, 2)
		time.Sleep(6 * time.Second)
		if w := c.written(); len(w) > 0 {
			t.Errorf("written while the tasks drain: %q", w)
		}
		for _, id := range []string{"3", "4"} {
			if task := c.find("task/fake/" + id); !task.Draining || task.Serving() {
				t.Errorf("task %s is not marked", id)
			}
		}
		if d := l.Decisions(0); len(d) != 1 || d[0].Outcome != "drains: 2 tasks drain first" {
			t.Errorf("the journal has %+v", d)
		}
		time.Sleep(30 * time.Second)
		if got := c.left(); !slices.Equal(got, []string{"1", "2"}) || len(c.rude) > 0 {
			t.Errorf("%q are left, %q were stopped before they had drained", got, c.rude)
		}
		if w := c.written(); !slices.Equal(w, []string{"web=2"}) {
			t.Errorf("written: %q", w)
		}
		if trace := c.trace(); trace != "" {
			t.Error(trace)
		}
		if d := l.Decisions(0); len(d) != 2 || d[1].Outcome != "done" {
			t.Errorf("the journal has %+v", d)
		}
		of4 := slices.DeleteFunc(l.Events(0), func(e control.Event) bool { return e.Task != "4" })
		if want := []string{control.EventTaskOut, control.EventTaskDrained, control.EventTaskStopped}; !slices.Equal(kinds(of4), want) {
			t.Errorf("the events of a task are %q, want %q", kinds(of4), want)
		}
	})
}

func TestTasksThatAreNeededAfterAllStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDeparting(4, 7*time.Second)
		l, g := c.scaled(t, 1)
		time.Sleep(3 * time.Second)
		g.set(3, nil)
		time.Sleep(20 * time.Second)
		if got := c.left(); !slices.Equal(got, []string{"1", "2", "3"}) || len(c.rude) > 0 {
			t.Errorf("%q are left, %q were stopped before they had drained", got, c.rude)
		}
		if w := c.written(); !slices.Equal(w, []string{"web=3"}) {
			t.Errorf("written: %q", w)
		}
		if trace := c.trace(); trace != "" {
			t.Error(trace)
		}
		if !slices.Contains(kinds(l.Events(0)), control.EventTaskBack) {
			t.Errorf("no event of a task that stays: %q", kinds(l.Events(0)))
		}
	})
}

func TestTheLastOfManyDoesNotKeepTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDeparting(4, time.Second)
		c.takes = func(id string) time.Duration {
			if id == "4" {
				return time.Minute
			}
			return time.Second
		}
		l, _ := c.scaled(t, 1)
		time.Sleep(20 * time.Second)
		if got := c.left(); !slices.Equal(got, []string{"1", "4"}) {
			t.Errorf("after 20 s %q are left", got)
		}
		var journal []string
		for _, d := range l.Decisions(0) {
			journal = append(journal, fmt.Sprintf("%d to %d: %s", d.From, d.To, d.Outcome))
		}
		if want := []string{"4 to 1: drains: 3 tasks drain first", "4 to 2: done", "2 to 1: drains: 1 task drains first"}; !slices.Equal(journal, want) {
			t.Errorf("the journal has %q", journal)
		}
		time.Sleep(2 * time.Minute)
		if got := c.left(); !slices.Equal(got, []string{"1"}) || len(c.rude) > 0 || c.trace() != "" {
			t.Errorf("%q are left, %q were stopped before they had drained; %s", got, c.rude, c.trace())
		}
	})
}

func TestWhatCannotBeSaidDoesNotKeepTheCountUp(t *testing.T) {
	for what, breaks := range map[string]func(*departing){
		"protecting": func(c *departing) { c.protectErr = errBroken },
		"marking":    func(c *departing) { c.markErr = errBroken },
		"draining":   func(c *departing) { c.problem = errBroken },
		"time":       func(c *departing) { c.takes = func(string) time.Duration { return 100 * time.Hour } },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDeparting(4, time.Second)
				breaks(c)
				c.scaled(t, 2)
				time.Sleep(8 * time.Minute)
				if got := c.desired("web"); got != 2 {
					t.Errorf("desired is %d, not 2", got)
				}
			})
		})
	}
}

func TestANewLoopGoesOnWithWhatAnotherHasMarked(t *testing.T) {
	for _, c := range []struct {
		want float64
		left []string
	}{{2, []string{"2", "4"}}, {4, []string{"1", "2", "3", "4"}}} {
		synctest.Test(t, func(t *testing.T) {
			p := newDeparting(4, time.Second)
			p.tasks[0].Draining, p.tasks[2].Draining = true, true
			p.scaled(t, c.want)
			time.Sleep(20 * time.Second)
			if got := p.left(); !slices.Equal(got, c.left) || p.trace() != "" {
				t.Errorf("for %v: %q are left, not %q; %s", c.want, got, c.left, p.trace())
			}
		})
	}
}

func TestAServiceWithoutRoutesIsLoweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDeparting(4, time.Hour)
		c.services[0].Name = "work"
		for i := range c.tasks {
			c.tasks[i].Service = "work"
		}
		l := newLoop(t, control.Options{
			Platform: c, Drainer: c, Services: []control.Service{service("work", 1, 50, mute{newGauge(2)}, 0)},
		})
		l.Step(t.Context())
		if c.desired("work") != 2 || c.protects > 0 {
			t.Errorf("desired is %d, and %d calls were made to protect", c.desired("work"), c.protects)
		}
	})
}

// Whatever is wanted when, and however long all takes: no task is stopped that has
// not drained, and in the end there is what was wanted, and no trace.
func TestNoTaskIsStoppedThatHasNotDrained(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(r, "tasks")
		follows := time.Duration(rapid.IntRange(0, 20_000).Draw(r, "follows ms")) * time.Millisecond
		seconds := rapid.SliceOfN(rapid.IntRange(0, 40), 16, 16).Draw(r, "drain seconds")
		type step struct {
			want     int
			wait     time.Duration
			set, tag bool // fail
		}
		var steps []step
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			steps = append(steps, step{
				want: rapid.IntRange(0, 10).Draw(r, "want"), wait: time.Duration(rapid.IntRange(1, 60_000).Draw(r, "ms")) * time.Millisecond,
				set: rapid.IntRange(0, 4).Draw(r, "set fails") == 0, tag: rapid.IntRange(0, 4).Draw(r, "mark fails") == 0,
			})
		}
		var failure error
		var once sync.Once
		synctest.Test(t, func(t *testing.T) {
			c := newDeparting(n, 0)
			c.follows = follows
			c.takes = func(id string) time.Duration {
				return time.Duration(seconds[len(id)*7%16]+int(id[len(id)-1])%5) * time.Second
			}
			_, g := c.scaled(t, float64(n))
			fail := func(err error) { once.Do(func() { failure = err }) }
			for _, s := range steps {
				c.edit(func() {
					c.setErr["web"], c.markErr = nil, nil
					if s.set {
						c.setErr["web"] = errBroken
					}
					if s.tag {
						c.markErr = errBroken
					}
				})
				g.set(float64(s.want), nil)
				time.Sleep(s.wait)
			}
			c.edit(func() { c.setErr["web"], c.markErr = nil, nil })
			time.Sleep(10 * time.Minute)
			last := steps[len(steps)-1].want
			if got := len(c.left()); got != last {
				fail(fmt.Errorf("%d tasks are left, not %d", got, last))
			}
			if len(c.rude) > 0 {
				fail(fmt.Errorf("stopped before they had drained: %q", c.rude))
			}
			if trace := c.trace(); trace != "" {
				fail(errors.New(trace))
			}
		})
		if failure != nil {
			r.Fatal(failure)
		}
	})
}
