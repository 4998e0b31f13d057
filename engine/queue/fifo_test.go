package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/queue"
)

func createFIFO(t testing.TB, s *queue.Set, name string, more ...string) {
	t.Helper()
	attributes := map[string]string{"FifoQueue": "true"}
	for i := 0; i < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	create(t, s, name, attributes)
}

// line sends bodies to groups: "a1" is the body "a1" of the group "a".
func line(t testing.TB, s *queue.Set, name string, bodies ...string) []queue.Result {
	t.Helper()
	drafts := make([]queue.Draft, len(bodies))
	for i, body := range bodies {
		drafts[i] = queue.Draft{Body: body, Group: body[:1], Deduplication: body}
	}
	results, err := s.Send(name, drafts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return results
}

// bodies receives, and gives the bodies in the order in which they came.
func bodies(got []queue.Received) string {
	var all []string
	for _, m := range got {
		all = append(all, m.Body)
	}
	return strings.Join(all, " ")
}

func TestAGroupWaitsForItsMessagesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		createFIFO(t, s, "jobs.fifo")
		line(t, s, "jobs.fifo", "a1", "b1", "a2", "a3", "b2")
		two := queue.Receive{Max: 2}
		first, err := s.Receive(t.Context(), "jobs.fifo", two)
		if err != nil || bodies(first) != "a1 a2" {
			t.Fatalf("%v, %v: as many of one group as there are, in order", bodies(first), err)
		}
		if got := receive(t, s, "jobs.fifo", 0); bodies(got) != "b1 b2" {
			t.Errorf("%v: the other group does not wait", bodies(got))
		}
		remove(t, s, "jobs.fifo", first[0].Handle)
		if got := receive(t, s, "jobs.fifo", 0); len(got) != 0 {
			t.Errorf("%v came while a2 was in flight", bodies(got))
		}
		began := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			remove(t, s, "jobs.fifo", first[1].Handle)
		}()
		got := receive(t, s, "jobs.fifo", 20*time.Second)
		if bodies(got) != "a3" || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v: a3 is free when a2 is deleted", bodies(got), time.Since(began))
		}
		time.Sleep(30 * time.Second)
		refusals, err := s.Remove("jobs.fifo", []string{got[0].Handle})
		if err != nil || !isRefusal(refusals[0], "InvalidParameterValue") {
			t.Errorf("a handle whose time is over: %v, %v", refusals, err)
		}
	})
}

func TestAFIFOQueueKnowsAMessageAgainForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := open(t, log, nil)
		createFIFO(t, s, "jobs.fifo")
		first := line(t, s, "jobs.fifo", "a1")[0]
		remove(t, s, "jobs.fifo", receive(t, s, "jobs.fifo", 0)[0].Handle)
		s.Close()
		s = open(t, log, nil) // it is known after a restart, and though it is gone
		if again := line(t, s, "jobs.fifo", "a1")[0]; again.ID != first.ID || again.Sequence != first.Sequence {
			t.Errorf("again as %s %d, first as %s %d", again.ID, again.Sequence, first.ID, first.Sequence)
		}
		if got := receive(t, s, "jobs.fifo", 0); len(got) != 0 {
			t.Errorf("it came again: %v", bodies(got))
		}
		two := line(t, s, "jobs.fifo", "a2", "a2")
		if two[0].ID != two[1].ID || s.Depth("jobs.fifo").Visible != 1 {
			t.Errorf("twice in a batch: %+v", s.Depth("jobs.fifo"))
		}
		time.Sleep(5 * time.Minute)
		if late := line(t, s, "jobs.fifo", "a1")[0]; late.ID == first.ID || late.Sequence <= two[0].Sequence {
			t.Error("it was known after five minutes, or is not after what was sent before it")
		}
	})
}

func TestDeduplicationIsByContentAndByGroupIfTheQueueSaysSo(t *testing.T) {
	s := open(t, newMemory(), nil)
	createFIFO(t, s, "content.fifo", "ContentBasedDeduplication", "true")
	createFIFO(t, s, "groups.fifo", "DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId")
	send := func(name string, d queue.Draft) string {
		t.Helper()
		results, err := s.Send(name, []queue.Draft{d})
		if err == nil {
			err = results[0].Err
		}
		if err != nil {
			t.Fatal(err)
		}
		return results[0].ID
	}
	one := send("content.fifo", queue.Draft{Body: "same", Group: "a"})
	if send("content.fifo", queue.Draft{Body: "same", Group: "b"}) != one {
		t.Error("the same body is the same message, whatever its group")
	}
	if send("content.fifo", queue.Draft{Body: "same", Group: "a", Deduplication: "x"}) == one {
		t.Error("an id of its own goes before the content")
	}
	one = send("groups.fifo", queue.Draft{Body: "x", Group: "a", Deduplication: "1"})
	if send("groups.fifo", queue.Draft{Body: "x", Group: "b", Deduplication: "1"}) == one {
		t.Error("the scope is the group")
	}
	if err := s.Create("bad.fifo", map[string]string{"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId"}, nil); !isRefusal(err, "InvalidAttributeValue") {
		t.Errorf("a limit by group without its scope: %v", err)
	}
}

