// Package events tells of state changes as EventBridge does: rules choose events
// by pattern and send them to queues. An event is durable with the change that
// it tells of (the outbox is written with the engine's own records) and is taken
// out when the queue has it: at least once, in order. It must not know of the
// wire, of what the events are about, or of the queues' inside.
package events

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// Event is a state change, in the words of who tells of it.
type Event struct {
	Source     string // empty: aws.ecs
	DetailType string
	Resources  []string // ARNs
	Detail     json.RawMessage
	Time       time.Time // zero: now
}

// envelope is an event as EventBridge sends it.
type envelope struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// outboxPrefix begins the keys of the outbox's records in the engine's log.
const outboxPrefix = "outbox/"

// pending is an event that has not reached all its queues.
type pending struct {
	key     string
	Body    string   `json:"body"`
	Targets []Target `json:"targets"`
}

// OutboxOptions are what an Outbox is made with.
type OutboxOptions struct {
	Rules           *Rules
	Account, Region string
	// Log is the engine's: delivered events are taken out of it.
	Log interface {
		Append(records []store.Record) error
	}
	// Send puts messages into the queue of an ARN, durably and in order; group
	// is their message group in a FIFO queue. An error that wraps ErrNoQueue has them dropped; any other has them tried
	// again.
	Send func(arn, group string, bodies []string) error
	Now  func() time.Time
	Logs *slog.Logger
}

// ErrNoQueue is wrapped by the error of a Send to a queue that there is not.
var ErrNoQueue = errors.New("no such queue")

// Outbox keeps events until they are delivered.
type Outbox struct {
	o    OutboxOptions
	next atomic.Uint64 // the number of the next event

	mu    sync.Mutex
	queue []pending // durable, in order
	ready chan struct{}
}

// NewOutbox makes an outbox. Load is called with what the log has, before Add.
func NewOutbox(o OutboxOptions) *Outbox {
	// The numbers go on from those of an earlier life of which nothing is kept.
	b := &Outbox{o: o, ready: make(chan struct{}, 1)}
	b.next.Store(uint64(o.Now().UnixMicro()))
	return b
}

// Load takes a record of the engine's log; false: it is not the outbox's.
func (b *Outbox) Load(key string, value []byte) (bool, error) {
	number, mine := strings.CutPrefix(key, outboxPrefix)
	if !mine {
		return false, nil
	}
	p := pending{key: key}
	var n uint64
	if _, err := fmt.Sscanf(number, "%d", &n); err != nil {
		return true, fmt.Errorf("the outbox's record %q has no number", key)
	}
	if err := json.Unmarshal(value, &p); err != nil {
		return true, fmt.Errorf("the outbox's record %q: %w", key, err)
	}
	b.next.Store(max(b.next.Load(), n+1))
	b.mu.Lock()
	defer b.mu.Unlock()
	at, _ := slices.BinarySearchFunc(b.queue, key, func(p pending, key string) int { return strings.Compare(p.key, key) })
	b.queue = slices.Insert(b.queue, at, p)
	b.signal()
	return true, nil
}

// Version is a number that grows with each event.
func (b *Outbox) Version() int64 { return int64(b.next.Load()) }

// Add gives the records of the events that some rule sends on. They are to be
// written with what the events tell of, and given to Durable then.
func (b *Outbox) Add(now time.Time, events []Event) []store.Record {
	var records []store.Record
	for _, e := range events {
		r, _, err := b.record(now, e)
		switch {
		case err != nil:
			b.o.Logs.Error("an event is lost", "type", e.DetailType, "error", err)
		case r != nil:
			records = append(records, *r)
		}
	}
	return records
}

