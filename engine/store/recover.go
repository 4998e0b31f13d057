package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// CorruptError says that a file of the log does not hold what was written to
// it, at a place where no crash can have torn it.
type CorruptError struct {
	File   string // path
	Offset int64  // bytes, of the first frame that cannot be used
	Reason string
	// Remedy is what to do about it, other than restoring the folder.
	Remedy string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the log is damaged: %q at offset %d: %s; nothing has been changed; look with plimsoll state check, then put a backup back with plimsoll state restore, or %s",
		e.File, e.Offset, e.Reason, e.Remedy)
}

const remedyFolder = "remove the folder to start with nothing"

const (
	segmentPrefix  = "segment-"
	snapshotPrefix = "snapshot-"
	tempSuffix     = ".tmp"
)

func segmentName(n uint64) string  { return fmt.Sprintf("%s%016d", segmentPrefix, n) }
func snapshotName(n uint64) string { return fmt.Sprintf("%s%016d", snapshotPrefix, n) }

// files is what a folder holds.
type files struct {
	segments, snapshots []uint64 // ascending
	temps               []string
}

func list(dir string) (files, error) {
	var fs files
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fs, fmt.Errorf("state folder: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasSuffix(name, tempSuffix):
			fs.temps = append(fs.temps, name)
		case strings.HasPrefix(name, segmentPrefix):
			if n, err := strconv.ParseUint(name[len(segmentPrefix):], 10, 64); err == nil {
				fs.segments = append(fs.segments, n)
			}
		case strings.HasPrefix(name, snapshotPrefix):
			if n, err := strconv.ParseUint(name[len(snapshotPrefix):], 10, 64); err == nil {
				fs.snapshots = append(fs.snapshots, n)
			}
		}
	}
	slices.Sort(fs.segments)
	slices.Sort(fs.snapshots)
	return fs, nil
}

// found is what the files of a folder turned out to be.
type found struct {
	files
	covered uint64   // the newest snapshot's number, 0 without one
	fresh   []uint64 // the segments after it
	good    int64    // the good length of the last of them
	bytes   int64    // of all that counts
	torn    *Tail
}

// Tail is the end of a log that a crash tore: it was never acknowledged.
type Tail struct {
	File   string // path
	Offset int64  // where it begins
	Bytes  int64
}

// read reads the folder into the live data, and changes nothing.
func (l *Log) read() (found, error) {
	var f found
	var err error
	if f.files, err = list(l.dir); err != nil {
		return f, err
	}
	if len(f.snapshots) > 0 {
		f.covered = f.snapshots[len(f.snapshots)-1]
		size, err := l.readSnapshot(snapshotName(f.covered))
		if err != nil {
			return f, err
		}
		f.bytes += size
	}
	f.fresh = slices.DeleteFunc(slices.Clone(f.segments), func(n uint64) bool { return n <= f.covered })
	for i, n := range f.fresh {
		if want := f.covered + 1 + uint64(i); n != want {
			return f, &CorruptError{File: l.path(segmentName(want)), Remedy: remedyFolder,
				Reason: fmt.Sprintf("the file is missing, but %q is there", segmentName(n))}
		}
		if f.good, f.torn, err = l.readSegment(n, i == len(f.fresh)-1); err != nil {
			return f, err
		}
		f.bytes += f.good
	}
	if len(f.fresh) == 0 && f.covered > 0 {
		return f, &CorruptError{File: l.path(segmentName(f.covered + 1)), Reason: "the file is missing, but the snapshot before it is there",
			Remedy: "create it empty to give up what was written since the snapshot"}
	}
	return f, nil
}

// recover reads the folder and opens the last segment for appending.
func (l *Log) recover() error {
	f, err := l.read()
	if err != nil {
		return err
	}
	if f.torn != nil {
		l.o.Log.Warn("a torn tail of the log was cut; it was never acknowledged",
			"file", f.torn.File, "offset", f.torn.Offset, "bytes", f.torn.Bytes)
	}
	if len(f.fresh) == 0 {
		if err := l.createSegment(1); err != nil {
			return err
		}
	} else {
		for _, n := range f.fresh[:len(f.fresh)-1] {
			info, err := os.Stat(l.path(segmentName(n)))
			if err != nil {
				return fmt.Errorf("log: %w", err)
			}
			l.sealed += info.Size()
		}
		if err := l.reopenSegment(f.fresh[len(f.fresh)-1], f.good); err != nil {
			return err
		}
	}
	// Only now that all has been read may what is not needed go.
	for _, name := range f.temps {
		l.o.disk.remove(l.path(name))
	}
	l.removeCovered(f.files, f.covered)
	return nil
}

