package docker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
)

// shell is a task of one container that runs the script.
func shell(id, text string) runtime.Spec {
	c := script(text)
	c.Name, c.Essential, c.StopTimeout = "main", true, time.Hour
	return runtime.Spec{TaskID: id, Address: "127.64.8.1", Containers: []runtime.Container{c}}
}

// ready waits until the task's program has said so.
func (b *bench) ready(id string) {
	b.t.Helper()
	eventually(b.t, id+" is ready", func() bool {
		logs, err := b.Logs(b.t.Context(), id, "main", false)
		if err != nil {
			return false
		}
		defer logs.Close()
		text, err := io.ReadAll(logs)
		return err == nil && strings.Contains(string(text), "ready")
	})
}

// ends collects the ends of n tasks, by task; what else is said of a task is an
// error.
func (b *bench) ends(n int) map[string]runtime.Event {
	b.t.Helper()
	got := map[string]runtime.Event{}
	for len(got) < n {
		e := b.next(runtime.Exited)
		got[e.TaskID] = e
	}
	return got
}

func (b *bench) inspect(id string) client.ContainerInspectResult {
	b.t.Helper()
	got, err := b.docker.ContainerInspect(context.Background(), "plimsoll-"+id+"-main", client.ContainerInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func code(t *testing.T, e runtime.Event, want int) {
	t.Helper()
	if len(e.Exits) != 1 || e.Exits[0].Code != want {
		t.Errorf("%s ended with %+v, want %d", e.TaskID, e.Exits, want)
	}
}

func TestAPublishedPortLeadsToTheContainer(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	spec := shell("web", `mkdir -p /www && echo hello of $ECHO > /www/index.html && exec httpd -f -p $HOST:$PORT -h /www`)
	spec.Containers[0].StopTimeout = time.Second
	spec.Containers[0].Env = map[string]string{"ECHO": "mine"}
	spec.Containers[0].Ports = []runtime.Port{{ContainerPort: 8080}}
	b.Start(spec)
	at := b.next(runtime.Started).Bindings[0]
	if at.Address != "127.64.8.1" || at.HostPort == 0 {
		t.Fatalf("bound to %+v", at)
	}
	eventually(t, "it answers", func() bool {
		answer, err := http.Get(fmt.Sprintf("http://%s:%d/", at.Address, at.HostPort))
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return err == nil && string(text) == "hello of mine\n"
	})
	if answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", at.HostPort)); err == nil {
		answer.Body.Close()
		t.Error("it answers at another address than the host's")
	}
	b.Stop("web")
	b.next(runtime.Exited)
}

// manyStops is the number of the issue's.
const manyStops = 200

func TestStartsDoNotWaitBehindTwoHundredStops(t *testing.T) {
	if private == nil {
		t.Skip("200 containers are for a Docker Engine of the tests' own: make test-docker")
	}
	b := newBench(t, runtime.Allow{})
	for i := range manyStops {
		spec := shell(fmt.Sprintf("slow-%d", i), ignoring)
		spec.Network = "none"
		b.Start(spec)
	}
	for range manyStops {
		b.next(runtime.Started)
	}
	for i := range manyStops {
		b.ready(fmt.Sprintf("slow-%d", i))
	}
	for i := range manyStops {
		b.Stop(fmt.Sprintf("slow-%d", i))
	}
	// Each of the stops waits for an hour; whatever is said now is of the start.
	b.Start(shell("fast", trapping))
	if e := b.next(runtime.Started); e.TaskID != "fast" {
		t.Fatalf("%s was started", e.TaskID)
	}
	var kills sync.WaitGroup
	for i := range manyStops {
		kills.Go(func() {
			if _, err := b.docker.ContainerKill(context.Background(), fmt.Sprintf("plimsoll-slow-%d-main", i), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
				t.Error(err)
			}
		})
	}
	kills.Wait()
	for _, e := range b.ends(manyStops) {
		code(t, e, 137)
	}
	b.ready("fast")
	b.Stop("fast")
	code(t, b.next(runtime.Exited), 0)
}

// restart ends dockerd in the way given, has something done, and runs it again.
func (b *bench) restart(end func() error, meanwhile func(), args ...string) {
	b.t.Helper()
	if err := end(); err != nil {
		b.t.Fatal(err)
	}
	meanwhile()
	if err := private.Run(args...); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatEndsWithTheDockerEngineIsToldWithItsCode(t *testing.T) {
	if private == nil {
		t.Skip("it restarts the Docker Engine: make test-docker")
	}
	b := newBench(t, runtime.Allow{})
	polite, deaf := shell("polite", trapping), shell("deaf", ignoring)
	polite.Containers[0].StopTimeout, deaf.Containers[0].StopTimeout = 10*time.Second, time.Second
	for _, spec := range []runtime.Spec{polite, deaf} {
		b.Start(spec)
		b.next(runtime.Started)
		b.ready(spec.TaskID)
	}
	b.restart(private.Stop, func() {})
	ended := b.ends(2)
	code(t, ended["polite"], 0)
	code(t, ended["deaf"], 137)
	b.Start(shell("after", trapping))
	b.next(runtime.Started)
	b.ready("after")
	// It runs on, and without live-restore dockerd stops what it finds: asked to
	// by some versions, killed by others.
	b.restart(private.Kill, func() {})
	code(t, b.next(runtime.Exited), b.inspect("after").Container.State.ExitCode)
}

func TestWhatOutlivesTheDockerEngineRunsOn(t *testing.T) {
	if private == nil {
		t.Skip("it restarts the Docker Engine: make test-docker")
	}
	b := newBench(t, runtime.Allow{})
	b.restart(private.Stop, func() {}, "--live-restore")
	t.Cleanup(func() { b.restart(private.Stop, func() {}) })
	for _, id := range []string{"stays", "ends", "killed"} {
		b.Start(shell(id, trapping))
		b.next(runtime.Started)
		b.ready(id)
	}
	stays, ends, killed := b.inspect("stays").Container, b.inspect("ends").Container, b.inspect("killed").Container
	b.restart(private.Kill, func() {
		for pid, s := range map[int]syscall.Signal{ends.State.Pid: syscall.SIGUSR1, killed.State.Pid: syscall.SIGKILL} {
			if err := syscall.Kill(pid, s); err != nil {
				t.Error(err)
			}
		}
		for _, pid := range []int{ends.State.Pid, killed.State.Pid} {
			eventually(t, "its process is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
		}
	}, "--live-restore")
	ended := b.ends(2)
	code(t, ended["ends"], 7)
	code(t, ended["killed"], 137)
	if now := b.inspect("stays").Container; !now.State.Running || now.State.Pid != stays.State.Pid {
		t.Errorf("it was process %d, it is %+v", stays.State.Pid, now.State)
	}
	b.Stop("stays")
	code(t, b.next(runtime.Exited), 0)
	b.Start(shell("after", trapping))
	b.next(runtime.Started)
	b.ready("after")
	b.Stop("after")
	code(t, b.next(runtime.Exited), 0)
}
