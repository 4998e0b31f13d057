package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plimsoll/engine/store"
	"plimsoll/engine/tenants"
)

// What a folder of a state has that belongs to a run on this machine and to no
// backup.
const (
	tasksName    = "tasks" // the tasks' parent processes
	replacedName = "replaced-"
	incomingName = "restoring-"
	markName     = "restore-under-way"
)

// Part is a log or a file of a state.
type Part struct {
	Name string // path in the state's folder
	Log  bool   // else it is a file
	Keys int    // a log's
	Size int64  // bytes
	// Note is what is worth knowing of a part that is sound.
	Note string
	// Damage is what is wrong, with the place; empty if nothing is.
	Damage string
	// Remedy is what to do about it, other than restoring a backup.
	Remedy string
}

// stateParts gives the paths of a state's logs and files, relative to its folder.
// The queues' logs come last: an event leaves another log for them, and so is in
// one of both, or in both, when they are read in this order.
func stateParts(state string) (logs, files []string, err error) {
	err = filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && path != state {
				return nil // it went away meanwhile
			}
			return err
		}
		name := d.Name()
		rel, err := filepath.Rel(state, path)
		switch {
		case err != nil || path == state:
			return err
		case d.IsDir() && (name == tasksName || strings.HasPrefix(name, replacedName) || strings.HasPrefix(name, incomingName)):
			return fs.SkipDir
		case d.IsDir() && store.IsLog(path):
			logs = append(logs, rel)
			return fs.SkipDir
		case d.Type().IsRegular() && kept(name):
			files = append(files, rel)
		}
		return nil
	})
	slices.SortStableFunc(logs, func(a, b string) int { return order(a) - order(b) })
	return logs, files, err
}

func order(log string) int {
	if filepath.Base(log) == "queues" {
		return 1
	}
	return 0
}

// kept tells whether a file is part of a state: not of a run, and not half of
// another file.
func kept(name string) bool {
	if name == runFileName {
		return false
	}
	if name == credentialsName || name == secretName {
		return true
	}
	return strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".jsonl")
}

// CheckState reads every log and every file of a state, and changes nothing. It
// may be in use.
func CheckState(state string) ([]Part, error) {
	logs, files, err := stateParts(state)
	if err != nil {
		return nil, fmt.Errorf("--state %q: %w", state, err)
	}
	if len(logs)+len(files) == 0 {
		return nil, fmt.Errorf("--state %q: there is no state in it; name the folder that up or engine was started with", state)
	}
	var parts []Part
	for _, name := range logs {
		parts = append(parts, checkLog(state, name))
	}
	for _, name := range files {
		parts = append(parts, checkFile(state, name))
	}
	slices.SortFunc(parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	if _, err := os.Stat(filepath.Join(state, markName)); err == nil {
		parts = append(parts, Part{Name: markName, Damage: "a restore was interrupted", Remedy: errInterrupted.Error()})
	}
	return parts, nil
}

func checkLog(state, name string) Part {
	p := Part{Name: name, Log: true}
	report, err := store.Check(filepath.Join(state, name))
	var corrupt *store.CorruptError
	switch {
	case errors.As(err, &corrupt):
		p.Damage = fmt.Sprintf("%s at offset %d: %s", corrupt.File, corrupt.Offset, corrupt.Reason)
		p.Remedy = corrupt.Remedy
	case err != nil:
		p.Damage, p.Remedy = err.Error(), "make the files readable"
	}
	p.Keys, p.Size = report.Keys, report.Bytes
	if report.Torn != nil {
		p.Note = fmt.Sprintf("%d bytes at offset %d of %s were never acknowledged; the next start cuts them off",
			report.Torn.Bytes, report.Torn.Offset, report.Torn.File)
	}
	return p
}

// checkFile checks a file's form: an access key's, tenants', or JSON.
func checkFile(state, name string) Part {
	p := Part{Name: name}
	path := filepath.Join(state, name)
	data, err := os.ReadFile(path)
	if err != nil {
		p.Damage, p.Remedy = err.Error(), "make the file readable"
		return p
	}
	p.Size = int64(len(data))
	var offset int64
	switch base := filepath.Base(name); {
	case base == credentialsName:
		_, err = readCredentials(path)
		p.Remedy = "remove the file: the next start makes a new key"
	case base == tenants.FileName:
		_, err = tenants.Read(state)
		p.Remedy = "move the file away to be without tenants"
	case strings.HasSuffix(base, ".jsonl"):
		offset, err = checkLines(data)
		p.Remedy = "remove the file: it holds decisions that were made, and is not needed to start"
	case strings.HasSuffix(base, ".json"):
		var value any
		err = json.Unmarshal(data, &value)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			offset = syntax.Offset
		}
		p.Remedy = "move the file away; what it held is forgotten"
	}
	if err != nil {
		p.Damage = fmt.Sprintf("%s at offset %d: %v", path, offset, err)
	}
	return p
}

// checkLines checks a file of JSON lines, the last of which may be half written.
func checkLines(data []byte) (offset int64, err error) {
	end := bytes.LastIndexByte(data, '\n') + 1
	lines := bufio.NewReader(bytes.NewReader(data[:end]))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return offset, nil // the end
		}
		if !json.Valid(line) {
			return offset, errors.New("a line that is no JSON")
		}
		offset += int64(len(line))
	}
}

// stateDamage adds to the error of a start what helps if the state is damaged.
func stateDamage(state stateDir, err error) error {
	var corrupt *store.CorruptError
	if !errors.As(err, &corrupt) {
		return err
	}
	return fmt.Errorf("%w; for this state: plimsoll state check --state %q, plimsoll state restore FILE --overwrite --state %q", err, string(state), string(state))
}