// readSegment applies a segment and gives the length of its good part. Only
// the last segment may end in a torn frame.
func (l *Log) readSegment(n uint64, last bool) (good int64, torn *Tail, err error) {
	name := segmentName(n)
	data, err := readDisk(l.path(name))
	if err != nil {
		return 0, nil, fmt.Errorf("log: %w", err)
	}
	corrupt := func(off int, reason string) error {
		return &CorruptError{File: l.path(name), Offset: int64(off), Reason: reason,
			Remedy: fmt.Sprintf("give up all records from there on: truncate -s %d %q and remove the segments after it", off, l.path(name))}
	}
	if len(data) < magicSize || allZero(data) {
		if last {
			return 0, nil, nil // its creation was cut short
		}
		return 0, nil, corrupt(0, "the file has no head, but is not the last segment")
	}
	if string(data[:magicSize]) != segmentMagic {
		return 0, nil, corrupt(0, fmt.Sprintf("the file begins with %q, not with %q", data[:magicSize], segmentMagic))
	}
	off, err := readFrames(data, l.apply)
	if errors.Is(err, errTorn) && last {
		return int64(off), &Tail{File: l.path(name), Offset: int64(off), Bytes: int64(len(data) - off)}, nil
	}
	if err != nil {
		return 0, nil, corrupt(off, err.Error())
	}
	return int64(off), nil, nil
}

// readFrames gives each record of a segment's bytes to apply, and the length of
// what it could read: all of them, if there is no error.
func readFrames(data []byte, apply func(key string, value []byte, gone bool)) (good int, err error) {
	off := magicSize
	for off < len(data) {
		payload, next, err := readFrame(data, off)
		if err == nil {
			err = readBatch(payload, apply)
		}
		if err != nil {
			return off, err
		}
		off = next
	}
	return off, nil
}

func readBatch(payload []byte, apply func(key string, value []byte, gone bool)) error {
	if len(payload) == 0 || payload[0] != kindBatch {
		return fmt.Errorf("%w: a frame of an unknown kind", errDamaged)
	}
	return eachRecord(payload[1:], apply)
}

// readSnapshot applies a snapshot. It was renamed into place only when it was
// whole, so nothing in it can be torn.
func (l *Log) readSnapshot(name string) (size int64, err error) {
	data, err := readDisk(l.path(name))
	if err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	corrupt := func(off int, reason string) error {
		return &CorruptError{File: l.path(name), Offset: int64(off), Reason: reason, Remedy: remedyFolder}
	}
	if len(data) < magicSize || string(data[:magicSize]) != snapshotMagic {
		return 0, corrupt(0, fmt.Sprintf("the file does not begin with %q", snapshotMagic))
	}
	off := magicSize
	for {
		payload, next, err := readFrame(data, off)
		if err != nil {
			return 0, corrupt(off, err.Error())
		}
		if len(payload) > 0 && payload[0] == kindEnd {
			keys, _ := binary.Uvarint(payload[1:])
			if keys != uint64(len(l.live)) || next != len(data) {
				return 0, corrupt(off, fmt.Sprintf("the snapshot ends with %d keys of %d", len(l.live), keys))
			}
			return int64(len(data)), nil
		}
		if err := readBatch(payload, l.apply); err != nil {
			return 0, corrupt(off, err.Error())
		}
		off = next
	}
}

// createSegment makes segment n, durable with its name, the active one.
func (l *Log) createSegment(n uint64) error {
	f, err := l.o.disk.create(l.path(segmentName(n)))
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	_, err = f.Write([]byte(segmentMagic))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.o.disk.syncDir(l.dir)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("log: new segment %q: %w", l.path(segmentName(n)), err)
	}
	l.active, l.number, l.size = f, n, magicSize
	return nil
}

// reopenSegment makes the last segment, cut to its good length, the active one.
func (l *Log) reopenSegment(n uint64, good int64) error {
	f, err := l.o.disk.create(l.path(segmentName(n)))
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.active, l.number, l.size = f, n, good
	if err := f.Truncate(good); err != nil {
		return fmt.Errorf("log: cutting %q to %d bytes: %w", l.path(segmentName(n)), good, err)
	}
	if good == 0 {
		if _, err := f.Write([]byte(segmentMagic)); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		l.size = magicSize
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return l.o.disk.syncDir(l.dir)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
