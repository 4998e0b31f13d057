package queue

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// purgeEvery is how long a queue that was purged cannot be purged again.
const purgeEvery = time.Minute

// Create makes a queue, durably. Making one that is there with the same
// attributes does nothing; with others it is QueueNameExists.
func (s *Set) Create(name string, attributes, tags map[string]string) error {
	if err := checkName(name, attributes); err != nil {
		return err
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if l, err := s.find(name); err == nil {
		same, err := l.config().same(attributes)
		if err == nil && !same {
			return refuse("QueueNameExists", "A queue already exists with the same name and a different value "+
				"for an attribute: %q has %v.", name, l.config().Attributes)
		}
		return err
	}
	now := s.now()
	c, err := Config{Name: name, Tags: maps.Clone(tags), Created: now, Modified: now}.with(attributes)
	if err == nil {
		err = s.checkRedrive(&c)
	}
	if err != nil {
		return err
	}
	c.Key = make([]byte, 32)
	if _, err := io.ReadFull(s.random, c.Key); err != nil {
		return fmt.Errorf("random bytes for the key of queue %q: %w", name, err)
	}
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil {
		return fmt.Errorf("random bytes for the id of queue %q: %w", name, err)
	}
	c.ID = id.String()
	if err := s.saveConfig(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[name] = newLive(c)
	return nil
}

func (s *Set) saveConfig(c Config) error {
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	return s.log.Begin([]store.Record{{Key: queuePrefix + c.Name, Value: value}})()
}

// Delete takes a queue and its messages away, durably.
func (s *Set) Delete(name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	l, err := s.enter(name)
	if err != nil {
		return err
	}
	l.deleted = true // from here on nobody sends or receives
	wait := s.log.Begin(append(l.everything(), store.Record{Key: queuePrefix + name}))
	if l.timer != nil {
		l.timer.Stop()
	}
	l.waiters.wakeAll()
	l.mu.Unlock()
	if err := wait(); err != nil {
		l.mu.Lock()
		l.deleted, l.armed = false, time.Time{}
		s.release(l)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, name)
	return nil
}

// everything is the records of the end of all that a queue holds.
func (l *live) everything() []store.Record {
	gone := l.owed
	for id := range l.messages.byID {
		gone = append(gone, l.deletions(id)...)
	}
	for key := range l.once.byKey {
		gone = append(gone, store.Record{Key: onceKey(l.id, key)})
	}
	return gone
}

// Purge takes all messages of a queue away, durably; at most once in a minute,
// as in SQS.
func (s *Set) Purge(name string) error {
	l, err := s.enter(name)
	if err != nil {
		return err
	}
	now := s.now()
	if !l.purged.IsZero() && now.Sub(l.purged) < purgeEvery {
		s.release(l)
		return refuse("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", name)
	}
	before := l.purged
	l.purged = now
	// What is being sent at this moment is not answered yet: it comes after.
	var all []*entry
	var ids []string
	for id, e := range l.messages.byID {
		if e.place != writing && e.place != leaving {
			all, ids = append(all, e), append(ids, id)
		}
	}
	for _, e := range all {
		l.messages.leave(e)
	}
	wait := s.log.Begin(l.deletions(ids...))
	s.release(l)
	err = wait()
	l.mu.Lock()
	if err != nil {
		l.purged = before
	}
	for _, e := range all {
		if err != nil {
			l.messages.stay(s.now(), e)
		} else {
			l.messages.drop(e)
		}
	}
	s.release(l)
	return err
}

// Info is what is known of a queue.
type Info struct {
	Config
	Depth Depth
}

// Info gives a queue's configuration and counts.
func (s *Set) Info(name string) (Info, error) {
	l, err := s.find(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Config: *l.config(), Depth: s.Depth(name)}, nil
}

// SetAttributes changes attributes of a queue, durably; the others stay.
func (s *Set) SetAttributes(name string, attributes map[string]string) error {
	return s.Edit(name, func(c Config) (map[string]string, map[string]string, error) {
		if _, given := attributes[FIFO]; given {
			return nil, nil, refuse("InvalidAttributeName", "Unknown Attribute %s: a queue is FIFO from the beginning or never.", FIFO)
		}
		return attributes, c.Tags, nil
	})
}

// Edit changes a queue's attributes and tags, durably, as change says: it is
// given what is there, and gives the attributes to be changed and all of the
// tags. Nobody else changes them meanwhile.
func (s *Set) Edit(name string, change func(Config) (attributes, tags map[string]string, err error)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	l, err := s.find(name)
	if err != nil {
		return err
	}
	attributes, tags, err := change(*l.config())
	if err != nil {
		return err
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	c, err := l.config().with(attributes)
	if _, given := attributes[Redrive]; given && err == nil {
		err = s.checkRedrive(&c)
	}
	if err != nil {
		return err
	}
	c.Tags, c.Modified = maps.Clone(tags), s.now()
	if err := s.saveConfig(c); err != nil {
		return err
	}
	l.mu.Lock()
	l.settings.Store(&c)
	s.release(l) // the retention may have changed
	return nil
}
