package queue_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/queue"
	"plimsoll/engine/store"
)

// memory is a log that keeps the latest value of each key, and can be told to
// fail or to wait. What a crash would leave is what it holds.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	begun  []*batch // not written yet
	fail   error
	before func() // called while a write is waited for, before anything is kept
}

type batch struct {
	records []store.Record
	written bool
	err     error
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Load(f func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, value := range m.values {
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Begin(records []store.Record) func() error {
	if len(records) == 0 {
		return func() error { return nil }
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := &batch{records: records}
	m.begun = append(m.begun, b)
	return func() error {
		if before := m.before; before != nil {
			before()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for !b.written {
			m.write(m.begun[0])
			m.begun = m.begun[1:]
		}
		return b.err
	}
}

func (m *memory) write(b *batch) {
	b.written, b.err = true, m.fail
	if m.fail != nil {
		return
	}
	for _, r := range b.records {
		if r.Value == nil {
			delete(m.values, r.Key)
		} else {
			m.values[r.Key] = r.Value
		}
	}
}

func open(t testing.TB, log queue.Log, arrived func(string)) *queue.Set {
	t.Helper()
	s, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader, Arrived: arrived})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func create(t testing.TB, s *queue.Set, name string, attributes map[string]string) {
	t.Helper()
	if err := s.Create(name, attributes, nil); err != nil {
		t.Fatal(err)
	}
}

func send(t testing.TB, s *queue.Set, name string, bodies ...string) {
	t.Helper()
	drafts := make([]queue.Draft, len(bodies))
	for i, body := range bodies {
		drafts[i].Body = body
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
}

func receive(t testing.TB, s *queue.Set, name string, wait time.Duration) []queue.Received {
	t.Helper()
	got, err := s.Receive(context.Background(), name, queue.Receive{Max: 10, Wait: &wait})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func remove(t testing.TB, s *queue.Set, name string, handles ...string) {
	t.Helper()
	refusals, err := s.Remove(name, handles)
	if err == nil {
		err = errors.Join(refusals...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func isRefusal(err error, code string) bool {
	var e *queue.Error
	return errors.As(err, &e) && e.Code == code
}

func TestWhatWasAcknowledgedOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	log, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, log, nil)
	create(t, s, "jobs", map[string]string{"VisibilityTimeout": "600"})
	create(t, s, "gone", nil)
	send(t, s, "gone", "x")
	send(t, s, "jobs", "a", "b", "c")
	held := receive(t, s, "jobs", 0)
	remove(t, s, "jobs", held[0].Handle)
	if err := s.Delete("gone"); err != nil {
		t.Fatal(err)
	}
	// No farewell: the process is killed here, with b and c in flight.
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if log, err = store.Open(dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s = open(t, log, nil)
	if names := s.Names(""); !slices.Equal(names, []string{"jobs"}) {
		t.Errorf("queues: %v", names)
	}
	info, err := s.Info("jobs")
	if err != nil || info.Text("VisibilityTimeout") != "600" || info.Depth != (queue.Depth{InFlight: 2}) {
		t.Errorf("%+v, %v", info, err)
	}
	if left := receive(t, s, "jobs", 0); len(left) != 0 {
		t.Errorf("received what is in flight: %+v", left)
	}
	remove(t, s, "jobs", held[1].Handle) // its holder lives on, and is done
	refusals, err := s.ChangeVisibility("jobs", []queue.Hide{{Handle: held[2].Handle}})
	if err != nil || refusals[0] != nil {
		t.Fatal(refusals, err)
	}
	if left := receive(t, s, "jobs", 0); len(left) != 1 || left[0].Body != "c" || left[0].Count != 2 || !left[0].First.Equal(held[2].First) {
		t.Errorf("left: %+v", left)
	}
}

func TestASendThatIsNotOnDiskIsNeitherAnsweredNorSeen(t *testing.T) {
	log := newMemory()
	s := open(t, log, nil)
	create(t, s, "jobs", nil)
	log.before = func() {
		if got := receive(t, s, "jobs", 0); len(got) != 0 {
			t.Errorf("received before it was on disk: %+v", got)
		}
	}
	send(t, s, "jobs", "a")
	log.before, log.fail = nil, errors.New("disk full")
	if _, err := s.Send("jobs", []queue.Draft{{Body: "b"}}); !errors.Is(err, log.fail) {
		t.Errorf("answered with %v", err)
	}
	if _, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 10}); !errors.Is(err, log.fail) {
		t.Errorf("the receive was answered with %v", err)
	}
	full := log.fail
	log.fail = nil
	got := receive(t, s, "jobs", 0)
	if len(got) != 1 || got[0].Body != "a" || got[0].Count != 1 {
		t.Errorf("received %+v", got)
	}
	log.fail = full
	if _, err := s.Remove("jobs", []string{got[0].Handle}); !errors.Is(err, log.fail) {
		t.Errorf("the deletion was answered with %v", err)
	}
	if err := s.Delete("jobs"); !errors.Is(err, log.fail) || s.Depth("jobs").InFlight != 1 {
		t.Errorf("after deletions that failed: %v, %+v", err, s.Depth("jobs"))
	}
}

func TestMessagesOfAQueueThatWasMadeAnewAreNotItsPredecessors(t *testing.T) {
	log := newMemory()
	s := open(t, log, nil)
	create(t, s, "jobs", nil)
	log.before = func() {
		log.before = nil // the queue goes while the message is being written
		if err := s.Delete("jobs"); err != nil {
			t.Error(err)
		}
		create(t, s, "jobs", nil)
	}
	send(t, s, "jobs", "late") // it was sent, and went with its queue
	if d := open(t, log, nil).Depth("jobs"); d != (queue.Depth{}) || s.Depth("jobs") != d || len(log.values) != 1 {
		t.Errorf("%+v, %d records", d, len(log.values))
	}
}

func TestALongPollEndsWithTheFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrivals atomic.Int64
		s := open(t, newMemory(), func(string) { arrivals.Add(1) })
		create(t, s, "jobs", nil)
		began := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			send(t, s, "jobs", "a")
		}()
		got := receive(t, s, "jobs", 20*time.Second)
		synctest.Wait()
		if len(got) != 1 || time.Since(began) != 3*time.Second || arrivals.Load() != 1 {
			t.Errorf("%+v after %v, %d arrivals", got, time.Since(began), arrivals.Load())
		}
		if got := receive(t, s, "jobs", 20*time.Second); len(got) != 0 || time.Since(began) != 23*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
		// At 33 s the message of 3 s is visible again.
		if got := receive(t, s, "jobs", 20*time.Second); len(got) != 1 || time.Since(began) != 33*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
	})
}

func TestALongPollSeesDelayedMessagesAndShortenedTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", map[string]string{"DelaySeconds": "5"})
		began := time.Now()
		send(t, s, "jobs", "a")
		got := receive(t, s, "jobs", 20*time.Second)
		if len(got) != 1 || time.Since(began) != 5*time.Second {
			t.Fatalf("%+v after %v", got, time.Since(began))
		}
		go func() {
			time.Sleep(time.Second)
			_, err := s.ChangeVisibility("jobs", []queue.Hide{{Handle: got[0].Handle, Visibility: 2 * time.Second}})
			if err != nil {
				t.Error(err)
			}
		}()
		if got := receive(t, s, "jobs", 20*time.Second); len(got) != 1 || time.Since(began) != 8*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
	})
}

func TestEveryWaiterGetsAMessageThatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", nil)
		began := time.Now()
		var got sync.Map
		for range 20 {
			go func() {
				wait := 20 * time.Second
				r, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 1, Wait: &wait})
				if err != nil || len(r) != 1 {
					t.Errorf("%+v, %v", r, err)
					return
				}
				if _, twice := got.LoadOrStore(r[0].ID, true); twice || time.Since(began) > time.Second {
					t.Errorf("%s, twice %v, after %v", r[0].ID, twice, time.Since(began))
				}
			}()
		}
		// One who gives up takes no one's turn.
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			wait := 20 * time.Second
			_, _ = s.Receive(ctx, "jobs", queue.Receive{Max: 1, Wait: &wait})
		}()
		synctest.Wait()
		cancel()
		for i := range 4 {
			send(t, s, "jobs", fmt.Sprint(i), "b", "c", "d", "e")
		}
		synctest.Wait()
	})
}

func TestAWaiterLearnsThatItsQueueIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newMemory(), nil)
		create(t, s, "jobs", nil)
		go func() {
			time.Sleep(time.Second)
			if err := s.Delete("jobs"); err != nil {
				t.Error(err)
			}
		}()
		wait := 20 * time.Second
		if _, err := s.Receive(t.Context(), "jobs", queue.Receive{Max: 1, Wait: &wait}); !isRefusal(err, "QueueDoesNotExist") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCreatingAgainIsTheSameQueueOrARefusal(t *testing.T) {
	s := open(t, newMemory(), nil)
	create(t, s, "jobs", map[string]string{"VisibilityTimeout": "60"})
	create(t, s, "jobs", map[string]string{"VisibilityTimeout": "60", "DelaySeconds": "0"})
	create(t, s, "jobs", nil)
	for name, test := range map[string]struct {
		attributes map[string]string
		code       string
	}{
		"jobs":      {map[string]string{"VisibilityTimeout": "61"}, "QueueNameExists"},
		"a b":       {nil, "InvalidParameterValue"},
		"":          {nil, "InvalidParameterValue"},
		"jobs.fifo": {nil, "InvalidParameterValue"},
		"lined":     {map[string]string{"FifoQueue": "true"}, "InvalidParameterValue"},
		"once":      {map[string]string{"ContentBasedDeduplication": "true"}, "InvalidAttributeName"},
		"secret":    {map[string]string{"KmsMasterKeyId": "alias/aws/sqs"}, "KmsNotFound"},
		"unknown":   {map[string]string{"Colour": "red"}, "InvalidAttributeName"},
		"late":      {map[string]string{"VisibilityTimeout": "43201"}, "InvalidAttributeValue"},
		"dead":      {map[string]string{"RedrivePolicy": "{}"}, "InvalidParameterValue"},
	} {
		if err := s.Create(name, test.attributes, nil); !isRefusal(err, test.code) {
			t.Errorf("%q: got %v, want %s", name, err, test.code)
		}
	}
}

