package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// growth is how many times the live data the segments may hold before they
// are compacted.
const growth = 4

// snapshotFrame is about how many bytes of records go into one frame of a
// snapshot.
const snapshotFrame = 64 << 10

// compactIfDue begins a compaction when the segments have outgrown the live
// data. l.writes is held, but only for as long as it takes to begin a new
// segment; the snapshot is written while appends go on.
func (l *Log) compactIfDue() {
	size := l.sealed + l.size
	if l.compacting || size < l.o.CompactBytes || size < growth*l.liveBytes || size < l.retryAt {
		return
	}
	old, number := l.active, l.number
	if err := l.createSegment(number + 1); err != nil {
		l.retryAt = size + l.o.CompactBytes
		l.o.Log.Warn("the log could not be compacted; it goes on growing", "error", err)
		// A segment after the one that is being appended to would make a torn
		// tail look like damage.
		err := l.o.disk.remove(l.path(segmentName(number + 1)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			l.fail(err)
		}
		return
	}
	if err := old.Close(); err != nil {
		l.o.Log.Warn("closing a segment of the log", "error", err)
	}
	l.sealed = size
	l.compacting = true
	live := maps.Clone(l.live)
	l.background.Add(1)
	go func() {
		defer l.background.Done()
		err := l.snapshot(number, live)
		l.writes.Lock()
		defer l.writes.Unlock()
		l.compacting = false
		if err != nil {
			l.retryAt = l.sealed + l.size + l.o.CompactBytes
			l.o.Log.Warn("the log could not be compacted; it goes on growing", "error", err)
			return
		}
		l.sealed, l.retryAt = 0, 0
	}()
}

// snapshot writes the live data as they were at the end of segment n, and
// removes what the snapshot covers.
func (l *Log) snapshot(n uint64, live map[string][]byte) error {
	temp := l.path(snapshotName(n) + tempSuffix)
	if err := l.writeSnapshot(temp, live); err != nil {
		l.o.disk.remove(temp)
		return fmt.Errorf("snapshot %q: %w", temp, err)
	}
	if err := l.o.disk.rename(temp, l.path(snapshotName(n))); err != nil {
		l.o.disk.remove(temp)
		return err
	}
	if err := l.o.disk.syncDir(l.dir); err != nil {
		return err
	}
	fs, err := list(l.dir)
	if err != nil {
		return err
	}
	l.removeCovered(fs, n)
	return nil
}

func (l *Log) writeSnapshot(path string, live map[string][]byte) error {
	f, err := l.o.disk.create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(0); err != nil {
		return err
	}
	buf := []byte(snapshotMagic)
	var batch []Record
	var size int64
	flush := func() error {
		if len(batch) > 0 {
			buf = appendBatch(buf, batch)
		}
		_, err := f.Write(buf)
		buf, batch, size = buf[:0], batch[:0], 0
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(live)) {
		batch = append(batch, Record{Key: key, Value: live[key]})
		if size += recordSize(key, live[key]); size >= snapshotFrame {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if _, err := f.Write(appendEnd(nil, len(live))); err != nil {
		return err
	}
	return f.Sync()
}

// removeCovered removes the segments up to n and the snapshots before n. That
// some stay does no harm: the next Open ignores and removes them.
func (l *Log) removeCovered(fs files, n uint64) {
	for _, s := range fs.snapshots {
		if s < n {
			l.o.disk.remove(l.path(snapshotName(s)))
		}
	}
	for _, s := range fs.segments {
		if s <= n {
			l.o.disk.remove(l.path(segmentName(s)))
		}
	}
}
