package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// script is what each task runs: it writes its id and its process id down, and
// ends with 21 or 22 when it is told to.
const script = `trap 'exit 21' USR1; trap 'exit 22' USR2; trap 'exit 0' TERM
echo "$ECS_AGENT_URI $$" >> "$1"
while :; do sleep 1000 & wait $!; done`

// told are the signals that end a task with a code, and the codes.
var told = []struct {
	signal syscall.Signal
	code   int32
}{{syscall.SIGUSR1, 21}, {syscall.SIGUSR2, 22}}

// ledger is the file that the tasks write themselves into.
type ledger struct{ path string }

// newLedger makes one that every user may write.
func newLedger(t *testing.T) ledger {
	t.Helper()
	dir, err := os.MkdirTemp("", "plimsoll-chaos-tasks-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := ledger{filepath.Join(dir, "started")}
	t.Cleanup(func() {
		for pid := range processesNaming(l.path) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	if err := os.WriteFile(l.path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, l.path: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// started gives the process ids that each task has had, by the task's id.
func (l ledger) started() (map[string][]int, error) {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return nil, err
	}
	pids := map[string][]int{}
	for line := range strings.Lines(string(text)) {
		uri, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		_, id, named := strings.Cut(uri, "/api/")
		id, _, cut := strings.Cut(id, "-")
		pid, err := strconv.Atoi(number)
		if !ok || !named || !cut || err != nil {
			return nil, fmt.Errorf("the ledger has the line %q", line)
		}
		pids[id] = append(pids[id], pid)
	}
	return pids, nil
}

// alive tells whether a process runs and is the task's. Its number alone would not
// do: it may be another task's by now.
func (l ledger) alive(task string, pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(line, []byte(l.path)) {
		return false
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(environ, []byte("/api/"+task+"-"))
}

// processesNaming gives the processes whose command lines name a path, and those.
func processesNaming(path string) map[int]string {
	lines := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return lines
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(path)) {
			lines[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return lines
}
