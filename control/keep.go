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
	Hosts     scale.HostMemory          `json:"hosts,omitzero"`
}

const keptVersion = 1

// load reads the file of an earlier loop. What a damaged one held can be lost
// without harm, since lost memory shrinks nothing.
func load(dir string, log *slog.Logger) (kept, error) {
	var k kept
	_, err := readKept(dir, keptFile, keptVersion, log, &k)
	return k, err
}

// readKept reads a file of the state folder, and tells whether it was there. A
// file that cannot be understood is moved aside with a warning.
func readKept[T any](dir, name string, version int, log *slog.Logger, into *T) (known bool, err error) {
	if dir == "" {
		return false, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("make the state folder %q: %w", dir, err)
	}
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the loop's state: %w", err)
	}
	var value T
	var written struct{ Version int }
	if err = errors.Join(json.Unmarshal(content, &value), json.Unmarshal(content, &written)); err == nil && written.Version != version {
		err = fmt.Errorf("version %d, and this program knows version %d", written.Version, version)
	}
	if err == nil {
		*into = value
		return true, nil
	}
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return false, fmt.Errorf("move the damaged file aside: %w", err)
	}
	log.Warn("the loop's state cannot be understood; what it held is forgotten", "file", path, "moved to", aside, "error", err)
	return false, nil
}

// save puts a new file in place of the old one.
func save(dir string, k kept) error {
	k.Version = keptVersion
	return replaceKept(dir, keptFile, k)
}

// replaceKept replaces a file of the state folder, whole or not at all; it
// returns when that is on disk.
func replaceKept(dir, name string, value any) error {
	if dir == "" {
		return nil
	}
	content, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return fmt.Errorf("write the loop's state: %w", err)
	}
	path := filepath.Join(dir, name)
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
	state := l.State()
	memory := state.Plan.Memory
	if memory.Services == nil {
		return
	}
	if err := save(l.opts.Dir, kept{Overrides: overrides, Memory: memory, Hosts: state.Hosts.Memory}); err != nil {
		l.log.Warn("the decisions' memory cannot be written", "error", err)
	}
	l.savePasts(memory)
}
