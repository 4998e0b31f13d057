// Package queue is the embedded engine's message queues, with the behaviour of
// SQS: messages is one queue's messages as plain state, to which the time is
// passed; Set is the queues of an engine, durable through a log, with long
// polls, dead-letter queues and the tasks that move messages. It must not know
// of the wire (engine/awsapi has SQS's protocols), of tasks of a cluster, or of
// what is in a message.
package queue

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll/engine/store"
)

// Log is where a Set keeps its records: engine/store's Log. Begin gives records
// their place after all that was begun before; they are on disk when wait has
// returned nil, and so is what was begun before.
type Log interface {
	Load(f func(key string, value []byte) error) error
	Begin(records []store.Record) (wait func() error)
}

// Options are what a Set is made with.
type Options struct {
	Log Log
	// Now is the clock.
	Now func() time.Time
	// Random is where message ids and keys come from. It has to be safe for
	// concurrent use, as crypto/rand's Reader is.
	Random io.Reader
	// Arrived, if set, is called when a queue has messages that can be received
	// and could not be before: they came, or their delay or their time with a
	// receiver is over. It must not block.
	Arrived func(queue string)
}

// Set is the queues of one engine. A change is on disk before it is answered:
// what Send acknowledged outlives the process, and so does a deletion, a receive
// and a changed time of being hidden. After a restart a message in flight is
// visible again when its time is over, and has been received as often as it has.
//
// A queue's lock is never held while the log syncs. Records get their place in
// the log under the lock of the state that they are about, so that the log has
// them in the order in which they happened. It is safe for concurrent use.
type Set struct {
	log      Log
	now      func() time.Time
	random   io.Reader
	arrived  func(string)
	sequence atomic.Uint64 // the last one given to a message or a receipt

	admin sync.Mutex // held by whoever makes, changes or deletes a queue
	mu    sync.RWMutex
	live  map[string]*live // by name

	moving  sync.Mutex // guards moves and what is in them
	moves   []*move    // the oldest first
	running context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// live is a queue of the set.
type live struct {
	name, id string
	settings atomic.Pointer[Config] // what it points to does not change

	mu       sync.Mutex
	messages *messages
	once     once
	attempts attempts
	waiters  waiters
	deleted  bool
	purged   time.Time
	timer    *time.Timer
	armed    time.Time      // when the timer goes off; zero: it does not
	owed     []store.Record // deletions that the log did not take yet
}

// Open loads the queues and messages from the log. Close ends what runs by
// itself.
func Open(o Options) (*Set, error) {
	s := &Set{log: o.Log, now: o.Now, random: o.Random, arrived: o.Arrived, live: map[string]*live{}}
	s.running, s.stop = context.WithCancel(context.Background())
	if s.arrived == nil {
		s.arrived = func(string) {}
	}
	all, err := load(o.Log)
	if err != nil {
		return nil, err
	}
	s.sequence.Store(uint64(s.now().UnixNano()))
	for _, c := range all.queues {
		l := newLive(c)
		s.live[c.Name] = l
		s.fill(l, all)
		delete(all.keys, c.ID)
	}
	if err := s.forget(all.keys); err != nil {
		return nil, err
	}
	for _, l := range s.live {
		l.mu.Lock()
		s.release(l) // what is too old goes, what is due comes
	}
	s.resume(all.moves)
	return s, nil
}

// fill puts the loaded messages into a queue, in their order.
func (s *Set) fill(l *live, all *loaded) {
	now := s.now()
	mine := all.messages[l.id]
	slices.SortFunc(mine, func(a, b *Message) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, m := range mine {
		s.past(m.Sequence)
		r := all.receipts[l.id+"/"+m.ID]
		s.past(r.number)
		l.messages.restore(now, l.messages.add(m), r.receipt, r.until)
	}
	slices.SortFunc(all.once[l.id], func(a, b sent) int { return a.at.Compare(b.at) })
	for _, o := range all.once[l.id] {
		s.past(o.sequence)
		l.once.add(&o)
	}
}

// past makes later sequences be over this one, should the clock have gone back.
func (s *Set) past(sequence uint64) { s.sequence.Store(max(s.sequence.Load(), sequence)) }

// forget takes the records of queues that are gone out of the log.
func (s *Set) forget(keys map[string][]string) error {
	var gone []store.Record
	for _, mine := range keys {
		for _, key := range mine {
			gone = append(gone, store.Record{Key: key})
		}
	}
	return s.log.Begin(gone)()
}

// Close ends the timers and the tasks that move messages; those go on after the
// next Open. The log is the caller's to close.
func (s *Set) Close() {
	s.stop()
	s.mu.RLock()
	for _, l := range s.live {
		l.mu.Lock()
		if l.timer != nil {
			l.timer.Stop()
		}
		l.mu.Unlock()
	}
	s.mu.RUnlock()
	s.workers.Wait()
}

func newLive(c Config) *live {
	l := &live{name: c.Name, id: c.ID, messages: newMessages(c.fifo())}
	l.settings.Store(&c)
	return l
}

func (l *live) config() *Config { return l.settings.Load() }

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

// enter finds a queue and locks it; release unlocks it.
func (s *Set) enter(name string) (*live, error) {
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.deleted {
		l.mu.Unlock()
		return nil, noQueue(name)
	}
	l.messages.mostReceives = s.mostReceives(l)
	return l, nil
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

// Depth counts a queue's messages; none if there is no such queue.
func (s *Set) Depth(name string) Depth {
	l, err := s.enter(name)
	if err != nil {
		return Depth{}
	}
	defer s.release(l)
	l.messages.advance(s.now())
	return l.messages.count
}
