package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
)

// bench is a runtime in Docker for one test.
type bench struct {
	*docker.Runtime
	t      *testing.T
	docker *client.Client
	events chan runtime.Event
}

func newBench(t *testing.T, allow runtime.Allow) *bench {
	return openBench(t, docker.Options{Owner: t.Name(), Allow: allow})
}

func openBench(t *testing.T, o docker.Options) *bench {
	c := connect(t)
	b := &bench{t: t, docker: c, events: make(chan runtime.Event, 1000)}
	b.Runtime = docker.New(o, func(e runtime.Event) { b.events <- e })
	t.Cleanup(func() {
		b.Close()
		removeAll(t, c, o.Owner)
	})
	if err := b.Adopt(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) next(want runtime.Kind) runtime.Event {
	b.t.Helper()
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
		case <-time.After(time.Minute):
			b.t.Fatalf("no %s", want)
		}
	}
}

// task runs the test's program with the arguments.
func task(id string, args ...string) runtime.Spec {
	return runtime.Spec{TaskID: id, Address: "127.64.8.1", Containers: []runtime.Container{{
		Name: "main", Image: testImage, Essential: true, Command: append([]string{"/program"}, args...), StopTimeout: time.Second, Memory: 64,
	}}}
}

// shows runs a task that shows how things are in it, and gives what it printed.
func (b *bench) shows(spec runtime.Spec) string {
	b.t.Helper()
	b.Start(spec)
	b.next(runtime.Started)
	b.next(runtime.Exited)
	return b.printed(spec.TaskID)
}

// printed is what a task has printed.
func (b *bench) printed(id string) string {
	b.t.Helper()
	logs, err := b.Logs(context.Background(), id, "main", false)
	if err != nil {
		b.t.Fatal(err)
	}
	defer logs.Close()
	var text bytes.Buffer
	if _, err := io.Copy(&text, logs); err != nil {
		b.t.Fatal(err)
	}
	return text.String()
}

func (b *bench) fails(spec runtime.Spec) string {
	b.t.Helper()
	b.Start(spec)
	return b.next(runtime.StartFailed).Reason
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %s", p, text)
		}
	}
}

func TestAContainerHasFewRightsAndABoundOnItsProcesses(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	// CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_BIND_SERVICE 10.
	contains(t, b.shows(task("floor", "show")), "NoNewPrivs: 1", "CapEff: 00000000000005fb", "CapBnd: 00000000000005fb", "Seccomp: 2")
	got, err := b.docker.ContainerInspect(t.Context(), "plimsoll-floor-main", client.ContainerInspectOptions{})
	if err != nil || got.Container.HostConfig.PidsLimit == nil || *got.Container.HostConfig.PidsLimit != docker.DefaultPids {
		t.Errorf("%v, %v", got.Container.HostConfig.PidsLimit, err)
	}
	spec := task("none", "show")
	spec.Containers[0].Setting.DropCapabilities = []string{"ALL"}
	spec.Containers[0].Setting.AddCapabilities = []string{"NET_RAW"}
	contains(t, b.shows(spec), "CapEff: 0000000000002000")
}

func TestTheSettingOfAContainerIsAsTheDefinitionSays(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	yes, swap := true, int64(16)
	spec := task("set", "show", "/scratch", "/shared/file", "/ro")
	spec.Volumes = []runtime.Volume{{Name: "own"}, {Name: "readonly"}}
	s := &spec.Containers[0].Setting
	s.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 111, Hard: 222}}
	s.Tmpfs = []runtime.Tmpfs{{Path: "/scratch", Size: 3, Options: []string{"noexec"}}}
	s.Mounts = []runtime.Mount{{Volume: "own", Path: "/shared"}, {Volume: "readonly", Path: "/ro", ReadOnly: true}}
	s.Init, s.ReadOnlyRoot, s.Hostname, s.SharedMemory, s.Swap = &yes, true, "greenwich", 5, &swap
	s.ExtraHosts, s.DNSServers, s.SearchDomains = []string{"db:10.1.2.3"}, []string{"10.9.9.9"}, []string{"example.com"}
	s.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "99"}
	contains(t, b.shows(spec),
		"nofile 111 222", "/scratch tmpfs", "size=3072k", "noexec", "/shared ", "/ro ", "cannot write /ro: read-only", "cannot write /: read-only",
		"hostname greenwich", "10.1.2.3\tdb", "nameserver 10.9.9.9", "search example.com", "port start 99", "/dev/shm size=5120k", "process 1 is not the program")
	b.Forget("set")
	eventually(t, "the task's volumes are gone", func() bool {
		list, err := b.docker.VolumeList(t.Context(), client.VolumeListOptions{Filters: client.Filters{}.Add("label", "plimsoll.task=set")})
		return err == nil && len(list.Items) == 0
	})
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestContainersOfATaskShareVolumesAndKnowEachOtherByLinks(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	spec := task("two", "show", "/data/file")
	spec.Volumes = []runtime.Volume{{Name: "data"}}
	spec.Containers[0].Setting.VolumesFrom = []runtime.VolumeFrom{{Container: "first", ReadOnly: true}}
	spec.Containers[0].Setting.Links = []string{"first:one"}
	first := runtime.Container{Name: "first", Image: testImage, Command: []string{"/program", "write", "/data/file", "hello"}, StopTimeout: time.Second}
	first.Setting.Mounts = []runtime.Mount{{Volume: "data", Path: "/data"}}
	spec.Containers = append(spec.Containers, first)
	b.Start(spec)
	b.next(runtime.Started)
	b.next(runtime.Exited)
	logs, err := b.Logs(context.Background(), "two", "main", false)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(text), "/data/file: hello", "one ")
}

