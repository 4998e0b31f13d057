package queue_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/engine/queue"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func put(q *queue.Queue, sent, delay int, ids ...string) {
	for _, id := range ids {
		q.Put(at(sent), &queue.Message{ID: id, Body: id, Sent: at(sent), Due: at(sent + delay)})
	}
}

func take(t fataler, q *queue.Queue, now, most, visibility int) []queue.Received {
	t.Helper()
	got, err := q.Take(at(now), most, time.Duration(visibility)*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// fataler is what testing's and rapid's T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func ids(received []queue.Received) string {
	text := ""
	for _, r := range received {
		text += r.ID
	}
	return text
}

func TestAReceivedMessageIsHiddenUntilItsTimeIsOver(t *testing.T) {
	q := queue.New(time.Hour, 0)
	put(q, 0, 0, "a", "b", "c")
	if got := ids(take(t, q, 1, 2, 30)); got != "ab" {
		t.Errorf("the oldest two are %q", got)
	}
	if got := q.Depth(at(30)); got != (queue.Depth{Visible: 1, InFlight: 2}) {
		t.Errorf("while hidden: %+v", got)
	}
	if next, ok := q.Next(); !ok || !next.Equal(at(31)) {
		t.Errorf("next at %v", next)
	}
	got := take(t, q, 31, 10, 30)
	if ids(got) != "abc" || got[0].Count != 2 || got[2].Count != 1 || !got[0].First.Equal(at(1)) {
		t.Errorf("after it: %+v", got)
	}
}

func TestADelayedMessageCountsAsDelayedUntilItIsDue(t *testing.T) {
	q := queue.New(time.Hour, 0)
	put(q, 0, 10, "a")
	if got := q.Depth(at(9)); got != (queue.Depth{Delayed: 1}) || len(take(t, q, 9, 1, 1)) != 0 {
		t.Errorf("before: %+v", got)
	}
	if got := q.Depth(at(10)); got != (queue.Depth{Visible: 1}) {
		t.Errorf("when due: %+v", got)
	}
}

func TestOnlyTheNewestReceiptHasASay(t *testing.T) {
	q := queue.New(time.Hour, 0)
	put(q, 0, 0, "a")
	old := take(t, q, 0, 1, 10)[0]
	if q.Stale("a", old.Receipt) {
		t.Error("stale while it is held")
	}
	now := take(t, q, 10, 1, 10)[0]
	if !q.Stale("a", old.Receipt) || q.Stale("a", now.Receipt) {
		t.Error("the older receipt is to be stale, the newer not")
	}
	var refusal *queue.Error
	if err := q.Change(at(11), "a", old.Receipt, 0); !errors.As(err, &refusal) || refusal.Code != "MessageNotInflight" {
		t.Errorf("a change by the older receipt: %v", err)
	}
	if err := q.Change(at(11), "a", now.Receipt, 0); err != nil || q.Depth(at(11)).Visible != 1 {
		t.Errorf("a change by the newer receipt: %v", err)
	}
}

func TestAReceiptFromBeforeARestartHoldsWhileNobodyElseHasTheMessage(t *testing.T) {
	q := queue.New(time.Hour, 100)
	put(q, 0, 0, "a")
	if q.Stale("a", 7) {
		t.Error("stale before anybody received it again")
	}
	if err := q.Change(at(1), "a", 7, time.Minute); err != nil || q.Depth(at(1)).InFlight != 1 {
		t.Errorf("the holder's extension: %v, %+v", err, q.Depth(at(1)))
	}
	if again := take(t, q, 61, 1, 10); len(again) != 1 || again[0].Receipt <= 100 || !q.Stale("a", 7) {
		t.Errorf("after it ended: %+v", again)
	}
}

func TestMessagesOlderThanTheRetentionAreGone(t *testing.T) {
	q := queue.New(time.Minute, 0)
	put(q, 0, 0, "a")
	put(q, 30, 0, "b")
	take(t, q, 30, 1, 600) // in flight, and gone all the same
	if got := q.Expire(at(60)); len(got) != 1 || got[0] != "a" || q.Depth(at(60)) != (queue.Depth{Visible: 1}) {
		t.Errorf("expired %v, left %+v", got, q.Depth(at(60)))
	}
	q.SetRetention(2 * time.Minute)
	if got := q.Expire(at(90)); len(got) != 0 {
		t.Errorf("expired %v under a longer retention", got)
	}
}

// TestNoMessageIsLostOrInTwoHands runs random operations against a model: the
// set of ids that were put and not dropped, and who holds each until when.
func TestNoMessageIsLostOrInTwoHands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue.New(1000*time.Hour, 0)
		type hold struct {
			receipt uint64
			until   int
		}
		model := map[string]*hold{}
		now, made := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				id, delay := fmt.Sprint("m", made), rapid.IntRange(0, 5).Draw(t, "delay")
				made++
				put(q, now, delay, id)
				model[id] = &hold{until: now + delay}
			},
			"take": func(t *rapid.T) {
				visibility := rapid.IntRange(0, 10).Draw(t, "visibility")
				for _, r := range take(t, q, now, rapid.IntRange(1, 10).Draw(t, "most"), visibility) {
					h := model[r.ID]
					if h == nil || h.until > now {
						t.Fatalf("%s was received while it was hidden or gone: %+v", r.ID, h)
					}
					h.receipt, h.until = r.Receipt, now+visibility
				}
			},
			"drop": func(t *rapid.T) {
				for id, h := range model {
					if h.receipt != 0 && !q.Stale(id, h.receipt) {
						q.Drop([]string{id})
						delete(model, id)
						return
					}
				}
			},
			"pass": func(t *rapid.T) { now += rapid.IntRange(1, 8).Draw(t, "seconds") },
			"": func(t *rapid.T) {
				d, visible := q.Depth(at(now)), 0
				for _, h := range model {
					if h.until <= now {
						visible++
					}
				}
				if d.Visible != visible || d.Visible+d.InFlight+d.Delayed != len(model) || len(q.IDs()) != len(model) {
					t.Fatalf("%+v, want %d visible of %d", d, visible, len(model))
				}
			},
		})
	})
}

func TestTheMD5OfAttributesIsTheOneThatClientsCompute(t *testing.T) {
	// Computed by another program, by the steps of the developer guide.
	got := queue.AttributesMD5(map[string]queue.Attribute{
		"test_attribute_name_1": {DataType: "String", String: "test_attribute_value_1"},
	})
	if got != "ba056227cfd9533dba1f72ad9816d233" || queue.AttributesMD5(nil) != "" {
		t.Errorf("got %s", got)
	}
	if queue.BodyMD5("hello") != "5d41402abc4b2a76b9719d911017c592" {
		t.Error(queue.BodyMD5("hello"))
	}
}
