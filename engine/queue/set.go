package queue

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"plimsoll/engine/store"
)

// Log is where a Set keeps its records: engine/store's Log. Append returns when
// they are on disk; what was appended before is then on disk too.
type Log interface {
	Load(f func(key string, value []byte) error) error
	Append(records []store.Record) error
}

// Options are what a Set is made with.
type Options struct {
	Log Log
	// Now is the clock.
	Now func() time.Time
	// Random is where message ids and keys come from. It has to be safe for
	// concurrent use, as crypto/rand's Reader is.
	Random io.Reader
	// Arrived, if set, is called when messages have come to a queue that can be
	// received now. It must not block.
	Arrived func(queue string)
}

// Set is the queues of one engine. A change is on disk before it is answered:
// what Send acknowledged outlives the process, and so does a deletion. Who holds
// a message, and until when, does not: after a restart what was in flight can be
// received again, and receipts from before it still delete. No lock is held
// while the log syncs. It is safe for concurrent use.
type Set struct {
	log     Log
	now     func() time.Time
	random  io.Reader
	arrived func(string)

	admin sync.Mutex // held by whoever makes, changes or deletes a queue
	mu    sync.RWMutex
	live  map[string]*live // by name
}

// live is a queue of the set.
type live struct {
	name, id string // as in config, which others may replace

	mu      sync.Mutex
	config  Config
	queue   *Queue
	deleted bool
	waiters waiters
}

const (
	queuePrefix   = "queue/"
	messagePrefix = "message/"
)

func messageKey(queueID, id string) string { return messagePrefix + queueID + "/" + id }

