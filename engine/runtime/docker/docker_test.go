package docker_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/runtimetest"
)

func TestTheDockerRuntimeKeepsTheContract(t *testing.T) {
	c := connect(t)
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		owner := t.Name()
		t.Cleanup(func() { removeAll(t, c, owner) })
		find := func(taskID, container string) client.ContainerInspectResult {
			got, _ := c.ContainerInspect(context.Background(), "plimsoll-"+taskID+"-"+container, client.ContainerInspectOptions{})
			return got
		}
		return runtimetest.Harness{
			Address:  "127.64.8.1",
			FreePort: freePort(t),
			New: func(t *testing.T, sink runtime.Sink) runtime.Runtime {
				return docker.New(docker.Options{Owner: owner}, sink)
			},
			Drop: func(t *testing.T, r runtime.Runtime) {
				if err := r.(*docker.Runtime).Close(); err != nil {
					t.Error(err)
				}
			},
			Container: func(p runtimetest.Program) runtime.Container {
				return map[runtimetest.Program]runtime.Container{
					runtimetest.Trap:      script(trapping),
					runtimetest.Ignore:    script(ignoring),
					runtimetest.Missing:   {Image: "127.0.0.1:1/no-such-image"},
					runtimetest.Once:      script("echo ready"),
					runtimetest.OnceBadly: script("echo ready; exit 7"),
				}[p]
			},
			Check: func(healthy bool) []string {
				return []string{"CMD", map[bool]string{true: "true", false: "false"}[healthy]}
			},
			End: func(t *testing.T, taskID, container string) {
				id := find(taskID, container).Container.ID
				if _, err := c.ContainerKill(context.Background(), id, client.ContainerKillOptions{Signal: "SIGUSR1"}); err != nil {
					t.Error(err)
				}
			},
			Identity: func(t *testing.T, taskID, container string) string {
				got := find(taskID, container).Container
				if got.State == nil || !got.State.Running {
					return ""
				}
				return got.ID + got.State.StartedAt
			},
		}
	})
}

// What the contract's programs do, said to busybox's shell, which is process 1.
const (
	trapping = "trap 'exit 0' TERM; trap 'exit 7' USR1; echo ready; while :; do sleep 600 & wait; done"
	ignoring = "trap 'echo ignored' TERM; trap 'exit 7' USR1; echo ready; while :; do sleep 600 & wait; done"
)

func script(text string) runtime.Container {
	return runtime.Container{Image: testImage, Command: []string{"sh", "-c", text}}
}

func removeAll(t *testing.T, c *client.Client, owner string) {
	list, err := c.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", "plimsoll.owner="+owner),
	})
	if err != nil {
		t.Error(err)
	}
	for _, item := range list.Items {
		_, err := c.ContainerRemove(context.Background(), item.ID, client.ContainerRemoveOptions{Force: true})
		// What the runtime, closed a moment ago, is still removing goes by itself.
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			t.Error(err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestWithoutADockerEngineTheReasonIsSaid(t *testing.T) {
	host := "unix://" + filepath.Join(t.TempDir(), "no.sock")
	t.Setenv("DOCKER_HOST", host)
	if err := docker.Available(t.Context()); err == nil || !strings.Contains(err.Error(), host) {
		t.Errorf("available: %v", err)
	}
	events := make(chan runtime.Event, 1)
	r := docker.New(docker.Options{}, func(e runtime.Event) { events <- e })
	defer r.Close()
	if err := r.Adopt(t.Context(), nil); err == nil || !strings.Contains(err.Error(), host) {
		t.Errorf("adopt: %v", err)
	}
	r.Start(runtime.Spec{TaskID: "a", Containers: []runtime.Container{{Name: "main", Image: "x"}}})
	if e := <-events; e.Kind != runtime.StartFailed || !strings.Contains(e.Reason, "CannotPullContainerError") {
		t.Errorf("start: %+v", e)
	}
	if _, err := r.Logs(t.Context(), "a", "", false); err == nil {
		t.Error("logs of nowhere")
	}
}

func TestAnAddressOfDockersThatCannotBeReadIsRefused(t *testing.T) {
	events := make(chan runtime.Event, 1)
	r := docker.New(docker.Options{Host: "::nonsense::"}, func(e runtime.Event) { events <- e })
	defer r.Close()
	if err := r.Adopt(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "::nonsense::") {
		t.Errorf("adopt: %v", err)
	}
	r.Start(runtime.Spec{TaskID: "a"})
	if e := <-events; e.Kind != runtime.StartFailed || !strings.Contains(e.Reason, "::nonsense::") {
		t.Errorf("start: %+v", e)
	}
	if _, err := r.Logs(t.Context(), "a", "", false); err == nil {
		t.Error("logs of nowhere")
	}
}
