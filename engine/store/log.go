// Package store is the engine's durability: an append-only log of keyed
// records with group commit, a checksum over every byte, and snapshots that
// keep it near the size of the live data. What Append has acknowledged is on
// disk. It knows nothing of what the records mean; it must not know of tasks,
// queues, the API or the state machine.
//
// A folder holds one lock file, at most one snapshot (snapshot-N: everything
// up to the end of segment N) and the segments after it (segment-N+1, …), of
// which the last is being appended to. See frame.go for the bytes.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// ErrBroken is wrapped by the error of every Append after a write or a sync
// has failed. What the disk then holds is unknown, and a sync that failed must
// not be tried again (the kernel may have dropped the pages that it could not
// write): open the log anew, which reads what is really there.
var ErrBroken = errors.New("the log is broken")

// ErrNoSpace is wrapped by the error of an Append that found the disk full (or
// a quota used up). Nothing of it is kept and the log goes on: a later Append
// may succeed.
var ErrNoSpace = errors.New("no space left for the log")

// ErrBehind is wrapped by the error of an Append that came while more waited for
// the disk than one sync may take.
var ErrBehind = errors.New("the disk is behind")

// ErrClosed is the error of an Append after Close.
var ErrClosed = errors.New("the log is closed")

// Record is one change: the value under Key is now Value; nil deletes it.
type Record struct {
	Key   string
	Value []byte
}

// DefaultCompactBytes is the default of Options.CompactBytes.
const DefaultCompactBytes = 8 << 20

// Options tune a Log. The zero value is good.
type Options struct {
	// CompactBytes is how many bytes of segments there have to be before they
	// are compacted at all; beyond it they are when they outgrow the live data
	// four times. 0 means DefaultCompactBytes.
	CompactBytes int64
	// Log is told of torn tails that were cut and of compactions that failed.
	// nil discards.
	Log *slog.Logger

	// disk is how the folder is changed; tests put faults behind it.
	disk disk
}

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	dir  string
	o    Options
	lock *os.File

	mu     sync.Mutex // guards next, err
	next   *group     // the group that is being gathered
	err    error      // the log is broken or closed: why
	writes sync.Mutex // held by whoever writes; guards all below

	live      map[string][]byte
	liveBytes int64
	active    file
	number    uint64 // of the active segment
	size      int64  // of the active segment: its last good length
	sealed    int64  // bytes of the segments before it that no snapshot covers
	retryAt   int64  // after a failed compaction: the size at which to try again
	spare     []byte // a buffer to use again

	compacting bool
	background sync.WaitGroup
}

// group is the appends that one sync makes durable.
type group struct {
	frame   []byte // one frame, so that all of them are durable or none
	records []Record
	led     atomic.Bool // somebody writes it
	done    chan struct{}
	err     error
}

// Open opens or creates the log in dir, which only one process at a time may
// hold (ErrLocked). A tail that a crash tore is cut: it was never
// acknowledged. Damage anywhere else is a *CorruptError, which names the file,
// the offset and the way out; nothing is changed then.
func Open(dir string, o Options) (*Log, error) {
	if o.CompactBytes <= 0 {
		o.CompactBytes = DefaultCompactBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, o: o, lock: lock, live: map[string][]byte{}}
	if err := l.recover(); err != nil {
		if l.active != nil {
			l.active.Close()
		}
		lock.Close()
		return nil, err
	}
	return l, nil
}

// Load calls f with the latest value of each key, sorted by key. The value is
// the log's own and must not be changed. It stops at the first error of f.
func (l *Log) Load(f func(key string, value []byte) error) error {
	l.writes.Lock()
	live := maps.Clone(l.live)
	l.writes.Unlock()
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if err := f(key, live[key]); err != nil {
			return fmt.Errorf("record %q of %q: %w", key, l.dir, err)
		}
	}
	return nil
}

// Append makes the records durable, all of them or none, and returns after
// the fdatasync that did so. Callers that come while a sync is under way are
// committed together by the next one, in the order in which they came. The
// records may be used again after it returns.
//
// Errors: ErrNoSpace and ErrBehind (nothing is kept; later appends may succeed),
// ErrBroken (for good), ErrClosed, or a record that is too large.
func (l *Log) Append(records []Record) error { return l.Begin(records)() }

