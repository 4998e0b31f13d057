package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"plimsoll/scale"
)

// keptFile is where a loop keeps what the next one has to know.
const keptFile = "control.json"

// kept is the content of the file.
type kept struct {
	Version   int                       `json:"version"`
	Overrides map[string]scale.Override `json:"overrides"`
	Memory    scale.Memory              `json:"memory"`
}

const keptVersion = 1

// load reads the file of an earlier loop. A file that cannot be understood is
// moved aside with a warning: what it held can be lost without harm, since lost
// memory shrinks nothing.
func load(dir string, log *slog.Logger) (kept, error) {
	var k kept
	if dir == "" {
		return k, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, fmt.Errorf("make the state folder %q: %w", dir, err)
	}
	path := filepath.Join(dir, keptFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the loop's state: %w", err)
	}
	err = json.Unmarshal(content, &k)
	if err == nil && k.Version != keptVersion {
		err = fmt.Errorf("version %d, and this program knows version %d", k.Version, keptVersion)
	}
	if err == nil {
		return k, nil
	}
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return kept{}, fmt.Errorf("move the damaged file aside: %w", err)
	}
	log.Warn("the loop's state cannot be understood; floors and pauses are forgotten", "file", path, "moved to", aside, "error", err)
	return kept{}, nil
}

// save puts a new file in place of the old one, whole or not at all.
func save(dir string, k kept) error {
	if dir == "" {
		return nil
	}
	k.Version = keptVersion
	content, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return fmt.Errorf("write the loop's state: %w", err)
	}
	path := filepath.Join(dir, keptFile)
	if err := writeSynced(path+".new", content); err != nil {
		return fmt.Errorf("write the loop's state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the loop's state: %w", err)
	}
	return syncFolder(dir)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the state folder: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// saveMemory writes down the newest memory, so that the next loop's windows and
// cool-downs go on where these stop.
func (l *Loop) saveMemory() {
	l.file.Lock()
	defer l.file.Unlock()
	l.mu.Lock()
	overrides := l.overrides
	l.mu.Unlock()
	memory := l.State().Plan.Memory
	if memory.Services == nil {
		return
	}
	if err := save(l.opts.Dir, kept{Overrides: overrides, Memory: memory}); err != nil {
		l.log.Warn("the decisions' memory cannot be written", "error", err)
	}
}
