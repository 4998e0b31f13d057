package process_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
)

// The test binary is also the tests' helper program: a variable of the
// environment says which.
const helperVariable = "PLIMSOLL_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "listen":
		listen()
	case "engine":
		engine(os.Getenv("DIR"))
	default:
		os.Exit(m.Run())
	}
}

// listen accepts connections on $LISTEN:$PORT until it is killed.
func listen() {
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("LISTEN"), os.Getenv("PORT")))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

// engine is an engine that runs two tasks and waits to be killed.
func engine(dir string) {
	events := make(chan runtime.Event, 10)
	r, err := process.New(process.Options{Dir: dir, NoCgroups: true}, func(e runtime.Event) { events <- e })
	if err == nil {
		err = r.Adopt(context.Background(), nil)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, id := range []string{"lives", "ends"} {
		r.Start(task(id, script(trapScript)))
		if e := <-events; e.Kind != runtime.Started {
			fmt.Println(e)
			os.Exit(1)
		}
	}
	fmt.Println("started")
	select {}
}

// task is a task of one essential container, "main".
func task(id string, c runtime.Container) runtime.Spec {
	c.Name, c.Essential = "main", true
	if c.StopTimeout == 0 {
		c.StopTimeout = time.Minute
	}
	return runtime.Spec{TaskID: id, Address: address, Containers: []runtime.Container{c}}
}

// bench is a runtime with its folder and events, for one test.
type bench struct {
	*process.Runtime
	t      *testing.T
	dir    string
	events chan runtime.Event
}

func newBench(t *testing.T, o process.Options) *bench {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	b := &bench{t: t, dir: o.Dir, events: make(chan runtime.Event, 1000)}
	b.Runtime = newRuntime(t, o, func(e runtime.Event) { b.events <- e })
	t.Cleanup(func() {
		b.Close()
		// What a failed test leaves behind is ended by one that knows nothing.
		last := newRuntime(t, o, func(runtime.Event) {})
		if err := last.Adopt(context.Background(), nil); err != nil {
			t.Error(err)
		}
		eventually(t, "nothing is at work", func() bool { return idle(t, o.Dir) })
		last.Close()
	})
	return b
}

// next waits for the next event of the task's own course and checks its kind.
func (b *bench) next(want runtime.Kind) runtime.Event {
	b.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e := <-b.events:
			if e.Kind == runtime.Changed && want != runtime.Changed {
				continue
			}
			if e.Kind != want {
				b.t.Fatalf("%s instead of %s: %+v", e.Kind, want, e)
			}
			return e
		case <-timeout:
			b.t.Fatalf("no %s within 30 s", want)
			return runtime.Event{}
		}
	}
}

// run runs a task to its end and gives what it printed.
func (b *bench) run(spec runtime.Spec) (output string, end runtime.Event) {
	b.t.Helper()
	b.Start(spec)
	b.next(runtime.Started)
	end = b.next(runtime.Exited)
	return b.output(spec.TaskID), end
}

func (b *bench) output(taskID string) string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, taskID, "container-main.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is made with the first output
		b.t.Fatal(err)
	}
	return string(data)
}

// fails starts a task that cannot start and gives the reason.
func (b *bench) fails(spec runtime.Spec) string {
	b.t.Helper()
	b.Start(spec)
	return b.next(runtime.StartFailed).Reason
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, text)
		}
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a task as another user")
	}
}
