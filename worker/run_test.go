package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/worker"
)

func expect(t *testing.T, q *queue, want ...string) {
	t.Helper()
	if got := q.sequence(); !slices.Equal(got, want) {
		t.Errorf("calls\n%q, want\n%q", got, want)
	}
}

func TestAMessageIsDeletedAfterItsWorkAndUnderProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		p := &platform{q: q}
		stop, _ := run(t, worker.Options{Queue: q, Platform: p}, func(_ context.Context, m worker.Message) error {
			if !p.safe() || m.Body != "a" || m.Receives != 1 {
				t.Errorf("protected %v, message %+v", p.safe(), m)
			}
			return nil
		})
		synctest.Wait()
		stop()
		expect(t, q, "receive a", "protect", "delete a", "unprotect")
	})
}

func TestAWorkerWithoutWorkReleasesItselfAndLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		began := time.Now()
		_, ended := run(t, worker.Options{Queue: q, Platform: &platform{q: q}, Idle: time.Minute}, sleepy(10*time.Second))
		<-ended
		expect(t, q, "receive a", "protect", "hide a 30s", "delete a", "unprotect", "release")
		if took := time.Since(began); took != 70*time.Second {
			t.Errorf("it left after %s, not after 10s of work and a minute of none", took)
		}
	})
}

func TestAWorkerThatIsKeptLooksForWorkAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		p := &platform{q: q, keep: fmt.Errorf("at its minimum: %w", worker.ErrKept)}
		stop, _ := run(t, worker.Options{Queue: q, Platform: p, Idle: time.Minute}, sleepy(0))
		time.Sleep(150 * time.Second)
		q.send("late")
		synctest.Wait()
		stop()
		expect(t, q, "release", "release", "receive late", "protect", "delete late", "unprotect")
	})
}

func TestAWorkerWithWorkGivesItsPlaceToWhoeverNeedsItBetweenTwoJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "c", "d")
		began := time.Now()
		p := &platform{q: q, needed: func() bool { return time.Since(began) > 10*time.Second }}
		_, ended := run(t, worker.Options{Queue: q, Platform: p}, sleepy(6*time.Second))
		<-ended
		expect(t, q, "receive a", "protect", "delete a", "unprotect", "receive b", "protect", "delete b", "unprotect", "yield true")
		if q.left() != 2 {
			t.Errorf("%d messages are left, not 2", q.left())
		}
	})
}

func TestAWorkerOfManyJobsEndsThemBeforeItGivesItsPlaceAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("1 short", "2 long", "3 short", "4 short")
		o := worker.Options{Queue: q, Platform: &platform{q: q, needed: func() bool { return true }}, Concurrency: 2}
		ends := 0
		_, ended := run(t, o, func(_ context.Context, m worker.Message) error {
			time.Sleep(map[string]time.Duration{"short": 6 * time.Second, "long": 20 * time.Second}[m.Body[2:]])
			q.mu.Lock()
			defer q.mu.Unlock()
			ends++
			return nil
		})
		<-ended
		calls := q.sequence()
		if ends != 2 || q.left() != 2 || !slices.Contains(calls, "yield false") || calls[len(calls)-1] != "yield true" || calls[len(calls)-2] != "unprotect" {
			t.Errorf("%d jobs have ended, %d are left: %q", ends, q.left(), calls)
		}
	})
}

func TestAReleaseWithoutAnAnswerIsSaidAgainBeforeAnyMoreWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		p := &platform{q: q, keep: errBroken}
		_, ended := run(t, worker.Options{Queue: q, Platform: p, Idle: time.Second}, sleepy(0))
		time.Sleep(10 * time.Second)
		q.send("late")
		synctest.Wait()
		q.mu.Lock()
		p.keep = nil
		q.mu.Unlock()
		<-ended
		if q.left() != 1 || p.releases < 3 {
			t.Errorf("%d releases, %d messages left", p.releases, q.left())
		}
	})
}

func TestAJobThatOutlivesItsVisibilityTenfoldRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("long")
		var runs atomic.Int32
		o := worker.Options{Queue: q, Platform: &platform{q: q}, Visibility: 30 * time.Second}
		work := func(context.Context, worker.Message) error { runs.Add(1); time.Sleep(300 * time.Second); return nil }
		stop, _ := run(t, o, work)
		other, _ := run(t, o, work) // another worker that waits for anything visible
		time.Sleep(400 * time.Second)
		stop()
		other()
		if runs.Load() != 1 || q.left() != 0 {
			t.Errorf("%d runs, %d messages left", runs.Load(), q.left())
		}
	})
}

func TestALostMessageEndsNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		q.failing("hide", worker.ErrLost)
		finished := false
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}}, func(ctx context.Context, _ worker.Message) error {
			select {
			case <-ctx.Done():
			case <-time.After(25 * time.Second):
				finished = true
			}
			return nil
		})
		time.Sleep(26 * time.Second)
		stop()
		if !finished {
			t.Error("the job was ended")
		}
	})
}

