package queue_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/queue"
)

func TestThoseWhoWaitAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", nil)
		var order []int
		wait := 20 * time.Second
		ask := func(i int) {
			got, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 1, Wait: &wait})
			if err != nil || len(got) != 1 {
				t.Errorf("%d got %v, %v", i, bodies(got), err)
			}
			order = append(order, i) // one at a time: each is woken by its own message
		}
		for i := range 5 {
			go ask(i)
			synctest.Wait()
		}
		for range 5 {
			send(t, s, "jobs", "x")
			synctest.Wait()
		}
		for i, who := range order {
			if who != i {
				t.Errorf("served in the order %v", order)
				break
			}
		}
	})
}

func TestAMessageInFlightAtACrashComesBackWhenItsTimeIsOverAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := open(t, log, nil)
		create(t, s, "jobs", map[string]string{"VisibilityTimeout": "10"})
		send(t, s, "jobs", "long")
		held := receive(t, s, "jobs", 0)[0]
		// Its worker extends it again and again, ten times over the time-out, and
		// the engine is killed in between.
		for range 20 {
			time.Sleep(5 * time.Second)
			if got := receive(t, s, "jobs", 0); len(got) != 0 {
				t.Fatal("somebody else got it")
			}
			refusals, err := s.ChangeVisibility("jobs", []queue.Hide{{Handle: held.Handle, Visibility: 10 * time.Second}})
			if err != nil || refusals[0] != nil {
				t.Fatal(refusals, err)
			}
			s.Close()
			s = open(t, log, nil)
		}
		// Now the worker is killed too.
		began := time.Now()
		again := receive(t, s, "jobs", 20*time.Second)
		if len(again) != 1 || again[0].Count != 2 || time.Since(began) != 10*time.Second || !again[0].First.Equal(held.First) {
			t.Errorf("%+v after %v", again, time.Since(began))
		}
	})
}

func TestAReceiptHidesForTwelveHoursAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", nil)
		send(t, s, "jobs", "x")
		held := receive(t, s, "jobs", 0)[0]
		change := func(d time.Duration) error {
			refusals, err := s.ChangeVisibility("jobs", []queue.Hide{{Handle: held.Handle, Visibility: d}})
			if err != nil {
				t.Fatal(err)
			}
			return refusals[0]
		}
		if err := change(12 * time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if err := change(11*time.Hour + time.Second); !isRefusal(err, "InvalidParameterValue") {
			t.Errorf("beyond the limit: %v", err)
		}
		if err := change(11 * time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(11 * time.Hour)
		if err := change(time.Second); !isRefusal(err, "MessageNotInflight") {
			t.Errorf("after its time: %v", err)
		}
		remove(t, s, "jobs", held.Handle) // nobody else has had it: it is done
		if d := s.Depth("jobs"); d != (queue.Depth{}) {
			t.Errorf("%+v", d)
		}
		if err := change(0); !isRefusal(err, "InvalidParameterValue") {
			t.Errorf("of what is deleted: %v", err)
		}
	})
}

func TestTheHandleOfAnEarlierReceiveDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", map[string]string{"VisibilityTimeout": "1"})
		send(t, s, "jobs", "x")
		old := receive(t, s, "jobs", 0)[0]
		time.Sleep(time.Second)
		latest := receive(t, s, "jobs", 0)[0]
		remove(t, s, "jobs", old.Handle)
		if d := s.Depth("jobs"); d.InFlight != 1 || old.Handle == latest.Handle {
			t.Errorf("%+v", d)
		}
		remove(t, s, "jobs", latest.Handle)
		if d := s.Depth("jobs"); d != (queue.Depth{}) {
			t.Errorf("%+v", d)
		}
	})
}

func TestArrivalsAreToldForDelaysAndTimeoutsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var told []time.Duration
		s := open(t, newMemory(), func(string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, time.Since(began))
		})
		create(t, s, "jobs", map[string]string{"DelaySeconds": "5", "VisibilityTimeout": "7"})
		send(t, s, "jobs", "x")
		receive(t, s, "jobs", 20*time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) != 2 || told[0] != 5*time.Second || told[1] != 12*time.Second {
			t.Errorf("told at %v", told)
		}
	})
}

func TestAQueueIsPurgedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", nil)
		send(t, s, "jobs", "a", "b")
		receive(t, s, "jobs", 0)
		if err := s.Purge("jobs"); err != nil || s.Depth("jobs") != (queue.Depth{}) {
			t.Fatal(err, s.Depth("jobs"))
		}
		time.Sleep(59 * time.Second)
		if err := s.Purge("jobs"); !isRefusal(err, "PurgeQueueInProgress") {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(time.Second)
		if err := s.Purge("jobs"); err != nil {
			t.Error(err)
		}
	})
}

func TestTheMessagesInFlightAreLimited(t *testing.T) {
	if queue.MaxInFlight != 120_000 {
		t.Errorf("the limit is %d", queue.MaxInFlight)
	}
	s := open(t, newMemory(), nil)
	create(t, s, "jobs", nil)
	createFIFO(t, s, "line.fifo")
	s.LimitInFlight("jobs", 3)
	s.LimitInFlight("line.fifo", 3)
	send(t, s, "jobs", "a", "b", "c", "d")
	line(t, s, "line.fifo", "a1", "b1", "c1", "d1")
	got := receive(t, s, "jobs", 0)
	if bodies(got) != "a b c" {
		t.Fatalf("%v came", bodies(got))
	}
	wait := 10 * time.Millisecond // a waiter is refused too, rather than woken for ever
	if _, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 1, Wait: &wait}); !isRefusal(err, "OverLimit") {
		t.Errorf("over the limit: %v", err)
	}
	remove(t, s, "jobs", got[0].Handle)
	if got := receive(t, s, "jobs", 0); bodies(got) != "d" {
		t.Errorf("%v came after one was deleted", bodies(got))
	}
	// A FIFO queue gives nothing then, and says nothing.
	if first, more := receive(t, s, "line.fifo", 0), receive(t, s, "line.fifo", wait); len(first) != 3 || len(more) != 0 {
		t.Errorf("%v, then %v", bodies(first), bodies(more))
	}
}