func TestAMessageThatSQSWouldRefuseIsRefused(t *testing.T) {
	s := open(t, newMemory(), nil)
	create(t, s, "jobs", map[string]string{"MaximumMessageSize": "1024"})
	long, past := 901*time.Second, -time.Second
	attribute := func(name, kind, value string) queue.Draft {
		return queue.Draft{Body: "a", Attributes: map[string]queue.Attribute{name: {DataType: kind, String: value}}}
	}
	for want, drafts := range map[string][]queue.Draft{
		"MissingParameter":       {{}},
		"InvalidMessageContents": {{Body: "a\x00"}, {Body: "\xff"}, {Body: "\uffff"}},
		"InvalidParameterValue": {
			{Body: fmt.Sprintf("%01025d", 1)}, {Body: "a", Delay: &long}, {Body: "a", Delay: &past},
			attribute("AWS.x", "String", "a"), attribute(".x", "String", "a"), attribute("x", "Text", "a"),
			attribute("x", "String", ""), attribute("x", "Number", "many"), attribute("x", "Binary", ""),
			{Body: "a", System: map[string]queue.Attribute{"Other": {DataType: "String", String: "a"}}},
		},
	} {
		results, err := s.Send("jobs", drafts)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if !isRefusal(r.Err, want) {
				t.Errorf("%+v: got %v, want %s", drafts[i], r.Err, want)
			}
		}
	}
	if d := s.Depth("jobs"); d != (queue.Depth{}) {
		t.Errorf("there are messages: %+v", d)
	}
	results, err := s.Send("jobs", []queue.Draft{attribute("x.y", "Number.int", "1"), {Body: "\t\n\r é \U0001F600"}})
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Errorf("%+v, %v", results, err)
	}
}

func TestAHandleIsGoodForItsOwnQueueOnly(t *testing.T) {
	s := open(t, newMemory(), nil)
	create(t, s, "a", nil)
	create(t, s, "b", nil)
	send(t, s, "a", "x")
	held := receive(t, s, "a", 0)[0]
	for _, handle := range []string{held.Handle, held.Handle[:10], "", "!", "AAAA" + held.Handle[4:]} {
		refusals, err := s.Remove("b", []string{handle})
		if err != nil || !isRefusal(refusals[0], "ReceiptHandleIsInvalid") {
			t.Errorf("%q: %v, %v", handle, refusals, err)
		}
	}
	remove(t, s, "a", held.Handle, held.Handle)
	remove(t, s, "a", held.Handle) // deleting again is no error
}

func TestPurgeAndRetentionLeaveNothingInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := open(t, log, nil)
		create(t, s, "jobs", nil)
		send(t, s, "jobs", "a", "b")
		if err := s.Purge("jobs"); err != nil || len(log.values) != 1 {
			t.Errorf("purged: %v, %d records", err, len(log.values))
		}
		if err := s.SetAttributes("jobs", map[string]string{"MessageRetentionPeriod": "60"}); err != nil {
			t.Fatal(err)
		}
		send(t, s, "jobs", "c")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := receive(t, s, "jobs", 0); len(got) != 0 || len(log.values) != 1 {
			t.Errorf("expired: %+v, %d records", got, len(log.values))
		}
	})
}

func TestManyClientsLoseAndDoubleNothing(t *testing.T) {
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := open(t, log, nil)
	create(t, s, "jobs", nil)
	const senders, each = 8, 25
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for j := range each {
				send(t, s, "jobs", fmt.Sprint(i, "-", j))
			}
		})
	}
	var mu sync.Mutex
	bodies := map[string]int{}
	for range senders {
		group.Go(func() {
			for {
				got := receive(t, s, "jobs", 200*time.Millisecond)
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, m := range got {
					bodies[m.Body]++
				}
				mu.Unlock()
				for _, m := range got {
					remove(t, s, "jobs", m.Handle)
				}
			}
		})
	}
	group.Wait()
	for { // a receiver that left early may have left some behind
		got := receive(t, s, "jobs", 0)
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			bodies[m.Body]++
		}
	}
	if len(bodies) != senders*each {
		t.Errorf("%d of %d came", len(bodies), senders*each)
	}
	for body, n := range bodies {
		if n != 1 {
			t.Errorf("%s came %d times", body, n)
		}
	}
}
