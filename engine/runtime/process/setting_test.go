package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process"
)

func TestUlimitsHoldFromTheFirstInstruction(t *testing.T) {
	b := newBench(t, process.Options{})
	c := script("ulimit -Sn; ulimit -Hn; ulimit -c")
	c.Setting.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core", Soft: 0, Hard: 0}}
	if got, _ := b.run(task("limited", c)); got != "100\n200\n0\n" {
		t.Errorf("got %q", got)
	}
	c.Setting.Ulimits = []runtime.Ulimit{{Name: "dreams", Soft: 1, Hard: 1}}
	contains(t, b.fails(task("unknown", c)), "dreams", "nofile")
}

func TestAHealthCheckRunsInTheContainersOwnSetting(t *testing.T) {
	b := newBench(t, process.Options{})
	out := filepath.Join(t.TempDir(), "out")
	c := script("exec sleep 1000")
	c.Env = map[string]string{"OUT": out, "COLOUR": "green"}
	c.WorkingDir = "/usr"
	c.User = "0"
	c.Setting.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 123, Hard: 123}}
	c.HealthCheck = &order.Health{
		Command:  []string{"CMD-SHELL", `echo $COLOUR $PWD $(ulimit -n) > $OUT.new; mv $OUT.new $OUT`},
		Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Retries: 1,
	}
	needsRoot(t)
	b.Start(task("web", c))
	b.next(runtime.Started)
	for e := b.next(runtime.Changed); e.States[0].Health != order.HealthHealthy; e = b.next(runtime.Changed) {
	}
	contains(t, strings.TrimSpace(read(t, out)), "green /usr 123")
	b.Stop("web")
	b.next(runtime.Exited)
}

func TestAHealthCheckThatHangsIsAFailure(t *testing.T) {
	b := newBench(t, process.Options{})
	c := script("exec sleep 1000")
	c.HealthCheck = &order.Health{
		Command: []string{"CMD", "sleep", "1000"}, Interval: 20 * time.Millisecond, Timeout: 50 * time.Millisecond, Retries: 2,
	}
	b.Start(task("web", c))
	b.next(runtime.Started)
	if e := b.next(runtime.Changed); e.States[0].Health != order.HealthUnhealthy {
		t.Errorf("got %+v", e.States)
	}
	b.Stop("web")
	b.next(runtime.Exited)
}

func TestTheContainerThatCouldNotStartIsNamed(t *testing.T) {
	b := newBench(t, process.Options{})
	spec := task("half", script("exec sleep 1000"))
	bad := runtime.Container{Name: "bad", Command: []string{"no-such-program"}}
	spec.Containers = append(spec.Containers, bad)
	b.Start(spec)
	e := b.next(runtime.StartFailed)
	if len(e.States) != 1 || e.States[0].Container != "bad" || e.States[0].Reason == "" {
		t.Errorf("states %+v", e.States)
	}
}

func TestAFileOfAnotherMachineSaysSo(t *testing.T) {
	b := newBench(t, process.Options{})
	path := filepath.Join(t.TempDir(), "program")
	write(t, path, "\x7fELF but of nothing that runs here")
	contains(t, b.fails(task("alien", runtime.Container{Command: []string{path}})), "CannotStartContainerError", "not a program of this machine")
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write writes an executable file.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
