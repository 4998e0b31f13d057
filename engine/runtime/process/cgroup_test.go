package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
)

// withCgroups is a runtime with a cgroup of its own, or a reason to skip.
func withCgroups(t *testing.T) (*bench, string) {
	t.Helper()
	name := fmt.Sprintf("plimsoll-test-%d", os.Getpid())
	b := newBench(t, process.Options{Cgroup: name})
	found, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err != nil && len(found) == 0 {
		t.Skip("cgroups cannot be written here")
	}
	return b, name
}

func TestAContainerHasItsShareAndItsLimitAndNoTraceOfThemStays(t *testing.T) {
	b, name := withCgroups(t)
	s := script(trapScript)
	s.CPU, s.Memory = 256, 64
	b.Start(task("limited", s))
	b.next(runtime.Started)
	pid := b.state("limited").Containers[0].PID
	shim := b.state("limited").Shim.PID
	limits := map[string]string{
		"/sys/fs/cgroup/cpu/" + name + "/limited.0/cpu.shares":               "256",
		"/sys/fs/cgroup/memory/" + name + "/limited.0/memory.limit_in_bytes": strconv.Itoa(64 << 20),
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		limits = map[string]string{"/sys/fs/cgroup/" + name + "/limited.0/memory.max": strconv.Itoa(64 << 20)}
	}
	for path, want := range limits {
		got, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q, %v, want %s", path, got, err, want)
		}
		procs, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup.procs"))
		if err != nil || !strings.Contains("\n"+string(procs), fmt.Sprintf("\n%d\n", pid)) {
			t.Errorf("%s: process %d is not in %q, %v", path, pid, procs, err)
		}
		tasks, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "tasks"))
		if strings.Contains("\n"+string(procs)+string(tasks), fmt.Sprintf("\n%d\n", shim)) {
			t.Errorf("%s: the shim is in it too", path)
		}
	}
	b.Stop("limited")
	b.next(runtime.Exited)
	b.Close()
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil || len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
}

func TestAContainerThatOutgrowsItsMemoryIsEndedAndTheReasonSaid(t *testing.T) {
	b, _ := withCgroups(t)
	s := script(`x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done`)
	s.Memory = 16
	_, end := b.run(task("hungry", s))
	if len(end.Exits) != 1 || end.Exits[0].Code != 137 || !end.Exits[0].OOM || !strings.Contains(end.Exits[0].Reason, "OutOfMemoryError") {
		t.Errorf("got %+v", end)
	}
}

func TestWhatForksForEverIsEnded(t *testing.T) {
	b, _ := withCgroups(t)
	// Each process forks its successor into a new session and ends, so that a
	// kill always comes too late for somebody.
	s := script(`echo ready; exec sh -c 'setsid sh -c "$0" "$0" & sleep 0.01; wait' 'sleep 0.002; setsid sh -c "$0" "$0" &'`)
	b.Start(task("bomb", s))
	b.next(runtime.Started)
	eventually(t, "it has begun", func() bool { return strings.Contains(b.output("bomb"), "ready") })
	b.Stop("bomb")
	b.next(runtime.Exited)
}
