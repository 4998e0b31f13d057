package chaos

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go"
)

// runOne has one task run.
func runOne(t *testing.T, tasks *ecs.Client) (string, error) {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	out, err := tasks.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("chaos")})
	if err != nil {
		return "", err
	}
	if len(out.Tasks) != 1 {
		t.Fatalf("no task: %+v", out.Failures)
	}
	return *out.Tasks[0].TaskArn, nil
}

// status is that of a task, which has to be there.
func status(t *testing.T, tasks *ecs.Client, arn string) string {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	out, err := tasks.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: []string{arn}})
	if err != nil || len(out.Tasks) != 1 {
		t.Fatalf("task %s: %v, %+v", arn, err, out)
	}
	return *out.Tasks[0].LastStatus
}

func awaitRunning(t *testing.T, tasks *ecs.Client, arn string) {
	t.Helper()
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if status(t, tasks, arn) == "RUNNING" {
			return
		}
	}
	t.Fatalf("task %s does not run", arn)
}

// refused checks that an error is the engine's own, and says why.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode() != "ServerException" || !strings.Contains(refusal.ErrorMessage(), words) {
		t.Fatalf("got %v, not a ServerException that says %q", err, words)
	}
}

func TestAFailedSyncEndsTheWritesAndNothingThatWasAnsweredIsLost(t *testing.T) {
	if *kills <= defaultKills {
		t.Skip("strace takes half a minute: it is part of make chaos")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace was not found: apt-get install strace")
	}
	if out, err := exec.Command("strace", "-f", "-e", "inject=fdatasync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot be used here: %v: %s", err, out)
	}
	l := newLedger(t)
	e := newEngine(t, filepath.Join(t.TempDir(), "state"))
	e.start()
	e.ready()
	prepare(t, e, l)
	tasks, _ := e.clients(once)
	before, err := runOne(t, tasks)
	if err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, tasks, before)

	// From here on every sync of the engine fails, once: a second try would work.
	strace := exec.Command("strace", "-f", "-qq", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1", "-o", "/dev/null", "-p", strconv.Itoa(e.cmd.Process.Pid))
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = strace.Process.Kill(); _ = strace.Wait() }()
	for end := time.Now().Add(settleTime); ; time.Sleep(20 * time.Millisecond) {
		if _, err = runOne(t, tasks); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("strace has not made a sync fail")
		}
	}
	refused(t, err, "input/output error")
	for range 3 {
		_, err := runOne(t, tasks)
		refused(t, err, "until the engine is started anew")
	}
	if got := status(t, tasks, before); got != "RUNNING" {
		t.Errorf("the task is %s", got)
	}
	_ = strace.Process.Signal(syscall.SIGTERM) // it lets go of the engine
	_ = strace.Wait()
	e.kill()
	e.start()
	e.ready()
	if err := (&verifier{t: t, e: e, o: newOracle(), l: l, ecs: tasks}).startedOnce(); err != nil {
		t.Error(err)
	}
	if got := status(t, tasks, before); got != "RUNNING" {
		t.Errorf("after the restart the task is %s", got)
	}
	after, err := runOne(t, tasks)
	if err != nil {
		t.Fatalf("a write after the restart: %v", err)
	}
	awaitRunning(t, tasks, after)
	e.stop()
	if err := nothingLeft(e, l); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskRefusesWritesReadsGoOnAndItRecoversByItself(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	l := newLedger(t)
	e := newEngine(t, filepath.Join(dir, "state"))
	e.start()
	e.ready()
	prepare(t, e, l)
	tasks, _ := e.clients(once)
	before, err := runOne(t, tasks)
	if err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, tasks, before)
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	for end := time.Now().Add(settleTime); ; {
		if _, err = register(t, tasks, l); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the disk has not become full")
		}
	}
	refused(t, err, "no space left")
	if got := status(t, tasks, before); got != "RUNNING" {
		t.Errorf("on the full disk the task is %s", got)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	revision := int32(0)
	for end := time.Now().Add(settleTime); ; time.Sleep(50 * time.Millisecond) {
		if revision, err = register(t, tasks, l); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("there is room again, and writes are refused: %v", err)
		}
	}
	e.kill()
	e.start()
	e.ready()
	v := newVerifier(t, e, newOracle(), l)
	v.o.families["big"] = revision
	v.o.tasks[before] = &task{arn: before}
	if err := v.check(false); err != nil {
		t.Error(err)
	}
	e.stop()
	if err := nothingLeft(e, l); err != nil {
		t.Error(err)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{64 << 10, 4 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// register writes something of a few kilobytes.
func register(t *testing.T, tasks *ecs.Client, l ledger) (int32, error) {
	t.Helper()
	ctx, cancel := within(t)
	defer cancel()
	in := l.definition("big")
	in.ContainerDefinitions[0].DockerLabels = map[string]string{"ballast": strings.Repeat("x", 6<<10)}
	out, err := tasks.RegisterTaskDefinition(ctx, in)
	if err != nil {
		return 0, err
	}
	return out.TaskDefinition.Revision, nil
}
