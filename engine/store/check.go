package store

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// Report is what Check found in a log that is sound.
type Report struct {
	Keys  int   // keys that have a value
	Bytes int64 // of the files that count
	// Torn is an end that the next Open cuts off; nil without one. While the log
	// is being written it may be an append that is under way.
	Torn *Tail
}

// The tries of a reader that a compaction may overtake, and the time between.
const (
	readTries = 5
	readPause = 20 * time.Millisecond
)

// Check reads the log in dir and changes nothing; it may be open elsewhere. Its
// error is Open's: a *CorruptError if the log is damaged.
func Check(dir string) (Report, error) {
	l, f, err := readOnly(dir)
	if err != nil {
		return Report{}, err
	}
	return Report{Keys: len(l.live), Bytes: f.bytes, Torn: f.torn}, nil
}

// Copy writes the log in dir, as it is at one moment, to the folder to, which
// must not be there. It may be open elsewhere: all that was acknowledged when Copy
// was called is in the copy.
func Copy(dir, to string) error {
	l, _, err := readOnly(dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("copy of the log: %w", err)
	}
	c := &Log{dir: to, o: l.o}
	if err := c.writeSnapshot(c.path(snapshotName(1)), l.live); err != nil {
		return fmt.Errorf("copy of the log: %w", err)
	}
	if err := c.createSegment(2); err != nil {
		return err
	}
	return c.active.Close()
}

// readOnly reads a log without its lock. What seems wrong because a compaction
// changed the folder meanwhile is right at the next try.
func readOnly(dir string) (*Log, found, error) {
	for try := 1; ; try++ {
		l := &Log{dir: dir, live: map[string][]byte{}, o: Options{Log: slog.New(slog.DiscardHandler), disk: osDisk{}}}
		f, err := l.read()
		if err == nil || try == readTries {
			return l, f, err
		}
		time.Sleep(readPause)
	}
}

// Hold takes the lock of the log in dir without opening it, so that nobody else
// does: an ErrLocked says that somebody has it.
func Hold(dir string) (io.Closer, error) { return acquire(dir) }

// IsLog tells whether a folder has the files of a log.
func IsLog(dir string) bool {
	fs, err := list(dir)
	return err == nil && len(fs.segments)+len(fs.snapshots) > 0
}
