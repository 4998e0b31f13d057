package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"plimsoll/app"
)

// runFile is what a running Plimsoll tells about itself, in its state's folder.
const runFile = "plimsoll.json"

// errNotRunning is wrapped by the error of a command that needs a running
// Plimsoll and finds none.
var errNotRunning = errors.New("nothing is running")

// running reads the run file of a state and makes sure that the process it
// names is alive and is that process.
func running(state string) (app.RunFile, error) {
	var run app.RunFile
	path := filepath.Join(state, runFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return run, notRunning(state)
	}
	if err != nil {
		return run, err
	}
	if err := json.Unmarshal(text, &run); err != nil {
		return run, fmt.Errorf("%s is damaged (%w); end what runs with the state %q by its process id, and start it again", path, err, state)
	}
	if !run.Ended.IsZero() {
		return run, notRunning(state)
	}
	if !isProcess(run.PID, run.Started) {
		return run, fmt.Errorf("%w: process %d ended without stopping its tasks; plimsoll up (or engine) with --state %q finds them again", errNotRunning, run.PID, state)
	}
	return run, nil
}

func notRunning(state string) error {
	return fmt.Errorf("%w with the state %q; start it with plimsoll up (or engine), or name its folder with --state", errNotRunning, state)
}

// isProcess tells whether the process lives and is the one that wrote a run
// file at the time given. A process that has got the same id since began later.
func isProcess(pid int, wrote time.Time) bool {
	if pid <= 0 {
		return false
	}
	began, state, err := processStart(pid)
	// The kernel tells the start to a hundredth of a second, from a boot time
	// in whole seconds.
	return err == nil && state != "Z" && !began.After(wrote.Add(2*time.Second))
}

// processStart reads from /proc when a process began, and its state.
func processStart(pid int) (time.Time, string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, "", err
	}
	// The second field is the program's name in brackets, which may hold spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const startTime = 19 // the 22nd field of all
	if len(fields) <= startTime {
		return time.Time{}, "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	ticks, err := strconv.ParseInt(fields[startTime], 10, 64)
	if err != nil {
		return time.Time{}, "", err
	}
	boot, err := bootTime()
	const ticksPerSecond = 100 // USER_HZ, fixed on Linux
	return boot.Add(time.Duration(ticks) * time.Second / ticksPerSecond), fields[0], err
}

func bootTime() (time.Time, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(text)) {
		if seconds, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat has no btime")
}
