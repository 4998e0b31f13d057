package shim

import (
	"go/parser"
	"go/token"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"plimsoll/engine/runtime/order"
)

func TestTheShimNeedsSoLittleThatItsInitComesEarly(t *testing.T) {
	// The package comment says what each of these was measured to cost: nothing.
	allowed := []string{"errors", "io", "os", "os/signal", "runtime", "strconv", "syscall", "time", "unsafe",
		"plimsoll/engine/runtime/order"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %q: each task's start would be several ms slower; measure first", file, path)
			}
		}
	}
}

func anyString(t *rapid.T, label string) string {
	return string(rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, label))
}

func TestALaunchArrivesAsItWasSentOrNotAtAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := func(label string) (out []string) {
			for range rapid.IntRange(0, 3).Draw(t, label) {
				out = append(out, anyString(t, label))
			}
			return out
		}
		var want Launch
		for range rapid.IntRange(1, 3).Draw(t, "containers") {
			want.Containers = append(want.Containers, Container{
				Name: anyString(t, "name"), Args: list("args"), Env: list("env"), Dir: anyString(t, "dir"),
				Drop: rapid.Bool().Draw(t, "drop"), UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
				StopTimeout: time.Duration(rapid.Int64().Draw(t, "timeout")), Essential: rapid.Bool().Draw(t, "essential"),
				LogLimit: rapid.Int64().Draw(t, "limit"), StartTimeout: time.Duration(rapid.Int64().Draw(t, "start timeout")),
				DependsOn: []order.Dependency{{Container: anyString(t, "on"), Condition: order.Healthy}},
				Limits:    []Limit{{Name: anyString(t, "limit"), Resource: rapid.Int().Draw(t, "resource"), Soft: rapid.Uint64().Draw(t, "soft"), Hard: rapid.Uint64().Draw(t, "hard")}},
				Restart:   &order.Restart{AttemptPeriod: time.Duration(rapid.Int64().Draw(t, "period")), IgnoredExitCodes: rapid.SliceOfN(rapid.Int(), 0, 3).Draw(t, "codes")},
				Health: &order.Health{Command: list("health"), Interval: time.Duration(rapid.Int64().Draw(t, "interval")), Timeout: 1, Retries: rapid.Int().Draw(t, "retries"),
					StartPeriod: time.Duration(rapid.Int64().Draw(t, "start"))},
				Cgroup: Cgroup{Unified: rapid.Bool().Draw(t, "unified"), Paths: list("paths"), Home: list("home")},
			})
		}
		data := want.Encode()
		got, err := DecodeLaunch(data)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if _, err := DecodeLaunch(data[:cut]); err == nil {
			t.Fatalf("cut at %d of %d it was taken for whole", cut, len(data))
		}
	})
}

func TestStateExitAndReplyArriveAsTheyWereSent(t *testing.T) {
	state := State{Shim: Identity{PID: 4, Start: math.MaxUint64}, Containers: []Process{
		{Identity: Identity{Name: "a", PID: 5, Start: 6}, Phase: order.Running, Health: order.HealthHealthy, Restarts: 2, Exit: &ContainerExit{Container: "a", Code: 3, OOM: true}},
		{Identity: Identity{Name: "b"}, Phase: order.Waiting},
	}}
	if got, err := DecodeState(state.Encode()); err != nil || !cmp.Equal(state, got) {
		t.Error(got, err)
	}
	exit := Exit{Failed: "x", Containers: []ContainerExit{{Container: "a", Code: 137, OOM: true}, {Container: "b", Never: true, Reason: "why"}}}
	if got, err := DecodeExit(exit.Encode()); err != nil || !cmp.Equal(exit, got) {
		t.Error(got, err)
	}
	for _, reply := range []Reply{{Started: true, Up: true}, {Failed: "it is \"broken\"\n"}} {
		if got, err := DecodeReply(reply.Encode()); err != nil || got != reply {
			t.Error(got, err)
		}
	}
	if old, err := DecodeState([]byte("process \"\"\npid \"4\"\nprocess \"a\"\npid \"5\"\nend\n")); err != nil || !old.Up || old.Containers[0].Phase != order.Running {
		t.Errorf("a state of before the phases: %+v, %v", old, err)
	}
	if _, err := DecodeState([]byte("pid \"1\"\nend\n")); err == nil {
		t.Error("a state that begins in the middle was taken")
	}
}

func TestAFirstStateThatWasCutShortIsNone(t *testing.T) {
	dir := t.TempDir()
	want := State{Shim: Identity{PID: 4}, Up: true, Containers: []Process{{Identity: Identity{Name: "a", PID: 5}, Phase: order.Running}}}
	encoded := string(want.Encode())
	for cut := range len(encoded) + 1 {
		text := "{}\n" + FirstState + encoded[:cut]
		if err := os.WriteFile(filepath.Join(dir, LockFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadState(dir)
		if whole := cut == len(encoded); whole != (err == nil) || whole && !cmp.Equal(want, got) {
			t.Fatalf("cut at %d of %d: %+v, %v", cut, len(encoded), got, err)
		}
	}
	later := want
	later.Containers = []Process{{Identity: Identity{Name: "a", PID: 6}, Phase: order.Running, Restarts: 1}}
	if err := os.WriteFile(filepath.Join(dir, StateFile), later.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadState(dir); err != nil || !cmp.Equal(later, got) {
		t.Errorf("after a change: %+v, %v", got, err)
	}
}

func TestTheStatOfAProcessIsReadWhateverItsName(t *testing.T) {
	// The name in the stat is that of the file: here it looks like the fields
	// that come after it.
	path := filepath.Join(t.TempDir(), "x) S 1 2 3 (")
	if err := os.Symlink("/bin/sleep", path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	st, err := ReadStat(cmd.Process.Pid)
	self, errSelf := ReadStat(os.Getpid())
	if err != nil || errSelf != nil {
		t.Fatal(err, errSelf)
	}
	if st.Parent != os.Getpid() || st.Session != self.Session || st.Group != self.Group || st.Start < self.Start || st.Start == 0 {
		t.Errorf("got %+v, this process is %+v", st, self)
	}
	if _, err := ReadStat(1 << 30); err == nil {
		t.Error("a process that is not there has a stat")
	}
}

func TestChildrenAreTheSameByEitherWay(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for name, got := range map[string][]int{"list": Children(os.Getpid()), "scan": childrenByScan(os.Getpid())} {
		if !slices.Contains(got, cmd.Process.Pid) {
			t.Errorf("%s: %v does not hold %d", name, got, cmd.Process.Pid)
		}
	}
}

func TestTheShimRefusesToBeStartedByHand(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, Command).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "usage: plimsoll shim") {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = exec.Command(exe, Command, "--dir", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cut short") {
		t.Errorf("without a launch: %q, %v", out, err)
	}
}
