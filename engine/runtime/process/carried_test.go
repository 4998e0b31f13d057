package process_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
	"plimsoll/engine/runtime/process/shim"
)

// joined makes a program that carries what is given as the shim, as the build does.
func joined(t testing.TB, carried string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "../../../cmd/plimsoll-shim/join", program, carried, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// builtShim is the small program that is joined to plimsoll.
func builtShim(t testing.TB) string {
	t.Helper()
	if setting, err := os.ReadFile("/proc/sys/vm/memfd_noexec"); err == nil && strings.TrimSpace(string(setting)) == "2" {
		t.Skip("this machine executes no program from memory (vm.memfd_noexec=2)")
	}
	built := filepath.Join(t.TempDir(), "shim")
	build := exec.Command("go", "build", "-o", built, "plimsoll/cmd/plimsoll-shim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return built
}

// shimProgram is the file that a task's parent process was executed from.
func shimProgram(t *testing.T, dir, task string) string {
	t.Helper()
	state, err := shim.ReadState(filepath.Join(dir, task))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", state.Shim.PID))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestATasksParentIsTheShimThatTheProgramCarriesAndOutlivesTheEngine(t *testing.T) {
	dir := t.TempDir()
	o := process.Options{Dir: dir, Program: joined(t, builtShim(t)), NoCgroups: true}
	b := newBench(t, process.Options{Dir: dir}) // the next engine, of a program that carries none
	events := make(chan runtime.Event, 10)
	first, err := process.New(o, func(e runtime.Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	first.Start(task("one", script("ls -l /proc/self/fd; "+trapScript)))
	if e := <-events; e.Kind != runtime.Started {
		t.Fatalf("%+v", e)
	}
	if got := shimProgram(t, dir, "one"); !strings.Contains(got, "memfd:plimsoll-shim") {
		t.Errorf("the parent is %q, not the carried shim", got)
	}
	if err := first.Close(); err != nil { // the program in memory is the shim's alone now
		t.Fatal(err)
	}
	if err := b.Adopt(context.Background(), []runtime.Spec{task("one", script(trapScript))}); err != nil {
		t.Fatal(err)
	}
	b.next(runtime.Started)
	eventually(t, "the task is ready", func() bool { return strings.Contains(b.output("one"), "ready") })
	if out := b.output("one"); strings.Contains(out, "memfd") {
		t.Errorf("the task was given the shim's program:\n%s", out)
	}
	b.Stop("one")
	if e := b.next(runtime.Exited); e.Exits[0].Code != 0 {
		t.Errorf("exits %+v", e.Exits)
	}
}

func TestAProgramWhoseShimCannotRunIsTheParentItself(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	noProgram := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(noProgram, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrongSize := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrongSize, []byte("x\nplimsoll-shim: 000000000009\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{
		"no program": joined(t, noProgram), "one that fails": joined(t, "/bin/false"), "a wrong size": wrongSize,
		"none": noProgram, "an empty file": os.DevNull, "no file": filepath.Join(t.TempDir(), "absent"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, events := t.TempDir(), make(chan runtime.Event, 10)
			r, err := process.New(process.Options{Dir: dir, Program: program, NoCgroups: true}, func(e runtime.Event) { events <- e })
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.Start(task("one", script(trapScript)))
			if e := <-events; e.Kind != runtime.Started {
				t.Fatalf("%+v", e)
			}
			if got := shimProgram(t, dir, "one"); got != own {
				t.Errorf("the parent is %q, want %q", got, own)
			}
			r.Stop("one")
			if e := <-events; e.Kind != runtime.Exited {
				t.Fatalf("%+v", e)
			}
		})
	}
}

func TestNobodyCanChangeTheShimThatIsInMemory(t *testing.T) {
	r, err := process.New(process.Options{Dir: t.TempDir(), Program: joined(t, builtShim(t)), NoCgroups: true}, func(runtime.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, link := range links {
		if name, _ := os.Readlink(link); !strings.Contains(name, "memfd:plimsoll-shim") {
			continue
		}
		found = true
		f, err := os.OpenFile(link, os.O_WRONLY, 0)
		if err != nil {
			continue // neither can it be opened
		}
		if _, err := f.Write([]byte("x")); err == nil {
			t.Error("it was written to")
		}
		if err := f.Truncate(0); err == nil {
			t.Error("it was cut short")
		}
		f.Close()
	}
	if !found {
		t.Error("it is not there")
	}
}
