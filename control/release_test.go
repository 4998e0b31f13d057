package control_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/platform"
)

// releasing is a platform that keeps marks of release. A released task that ends
// is not replaced, and it goes first, as the embedded engine has it.
type releasing struct {
	*cluster
	stopped []string
	// lost has the next SetDesired fail, after it was carried out or before.
	lost, before bool
}

var errLost = errors.New("the answer was lost")

func (c *releasing) mark(arn string, released bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.find(arn)
	if t == nil {
		return platform.ErrNotFound
	}
	t.Released = released
	return nil
}

func (c *releasing) Release(_ context.Context, arn string) error  { return c.mark(arn, true) }
func (c *releasing) TakeBack(_ context.Context, arn string) error { return c.mark(arn, false) }

func (c *releasing) StopTask(_ context.Context, arn, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = append(c.stopped, arn)
	if t := c.find(arn); t != nil {
		t.LastStatus, t.DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
	}
	return nil
}

func (c *releasing) SetDesired(_ context.Context, service string, desired int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, fmt.Sprintf("%s=%d", service, desired))
	if c.lost && c.before {
		c.lost = false
		return errLost
	}
	c.services[0].Desired = desired
	if c.lost {
		c.lost = false
		return errLost
	}
	return nil
}

// end has a task end by itself.
func (c *releasing) end(i int) {
	c.edit(func() {
		c.tasks[i].LastStatus, c.tasks[i].DesiredStatus = plimsoll.StatusStopped, plimsoll.StatusStopped
		c.tasks[i].StopCode = "EssentialContainerExited"
	})
}

// newWorkers is a service of n tasks whose demand is not known, so that nothing
// but releases changes its count.
func newWorkers(n, least int) (*releasing, control.Service) {
	c := &releasing{cluster: newCluster(2*n, "work")}
	c.services[0].Desired = n
	c.follow(&c.services[0])
	g := newGauge(0)
	g.set(0, errBroken)
	s := service("work", 1, 2*n, mute{g}, time.Hour)
	s.Policy.Min = least
	return c, s
}

func TestEachReleaseTakesOneOffHoweverOftenItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorkers(80, 0)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s}})
		running(t, l)
		time.Sleep(time.Second)
		var said sync.WaitGroup
		for i := range 50 {
			for range 3 {
				said.Go(func() {
					if err := l.Release(t.Context(), fmt.Sprintf("task/fake/%d", i+1)); err != nil {
						t.Error(err)
					}
				})
			}
		}
		said.Wait()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := c.desired("work"); got != 30 {
			t.Errorf("desired is %d, not 30", got)
		}
		if err := l.Release(t.Context(), "1"); err != nil { // by its id
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if got := c.desired("work"); got != 30 {
			t.Errorf("desired is %d after one more word of the same, not 30", got)
		}
		if len(c.stopped) != 50 || slices.Contains(c.stopped, "task/fake/51") {
			t.Errorf("%d tasks were stopped: %v", len(c.stopped), c.stopped)
		}
		if d := l.Decisions(0); !strings.Contains(d[0].Reason, "released") {
			t.Errorf("the journal says %+v", d)
		}
	})
}

func TestNoReleaseGoesUnderTheMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorkers(5, 3)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s}})
		running(t, l)
		time.Sleep(time.Second)
		kept := 0
		for i := range 5 {
			if err := l.Release(t.Context(), fmt.Sprint(i+1)); errors.Is(err, control.ErrKept) {
				kept++
			} else if err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Second)
		if got := c.desired("work"); got != 3 || kept != 3 {
			t.Errorf("desired is %d, not 3; %d were kept, not 3", got, kept)
		}
	})
}

func TestAReleaseUnderTheMinimumIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorkers(3, 3)
		c.tasks[0].Released = true // not by this loop
		c.end(0)
		c.tasks[1].Released = true
		dir := t.TempDir()
		newLoop(t, control.Options{Platform: c, Services: []control.Service{s}, Dir: dir}).Step(t.Context())
		if c.desired("work") != 3 || c.tasks[1].Released {
			t.Errorf("desired is %d, and the second task is released: %v", c.desired("work"), c.tasks[1].Released)
		}
		if !c.tasks[0].Released {
			t.Error("a release from before the first loop was touched")
		}
	})
}

func TestATaskThatIsNotTheLoopsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorkers(3, 0)
		c.tasks[2].Service = "other"
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s}})
		if err := l.Release(t.Context(), "1"); !errors.Is(err, control.ErrNotYet) || errors.Is(err, control.ErrKept) {
			t.Errorf("before the first step: %v", err)
		}
		l.Step(t.Context())
		if err := l.Release(t.Context(), "3"); !errors.Is(err, control.ErrKept) {
			t.Errorf("another service's task: %v", err)
		}
		if err := l.Release(t.Context(), "none"); !errors.Is(err, control.ErrUnknownTask) {
			t.Errorf("no task: %v", err)
		}
		if err := l.Pause("work"); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), "1"); !errors.Is(err, control.ErrKept) {
			t.Errorf("a paused service's task: %v", err)
		}
		dry := newLoop(t, control.Options{Platform: c, Services: []control.Service{s}, DryRun: true})
		if err := dry.Release(t.Context(), "1"); !errors.Is(err, control.ErrKept) {
			t.Errorf("a dry run: %v", err)
		}
	})
}

// memoryDir is a folder whose syncs cost nothing, where the machine has one.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "plimsoll-control-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Whatever is said how often, whatever ends or is lost on the way: the count goes
// down by the number of the tasks that were released, and not under the minimum.
func TestReleasesAreCountedOnceWhateverDies(t *testing.T) {
	parent, runs := memoryDir(t), 0
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(r, "tasks")
		least := rapid.IntRange(0, n).Draw(r, "minimum")
		c, s := newWorkers(n, least)
		runs++
		now := time.Now()
		o := control.Options{
			Platform: c, Services: []control.Service{s}, Dir: filepath.Join(parent, strconv.Itoa(runs)),
			Now: func() time.Time { return now },
		}
		l := newLoop(t, o)
		l.Step(t.Context())
		released := map[int]bool{}
		for range rapid.IntRange(0, 25).Draw(r, "events") {
			switch rapid.IntRange(0, 5).Draw(r, "event") {
			case 0, 1:
				i := rapid.IntRange(0, n-1).Draw(r, "task")
				if !c.tasks[i].Live() && !released[i] {
					continue
				}
				if err := l.Release(t.Context(), c.tasks[i].ARN); err == nil {
					released[i] = true
				} else if !errors.Is(err, control.ErrKept) {
					r.Fatal(err)
				}
			case 2:
				for i := range released {
					c.end(i)
					break
				}
			case 3:
				c.lost, c.before = true, rapid.Bool().Draw(r, "before")
			case 4: // the loop is killed, and what it had asked for may have been done
				if rapid.Bool().Draw(r, "in the middle") {
					c.lost, c.before = true, rapid.Bool().Draw(r, "before")
					l.Step(t.Context())
				}
				l = newLoop(t, o)
				l.Step(t.Context())
			case 5:
				l.Step(t.Context())
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(r, "ms")) * time.Millisecond)
		}
		c.lost = false
		for range 3 {
			l.Step(t.Context())
		}
		if got := c.desired("work"); got != n-len(released) || got < least {
			r.Fatalf("%d of %d tasks were released and desired is %d (at least %d); written: %v", len(released), n, got, least, c.writes)
		}
	})
}