func TestAFailedJobsMessageGoesBackAndToTheDeadLettersInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("bad")
		q.deadline = 3
		var at []time.Duration
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}}, func(context.Context, worker.Message) error {
			at = append(at, time.Since(q.begin))
			if len(at) == 2 {
				panic("twice")
			}
			return errBroken
		})
		time.Sleep(time.Minute)
		stop()
		if !slices.Equal(at, []time.Duration{0, 2 * time.Second, 6 * time.Second}) || !slices.Equal(q.dead, []string{"bad"}) {
			t.Errorf("tried at %v, dead %q", at, q.dead)
		}
		if slices.ContainsFunc(q.sequence(), func(c string) bool { return strings.HasPrefix(c, "delete") }) {
			t.Error("it was deleted")
		}
	})
}

func TestAWorkerThatIsToLeaveGivesItsMessageBackAndLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		_, ended := run(t, worker.Options{Queue: q, Platform: &platform{q: q, refuse: fmt.Errorf("DEPLOYMENT_BLOCKED: %w", worker.ErrLeaving)}},
			func(context.Context, worker.Message) error { t.Error("it was handled"); return nil })
		<-ended
		expect(t, q, "receive a", "refuse", "hide a 0s")
	})
}

func TestAMessageGoesBackIfTheTaskCannotBeProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		p := &platform{q: q, refuse: errBroken}
		stop, _ := run(t, worker.Options{Queue: q, Platform: p}, sleepy(0))
		time.Sleep(4 * time.Second)
		expect(t, q, "receive a", "refuse", "refuse", "refuse", "refuse", "hide a 0s")
		q.mu.Lock()
		p.refuse = nil
		q.mu.Unlock()
		time.Sleep(20 * time.Second)
		stop()
		if q.left() != 0 {
			t.Error("the message was not handled when the agent was back")
		}
	})
}

func TestAStopSignalTakesNoMoreAndWaitsForWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "c")
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}, Concurrency: 2}, sleepy(time.Hour))
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it ended after %s", took)
		}
		if q.left() != 1 {
			t.Errorf("%d messages are left", q.left())
		}
	})
}

func TestTheTimesForAJobAndAfterAStopEndIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var causes []error
		failing := func(ctx context.Context, _ worker.Message) error {
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}
		q := newQueue("a")
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}, MaxJobTime: time.Minute, RetryAfter: func(worker.Message, error) time.Duration { return time.Hour }}, failing)
		time.Sleep(61 * time.Second)
		stop()
		q = newQueue("a")
		stop, _ = run(t, worker.Options{Queue: q, Platform: &platform{q: q}, Grace: 10 * time.Second}, failing)
		synctest.Wait()
		began := time.Now()
		stop()
		if len(causes) != 2 || !errors.Is(causes[0], worker.ErrJobTime) || !errors.Is(causes[1], worker.ErrGrace) || time.Since(began) != 10*time.Second {
			t.Errorf("causes %v, stopped after %s", causes, time.Since(began))
		}
		if q.left() != 1 {
			t.Error("the message is gone")
		}
	})
}

func TestTheTaskIsProtectedWhileAnyOfManyJobsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("1", "2", "3")
		p := &platform{q: q}
		stop, _ := run(t, worker.Options{Queue: q, Platform: p, Concurrency: 3}, func(_ context.Context, m worker.Message) error {
			n := time.Duration(m.Body[0] - '0')
			for range 100 {
				time.Sleep(n * time.Minute / 10)
				if !p.safe() {
					t.Error("not protected")
				}
			}
			return nil
		})
		time.Sleep(time.Hour)
		stop()
		count := map[string]int{}
		for _, c := range q.sequence() {
			count[c]++
		}
		if count["protect"] != 1 || count["unprotect"] != 1 || count["renew"] < 3 || count["renew"] > 6 {
			t.Errorf("%v", count)
		}
	})
}

func TestAQueueThatCannotBeReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		q.failing("receive", errBroken)
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}, Idle: time.Hour}, sleepy(0))
		time.Sleep(time.Minute)
		q.failing("receive", nil)
		time.Sleep(time.Minute)
		stop()
		expect(t, q, "receive a", "protect", "delete a", "unprotect")
	})
}

func TestADoneJobsMessageIsDeletedEvenIfTheQueueFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a")
		q.failing("delete", errBroken)
		stop, _ := run(t, worker.Options{Queue: q, Platform: &platform{q: q}}, sleepy(0))
		time.Sleep(10 * time.Second)
		q.failing("delete", nil)
		time.Sleep(10 * time.Second)
		stop()
		if q.left() != 0 {
			t.Error("the message is still there")
		}
	})
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	q := newQueue()
	handle := sleepy(0)
	for what, o := range map[string]worker.Options{
		"queue": {}, "Visibility": {Queue: q, Visibility: time.Millisecond}, "Protection": {Queue: q, Protection: time.Second},
		"Idle": {Queue: q, Idle: -1}, "Concurrency": {Queue: q, Concurrency: -1},
	} {
		if err := worker.Run(t.Context(), o, handle); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := worker.Run(t.Context(), worker.Options{Queue: q}, nil); err == nil {
		t.Error("no handler was taken")
	}
}
