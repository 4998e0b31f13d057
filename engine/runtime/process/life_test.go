package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process"
	"plimsoll/engine/runtime/process/shim"
)

func (b *bench) state(taskID string) shim.State {
	b.t.Helper()
	state, err := shim.ReadState(filepath.Join(b.dir, taskID))
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

// printed waits until the task has printed a line that begins with key, and
// gives the pid after it.
func (b *bench) printed(taskID, key string) shim.Identity {
	b.t.Helper()
	var pid int
	eventually(b.t, taskID+" prints "+key, func() bool {
		for line := range strings.Lines(b.output(taskID)) {
			if rest, ok := strings.CutPrefix(line, key+" "); ok && strings.HasSuffix(rest, "\n") {
				pid, _ = strconv.Atoi(strings.TrimSpace(rest))
				return true
			}
		}
		return false
	})
	st, err := shim.ReadStat(pid)
	if err != nil {
		b.t.Fatal(err)
	}
	return shim.Identity{PID: pid, Start: st.Start}
}

// orphans is a script that leaves two processes behind: one in its process
// group, one in a session of its own. Both would outlive it.
const orphans = `sleep 1000 & echo group $!; setsid sh -c 'echo session $$; exec sleep 1000' & `

func TestNothingOfATaskIsLeftBehindWhenItEnds(t *testing.T) {
	b := newBench(t, process.Options{})
	b.Start(task("parent", script(`trap 'exit 3' TERM; `+orphans+`while :; do sleep 1000 & wait $!; done`)))
	b.next(runtime.Started)
	group, session := b.printed("parent", "group"), b.printed("parent", "session")
	b.Stop("parent")
	if e := b.next(runtime.Exited); len(e.Exits) != 1 || e.Exits[0].Code != 3 {
		t.Errorf("exits %+v", e.Exits)
	}
	for _, id := range []shim.Identity{group, session} {
		if alive(id) {
			t.Errorf("process %d is left behind", id.PID)
		}
	}
}

func TestAnOrphanOfTheTaskIsReapedWhileItRuns(t *testing.T) {
	b := newBench(t, process.Options{})
	b.Start(task("parent", script(`trap 'exit 0' TERM; (sh -c 'echo child $$; sleep 0.3' &); while :; do sleep 1000 & wait $!; done`)))
	b.next(runtime.Started)
	child := b.printed("parent", "child")
	eventually(t, "the orphan is gone, not a zombie", func() bool {
		st, err := shim.ReadStat(child.PID)
		return err != nil || st.Start != child.Start
	})
}

func TestASignalGivesItsExitCode(t *testing.T) {
	b := newBench(t, process.Options{})
	for i, c := range []struct {
		script string
		want   int
	}{{"exit 0", 0}, {"exit 42", 42}, {"kill -SEGV $$", 139}, {"kill -KILL $$", 137}, {"kill -TERM $$", 143}} {
		_, end := b.run(task(fmt.Sprint(i), script(c.script)))
		if len(end.Exits) != 1 || end.Exits[0].Code != c.want {
			t.Errorf("%q: got %+v, want %d", c.script, end.Exits, c.want)
		}
	}
}

func TestTheShimIsDeafToTheTerminal(t *testing.T) {
	b := newBench(t, process.Options{})
	b.Start(task("one", script(trapScript)))
	b.next(runtime.Started)
	eventually(t, "the task is ready", func() bool { return b.output("one") != "" })
	state := b.state("one")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE} {
		if err := syscall.Kill(state.Shim.PID, sig); err != nil {
			t.Fatal(err)
		}
	}
	st, err := shim.ReadStat(state.Shim.PID)
	if err != nil || st.Session != state.Shim.PID {
		t.Errorf("the shim has no session of its own: %+v %v", st, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGCHLD} {
		for _, mask := range []string{"SigIgn", "SigBlk"} {
			if signals(t, state.Containers[0].PID, mask)&(1<<(sig-1)) != 0 {
				t.Errorf("the task was started with %v in its %s", sig, mask)
			}
		}
	}
	b.Stop("one")
	if e := b.next(runtime.Exited); e.Exits[0].Code != 0 {
		t.Errorf("exits %+v", e.Exits)
	}
}

// signals reads a mask of signals from a process's status.
func signals(t *testing.T, pid int, mask string) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, mask+":"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return bits
		}
	}
	t.Fatalf("the status of process %d has no %s", pid, mask)
	return 0
}

