package process_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
	"plimsoll/engine/runtime/process/shim"
	"plimsoll/engine/runtime/runtimetest"
)

// address is a host's loopback address in these tests.
const address = "127.64.7.1"

// The scripts of the contract's programs. A sleep in the background lets the
// shell take signals at once.
const (
	trapScript   = `trap 'exit 0' TERM; trap 'exit 7' USR1; echo ready; while :; do sleep 1000 & wait $!; done`
	ignoreScript = `trap 'echo ignored' TERM; trap 'exit 7' USR1; echo ready; while :; do sleep 1000 & wait $!; done`
)

func script(text string) runtime.Container {
	return runtime.Container{EntryPoint: []string{"/bin/sh", "-c"}, Command: []string{text}}
}

func TestTheProcessRuntimeKeepsTheContract(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		dir := t.TempDir()
		return runtimetest.Harness{
			Address:  address,
			Idle:     func() bool { return idle(t, dir) },
			FreePort: freePort(t),
			New: func(t *testing.T, sink runtime.Sink) runtime.Runtime {
				return newRuntime(t, process.Options{Dir: dir}, sink)
			},
			Drop: func(t *testing.T, r runtime.Runtime) {
				if err := r.(*process.Runtime).Close(); err != nil {
					t.Error(err)
				}
			},
			Container: func(p runtimetest.Program) runtime.Container {
				return map[runtimetest.Program]runtime.Container{
					runtimetest.Trap:      script(trapScript),
					runtimetest.Ignore:    script(ignoreScript),
					runtimetest.Missing:   {Command: []string{"no-such-program"}},
					runtimetest.Once:      script("echo ready"),
					runtimetest.OnceBadly: script("echo ready; exit 7"),
				}[p]
			},
			Check: func(healthy bool) []string { return []string{"CMD-SHELL", fmt.Sprint(healthy)} },
			End: func(t *testing.T, taskID, container string) {
				if id, ok := living(dir, taskID, container); ok {
					if err := syscall.Kill(id.PID, syscall.SIGUSR1); err != nil {
						t.Error(err)
					}
				}
			},
			Identity: func(t *testing.T, taskID, container string) string {
				id, ok := living(dir, taskID, container)
				if !ok {
					return ""
				}
				return fmt.Sprint(id.PID, "/", id.Start)
			},
		}
	})
}

// newRuntime makes a runtime without cgroups unless they are asked for: they
// are tested by themselves.
func newRuntime(t testing.TB, o process.Options, sink runtime.Sink) *process.Runtime {
	t.Helper()
	if o.Cgroup == "" {
		o.NoCgroups = true
	}
	if o.Shim == nil {
		o.Shim = shimOfTests()
	}
	r, err := process.New(o, sink)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// idle tells whether no shim has a task's lock.
func idle(t testing.TB, dir string) bool {
	t.Helper()
	locks, err := filepath.Glob(filepath.Join(dir, "*", shim.LockFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range locks {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		held := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
		f.Close()
		if held {
			return false
		}
	}
	return true
}

// living gives the process of a container if it is alive.
func living(dir, taskID, container string) (shim.Identity, bool) {
	state, err := shim.ReadState(filepath.Join(dir, taskID))
	if err != nil {
		return shim.Identity{}, false
	}
	for _, id := range state.Containers {
		if id.Name == container {
			return id.Identity, id.PID > 0 && alive(id.Identity)
		}
	}
	return shim.Identity{}, false
}

func alive(id shim.Identity) bool {
	st, err := shim.ReadStat(id.PID)
	return err == nil && st.Start == id.Start && st.State != 'Z'
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
