package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plimsoll/worker"
)

// queue is a queue in memory, with visibility, receipts and receive counts as SQS
// has them. Its clock is time's, so that it lives in a synctest bubble.
type queue struct {
	mu       sync.Mutex
	messages []*entry
	dead     []string // bodies, after deadAfter receives
	deadline int      // receives before a message is dead; 0: never
	calls    []string
	fail     map[string]error // by call, until it is taken out
	arrived  chan struct{}
	begin    time.Time
}

type entry struct {
	id, body string
	visible  time.Time
	receives int
}

func newQueue(bodies ...string) *queue {
	q := &queue{fail: map[string]error{}, arrived: make(chan struct{}, 1), begin: time.Now()}
	q.send(bodies...)
	return q
}

func (q *queue) send(bodies ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range bodies {
		q.messages = append(q.messages, &entry{id: b, body: b})
	}
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

func (q *queue) note(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	q.calls = append(q.calls, call)
	return q.fail[strings.Fields(call)[0]]
}

func (q *queue) Receive(ctx context.Context, wait, hide time.Duration) (*worker.Message, error) {
	end := time.Now().Add(wait)
	for {
		q.mu.Lock()
		if err := q.fail["receive"]; err != nil {
			q.mu.Unlock()
			return nil, err
		}
		next := end
		for _, m := range slices.Clone(q.messages) {
			if m.visible.After(time.Now()) {
				if m.visible.Before(next) {
					next = m.visible
				}
				continue
			}
			if q.deadline > 0 && m.receives >= q.deadline {
				q.dead = append(q.dead, m.body)
				q.drop(m.id)
				continue
			}
			m.receives++
			m.visible = time.Now().Add(hide)
			_ = q.note("receive %s", m.id)
			got := &worker.Message{ID: m.id, Body: m.body, Receives: m.receives, Receipt: fmt.Sprintf("%s/%d", m.id, m.receives)}
			q.mu.Unlock()
			return got, nil
		}
		q.mu.Unlock()
		if !time.Now().Before(end) {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Until(next)):
		case <-q.arrived:
		}
	}
}

func (q *queue) drop(id string) {
	q.messages = slices.DeleteFunc(q.messages, func(m *entry) bool { return m.id == id })
}

// own finds the message that a receipt is of, if it is the newest one and has not
// run out.
func (q *queue) own(m worker.Message) (*entry, error) {
	for _, e := range q.messages {
		if e.id == m.ID && m.Receipt == fmt.Sprintf("%s/%d", e.id, e.receives) && e.visible.After(time.Now()) {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", m.Receipt, worker.ErrLost)
}

func (q *queue) Hide(_ context.Context, m worker.Message, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.note("hide %s %s", m.ID, d); err != nil {
		return err
	}
	e, err := q.own(m)
	if err != nil {
		return err
	}
	e.visible = time.Now().Add(d)
	return nil
}

func (q *queue) Delete(_ context.Context, m worker.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.note("delete %s", m.ID); err != nil {
		return err
	}
	if _, err := q.own(m); err != nil {
		return err
	}
	q.drop(m.ID)
	return nil
}

func (q *queue) failing(call string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail[call] = err
}

func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

// platform protects and releases as it is told to, and notes it in the queue's
// list of calls, so that the order of both can be seen.
type platform struct {
	q         *queue
	protected bool
	until     time.Time
	refuse    error
	keep      error
	needed    func() bool // nil: never
	releases  int
}

func (p *platform) Protect(_ context.Context, d time.Duration) error {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	if d > 0 && p.refuse != nil {
		_ = p.q.note("refuse")
		return p.refuse
	}
	if d > 0 && p.protected {
		_ = p.q.note("renew")
	} else if d > 0 {
		_ = p.q.note("protect")
	} else {
		_ = p.q.note("unprotect")
	}
	p.protected, p.until = d > 0, time.Now().Add(d)
	return nil
}

func (p *platform) Release(context.Context) error {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	_ = p.q.note("release")
	p.releases++
	return p.keep
}

// Yield says that the place is needed once as many jobs are done as needed says.
func (p *platform) Yield(_ context.Context, leave bool) error {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	if p.needed == nil || !p.needed() {
		return worker.ErrKept
	}
	_ = p.q.note("yield %t", leave)
	return nil
}

// safe tells whether the task is protected now.
func (p *platform) safe() bool {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	return p.protected && time.Now().Before(p.until)
}

var errBroken = errors.New("broken")

// run starts a worker; the function that it gives is the stop signal, and waits
// for the end.
func run(t *testing.T, o worker.Options, h worker.Handler) (stop func(), ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := worker.Run(ctx, o, h); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop, done
}

func sleepy(d time.Duration) worker.Handler {
	return func(context.Context, worker.Message) error { time.Sleep(d); return nil }
}

func (q *queue) sequence() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.calls)
}
