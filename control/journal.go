package control

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// What the journal keeps in memory and on disk.
const (
	keptDecisions = 1000
	keptEvents    = 2000
	journalFile   = "decisions.jsonl"
	journalOld    = "decisions.1.jsonl"
	journalBytes  = 5 << 20
)

// journal keeps the newest decisions and events, and writes the decisions to a
// file, one JSON object a line. When the file is full it takes the place of the
// one before it. Not being able to write it stops nothing.
type journal struct {
	mu        sync.Mutex
	decisions *ring[Decision]
	events    *ring[Event]
	decided   uint64
	seen      uint64
	last      map[string]Decision // by service
	dir       string
	log       *slog.Logger
	broken    bool // the last write failed, and that was said
}

func newJournal(dir string, log *slog.Logger) *journal {
	return &journal{
		decisions: newRing[Decision](keptDecisions),
		events:    newRing[Event](keptEvents),
		last:      map[string]Decision{},
		dir:       dir, log: log,
	}
}

// decide records a decision. One that came to nothing and only repeats the
// service's last is not recorded again; then the result is false.
func (j *journal) decide(d Decision) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.last[d.Service]; ok && d.Outcome != "done" &&
		old.From == d.From && old.To == d.To && old.Outcome == d.Outcome {
		return false
	}
	j.decided++
	d.Seq = j.decided
	j.last[d.Service] = d
	j.decisions.add(d)
	err := j.write(d)
	if err != nil && !j.broken {
		j.log.Warn("the journal of decisions cannot be written", "error", err)
	}
	j.broken = err != nil
	return true
}

// write appends a decision to the file.
func (j *journal) write(d Decision) error {
	if j.dir == "" {
		return nil
	}
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, journalFile)
	if info, err := os.Stat(path); err == nil && info.Size()+int64(len(line)) >= journalBytes {
		if err := os.Rename(path, filepath.Join(j.dir, journalOld)); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// event records an event.
func (j *journal) event(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seen++
	e.Seq = j.seen
	j.events.add(e)
}

func (j *journal) decisionsSince(seq uint64) []Decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decisions.since(func(d *Decision) bool { return d.Seq > seq })
}

func (j *journal) eventsSince(seq uint64) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events.since(func(e *Event) bool { return e.Seq > seq })
}
