package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is `plimsoll up` on the example, as a user runs it.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan error
	log   *output
	run   struct{ UI, Router, AWS string }
}

// output gathers what the program prints, from another goroutine.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// build makes the program and the example, and gives the program's path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "plimsoll")
	for target, pkg := range map[string]string{binary: "../cmd/plimsoll", "../examples/tiles/bin/tiles": "../examples/tiles"} {
		if out, err := exec.Command("go", "build", "-o", target, pkg).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
	}
	return binary
}

// up starts the program and waits until it serves.
func up(t *testing.T, binary, state string, args ...string) *program {
	t.Helper()
	p := &program{t: t, ended: make(chan error, 1), log: &output{}}
	p.cmd = exec.Command(binary, append([]string{"up", "-f", "../examples/tiles/compose.yaml", "--state", state,
		"--ui", "127.0.0.1:0", "--router", "127.0.0.1:0", "--aws", "127.0.0.1:0"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the program printed:\n%s", p.log)
		}
	})
	p.await("the run file", func() bool {
		var run struct {
			PID             int
			UI, Router, AWS string
		}
		data, err := os.ReadFile(filepath.Join(state, "plimsoll.json"))
		if err != nil || json.Unmarshal(data, &run) != nil || run.PID != p.cmd.Process.Pid {
			return false
		}
		p.run.UI, p.run.Router, p.run.AWS = run.UI, run.Router, run.AWS
		return true
	})
	return p
}

func (p *program) await(what string, so func() bool) {
	p.t.Helper()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			p.t.Fatalf("the program ended (%v) before %s came", err, what)
		default:
		}
	}
	p.t.Fatalf("%s did not come", what)
}

type restTask struct {
	ID, Service, LastStatus string
	StartedAt               time.Time
}

func (p *program) running() map[string]restTask {
	p.t.Helper()
	answer, err := http.Get(p.run.UI + "/v1/tasks")
	if err != nil {
		return nil
	}
	defer func() { _ = answer.Body.Close() }()
	var list struct{ Tasks []restTask }
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		p.t.Fatal(err)
	}
	running := map[string]restTask{}
	for _, task := range list.Tasks {
		if task.LastStatus == "RUNNING" {
			running[task.ID] = task
		}
	}
	return running
}

func count(tasks map[string]restTask, service string) int {
	n := 0
	for _, t := range tasks {
		if t.Service == service {
			n++
		}
	}
	return n
}

// processes finds the tasks' parent processes of a state folder and their
// children, by task id.
func processes(t *testing.T, state string) map[string][]int {
	t.Helper()
	shims := map[int]string{}
	parents := map[int]int{}
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if command, err := os.ReadFile(entry + "/cmdline"); err == nil {
			for _, arg := range strings.Split(string(command), "\x00") {
				if strings.HasPrefix(arg, filepath.Join(state, "tasks")+"/") {
					shims[pid] = filepath.Base(arg)
				}
			}
		}
		if stat, err := os.ReadFile(entry + "/stat"); err == nil {
			fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
			if len(fields) > 1 && fields[0] != "Z" {
				parents[pid], _ = strconv.Atoi(fields[1])
			}
		}
	}
	found := map[string][]int{}
	for shim, id := range shims {
		found[id] = nil
		for pid, parent := range parents {
			if parent == shim {
				found[id] = append(found[id], pid)
			}
		}
	}
	return found
}

func TestAKilledEngineFindsTheSameTasksRunningAndNoneDoubled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program and runs the example under load")
	}
	binary, state := build(t), filepath.Join(t.TempDir(), "state")
	first := up(t, binary, state, "--load")
	first.await("tasks of tiles and thumbs", func() bool {
		running := first.running()
		return count(running, "tiles") >= 1 && count(running, "thumbs") >= 1
	})
	time.Sleep(3 * time.Second) // the load does its work: requests, messages, changes of count

	before := first.running()
	if err := first.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	survivors := processes(t, state)
	if len(survivors) == 0 {
		t.Fatal("no task outlived the engine")
	}

	second := up(t, binary, state)
	second.await("the same tasks", func() bool { return len(second.running()) >= min(len(before), len(survivors))/2 })
	after := second.running()
	same := 0
	for id, task := range after {
		if old, ok := before[id]; ok {
			same++
			if !old.StartedAt.Equal(task.StartedAt) {
				t.Errorf("task %s of %s was started at %v, and after the restart at %v", id, task.Service, old.StartedAt, task.StartedAt)
			}
		}
	}
	if same == 0 {
		t.Errorf("none of the %d tasks that ran before the kill is among the %d after it", len(before), len(after))
	}
	now := processes(t, state)
	for id, children := range now {
		if len(children) > 1 {
			t.Errorf("task %s runs %d times: pids %v", id, len(children), children)
		}
		if old := survivors[id]; len(old) == 1 && len(children) == 1 && old[0] != children[0] {
			t.Errorf("task %s had pid %d and has %d: it was started again", id, old[0], children[0])
		}
	}

	if err := second.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-second.ended:
		second.ended <- err
		if err != nil {
			t.Errorf("Ctrl-C ended the program with %v; want exit status 0", err)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the program did not end after Ctrl-C")
	}
	if left := processes(t, state); len(left) > 0 {
		t.Errorf("processes of tasks %v are left behind", slices.Collect(maps.Keys(left)))
	}
}

func TestASecondUpOnTheSameStateIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program and runs the example")
	}
	binary, state := build(t), filepath.Join(t.TempDir(), "state")
	first := up(t, binary, state)
	second := exec.Command(binary, "up", "-f", "../examples/tiles/compose.yaml", "--state", state,
		"--ui", "127.0.0.1:0", "--router", "127.0.0.1:0", "--aws", "127.0.0.1:0")
	out, err := second.CombinedOutput()
	if second.ProcessState.ExitCode() != 1 {
		t.Fatalf("a second up gave %v; want exit status 1\n%s", err, out)
	}
	if !strings.Contains(string(out), fmt.Sprint(first.cmd.Process.Pid)) {
		t.Errorf("the refusal does not name the process %d that holds the state:\n%s", first.cmd.Process.Pid, out)
	}
	if len(first.running()) == 0 {
		first.await("running tasks", func() bool { return len(first.running()) > 0 })
	}
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-first.ended
}
