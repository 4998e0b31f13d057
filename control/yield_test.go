package control_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll"
	"plimsoll/control"
)

// busy is a host full of busy workers; others want places on it.
func newBusy(t *testing.T, workers int, others ...control.Service) (*releasing, *control.Loop) {
	t.Helper()
	c := &releasing{cluster: newCluster(workers, "work")}
	c.services[0].Desired = workers
	c.follow(&c.services[0])
	for i := range c.tasks {
		c.tasks[i].Protected = true
	}
	want := newGauge(float64(2 * workers))
	services := []control.Service{service("work", 2, 2*workers, mute{want}, time.Hour)}
	for _, o := range others {
		c.services = append(c.services, plimsoll.Service{Name: o.Policy.Service, Reserved: one})
		services = append(services, o)
	}
	return c, newLoop(t, control.Options{Platform: c, Services: services})
}

func demanding(name string, priority int, tasks float64) control.Service {
	return service(name, priority, 10, mute{newGauge(tasks)}, time.Hour)
}

// asked has every worker ask at once whether its place is needed, and counts
// those that leave.
func asked(t *testing.T, l *control.Loop, workers int, leave bool) (left int) {
	t.Helper()
	for i := range workers {
		switch err := l.Yield(context.Background(), fmt.Sprintf("task/fake/%d", i+1), leave); {
		case err == nil:
			left++
		case !errors.Is(err, control.ErrKept):
			t.Error(err)
		}
	}
	return left
}

func TestBusyWorkersYieldAsManyPlacesAsABetterClaimNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		other      control.Service
		workers    int
		leave, now int // how many leave at once, and work's desired count then
	}{
		"a higher priority":           {demanding("urgent", 1, 2), 6, 2, 4},
		"an equal has its fair share": {demanding("equal", 2, 10), 6, 3, 3},
		"a lower priority gets none":  {demanding("later", 3, 2), 6, 0, 6},
		"nobody wants anything":       {demanding("urgent", 1, 0), 6, 0, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster, l := newBusy(t, c.workers, c.other)
				running(t, l)
				time.Sleep(time.Minute)
				if n := cluster.desired("work"); n != c.workers {
					t.Fatalf("work is to have %d tasks while all are busy, not %d", n, c.workers)
				}
				if c.leave > 0 && asked(t, l, 1, false) != 1 {
					t.Error("the question alone is answered with no")
				}
				if n := asked(t, l, c.workers, true); n != c.leave {
					t.Errorf("%d workers were told to leave, want %d", n, c.leave)
				}
				time.Sleep(time.Minute)
				if n := asked(t, l, c.workers, true); n != c.leave { // those who have left may hear it again
					t.Errorf("%d workers were told to leave in the end, want %d", n, c.leave)
				}
				if n := cluster.desired("work"); n != c.now {
					t.Errorf("work is to have %d tasks, want %d", n, c.now)
				}
			})
		})
	}
}

func TestABusyWorkerYieldsWhenItsServiceWantsFewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &releasing{cluster: newCluster(8, "work")}
		c.services[0].Desired = 4
		c.follow(&c.services[0])
		for i := range c.tasks {
			c.tasks[i].Protected = true
		}
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("work", 1, 8, mute{newGauge(3)}, time.Hour)}})
		running(t, l)
		time.Sleep(time.Minute)
		if n := asked(t, l, 4, true); n != 1 {
			t.Errorf("%d of 4 busy workers leave when 3 are wanted", n)
		}
	})
}

func TestAWorkerOfTheMinimumDoesNotYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorkers(4, 4)
		c.room = 4
		for i := range c.tasks {
			c.tasks[i].Protected = true
		}
		s.Policy.Priority = 2
		c.services = append(c.services, plimsoll.Service{Name: "urgent", Reserved: one})
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s, demanding("urgent", 1, 3)}})
		running(t, l)
		time.Sleep(time.Minute)
		if n := asked(t, l, 4, true); n != 0 {
			t.Errorf("%d workers of the guaranteed minimum leave", n)
		}
	})
}
