package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// Result is what became of one entry of a batch: Err, or ID and the rest.
type Result struct {
	*Message
	Err error
}

// Send sends messages, all with one sync of the log. Each has its own result;
// the error is of the queue or the log, and then nothing was sent.
func (s *Set) Send(name string, drafts []Draft) ([]Result, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	c := l.configNow()
	results := make([]Result, len(drafts))
	var records []store.Record
	for i := range drafts {
		results[i] = s.draw(&c, &drafts[i])
		if results[i].Err != nil {
			continue
		}
		value, err := json.Marshal(results[i].Message)
		if err != nil {
			return nil, fmt.Errorf("queue %q: %w", name, err)
		}
		records = append(records, store.Record{Key: messageKey(c.ID, results[i].ID), Value: value})
	}
	if len(records) == 0 {
		return results, nil
	}
	if err := s.log.Append(records); err != nil {
		return nil, err
	}
	return results, s.admit(l, results)
}

// draw makes a message of a draft.
func (s *Set) draw(c *Config, d *Draft) Result {
	if err := d.check(c); err != nil {
		return Result{Err: err}
	}
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil {
		return Result{Err: fmt.Errorf("random bytes for the id of a message: %w", err)}
	}
	delay := c.seconds(DelaySeconds)
	if d.Delay != nil {
		delay = *d.Delay
	}
	sent := s.now().Truncate(time.Millisecond)
	return Result{Message: &Message{
		ID: id.String(), Body: d.Body, Sent: sent, Sender: d.Sender, Due: sent.Add(delay),
		Attributes: d.Attributes, System: d.System,
	}}
}

// admit puts messages that are on disk into the queue.
func (s *Set) admit(l *live, results []Result) error {
	now := s.now()
	l.mu.Lock()
	if l.deleted {
		// The queue went while the messages were written.
		var ids []string
		for _, r := range results {
			if r.Err == nil {
				ids = append(ids, r.ID)
			}
		}
		l.mu.Unlock()
		if err := s.forget(l, ids); err != nil {
			return err
		}
		return noQueue(l.name)
	}
	visible := false
	for _, r := range results {
		if r.Err == nil {
			l.queue.Put(now, r.Message)
			visible = visible || !r.Due.After(now)
		}
	}
	l.waiters.wakeOne()
	l.mu.Unlock()
	if visible {
		s.arrived(l.name)
	}
	return nil
}

// Receive is a request for messages.
type Receive struct {
	Max int // 1 to 10
	// Visibility and Wait are those of this call; nil: the queue's own.
	Visibility, Wait *time.Duration
}

// Receive gives up to o.Max messages and hides them from others for the
// visibility time. While there are none it waits for the wait time, or until
// the context ends; then it gives none.
func (s *Set) Receive(ctx context.Context, name string, o Receive) ([]Received, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	c := l.configNow()
	visibility, wait := c.seconds(VisibilityTimeout), c.seconds(WaitTime)
	if o.Visibility != nil {
		visibility = *o.Visibility
	}
	if o.Wait != nil {
		wait = *o.Wait
	}
	deadline := s.now().Add(wait)
	for {
		got, turn, until, err := s.take(l, o.Max, visibility, deadline)
		if err != nil || len(got) > 0 || turn == nil {
			return got, err
		}
		timer := time.NewTimer(until)
		select {
		case <-turn.woken:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		l.mu.Lock()
		l.waiters.leave(turn)
		if ctx.Err() != nil {
			// Whatever this one was woken for is for the next.
			l.waiters.wakeOne()
			l.mu.Unlock()
			return nil, nil
		}
		l.mu.Unlock()
	}
}

// take tries once. With nothing to give and time left it gives a place in the
// row of waiters, and how long to wait at most before the next try.
func (s *Set) take(l *live, most int, visibility time.Duration, deadline time.Time) ([]Received, *waiter, time.Duration, error) {
	now := s.now()
	l.mu.Lock()
	if l.deleted {
		l.mu.Unlock()
		return nil, nil, 0, noQueue(l.name)
	}
	gone := l.queue.Expire(now)
	got, err := l.queue.Take(now, most, visibility)
	var turn *waiter
	until := deadline.Sub(now)
	if err == nil && len(got) == 0 && until > 0 {
		turn = l.waiters.join()
		if next, ok := l.queue.Next(); ok {
			until = min(until, max(next.Sub(now), time.Millisecond))
		}
	} else {
		// Whoever leaves wakes the next: there may be more to take, and the
		// time of the next try may have changed.
		l.waiters.wakeOne()
	}
	for i := range got {
		got[i].Handle = l.config.handle(got[i].ID, got[i].Receipt)
	}
	l.mu.Unlock()
	if forgetErr := s.forget(l, gone); err == nil {
		err = forgetErr
	}
	return got, turn, until, err
}

// Remove deletes the messages of the receipts, durably, with one sync. Each has
// its own error: nil, or why the handle is not one. Deleting what is gone, or
// what another has received since, is no error, as in SQS.
func (s *Set) Remove(name string, handles []string) ([]error, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	refusals := make([]error, len(handles))
	var ids []string
	l.mu.Lock()
	for i, handle := range handles {
		id, receipt, err := l.config.readHandle(handle)
		refusals[i] = err
		if err == nil && !l.queue.Stale(id, receipt) {
			// Also an id that is gone: its deletion may still be on its way to
			// the disk, and is answered only when it is there.
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	if err := s.forget(l, ids); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.Drop(ids)
	return refusals, nil
}

// Hide sets when the message of a receipt becomes visible again.
type Hide struct {
	Handle     string
	Visibility time.Duration
}

// ChangeVisibility changes how long messages stay hidden, counted from now.
// Each has its own error.
func (s *Set) ChangeVisibility(name string, changes []Hide) ([]error, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	now := s.now()
	refusals := make([]error, len(changes))
	shown := false
	l.mu.Lock()
	for i, change := range changes {
		refusals[i] = l.change(now, change)
		shown = shown || refusals[i] == nil && change.Visibility == 0
	}
	l.waiters.wakeOne()
	l.mu.Unlock()
	if shown {
		s.arrived(name)
	}
	return refusals, nil
}

func (l *live) change(now time.Time, h Hide) error {
	most := ranges[VisibilityTimeout].most
	if h.Visibility < 0 || h.Visibility > time.Duration(most)*time.Second {
		return invalid("VisibilityTimeout", fmt.Sprint(int(h.Visibility/time.Second)), "VisibilityTimeout must be >= 0 and <= 43200.")
	}
	id, receipt, err := l.config.readHandle(h.Handle)
	if err != nil {
		return err
	}
	return l.queue.Change(now, id, receipt, h.Visibility)
}
