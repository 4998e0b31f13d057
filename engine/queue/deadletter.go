package queue

import (
	"errors"
	"slices"
	"time"

	"plimsoll/engine/store"
)

// errNowhere is the error of a transfer to a queue that is not there.
var errNowhere = errors.New("there is no queue to move the messages to")

// target gives the queue that takes a queue's dead letters; nil: none does,
// because none is named, it is gone, or it does not allow it.
func (s *Set) target(c *Config) *live {
	if c.redrive.target == "" {
		return nil
	}
	t, err := s.find(nameInARN(c.redrive.target))
	if err != nil || !t.config().allow.allows(c.Name) {
		return nil
	}
	return t
}

// mostReceives is after how many receives a message of the queue is dead; 0:
// never.
func (s *Set) mostReceives(l *live) int {
	c := l.config()
	if s.target(c) == nil {
		return 0
	}
	return c.redrive.most
}

// bury moves what was received too often to the dead-letter queue. What cannot
// be moved stays, and can be received again.
func (s *Set) bury(l *live, dead []*entry) {
	_ = s.transfer(l, s.target(l.config()), dead, func(m *Message, count int) {
		m.DeadFrom, m.Earlier = l.name, m.Earlier+count
	}) // what could not be moved is back in the queue
}

// putBackFor is how long messages are hidden that could not be moved.
const putBackFor = time.Second

// transfer moves entries that are leaving one queue to another, with one sync,
// all or none. change is made to each message on its way.
func (s *Set) transfer(from, to *live, leaving []*entry, change func(m *Message, count int)) error {
	arriving, wait, err := s.send(from, to, leaving, change)
	if err == nil {
		err = wait()
	}
	// First out of the one, then into the other: it might come back at once.
	from.mu.Lock()
	for _, e := range leaving {
		if err != nil {
			from.messages.putBack(e, s.now().Add(putBackFor))
		} else {
			from.messages.drop(e)
		}
	}
	s.release(from)
	if to == nil {
		return err
	}
	to.mu.Lock()
	for _, e := range arriving {
		if err != nil {
			to.messages.drop(e)
		} else {
			to.messages.admit(s.now(), e)
		}
	}
	s.release(to)
	return err
}

// send gives messages that are leaving one queue their places in the other, and
// both changes theirs in the log.
func (s *Set) send(from, to *live, leaving []*entry, change func(m *Message, count int)) (arriving []*entry, wait func() error, err error) {
	if to == nil {
		return nil, nil, errNowhere
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if to.deleted {
		return nil, nil, errNowhere
	}
	var records []store.Record
	var moved []*Message
	for _, e := range leaving {
		m := *e.Message
		change(&m, e.receipt.count)
		m.Sequence = s.sequence.Add(1)
		value, err := encodeMessage(&m)
		if err != nil {
			return nil, nil, err
		}
		setSequence(value, m.Sequence)
		records = append(records, from.deletions(e.ID)...)
		records = append(records, store.Record{Key: messageKey(to.id, m.ID), Value: value})
		moved = append(moved, &m)
	}
	for _, m := range moved {
		arriving = append(arriving, to.messages.add(m))
	}
	return arriving, s.log.Begin(records), nil
}

// Sources gives the names of the queues whose dead letters go to the one named,
// in order.
func (s *Set) Sources(name string) ([]string, error) {
	if _, err := s.find(name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var sources []string
	for _, l := range s.live {
		if nameInARN(l.config().redrive.target) == name {
			sources = append(sources, l.name)
		}
	}
	slices.Sort(sources)
	return sources, nil
}

// checkRedrive refuses a RedrivePolicy that cannot be followed. s.admin is held.
func (s *Set) checkRedrive(c *Config) error {
	arn := c.redrive.target
	if arn == "" {
		return nil
	}
	bad := func(reason string) error { return invalid(Redrive, c.redrive.String(), reason) }
	t, err := s.find(nameInARN(arn))
	switch {
	case nameInARN(arn) == c.Name:
		return bad("Dead letter target is the queue itself.")
	case err != nil:
		return bad("Dead letter target does not exist.")
	case t.config().fifo() != c.fifo():
		return bad("Dead-letter queue must be same type of queue as the source.")
	case !t.config().allow.allows(c.Name):
		return bad("Dead letter target does not allow this queue: see its RedriveAllowPolicy.")
	}
	return nil
}