// Post takes events of others than the engine. When it returns they are durable,
// and will reach the queues of the rules that want them. The ids are the events', in
// order.
func (b *Outbox) Post(events []Event) (ids []string, err error) {
	var records []store.Record
	for _, e := range events {
		r, id, err := b.record(b.o.Now(), e)
		if err != nil {
			return nil, err
		}
		if r != nil {
			records = append(records, *r)
		}
		ids = append(ids, id)
	}
	if len(records) == 0 {
		return ids, nil
	}
	if err := b.o.Log.Append(records); err != nil {
		return nil, err
	}
	b.Durable(records)
	return ids, nil
}

// record gives the record of an event, nil if no rule wants it, and its id.
func (b *Outbox) record(now time.Time, e Event) (*store.Record, string, error) {
	if e.Resources == nil {
		e.Resources = []string{}
	}
	if !e.Time.IsZero() {
		now = e.Time
	}
	id := uuid.NewString()
	body, err := json.Marshal(envelope{
		Version: "0", ID: id, DetailType: e.DetailType, Source: cmp.Or(e.Source, "aws.ecs"), Account: b.o.Account,
		Time: now.UTC().Format(time.RFC3339), Region: b.o.Region, Resources: e.Resources, Detail: e.Detail,
	})
	if err != nil {
		return nil, "", err
	}
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, "", err
	}
	targets := b.o.Rules.Match(tree)
	if len(targets) == 0 {
		return nil, id, nil
	}
	value, err := json.Marshal(pending{Body: string(body), Targets: targets})
	if err != nil {
		return nil, "", err
	}
	number := b.next.Add(1) - 1
	return &store.Record{Key: fmt.Sprintf("%s%020d", outboxPrefix, number), Value: value}, id, nil
}

// Durable is told of the records of a commit: those of the outbox are delivered
// from now on.
func (b *Outbox) Durable(records []store.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		if !strings.HasPrefix(r.Key, outboxPrefix) {
			continue
		}
		p := pending{key: r.Key}
		if err := json.Unmarshal(r.Value, &p); err != nil {
			b.o.Logs.Error("an event can not be read back", "error", err) // Add has written it
			continue
		}
		b.queue = append(b.queue, p)
	}
	b.signal()
}

func (b *Outbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// The most events that go on at once, and the times between two tries.
const (
	mostDelivered = 256
	firstRetry    = 100 * time.Millisecond
	lastRetry     = 10 * time.Second
)

// Run delivers events until ctx ends.
func (b *Outbox) Run(ctx context.Context) {
	wait := firstRetry
	for {
		batch := b.take()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-b.ready:
				continue
			}
		}
		if err := b.deliver(batch); err != nil {
			b.o.Logs.Warn("events can not be delivered yet", "events", len(batch), "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			wait = min(2*wait, lastRetry)
			continue
		}
		wait = firstRetry
		b.drop(len(batch))
		if ctx.Err() != nil {
			return
		}
	}
}

func (b *Outbox) take() []pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue[:min(len(b.queue), mostDelivered)]
}

func (b *Outbox) drop(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = b.queue[n:]
}

// deliver sends a batch, all messages of a queue at once, and takes it out of
// the log. What has failed half is done again, whole.
func (b *Outbox) deliver(batch []pending) error {
	type address struct{ arn, group string }
	bodies := map[address][]string{}
	var order []address
	gone := make([]store.Record, 0, len(batch))
	for _, p := range batch {
		gone = append(gone, store.Record{Key: p.key})
		for _, t := range p.Targets {
			to := address{t.ARN, t.Group}
			if bodies[to] == nil {
				order = append(order, to)
			}
			body := p.Body
			if t.Input != "" {
				body = t.Input
			}
			bodies[to] = append(bodies[to], body)
		}
	}
	for _, to := range order {
		if err := b.o.Send(to.arn, to.group, bodies[to]); err != nil {
			if !errors.Is(err, ErrNoQueue) {
				return err
			}
			b.o.Logs.Warn("a rule's events are dropped", "target", to.arn, "events", len(bodies[to]), "error", err)
		}
	}
	return b.o.Log.Append(gone)
}