func TestWhatOnlyOneKindOfQueueTakesIsRefusedByTheOther(t *testing.T) {
	s := open(t, newMemory(), nil)
	createFIFO(t, s, "jobs.fifo")
	create(t, s, "jobs", nil)
	second := time.Second
	for name, test := range map[string]struct {
		queue, code string
		draft       queue.Draft
	}{
		"no group":          {"jobs.fifo", "MissingParameter", queue.Draft{Body: "x", Deduplication: "1"}},
		"no deduplication":  {"jobs.fifo", "InvalidParameterValue", queue.Draft{Body: "x", Group: "a"}},
		"a delay":           {"jobs.fifo", "InvalidParameterValue", queue.Draft{Body: "x", Group: "a", Deduplication: "1", Delay: &second}},
		"a bad group":       {"jobs.fifo", "InvalidParameterValue", queue.Draft{Body: "x", Group: "a b", Deduplication: "1"}},
		"too long an id":    {"jobs.fifo", "InvalidParameterValue", queue.Draft{Body: "x", Group: "a", Deduplication: strings.Repeat("x", 129)}},
		"of a FIFO queue's": {"jobs", "InvalidParameterValue", queue.Draft{Body: "x", Deduplication: "1"}},
	} {
		results, err := s.Send(test.queue, []queue.Draft{test.draft})
		if err != nil || !isRefusal(results[0].Err, test.code) {
			t.Errorf("%s: got %v, %v, want %s", name, results[0].Err, err, test.code)
		}
	}
	if err := s.SetAttributes("jobs", map[string]string{"FifoQueue": "true"}); !isRefusal(err, "InvalidAttributeName") {
		t.Errorf("a queue cannot become FIFO: %v", err)
	}
}

func TestAReceiveThatMayHaveBeenLostIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		createFIFO(t, s, "jobs.fifo")
		line(t, s, "jobs.fifo", "a1", "a2", "b1")
		attempt := func(id string) ([]queue.Received, error) {
			return s.Receive(t.Context(), "jobs.fifo", queue.Receive{Max: 10, Attempt: id})
		}
		first, err := attempt("try")
		if err != nil || len(first) != 3 {
			t.Fatal(bodies(first), err)
		}
		time.Sleep(20 * time.Second)
		again, err := attempt("try")
		if err != nil || bodies(again) != bodies(first) || again[0].Handle != first[0].Handle || again[0].Count != 1 {
			t.Errorf("again: %v, %v", again, err)
		}
		time.Sleep(20 * time.Second)
		if d := s.Depth("jobs.fifo"); d.InFlight != 3 {
			t.Errorf("the repetition hides them anew: %+v", d)
		}
		remove(t, s, "jobs.fifo", first[0].Handle)
		if _, err := attempt("try"); !isRefusal(err, "InvalidParameterValue") {
			t.Errorf("after a deletion: %v", err)
		}
		other, err := attempt("other")
		if err != nil || len(other) != 0 {
			t.Errorf("another attempt: %v, %v", bodies(other), err)
		}
		time.Sleep(5 * time.Minute)
		if late, err := attempt("try"); err != nil || bodies(late) != "a2 b1" {
			t.Errorf("after five minutes it is a new one: %v, %v", bodies(late), err)
		}
	})
}

func TestGroupsOfAStandardQueueShareItFairly(t *testing.T) {
	s := open(t, newMemory(), nil)
	create(t, s, "jobs", nil)
	drafts := make([]queue.Draft, 0, 10)
	for i := range 8 {
		drafts = append(drafts, queue.Draft{Body: fmt.Sprint("loud", i), Group: "loud"})
	}
	drafts = append(drafts, queue.Draft{Body: "quiet0", Group: "quiet"}, queue.Draft{Body: "quiet1", Group: "quiet"})
	if _, err := s.Send("jobs", drafts); err != nil {
		t.Fatal(err)
	}
	got, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 4})
	if err != nil || bodies(got) != "loud0 quiet0 loud1 quiet1" {
		t.Errorf("%v, %v", bodies(got), err)
	}
}

func TestADiskThatIsFullChangesNothingOfAFIFOQueue(t *testing.T) {
	log := newMemory()
	s := open(t, log, nil)
	createFIFO(t, s, "jobs.fifo")
	line(t, s, "jobs.fifo", "a1", "a2")
	held, err := s.Receive(t.Context(), "jobs.fifo", queue.Receive{Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	log.fail = errors.New("disk full")
	if _, err := s.Send("jobs.fifo", []queue.Draft{{Body: "a3", Group: "a", Deduplication: "a3"}}); !errors.Is(err, log.fail) {
		t.Errorf("a send: %v", err)
	}
	if _, err := s.Remove("jobs.fifo", []string{held[0].Handle}); !errors.Is(err, log.fail) {
		t.Errorf("a deletion: %v", err)
	}
	if err := s.Purge("jobs.fifo"); !errors.Is(err, log.fail) {
		t.Errorf("a purge: %v", err)
	}
	log.fail = nil
	if d := s.Depth("jobs.fifo"); d != (queue.Depth{Visible: 1, InFlight: 1}) {
		t.Errorf("%+v", d)
	}
	if got := receive(t, s, "jobs.fifo", 0); len(got) != 0 {
		t.Errorf("%v came before a1 was deleted", bodies(got))
	}
	line(t, s, "jobs.fifo", "a3") // it is not taken for the one that failed
	remove(t, s, "jobs.fifo", held[0].Handle)
	if got := receive(t, s, "jobs.fifo", 0); bodies(got) != "a2 a3" {
		t.Errorf("got %v", bodies(got))
	}
}
