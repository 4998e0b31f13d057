package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/platform"
	"plimsoll/scale"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDemandBecomesADesiredCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(3)
		running(t, newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, 0)}}))
		synctest.Wait()
		if got := c.desired("web"); got != 3 {
			t.Errorf("desired is %d, not 3", got)
		}
	})
}

func TestTheFirstWakeAfterQuietIsServedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(0)
		running(t, newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, time.Minute)}}))
		time.Sleep(time.Second)
		synctest.Wait()
		before := time.Now()
		g.announce(4)
		synctest.Wait()
		if got := c.desired("web"); got != 4 || !time.Now().Equal(before) {
			t.Errorf("desired is %d after %s, not 4 at once", got, time.Since(before))
		}
	})
}

func TestWakesWithinTheSettlingTimeAreServedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(0)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, time.Minute)}, Tick: time.Hour})
		running(t, l)
		time.Sleep(time.Second)
		synctest.Wait()
		before := l.State().Step
		for range 50 {
			l.Wake()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if steps := l.State().Step - before; steps < 3 || steps > 4 {
			t.Errorf("50 wakes in 50 ms made %d steps; at one each 20 ms there are 3 or 4", steps)
		}
	})
}

func TestASourceIsReadNoMoreOftenThanItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(1)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, mute{g}, 10*time.Second)}})
		running(t, l)
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if n := g.count(); n != 4 {
			t.Errorf("the source was read %d times in 35 s, not 4", n)
		}
	})
}

func TestASourceIsReadAtItsIntervalEvenIfTheTickIsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(1)
		running(t, newLoop(t, control.Options{
			Platform: c, Tick: time.Hour,
			Services: []control.Service{service("web", 1, 9, mute{g}, 500*time.Millisecond)},
		}))
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		if n := g.count(); n != 11 {
			t.Errorf("the source was read %d times in 5 s, not 11", n)
		}
	})
}

func TestAFailedReadingNeverLowersACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, mute{g}, 0)}})
		running(t, l)
		time.Sleep(5 * time.Second)
		g.set(0, errBroken)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := c.desired("web"); got != 5 {
			t.Errorf("desired is %d while the reading fails, not 5", got)
		}
		if reason := l.State().Plan.Verdicts[0].Reason; !strings.Contains(reason, errBroken.Error()) {
			t.Errorf("the reason does not say what failed: %s", reason)
		}
		g.set(2, nil)
		time.Sleep(5 * time.Second)
		if got := c.desired("web"); got != 2 {
			t.Errorf("desired is %d when the reading is back, not 2", got)
		}
		if got := kinds(l.Events(0)); !slices.Contains(got, control.EventDemandFailed) || !slices.Contains(got, control.EventDemandRecovered) {
			t.Errorf("the events are %v", got)
		}
	})
}

func TestAHangingSourceGoesStaleAndHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, slow, quick := newCluster(20, "slow", "quick"), newGauge(4), newGauge(1)
		s := service("slow", 1, 9, mute{slow}, time.Second)
		s.Sources[0].Timeout = time.Hour
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s, service("quick", 2, 9, quick, 0)}})
		running(t, l)
		time.Sleep(5 * time.Second)
		slow.mu.Lock()
		slow.delay = 30 * time.Minute
		slow.mu.Unlock()
		time.Sleep(5 * time.Second)
		before := time.Now()
		quick.announce(3)
		for c.desired("quick") != 3 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(before); took > 200*time.Millisecond {
			t.Errorf("the other service waited %s", took)
		}
		time.Sleep(time.Minute)
		v := l.State().Plan.Verdicts[0]
		if v.Triggers[0].Known || v.Desired != 4 {
			t.Errorf("a stale reading is known or lowers the count: %+v", v)
		}
	})
}

func TestALateFirstReadingWakesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		g.delay = 300 * time.Millisecond
		running(t, newLoop(t, control.Options{Platform: c, Tick: time.Hour,
			Services: []control.Service{service("web", 1, 9, mute{g}, time.Minute)}}))
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if got := c.desired("web"); got != 5 {
			t.Errorf("desired is %d, not 5", got)
		}
	})
}

func TestWithoutASnapshotNothingIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, 0)}})
		running(t, l)
		time.Sleep(time.Second)
		writes := len(c.written())
		c.edit(func() { c.snapErr = errors.New("throttled") })
		g.set(0, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(c.written()); n != writes {
			t.Errorf("%d counts were written without a snapshot", n-writes)
		}
		state := l.State()
		if !strings.Contains(state.Problem, "throttled") || len(state.Cluster.Services) == 0 {
			t.Errorf("the state is %q with %d services", state.Problem, len(state.Cluster.Services))
		}
		failed := 0
		for _, kind := range kinds(l.Events(0)) {
			if kind == control.EventStepFailed {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("the failure was reported %d times, not once", failed)
		}
		c.edit(func() { c.snapErr = nil })
		time.Sleep(5 * time.Second)
		if got := c.desired("web"); got != 0 {
			t.Errorf("desired is %d after the snapshot is back, not 0", got)
		}
	})
}

func TestWhatGrowsWaitsIfWhatShrinksFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(10, "web", "mail")
		web, mail := newGauge(2), newGauge(3)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{
			service("web", 1, 9, mute{web}, 0), service("mail", 2, 9, mute{mail}, 0)}})
		running(t, l)
		time.Sleep(3 * time.Second)
		c.edit(func() { c.setErr["mail"] = platform.ErrProtected; c.writes = nil })
		web.set(5, nil)
		mail.set(0, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := c.desired("web"); got != 2 {
			t.Errorf("web grew to %d after mail could not be shrunk", got)
		}
		for _, w := range c.written() {
			if strings.HasPrefix(w, "web") {
				t.Errorf("%s was written after mail could not be shrunk", w)
			}
		}
		n := 0
		for _, d := range l.Decisions(0) {
			if strings.HasPrefix(d.Outcome, "failed") {
				n++
			}
		}
		if n != 2 {
			t.Errorf("the journal has %d failures, not one for each service", n)
		}
	})
}

func TestTheLoopsOwnWriteIsNotUndoneByAnOlderRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(20, "web"), newGauge(0)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 19, mute{g}, 0)}})
		running(t, l)
		time.Sleep(time.Second)
		c.edit(func() { c.stale = 0; c.writes = nil })
		g.set(6, nil)
		l.Wake()
		c.edit(func() { c.stale = 4 }) // snapshots that still say 0, the deciding one included
		c.edit(func() { c.old = slices.Clone(c.services) })
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := c.written(); len(got) != 1 || got[0] != "web=6" {
			t.Errorf("the writes are %v, not web=6 alone", got)
		}
	})
}

func TestACountThatSomebodyElseSetsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(20, "web"), newGauge(6)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 19, mute{g}, 0)}})
		running(t, l)
		time.Sleep(time.Second)
		if err := c.SetDesired(t.Context(), "web", 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.desired("web"); got != 6 {
			t.Errorf("desired is %d, not 6 again", got)
		}
	})
}

func TestNoSnapshotBeginsBeforeThePlanIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(20, "web", "mail")
		c.slow = 300 * time.Millisecond
		web, mail := newGauge(1), newGauge(1)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{
			service("web", 1, 9, web, 0), service("mail", 2, 9, mail, 0)}})
		running(t, l)
		for i := range 40 {
			web.announce(float64(i % 7))
			l.Wake()
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		c.edit(func() {
			if c.overlap {
				t.Error("a snapshot began while a count was being set")
			}
		})
	})
}

func TestADryRunChangesNothingAndRecordsEachProposalOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		l := newLoop(t, control.Options{Platform: c, DryRun: true, Services: []control.Service{service("web", 1, 9, g, 0)}})
		running(t, l)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(c.written()) != 0 {
			t.Errorf("a dry run wrote %v", c.written())
		}
		if d := l.Decisions(0); len(d) != 1 || d[0].Outcome != "dry-run" || d[0].To != 5 || d[0].Want != 5 {
			t.Errorf("the decisions are %+v", d)
		}
	})
}

func TestAStepWaitsForSlowSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		g.delay = 4 * time.Second
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, time.Minute)}})
		state := l.Step(t.Context())
		if state.Step != 1 || state.Problem != "" || c.desired("web") != 5 {
			t.Errorf("one step left desired at %d: %q", c.desired("web"), state.Problem)
		}
	})
}

func TestTheRecheckOfAPlanWakesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(5)
		s := service("web", 1, 9, g, time.Hour)
		s.Policy.Behavior = scale.Behavior{DownWindow: 7 * time.Second}
		running(t, newLoop(t, control.Options{Platform: c, Tick: time.Hour, Services: []control.Service{s}}))
		time.Sleep(time.Second)
		g.announce(1)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := c.desired("web"); got != 1 {
			t.Errorf("desired is %d after the window, not 1", got)
		}
	})
}

func TestSubscribersAreToldOfEachNewState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(1)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, 0)}})
		told, end := l.Subscribe()
		l.Step(t.Context())
		select {
		case <-told:
		default:
			t.Error("the subscriber was not told")
		}
		end()
		l.Step(t.Context())
		if _, open := <-told; open {
			t.Error("the subscriber was told after the end")
		}
		end() // a second end is no harm
	})
}

func TestTwoRunsOfOneLoopAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t, control.Options{Platform: newCluster(1)})
		running(t, l)
		synctest.Wait()
		if err := l.Run(context.Background()); err == nil {
			t.Error("a second Run of a running loop began")
		}
	})
}

func TestEventsAreTheDifferencesOfSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(0)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, mute{g}, 0)}})
		ctx := t.Context()
		l.Step(ctx)
		if got := l.Events(0); len(got) != 0 {
			t.Errorf("the first snapshot gave %v", kinds(got))
		}
		g.set(2, nil)
		l.Step(ctx)
		l.Step(ctx)
		g.set(1, nil)
		l.Step(ctx)
		l.Step(ctx)
		c.edit(func() {
			c.tasks = slices.DeleteFunc(c.tasks, func(t plimsoll.Task) bool { return t.Live() })
			c.services[0].Running = 0
		})
		l.Step(ctx)
		want := []string{control.EventTaskRunning, control.EventTaskRunning, control.EventTaskStopped, control.EventTaskLost}
		if got := kinds(l.Events(0)); !slices.Equal(got, want) {
			t.Errorf("the events are %v, not %v", got, want)
		}
		if got := l.Events(3); len(got) != 1 || got[0].Seq != 4 {
			t.Errorf("the events after the third are %v", got)
		}
	})
}

func TestHistoryHasAtMostAPointASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(2)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, mute{g}, 0)}})
		for range 4000 {
			l.Step(t.Context())
			time.Sleep(250 * time.Millisecond)
		}
		points := l.History("web")
		if len(points) != 900 {
			t.Errorf("the history has %d points, not 900", len(points))
		}
		for i := 1; i < len(points); i++ {
			if points[i].At.Unix() != points[i-1].At.Unix()+1 {
				t.Fatalf("point %d is at %s, after %s", i, points[i].At, points[i-1].At)
			}
		}
		if p := points[len(points)-1]; p.Demand == nil || *p.Demand != 2 || p.Want != 2 || p.Running != 2 {
			t.Errorf("the newest point is %+v", p)
		}
		if l.History("nobody") != nil {
			t.Error("an unknown service has a history")
		}
	})
}

