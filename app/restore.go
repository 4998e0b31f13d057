package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"plimsoll/engine/store"
)

var errInterrupted = errors.New("repeat plimsoll state restore FILE --overwrite: an earlier one was interrupted, and what was there before it is in the folder's " + replacedName + "…")

// Restored is what RestoreState did.
type Restored struct {
	Taken    time.Time // when the backup was
	Replaced string    // the folder that what was there before is in; empty: nothing was there
}

// RestoreState puts a backup in the place of a state that no process uses. What is
// there already is only replaced with overwrite, and is kept in a folder beside
// it. The backup is read and checked whole before anything is changed. What runs
// on this machine stays: the next start adopts the tasks that the backup knows,
// and ends the others.
func RestoreState(state, file string, overwrite bool, now time.Time) (r Restored, err error) {
	dir, err := openFolder(state)
	if err != nil {
		return r, err
	}
	release, err := holdLogs(string(dir))
	if err != nil {
		return r, err
	}
	defer release()
	logs, files, err := stateParts(string(dir))
	if err != nil {
		return r, fmt.Errorf("--state %q: %w", state, err)
	}
	if len(logs)+len(files) > 0 && !overwrite {
		return r, fmt.Errorf("--state %q: there is a state in it; --overwrite replaces it and keeps it in %s… beside the new one", state, replacedName)
	}
	incoming, err := os.MkdirTemp(string(dir), incomingName)
	if err != nil {
		return r, fmt.Errorf("--state %q: %w", state, err)
	}
	defer func() { _ = os.RemoveAll(incoming) }()
	if r.Taken, err = unpack(file, incoming); err != nil {
		return r, fmt.Errorf("backup %q: %w; nothing has been changed", file, err)
	}
	newLogs, newFiles, err := soundParts(incoming)
	if err != nil {
		return r, fmt.Errorf("backup %q: %w; nothing has been changed", file, err)
	}
	// From here on a start is refused until all is in its place.
	mark := dir.path(markName)
	if err := errors.Join(dir.writeFile(markName, []byte(now.UTC().Format(time.RFC3339)+"\n")), syncFolder(string(dir))); err != nil {
		return r, fmt.Errorf("--state %q: %w", state, err)
	}
	if len(logs)+len(files) > 0 {
		r.Replaced = dir.path(replacedName + now.UTC().Format("20060102T150405.000"))
		if err := moveParts(string(dir), r.Replaced, append(logs, files...)); err != nil {
			return r, fmt.Errorf("--state %q: %w", state, err)
		}
	}
	if err := moveParts(incoming, string(dir), append(newLogs, newFiles...)); err != nil {
		return r, fmt.Errorf("--state %q: %w", state, err)
	}
	if err := errors.Join(os.Remove(mark), syncFolder(string(dir))); err != nil {
		return r, fmt.Errorf("--state %q: %w", state, err)
	}
	return r, nil
}

// soundParts gives the parts of what was unpacked, all of which are sound.
func soundParts(dir string) (logs, files []string, err error) {
	parts, err := CheckState(dir)
	if err != nil {
		return nil, nil, errors.New("it holds no state")
	}
	for _, p := range parts {
		if p.Damage != "" {
			return nil, nil, fmt.Errorf("%s is damaged: %s", p.Name, p.Damage)
		}
	}
	return stateParts(dir)
}

// moveParts moves files and folders, by their path in from, to the same in to.
func moveParts(from, to string, names []string) error {
	folders := map[string]bool{to: true, from: true}
	for _, name := range names {
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		// A folder of a log that was never begun is in the way.
		if info, err := os.Stat(target); err == nil && info.IsDir() {
			_ = os.Remove(filepath.Join(target, "lock"))
			_ = os.Remove(target)
		}
		if err := os.Rename(filepath.Join(from, name), target); err != nil {
			return err
		}
		folders[filepath.Dir(target)], folders[filepath.Dir(filepath.Join(from, name))] = true, true
	}
	for folder := range folders {
		if err := syncFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

// holdLogs locks every log of a state, so that no engine starts on it; one that
// runs is an error.
func holdLogs(state string) (release func(), err error) {
	var held []io.Closer
	release = func() {
		for _, h := range held {
			_ = h.Close() // a lock ends with its file
		}
	}
	logs, _, err := stateParts(state)
	if err != nil {
		return nil, fmt.Errorf("--state %q: %w", state, err)
	}
	for _, name := range logs {
		h, err := store.Hold(filepath.Join(state, name))
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, h)
	}
	return release, nil
}