func TestAShimThatIsKilledTakesItsTaskWithItAndTheEngineSaysSo(t *testing.T) {
	b := newBench(t, process.Options{})
	b.Start(task("one", script(`sleep 1000 & echo group $!; while :; do sleep 1000 & wait $!; done`)))
	b.next(runtime.Started)
	group, state := b.printed("one", "group"), b.state("one")
	if err := syscall.Kill(state.Shim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := b.next(runtime.Exited)
	if len(e.Exits) != 1 || e.Exits[0].Code != 137 || !strings.Contains(e.Reason, "parent process was killed") {
		t.Errorf("got %+v", e)
	}
	eventually(t, "nothing is left", func() bool { return !alive(group) && !alive(state.Containers[0].Identity) })
}

func TestAnEngineThatIsKilledFindsItsTasksAgain(t *testing.T) {
	dir := t.TempDir()
	engine := exec.Command("/proc/self/exe")
	engine.Env = append(os.Environ(), helperVariable+"=engine", "DIR="+dir)
	out, err := engine.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started\n" {
		t.Fatalf("the engine said %q, %v", line, err)
	}
	b := newBench(t, process.Options{Dir: dir})
	before := b.state("lives").Containers[0]
	for _, id := range []string{"lives", "ends"} {
		eventually(t, id+" is ready", func() bool { return strings.Contains(b.output(id), "ready") })
	}
	if err := engine.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	engine.Wait()
	ends, parent := b.state("ends").Containers[0], b.state("ends").Shim
	if err := syscall.Kill(ends.PID, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task ends", func() bool { return !alive(ends.Identity) && !alive(parent) })

	specs := []runtime.Spec{task("lives", script(trapScript)), task("ends", script(trapScript))}
	if err := b.Adopt(context.Background(), specs); err != nil {
		t.Fatal(err)
	}
	for range specs {
		select {
		case e := <-b.events:
			switch {
			case e.TaskID == "lives" && e.Kind == runtime.Started:
			case e.TaskID == "ends" && e.Kind == runtime.Exited && e.Exits[0].Code == 7:
			default:
				t.Errorf("unexpected %+v", e)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no event within 30 s")
		}
	}
	if after := b.state("lives").Containers[0]; after != before || !alive(after.Identity) {
		t.Errorf("the process was %+v and is %+v", before, after)
	}
	b.Stop("lives")
	if e := b.next(runtime.Exited); e.Exits[0].Code != 0 {
		t.Errorf("exits %+v", e.Exits)
	}
}

// leave makes the folder of a task that an earlier engine left, whose shim is
// not alive.
func leave(t *testing.T, dir, taskID, boot string, state *shim.State) {
	t.Helper()
	folder := filepath.Join(dir, taskID)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(map[string]any{"boot": boot})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, shim.LockFile), append(record, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if state == nil {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, shim.StateFile), state.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func boot(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// stranger is a process of a session of its own that is nobody's task.
func stranger(t *testing.T) shim.Identity {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	st, err := shim.ReadStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return shim.Identity{Name: "main", PID: cmd.Process.Pid, Start: st.Start}
}

func TestAPidThatIsSomebodyElsesByNowIsNeverSignalled(t *testing.T) {
	b := newBench(t, process.Options{})
	other := stranger(t)
	old := shim.Identity{Name: "main", PID: other.PID, Start: other.Start - 1}
	leave(t, b.dir, "known", boot(t), &shim.State{Shim: old, Containers: running(old)})
	leave(t, b.dir, "stray", boot(t), &shim.State{Shim: old, Containers: running(old)})
	if err := b.Adopt(context.Background(), []runtime.Spec{task("known", script("true"))}); err != nil {
		t.Fatal(err)
	}
	if e := b.next(runtime.Exited); e.Exits[0].Code != 137 || e.Reason == "" {
		t.Errorf("got %+v", e)
	}
	b.Stop("known")
	eventually(t, "the stray's folder is gone", func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "stray"))
		return os.IsNotExist(err)
	})
	if !alive(other) {
		t.Error("a process that is nobody's task was killed")
	}
}

func TestWhatAKilledShimLeftBehindIsKilledAtAdoption(t *testing.T) {
	b := newBench(t, process.Options{})
	// The stranger stands for a member of the session of a dead shim: it leads
	// it here, under the shim's own start time.
	left := stranger(t)
	member := exec.Command("/bin/sh", "-c", "sleep 1000 & echo $!; wait")
	member.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := member.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	st, err := shim.ReadStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := shim.ReadStat(member.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	orphan := shim.Identity{PID: pid, Start: st.Start}
	member.Process.Kill()
	member.Wait()
	dead := shim.Identity{PID: member.Process.Pid, Start: leader.Start}
	leave(t, b.dir, "one", boot(t), &shim.State{Shim: dead, Containers: running(shim.Identity{Name: "main", PID: dead.PID + 1, Start: 1})})
	if err := b.Adopt(context.Background(), []runtime.Spec{task("one", script("true"))}); err != nil {
		t.Fatal(err)
	}
	if e := b.next(runtime.Exited); e.Exits[0].Code != 137 {
		t.Errorf("got %+v", e)
	}
	eventually(t, "the leftover is gone", func() bool { return !alive(orphan) })
	if !alive(left) {
		t.Error("a stranger was killed")
	}
}

func TestAfterARestartOfTheMachineATaskHasEndedAndNothingIsSignalled(t *testing.T) {
	b := newBench(t, process.Options{})
	other := stranger(t)
	leave(t, b.dir, "one", "another-boot", &shim.State{Shim: shim.Identity{PID: 1, Start: 1}, Containers: running(other)})
	if err := b.Adopt(context.Background(), []runtime.Spec{task("one", script("true"))}); err != nil {
		t.Fatal(err)
	}
	e := b.next(runtime.Exited)
	if e.Exits[0].Code != 137 || !strings.Contains(e.Reason, "machine was restarted") || !alive(other) {
		t.Errorf("got %+v", e)
	}
}

func TestAnEngineKilledBeforeItsShimHadStartedAnythingFindsNoTask(t *testing.T) {
	b := newBench(t, process.Options{})
	leave(t, b.dir, "one", boot(t), nil)
	if err := b.Adopt(context.Background(), []runtime.Spec{task("one", script("true"))}); err != nil {
		t.Fatal(err)
	}
	contains(t, b.next(runtime.StartFailed).Reason, "before it had started anything")
	b.Start(task("one", script("exit 5"))) // the engine asks again, by the same name
	b.next(runtime.Started)
	if e := b.next(runtime.Exited); e.Exits[0].Code != 5 {
		t.Errorf("got %+v", e)
	}
}

func TestAShimThatIsStillStartingIsWaitedFor(t *testing.T) {
	b := newBench(t, process.Options{})
	leave(t, b.dir, "one", boot(t), nil)
	// This test is the shim: it holds the lock, and writes its state late.
	lock, err := os.OpenFile(filepath.Join(b.dir, "one", shim.LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := b.Adopt(context.Background(), []runtime.Spec{task("one", script("true"))}); err != nil {
		t.Fatal(err)
	}
	b.Stop("one") // comes before there is anybody to have it
	process := stranger(t)
	leave(t, b.dir, "one", boot(t), &shim.State{Shim: process, Containers: running(process)})
	b.next(runtime.Started)
	eventually(t, "the signal is passed on", func() bool { return !alive(process) })
	lock.Close()
	if e := b.next(runtime.Exited); e.Exits[0].Code != 137 {
		t.Errorf("got %+v", e)
	}
}

func TestTheFolderOfAnEndedTaskIsKeptForAWhileAndNoLonger(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, process.Options{Dir: dir})
	b.run(task("old", script("echo kept")))
	b.Close()

	later := time.Now()
	adopt := func() *bench {
		b := newBench(t, process.Options{Dir: dir, Now: func() time.Time { return later }})
		if err := b.Adopt(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b = adopt()
	logs, err := b.Logs(context.Background(), "old", "", false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(logs); err != nil || string(got) != "kept\n" {
		t.Errorf("got %q, %v", got, err)
	}
	b.Close()
	later = later.Add(4 * time.Hour)
	adopt()
	eventually(t, "the folder is gone", func() bool {
		_, err := os.Stat(filepath.Join(dir, "old"))
		return os.IsNotExist(err)
	})
}

func TestTheLogOfAContainerThatPrintsNothingIsEmptyUntilItDoes(t *testing.T) {
	b := newBench(t, process.Options{})
	folder, err := os.MkdirTemp("", "quiet") // one that the task's user can look into
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	b.Start(task("quiet", script("while [ ! -e "+folder+"/go ]; do sleep 0.01; done; echo at last")))
	b.next(runtime.Started)
	now, err := b.Logs(context.Background(), "quiet", "main", false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(now); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	followed, err := b.Logs(context.Background(), "quiet", "main", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.next(runtime.Exited)
	if got, err := io.ReadAll(followed); err != nil || string(got) != "at last\n" {
		t.Errorf("followed: %q, %v", got, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	const limit = 64 << 10
	b := newBench(t, process.Options{LogLimit: limit})
	b.Start(task("loud", script(`i=0; while [ $i -lt 4000 ]; do echo "line $i ........................................................................"; i=$((i+1)); done`)))
	b.next(runtime.Started)
	b.next(runtime.Exited)
	total := int64(0)
	for _, name := range []string{shim.LogName("main"), shim.RotatedName("main")} {
		info, err := os.Stat(filepath.Join(b.dir, "loud", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > limit || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v", name, info.Size(), info.Mode())
		}
		total += info.Size()
	}
	logs, err := b.Logs(context.Background(), "loud", "main", false)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(logs)
	if err != nil || int64(len(got)) != total || !strings.HasSuffix(string(got), "....\n") || !strings.Contains(string(got), "line 3999 ") {
		t.Errorf("%d bytes of %d, %v", len(got), total, err)
	}
}

func TestALogIsFollowedOverItsRotationWithoutALossInTheMiddle(t *testing.T) {
	b := newBench(t, process.Options{LogLimit: 2 << 10})
	b.Start(task("loud", script(`trap 'exit 0' TERM; i=0; while [ $i -lt 60 ]; do echo "line $i .................................................."; i=$((i+1)); sleep 0.01; done; echo last; while :; do sleep 1000 & wait $!; done`)))
	b.next(runtime.Started)
	logs, err := b.Logs(context.Background(), "loud", "main", true)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	lines := bufio.NewScanner(logs)
	for i := 0; lines.Scan() && lines.Text() != "last"; i++ {
		if !strings.HasPrefix(lines.Text(), fmt.Sprintf("line %d ", i)) {
			t.Fatalf("line %d is %q", i, lines.Text())
		}
	}
	b.Stop("loud")
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "line ") {
			t.Errorf("a line came twice: %q", lines.Text())
		}
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
}

func TestTheLogsOfSeveralContainersAreToldApart(t *testing.T) {
	b := newBench(t, process.Options{})
	spec := task("two", script("echo from the first; sleep 0.2"))
	second := script("printf 'no newline'")
	second.Name = "side"
	spec.Containers = append(spec.Containers, second)
	b.Start(spec)
	b.next(runtime.Started)
	b.next(runtime.Exited)
	logs, err := b.Logs(context.Background(), "two", "", false)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(logs)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(got), "main | from the first\n", "side | no newline\n")
}

type listener struct{ port int }

// listenOn listens on a free port of an address for as long as the test runs.
func listenOn(t *testing.T, host string) listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return listener{l.Addr().(*net.TCPAddr).Port}
}

func TestAProcessThatListensElsewhereIsReboundAndNoOtherIs(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, process.Options{})
	start := func(id, on string) runtime.Binding {
		b.Start(task(id, runtime.Container{
			Command: []string{exe}, Env: map[string]string{helperVariable: "listen", "LISTEN": on},
			Ports: []runtime.Port{{ContainerPort: 80}},
		}))
		return b.next(runtime.Started).Bindings[0]
	}
	dial := func(b runtime.Binding) {
		t.Helper()
		eventually(t, "the binding answers", func() bool {
			c, err := net.Dial("tcp", net.JoinHostPort(b.Address, strconv.Itoa(b.HostPort)))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	dial(start("any", ""))
	dial(start("address", address))
	said := start("loopback", "127.0.0.1")
	e := b.next(runtime.Rebound)
	want := said
	want.Address = "127.0.0.1"
	if e.TaskID != "loopback" || len(e.Bindings) != 1 || e.Bindings[0] != want {
		t.Errorf("got %+v, want %+v", e, want)
	}
	dial(e.Bindings[0])
	start("silent", "no-such-host")
	b.next(runtime.Exited)
}

func TestATaskThatListensElsewhereIsFoundBesideAStrangerByTheNextEngineToo(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stranger := listenOn(t, "127.0.0.1")
	spec := task("beside", runtime.Container{
		Command: []string{exe}, Env: map[string]string{helperVariable: "listen", "LISTEN": "127.0.0.3"},
		Ports: []runtime.Port{{ContainerPort: 80, HostPort: stranger.port}},
	})
	b := newBench(t, process.Options{})
	b.Start(spec)
	b.next(runtime.Started)
	if got := b.next(runtime.Rebound).Bindings[0].Address; got != "127.0.0.3" {
		t.Errorf("found on %s", got)
	}
	b.Close()
	next := newBench(t, process.Options{Dir: b.dir})
	if err := next.Adopt(t.Context(), []runtime.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	next.next(runtime.Started)
	if got := next.next(runtime.Rebound).Bindings[0].Address; got != "127.0.0.3" {
		t.Errorf("found by the next engine on %s", got)
	}
}

func TestClosingLeavesNoGoroutineAndNoEventBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	closed := false
	r := newRuntime(t, process.Options{Dir: dir}, func(e runtime.Event) {
		if closed {
			t.Errorf("after Close: %+v", e)
		}
	})
	s := script(trapScript)
	s.Ports = []runtime.Port{{ContainerPort: 80}}
	for i := range 4 {
		r.Start(task(fmt.Sprint(i), s))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	closed = true
	r = newRuntime(t, process.Options{Dir: dir}, func(runtime.Event) {})
	if err := r.Adopt(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are stopped", func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == 0
	})
	r.Close()
}

// running are containers that run, as a state has them.
func running(ids ...shim.Identity) []shim.Process {
	var all []shim.Process
	for _, id := range ids {
		all = append(all, shim.Process{Identity: id, Phase: order.Running})
	}
	return all
}