func TestHostsComeAndGoAsEvents(t *testing.T) {
	c := newCluster(4, "web")
	l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, newGauge(1), 0)}})
	step := func(change func(*plimsoll.ContainerInstance)) {
		c.edit(func() { c.host = change })
		l.Step(t.Context())
	}
	l.Step(t.Context())
	step(func(h *plimsoll.ContainerInstance) { h.Status = plimsoll.InstanceDraining })
	step(nil)
	step(func(h *plimsoll.ContainerInstance) { h.Connected = false })
	step(nil)
	step(func(h *plimsoll.ContainerInstance) { h.ARN, h.InstanceID = "ci/2", "i-2" })
	var got []string
	for _, e := range l.Events(0) {
		if e.Host != "" {
			got = append(got, e.Kind+" "+e.Host)
		}
	}
	want := []string{"host-draining i-1", "host-active i-1", "host-disconnected i-1", "host-connected i-1", "host-joined i-2", "host-left i-1"}
	if !slices.Equal(got, want) {
		t.Errorf("the events are %q, not %q", got, want)
	}
}

func TestAnEventOfAStopSaysWhy(t *testing.T) {
	c, g := newCluster(4, "web"), newGauge(1)
	l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, 0)}})
	l.Step(t.Context())
	l.Step(t.Context())
	code := 137
	c.edit(func() {
		task := &c.tasks[0]
		task.DesiredStatus, task.StoppedReason = plimsoll.StatusStopped, "scaled in"
	})
	l.Step(t.Context())
	c.edit(func() { c.tasks[0].LastStatus, c.tasks[0].ExitCode = plimsoll.StatusStopped, &code })
	l.Step(t.Context())
	var got []string
	for _, e := range l.Events(0) {
		if e.Task == "1" {
			got = append(got, e.Message)
		}
	}
	want := []string{"the task runs", "the task is asked to stop: scaled in", "the task has stopped with exit code 137: scaled in"}
	if !slices.Equal(got, want) {
		t.Errorf("the messages are %q, not %q", got, want)
	}
}

func TestWhatIsSeenIsShownBeforeItIsActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(9, "web"), newGauge(3)
		c.slow = 5 * time.Second
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, g, 0)}})
		running(t, l)
		time.Sleep(time.Second)
		if s := l.State(); s.Step != 1 || len(s.Cluster.Instances) != 1 || len(s.Plan.Changes) != 1 {
			t.Errorf("while a call of the platform hangs the state is %+v", s)
		}
		time.Sleep(10 * time.Second)
	})
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	good := service("web", 1, 9, newGauge(0), 0)
	short, empty := good, good
	short.Sources = nil
	empty.Sources = []control.Source{{}}
	for name, o := range map[string]control.Options{
		"no platform":         {Services: []control.Service{good}},
		"a service twice":     {Platform: newCluster(1), Services: []control.Service{good, good}},
		"a trigger unsourced": {Platform: newCluster(1), Services: []control.Service{short}},
		"an empty source":     {Platform: newCluster(1), Services: []control.Service{empty}},
	} {
		if _, err := control.New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// paced is a gauge that says itself when it is to be read.
type paced struct {
	mute
	every time.Duration
}

func (p paced) Next(now time.Time) time.Time { return now.Add(p.every) }

func TestASourceMaySayItselfWhenItIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(10, "web"), newGauge(2)
		s := service("web", 1, 9, paced{mute{g}, 7 * time.Second}, 0)
		l := newLoop(t, control.Options{Platform: c, Services: []control.Service{s}})
		running(t, l)
		time.Sleep(36 * time.Second)
		if n := g.count(); n != 6 {
			t.Errorf("read %d times in 36 s, want at once and then every 7 s", n)
		}
	})
}

func TestAReadingIsGoodUntilItsSourceIsDueAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service("web", 1, 9, paced{mute{newGauge(2)}, time.Hour}, 0)
		l := newLoop(t, control.Options{Platform: newCluster(10, "web"), Services: []control.Service{s}})
		running(t, l)
		time.Sleep(59 * time.Minute)
		for _, e := range l.Events(0) {
			if e.Kind == control.EventDemandFailed {
				t.Errorf("a schedule that changes in an hour: %s", e.Message)
			}
		}
	})
}
