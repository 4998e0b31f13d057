package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/runtimetest"
)

const testImage = "plimsoll-contract:latest"

// connect gives a client of the Docker Engine, with the image of the
// contract's program, or the reason to skip.
func connect(t *testing.T) *client.Client {
	t.Helper()
	if err := docker.Available(t.Context()); err != nil {
		t.Skip(err)
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	imported, err := c.ImageImport(t.Context(), client.ImageImportSource{Source: &layer, SourceName: "-"}, testImage, client.ImageImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, imported); err != nil {
		t.Fatal(err)
	}
	imported.Close()
	t.Cleanup(func() {
		c.ImageRemove(context.Background(), testImage, client.ImageRemoveOptions{Force: true})
		c.Close()
	})
	return c
}

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
					runtimetest.Trap:      {Image: testImage, Command: []string{"/program"}},
					runtimetest.Ignore:    {Image: testImage, Command: []string{"/program", "ignore"}},
					runtimetest.Missing:   {Image: "127.0.0.1:1/no-such-image"},
					runtimetest.Once:      {Image: testImage, Command: []string{"/program", "exit", "0"}},
					runtimetest.OnceBadly: {Image: testImage, Command: []string{"/program", "exit", "7"}},
				}[p]
			},
			Check: func(healthy bool) []string {
				return []string{"CMD", "/program", "exit", map[bool]string{true: "0", false: "1"}[healthy]}
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

func removeAll(t *testing.T, c *client.Client, owner string) {
	list, err := c.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", "plimsoll.owner="+owner),
	})
	if err != nil {
		t.Error(err)
	}
	for _, item := range list.Items {
		if _, err := c.ContainerRemove(context.Background(), item.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
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