// Open loads the queues and messages from the log.
func Open(o Options) (*Set, error) {
	s := &Set{log: o.Log, now: o.Now, random: o.Random, arrived: o.Arrived, live: map[string]*live{}}
	if s.arrived == nil {
		s.arrived = func(string) {}
	}
	messages := map[string][]*Message{} // by the queue's id
	err := s.log.Load(func(key string, value []byte) error {
		switch {
		case strings.HasPrefix(key, queuePrefix):
			var c Config
			if err := json.Unmarshal(value, &c); err != nil {
				return fmt.Errorf("queue log: the record %q: %w", key, err)
			}
			s.live[c.Name] = s.newLive(c)
		case strings.HasPrefix(key, messagePrefix):
			id, _, _ := strings.Cut(strings.TrimPrefix(key, messagePrefix), "/")
			m := new(Message)
			if err := json.Unmarshal(value, m); err != nil {
				return fmt.Errorf("queue log: the record %q: %w", key, err)
			}
			messages[id] = append(messages[id], m)
		default:
			return fmt.Errorf("queue log: the record %q is neither a queue's nor a message's", key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, s.fill(messages)
}

// fill puts the loaded messages into their queues. Those of a queue that is
// gone, and those that are too old, are taken out of the log.
func (s *Set) fill(messages map[string][]*Message) error {
	now := s.now()
	var gone []store.Record
	for _, l := range s.live {
		mine := messages[l.id]
		delete(messages, l.id)
		slices.SortFunc(mine, func(a, b *Message) int {
			if c := a.Sent.Compare(b.Sent); c != 0 {
				return c
			}
			return strings.Compare(a.ID, b.ID)
		})
		for _, m := range mine {
			l.queue.Put(now, m)
		}
		gone = append(gone, l.deletions(l.queue.Expire(now))...)
	}
	for queueID, orphans := range messages {
		for _, m := range orphans {
			gone = append(gone, store.Record{Key: messageKey(queueID, m.ID)})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return s.log.Append(gone)
}

func (s *Set) newLive(c Config) *live {
	q := New(c.seconds(Retention), uint64(s.now().UnixNano()))
	return &live{name: c.Name, id: c.ID, config: c, queue: q}
}

func (l *live) deletions(ids []string) []store.Record {
	records := make([]store.Record, len(ids))
	for i, id := range ids {
		records[i] = store.Record{Key: messageKey(l.id, id)}
	}
	return records
}

// find gives the queue named, or QueueDoesNotExist.
func (s *Set) find(name string) (*live, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.live[name]; l != nil {
		return l, nil
	}
	return nil, noQueue(name)
}

func noQueue(name string) error {
	return refuse("QueueDoesNotExist", "The specified queue %q does not exist.", name)
}

// Create makes a queue, durably. Making one that is there with the same
// attributes does nothing; with others it is QueueNameExists.
func (s *Set) Create(name string, attributes, tags map[string]string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkAttributes(attributes); err != nil {
		return err
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if l, err := s.find(name); err == nil {
		if c := l.configNow(); !c.same(attributes) {
			return refuse("QueueNameExists", "A queue already exists with the same name and a different value "+
				"for an attribute: %q has %v.", name, c.Attributes)
		}
		return nil
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(s.random, key); err != nil {
		return fmt.Errorf("random bytes for the key of queue %q: %w", name, err)
	}
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil {
		return fmt.Errorf("random bytes for the id of queue %q: %w", name, err)
	}
	now := s.now()
	c := Config{
		Name: name, ID: id.String(), Key: key, Attributes: maps.Clone(attributes), Tags: maps.Clone(tags),
		Created: now, Modified: now,
	}
	if err := s.saveConfig(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[name] = s.newLive(c)
	return nil
}

func (s *Set) saveConfig(c Config) error {
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	return s.log.Append([]store.Record{{Key: queuePrefix + c.Name, Value: value}})
}

func (l *live) configNow() Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.config
}

// Exists tells whether there is such a queue.
func (s *Set) Exists(name string) bool {
	_, err := s.find(name)
	return err == nil
}

// Names gives the names that begin with prefix, in order.
func (s *Set) Names(prefix string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for name := range s.live {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Delete takes a queue and its messages away, durably.
func (s *Set) Delete(name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	l, err := s.find(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.deleted = true // from here on nobody sends or receives
	records := append(l.deletions(l.queue.IDs()), store.Record{Key: queuePrefix + name})
	l.waiters.wakeAll()
	l.mu.Unlock()
	if err := s.log.Append(records); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.deleted = false
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, name)
	return nil
}

// Info is what is known of a queue.
type Info struct {
	Config
	Depth Depth
}

// Number is an attribute's value, or its default.
func (i *Info) Number(name string) int { return i.number(name) }

// Info gives a queue's configuration and counts.
func (s *Set) Info(name string) (Info, error) {
	l, err := s.find(name)
	if err != nil {
		return Info{}, err
	}
	l.mu.Lock()
	info := Info{Config: l.config}
	gone := l.queue.Expire(s.now())
	info.Depth = l.queue.Depth(s.now())
	l.mu.Unlock()
	return info, s.forget(l, gone)
}

// Depth counts a queue's messages; none if there is no such queue.
func (s *Set) Depth(name string) Depth {
	l, err := s.find(name)
	if err != nil {
		return Depth{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Depth(s.now())
}

// SetAttributes changes attributes of a queue, durably; the others stay.
func (s *Set) SetAttributes(name string, attributes map[string]string) error {
	if err := checkAttributes(attributes); err != nil {
		return err
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	l, err := s.find(name)
	if err != nil {
		return err
	}
	c := l.configNow()
	c.Attributes = maps.Clone(c.Attributes)
	if c.Attributes == nil {
		c.Attributes = map[string]string{}
	}
	maps.Copy(c.Attributes, attributes)
	c.Modified = s.now()
	if err := s.saveConfig(c); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = c
	l.queue.SetRetention(c.seconds(Retention))
	return nil
}

// Purge takes all messages of a queue away, durably.
func (s *Set) Purge(name string) error {
	l, err := s.find(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	gone := l.queue.IDs()
	l.mu.Unlock()
	if err := s.forget(l, gone); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.Drop(gone)
	return nil
}

// forget takes messages out of the log.
func (s *Set) forget(l *live, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return s.log.Append(l.deletions(ids))
}
