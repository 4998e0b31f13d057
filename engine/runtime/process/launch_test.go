package process_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
)

func TestATaskHasItsOwnEnvironmentAndNothingOfTheEngines(t *testing.T) {
	t.Setenv("SECRET_OF_THE_ENGINE", "x")
	b := newBench(t, process.Options{FirstPort: freePort(t), LastPort: 65535})
	c := runtime.Container{
		Command: []string{"env"},
		Env:     map[string]string{"GREETING": "hello world\n", "PORT": "8080"},
		Ports:   []runtime.Port{{ContainerPort: 8080}, {ContainerPort: 9090}},
	}
	b.Start(task("env", c))
	bindings := b.next(runtime.Started).Bindings
	b.next(runtime.Exited)
	got := strings.Split(strings.TrimSpace(b.output("env")), "\n")
	home := "/"
	if os.Geteuid() == 0 {
		home = "/nonexistent"
	} else if dir, err := os.UserHomeDir(); err == nil {
		home = dir
	}
	want := []string{
		"GREETING=hello world", "", "HOME=" + home, "HOST=" + address, "PATH=" + process.DefaultPath,
		fmt.Sprint("PORT=", bindings[0].HostPort),
		fmt.Sprint("PORT_8080=", bindings[0].HostPort),
		fmt.Sprint("PORT_9090=", bindings[1].HostPort),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnArgumentOfAnyBytesArrivesAsItIs(t *testing.T) {
	b := newBench(t, process.Options{})
	odd := "a \"b\" \\ \n\t ü \xff end"
	out, _ := b.run(task("odd", runtime.Container{EntryPoint: []string{"printf"}, Command: []string{"%s", odd}}))
	if out != odd {
		t.Errorf("got %q, want %q", out, odd)
	}
}

func TestRunByRootATaskIsNobodyWithoutGroupsOrTheHopeOfMore(t *testing.T) {
	needsRoot(t)
	b := newBench(t, process.Options{})
	out, _ := b.run(task("who", script(`id -u; id -g; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status; cat /etc/shadow`)))
	contains(t, out, "65534\n65534\n65534\n", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Permission denied")
}

func TestRunByRootATaskIsTheUserThatItNames(t *testing.T) {
	needsRoot(t)
	b := newBench(t, process.Options{})
	for i, c := range []struct{ user, want string }{
		{"1234", "1234 1234 1234"}, {"1234:99", "1234 99 99"}, {"daemon", "1 1 1"}, {"root", "0 0 0"}, {"nobody:daemon", "65534 1 1"},
	} {
		s := script(`echo $(id -u) $(id -g) $(id -G)`)
		s.User = c.user
		if out, _ := b.run(task(fmt.Sprint(i), s)); strings.TrimSpace(out) != c.want {
			t.Errorf("user %q: got %q, want %q", c.user, out, c.want)
		}
	}
	s := script("true")
	s.User = "no-such-user"
	contains(t, b.fails(task("bad", s)), "CannotStartContainerError", `"no-such-user"`, "uid:gid")
}

func TestAProgramInAPrivateFolderRunsAllTheSame(t *testing.T) {
	needsRoot(t)
	private := filepath.Join(t.TempDir(), "private")
	work := filepath.Join(private, "clone")
	if err := os.MkdirAll(filepath.Join(work, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"program": string(program),
		"script":  "#!/bin/sh\necho \"$@ from $(pwd) as $(id -u)\"\n",
	} {
		if err := os.WriteFile(filepath.Join(work, "bin", name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, process.Options{})
	for i, c := range []struct {
		command []string
		want    string
	}{
		{[]string{"./bin/program", "a", "b"}, "a b\n"},
		{[]string{"bin/script", "a"}, "a from " + work + " as 65534\n"},
		{[]string{filepath.Join(work, "bin/program"), "absolute"}, "absolute\n"},
		{[]string{filepath.Join(work, "bin/script"), "absolute"}, "absolute from " + work + " as 65534\n"},
		{[]string{"program", "by path"}, "by path\n"},
	} {
		s := task(fmt.Sprint(i), runtime.Container{Command: c.command, WorkingDir: work, Env: map[string]string{"PATH": "/bin:" + filepath.Join(work, "bin")}})
		if out, end := b.run(s); out != c.want {
			t.Errorf("%q: got %q, want %q (%+v)", c.command, out, c.want, end.Exits)
		}
	}
}

func TestACommandThatCannotRunIsRefusedWithTheRemedy(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"plain": "text", "garbage": "\x01\x02\x03", "orphan": "#!/no/such/interpreter\n"} {
		mode := os.FileMode(0o755)
		if name == "plain" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), mode); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, process.Options{})
	for i, c := range []struct {
		container runtime.Container
		want      []string
	}{
		{runtime.Container{Command: []string{"no-such"}}, []string{`"no-such"`, "not found in the task's PATH", process.DefaultPath, "./no-such"}},
		{runtime.Container{Command: []string{"./no-such"}, WorkingDir: dir}, []string{`"./no-such"`, dir, "no such file", "build it"}},
		{runtime.Container{Command: []string{"./plain"}, WorkingDir: dir}, []string{`"./plain"`, "chmod"}},
		{runtime.Container{Command: []string{"./garbage"}, WorkingDir: dir}, []string{`"./garbage"`, "not a program of this machine"}},
		{runtime.Container{Command: []string{"./orphan"}, WorkingDir: dir}, []string{`"./orphan"`, "interpreter"}},
		{runtime.Container{Command: []string{"true"}, WorkingDir: "/no/such/folder"}, []string{"working directory", `"/no/such/folder"`}},
		{runtime.Container{Command: []string{"true"}, WorkingDir: "relative"}, []string{`"relative"`, "absolute"}},
		{runtime.Container{Image: "nginx"}, []string{"no command", "docker"}},
	} {
		reason := b.fails(task(fmt.Sprint(i), c.container))
		contains(t, reason, append(c.want, "CannotStartContainerError: ")...)
	}
	contains(t, b.fails(runtime.Spec{TaskID: "../evil", Containers: []runtime.Container{{Name: "main"}}}), `"../evil"`)
	contains(t, b.fails(task("none", runtime.Container{})), "no command")
}

func TestATaskThatFailedToStartHoldsNoPort(t *testing.T) {
	port := freePort(t)
	b := newBench(t, process.Options{FirstPort: port, LastPort: port})
	bad := runtime.Container{Command: []string{"no-such"}, Ports: []runtime.Port{{ContainerPort: 80}}}
	b.fails(task("bad", bad))
	good := script(trapScript)
	good.Ports = bad.Ports
	b.Start(task("good", good))
	if e := b.next(runtime.Started); e.Bindings[0].HostPort != port {
		t.Errorf("bindings %v", e.Bindings)
	}
	contains(t, b.fails(task("third", good)), "no host port", fmt.Sprint(port))
}

func TestAPortThatSomebodyListensOnIsNotGivenOut(t *testing.T) {
	l := listenOn(t, "127.0.0.1")
	taken := l.port
	b := newBench(t, process.Options{FirstPort: taken, LastPort: taken})
	s := script(trapScript)
	s.Ports = []runtime.Port{{ContainerPort: 80}}
	contains(t, b.fails(task("dynamic", s)), "no host port")
	s.Ports[0].HostPort = listenOn(t, address).port
	contains(t, b.fails(task("fixed", s)), "already in use", fmt.Sprint(s.Ports[0].HostPort))
}

func TestStartsAreMadeInTheOrderInWhichTheyWereAsked(t *testing.T) {
	b := newBench(t, process.Options{Starts: 1})
	var want, got []string
	for i := range 8 {
		want = append(want, fmt.Sprint("task-", i))
		b.Start(task(want[i], script(trapScript)))
	}
	for range want {
		got = append(got, b.next(runtime.Started).TaskID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestATaskStoppedBeforeItsTurnNeverStarts(t *testing.T) {
	b := newBench(t, process.Options{Starts: 1})
	for i := range 5 {
		b.Start(task(fmt.Sprint(i), script(trapScript)))
	}
	b.Stop("4")
	failed := false
	for range 5 {
		select {
		case e := <-b.events:
			if e.Kind == runtime.StartFailed {
				failed = true
				contains(t, e.Reason, "stopped before")
				if _, err := os.Stat(filepath.Join(b.dir, e.TaskID)); err == nil {
					t.Error("it has a folder")
				}
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no event within 30 s")
		}
	}
	if !failed {
		t.Error("the last of the queue was started")
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		o    process.Options
		want string
	}{
		{process.Options{}, "folder"},
		{process.Options{Dir: t.TempDir(), FirstPort: 9, LastPort: 3}, "9-3"},
		{process.Options{Dir: t.TempDir(), FirstPort: 9, LastPort: 70000}, "70000"},
		{process.Options{Dir: filepath.Join(os.DevNull, "x")}, os.DevNull},
	} {
		if _, err := process.New(c.o, func(runtime.Event) {}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q in it", c.o, err, c.want)
		}
	}
}

func TestAnotherCommandMayRunTheShim(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, process.Options{Shim: []string{"/usr/bin/env", exe, "shim"}})
	if out, _ := b.run(task("one", script("echo done"))); out != "done\n" {
		t.Errorf("got %q", out)
	}
	b = newBench(t, process.Options{Shim: []string{"/no/such/shim"}})
	contains(t, b.fails(task("two", script("true"))), "/no/such/shim")
	b = newBench(t, process.Options{Shim: []string{"/bin/false"}})
	contains(t, b.fails(task("three", script("true"))), "parent process ended")
	if err := b.Adopt(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
}