func TestASharedVolumeOutlivesItsTask(t *testing.T) {
	name := fmt.Sprintf("plimsoll-test-%d", time.Now().UnixNano())
	t.Cleanup(func() { // after the containers are gone
		if c, err := client.New(client.FromEnv); err == nil {
			c.VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{Force: true})
			c.Close()
		}
	})
	b := newBench(t, runtime.Allow{})
	spec := task("writer", "write-and-end", "/data/file", "kept")
	spec.Volumes = []runtime.Volume{{Name: name, Shared: true}}
	spec.Containers[0].Setting.Mounts = []runtime.Mount{{Volume: name, Path: "/data"}}
	contains(t, b.fails(spec), "CannotCreateVolumeError", name, "autoprovision")
	spec.TaskID, spec.Volumes[0].Provision = "writer2", true
	b.shows(spec)
	b.Forget("writer2")
	spec.TaskID, spec.Containers[0].Command = "reader", []string{"/program", "show", "/data/file"}
	contains(t, b.shows(spec), "/data/file: kept")
}

func TestThePathsOfTheMachineAreThoseThatAreAllowed(t *testing.T) {
	dir := t.TempDir()
	allowed, outside := filepath.Join(dir, "allowed"), filepath.Join(dir, "outside")
	for _, path := range []string{allowed, outside} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(allowed, "file"), []byte("of the machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(allowed, "way-out")); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(allowed, "a.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	b := newBench(t, runtime.Allow{HostPaths: []string{allowed}})
	mounting := func(id, path string) runtime.Spec {
		spec := task(id, "show", "/data/file")
		spec.Volumes = []runtime.Volume{{Name: "host", HostPath: path}}
		spec.Containers[0].Setting.Mounts = []runtime.Mount{{Volume: "host", Path: "/data"}}
		return spec
	}
	contains(t, b.shows(mounting("good", allowed)), "/data/file: of the machine")
	for id, path := range map[string]string{
		"outside": outside, "link": filepath.Join(allowed, "way-out"), "socket": filepath.Join(allowed, "a.sock"),
	} {
		contains(t, b.fails(mounting(id, path)), "not allowed", "--allow-host-path")
	}
	spec := task("escape", "show")
	spec.Volumes = []runtime.Volume{{Name: "sly", Options: map[string]string{"type": "none", "o": "bind", "device": outside}}}
	contains(t, b.fails(spec), "not allowed", outside)
}

func TestWhatIsNotAllowedIsNotStartedThoughItWasRegistered(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	for words, change := range map[string]func(*runtime.Spec){
		"networkMode host": func(s *runtime.Spec) { s.Network = "host" },
		"pidMode host":     func(s *runtime.Spec) { s.PIDMode = "host" },
		"ipcMode host":     func(s *runtime.Spec) { s.IPCMode = "host" },
		"privileged":       func(s *runtime.Spec) { s.Containers[0].Setting.Privileged = true },
		"SYS_ADMIN":        func(s *runtime.Spec) { s.Containers[0].Setting.AddCapabilities = []string{"SYS_ADMIN"} },
	} {
		spec := task(strings.ReplaceAll(words, " ", "-"), "show")
		change(&spec)
		contains(t, b.fails(spec), words, "not allowed")
	}
}

func TestStartsThatCannotBeSayWhyAndOfWhichContainer(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	for id, c := range map[string]struct {
		change func(*runtime.Container)
		reason string
	}{
		"no-image":   {func(c *runtime.Container) { c.Image = "127.0.0.1:1/none" }, "CannotPullContainerError"},
		"no-command": {func(c *runtime.Container) { c.Command = []string{"/no-such-program"} }, "CannotStartContainerError"},
		"no-ulimit":  {func(c *runtime.Container) { c.Setting.Ulimits = []runtime.Ulimit{{Name: "dreams", Soft: 1, Hard: 1}} }, "wrong rlimit value"},
	} {
		spec := task(id, "show")
		c.change(&spec.Containers[0])
		b.Start(spec)
		e := b.next(runtime.StartFailed)
		contains(t, e.Reason, c.reason)
		if len(e.States) != 1 || !strings.Contains(e.States[0].Reason, c.reason) {
			t.Errorf("%s: the container is not blamed: %+v", id, e.States)
		}
	}
}
