package queue

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// Result is what became of one entry of a batch: Err, or the message. A message
// that a FIFO queue was sent before has the ID and the Sequence of the first.
type Result struct {
	*Message
	Err error

	value []byte // its record
	once  string // the key under which a FIFO queue knows it again
	entry *entry
	sent  *sent
}

// Send sends messages, all with one sync of the log. Each has its own result;
// the error is of the queue or the log, and then nothing was sent.
func (s *Set) Send(name string, drafts []Draft) ([]Result, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	c := l.config()
	results := make([]Result, len(drafts))
	for i := range drafts {
		results[i] = s.draw(c, &drafts[i])
	}
	if l, err = s.enter(name); err != nil {
		return nil, err
	}
	if l.id != c.ID { // made anew, perhaps with other limits
		s.release(l)
		return s.Send(name, drafts)
	}
	wait := s.post(l, results)
	s.release(l)
	err = wait()
	l.mu.Lock()
	now := s.now()
	for _, r := range results {
		switch {
		case r.entry != nil && err == nil:
			l.messages.admit(now, r.entry)
		case r.entry != nil:
			l.messages.drop(r.entry)
			if r.sent != nil {
				l.once.undo(r.sent)
			}
		}
	}
	s.release(l)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if r := &results[i]; r.entry == nil && r.sent != nil {
			r.Err = r.sent.wait() // the first of its kind may still be on its way
		}
	}
	return results, nil
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
	if d.Delay != nil && !c.fifo() {
		delay = *d.Delay
	}
	sent := s.now().Truncate(time.Millisecond)
	r := Result{Message: &Message{
		ID: id.String(), Body: d.Body, Sent: sent, Sender: d.Sender, Due: sent.Add(delay),
		Attributes: d.Attributes, System: d.System, Group: d.Group,
	}}
	if c.fifo() {
		r.Deduplication, r.once = c.deduplication(d)
	}
	r.value, r.Err = encodeMessage(r.Message)
	return r
}

// post gives the messages their places in the queue and in the log. l.mu is
// held.
func (s *Set) post(l *live, results []Result) (wait func() error) {
	now := s.now()
	var records []store.Record
	var fresh []*sent
	for i := range results {
		r := &results[i]
		if r.Err != nil {
			continue
		}
		if r.once != "" {
			if r.sent = l.once.find(now, r.once); r.sent != nil {
				r.ID, r.Sequence = r.sent.id, r.sent.sequence
				continue
			}
		}
		r.Sequence = s.sequence.Add(1)
		setSequence(r.value, r.Sequence)
		r.entry = l.messages.add(r.Message)
		records = append(records, store.Record{Key: messageKey(l.id, r.ID), Value: r.value})
		if r.once != "" {
			r.sent = &sent{key: r.once, id: r.ID, sequence: r.Sequence, at: now}
			l.once.add(r.sent)
			fresh = append(fresh, r.sent)
			records = append(records, l.onceRecord(r.sent))
		}
	}
	wait = s.log.Begin(records)
	for _, o := range fresh {
		o.wait = wait
	}
	return wait
}

// Remove deletes the messages of the receipts, durably, with one sync. Each has
// its own error: nil, or why the handle is not one. Deleting what is gone, or
// what another has received since, is no error, as in SQS; but a FIFO queue
// refuses a handle whose time is over.
func (s *Set) Remove(name string, handles []string) ([]error, error) {
	l, err := s.enter(name)
	if err != nil {
		return nil, err
	}
	l.messages.advance(s.now())
	refusals := make([]error, len(handles))
	var ids []string
	var left []*entry
	for i, handle := range handles {
		id, number, err := l.config().readHandle(handle)
		e := l.messages.byID[id]
		switch {
		case err != nil:
			refusals[i] = err
		case e == nil || e.place == leaving:
			// Its deletion may still be on its way to the disk, and this one is
			// answered only when it is there.
			ids = append(ids, id)
		case l.messages.fifo && (e.number != number || !e.inFlight):
			refusals[i] = expired(handle)
		case e.number == number:
			l.messages.leave(e)
			ids, left = append(ids, id), append(left, e)
		}
	}
	wait := s.log.Begin(l.deletions(ids...))
	s.release(l)
	err = wait()
	l.mu.Lock()
	for _, e := range left {
		if err != nil {
			l.messages.stay(s.now(), e)
		} else {
			l.messages.drop(e)
		}
	}
	s.release(l)
	if err != nil {
		return nil, err
	}
	return refusals, nil
}

func expired(handle string) error {
	return invalid("ReceiptHandle", handle, "The receipt handle has expired.")
}

// Hide sets when the message of a receipt becomes visible again.
type Hide struct {
	Handle     string
	Visibility time.Duration
}

// ChangeVisibility changes how long messages stay hidden, counted from now, and
// durably. Each has its own error.
func (s *Set) ChangeVisibility(name string, changes []Hide) ([]error, error) {
	l, err := s.enter(name)
	if err != nil {
		return nil, err
	}
	now := s.now()
	l.messages.advance(now)
	refusals := make([]error, len(changes))
	var records []store.Record
	for i, change := range changes {
		e, err := l.change(now, change)
		refusals[i] = err
		if err == nil {
			records = append(records, l.receiptRecord(e))
		}
	}
	wait := s.log.Begin(records)
	s.release(l)
	if err := wait(); err != nil {
		return nil, err
	}
	return refusals, nil
}

// maxHidden is the longest that one receipt may hide a message.
const maxHidden = 12 * time.Hour

func (l *live) change(now time.Time, h Hide) (*entry, error) {
	seconds := int(h.Visibility / time.Second)
	if h.Visibility < 0 || h.Visibility > maxHidden {
		return nil, invalid("VisibilityTimeout", seconds, "VisibilityTimeout must be >= 0 and <= 43200.")
	}
	id, number, err := l.config().readHandle(h.Handle)
	if err != nil {
		return nil, err
	}
	e := l.messages.byID[id]
	switch {
	case e == nil || e.place == leaving:
		return nil, invalid("ReceiptHandle", h.Handle, "Message does not exist or is not available for visibility timeout change.")
	case e.inFlight && e.number == number:
	case l.messages.fifo:
		return nil, expired(h.Handle)
	default:
		return nil, refuse("MessageNotInflight", "The specified message isn't in flight.")
	}
	if h.Visibility > 0 && now.Add(h.Visibility).Sub(e.taken) > maxHidden {
		return nil, invalid("VisibilityTimeout", seconds, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
	}
	l.messages.hide(now, e, h.Visibility)
	return e, nil
}