// Begin gives the records their place in the log's order and returns at once,
// so that a caller may hold the lock of the state that they are about. They are
// durable when wait has returned nil; its errors are Append's. Wait may be called
// more than once and from any goroutine, and has to be called: who waits first
// writes for the whole group. The values must not be changed until then.
func (l *Log) Begin(records []Record) (wait func() error) {
	if len(records) == 0 {
		return func() error { return nil }
	}
	n := int(payloadSize(records))
	if n > maxPayload {
		err := fmt.Errorf("append of %d bytes to %q: at most %d are allowed at once", n, l.dir, maxPayload)
		return func() error { return err }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.err; err != nil {
		return func() error { return err }
	}
	g := l.next
	if g == nil {
		g = &group{done: make(chan struct{}), frame: beginBatch(l.spare[:0])}
		l.spare = nil
		l.next = g
	}
	if len(g.frame)+n > mostPayload {
		err := fmt.Errorf("append of %d bytes to %q: %w: %d bytes wait for the disk already; repeat the request", n, l.dir, ErrBehind, len(g.frame))
		return func() error { return err }
	}
	g.frame = appendRecords(g.frame, records)
	g.records = append(g.records, records...)
	return func() error { return l.wait(g) }
}

// wait sees to it that a group is written: by this caller if it is the first.
// While the group before it is being synced, others join.
func (l *Log) wait(g *group) error {
	if !g.led.CompareAndSwap(false, true) {
		<-g.done
		return g.err
	}
	l.writes.Lock()
	l.mu.Lock()
	l.next = nil
	g.err = l.err
	l.mu.Unlock()
	if g.err == nil {
		g.err = l.commit(g)
	}
	l.writes.Unlock()
	close(g.done)
	return g.err
}

// commit writes and syncs a group. l.writes is held.
func (l *Log) commit(g *group) error {
	g.frame = fillBatch(g.frame, l.size)
	sealFrame(g.frame)
	if err := l.write(g.frame); err != nil {
		return err
	}
	for _, r := range g.records {
		l.apply(r.Key, bytes.Clone(r.Value), r.Value == nil)
	}
	l.mu.Lock()
	if cap(g.frame) <= 1<<20 {
		l.spare = g.frame
	}
	l.mu.Unlock()
	l.compactIfDue()
	return nil
}

// write appends to the active segment and syncs it.
func (l *Log) write(frame []byte) error {
	name := segmentName(l.number)
	if _, err := l.active.Write(frame); err != nil {
		full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
		if !full {
			return l.fail(fmt.Errorf("write of %d bytes to %q: %w", len(frame), name, err))
		}
		// Nothing of it was synced, so what was written can be taken back.
		if cut := l.active.Truncate(l.size); cut != nil {
			return l.fail(fmt.Errorf("%q is full and cannot be cut back to %d bytes: %w", name, l.size, cut))
		}
		return fmt.Errorf("append of %d bytes to %q in %q: %w; free some space and repeat the request", len(frame), name, l.dir, ErrNoSpace)
	}
	if err := l.active.Sync(); err != nil {
		return l.fail(fmt.Errorf("sync of %q: %w", name, err))
	}
	l.size += int64(len(frame))
	return nil
}

// fail breaks the log for good.
func (l *Log) fail(cause error) error {
	err := fmt.Errorf("%w in %q, restart the engine to read what is on disk: %w", ErrBroken, l.dir, cause)
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	return err
}

// apply changes the live data. value is the log's from here on.
func (l *Log) apply(key string, value []byte, gone bool) {
	if old, ok := l.live[key]; ok {
		l.liveBytes -= recordSize(key, old)
		delete(l.live, key)
	}
	if gone {
		return
	}
	if value == nil {
		value = []byte{}
	}
	l.live[key] = value
	l.liveBytes += recordSize(key, value)
}

// Close waits for the appends and the compaction under way and gives the
// folder free. Later appends fail with ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := errors.Is(l.err, ErrClosed)
	if !closed {
		l.err = ErrClosed
	}
	l.mu.Unlock()
	if closed {
		return nil
	}
	l.writes.Lock() // after the group under way; no later one writes
	active := l.active
	l.writes.Unlock()
	l.background.Wait()
	return errors.Join(active.Close(), l.lock.Close())
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }
