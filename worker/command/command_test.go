package command_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll/worker"
	"plimsoll/worker/command"
)

// shell makes a handler of a shell script.
func shell(t *testing.T, script string, change ...func(*command.Options)) (worker.Handler, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	o := command.Options{Args: []string{"sh", "-c", script, "sh", command.BodyFile}, Env: os.Environ(), Out: &out, Err: &out}
	for _, f := range change {
		f(&o)
	}
	h, err := command.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h, &out
}

func TestTheCommandIsToldAllOfTheMessage(t *testing.T) {
	t.Setenv("PLIMSOLL_RELEASE_TOKEN", "secret")
	h, out := shell(t, `cat; echo; cat "$1"; echo; cat "$PLIMSOLL_MESSAGE_BODY_FILE"; echo; echo "$PLIMSOLL_MESSAGE_ID $PLIMSOLL_MESSAGE_RECEIVES"
		echo "$PLIMSOLL_ATTRIBUTE_page_size|$PLIMSOLL_ATTRIBUTE_zero|$PLIMSOLL_SYSTEM_MessageGroupId|$PLIMSOLL_RELEASE_TOKEN"; echo "$1" >&2`)
	err := h(t.Context(), worker.Message{
		ID: "m-1", Body: "body with\nlines", Receives: 3,
		Attributes: map[string]string{"page.size": "a4", "zero": "\x00"}, System: map[string]string{"MessageGroupId": "g"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	want := strings.Repeat("body with\nlines\n", 3) + "m-1 3\na4||g|\n"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	file := strings.TrimSpace(strings.TrimPrefix(got, want))
	if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file %q of the message is still there: %v", file, err)
	}
}

func TestTheExitStatusSaysWhetherTheMessageIsDone(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -9 $$": 137} {
		h, _ := shell(t, script)
		err := h(t.Context(), worker.Message{})
		var exit *command.ExitError
		if want == 0 && err != nil || want != 0 && (!errors.As(err, &exit) || exit.Status != want) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

func TestTheWholeGroupIsAskedToEndAndThenKilled(t *testing.T) {
	dir := t.TempDir()
	h, out := shell(t, `trap 'echo asked; wait' TERM
		sh -c 'trap "" TERM; echo $$ >"'$DIR'/child"; while :; do sleep 0.05; done' &
		echo $$ >"$DIR/ready"; wait; wait`, func(o *command.Options) {
		o.KillAfter = 100 * time.Millisecond
		o.Env = append(o.Env, "DIR="+dir)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h(ctx, worker.Message{}) }()
	child := read(t, filepath.Join(dir, "child"))
	read(t, filepath.Join(dir, "ready"))
	cancel(worker.ErrJobTime)
	var exit *command.ExitError
	if err := <-ended; !errors.As(err, &exit) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "asked") {
		t.Error("the command had no SIGTERM")
	}
	gone(t, child)
}

func TestWhatACommandLeavesBehindIsEnded(t *testing.T) {
	dir := t.TempDir()
	h, _ := shell(t, `sleep 600 </dev/null >/dev/null 2>&1 & echo $! >"$DIR/child"`, func(o *command.Options) { o.Env = append(o.Env, "DIR="+dir) })
	if err := h(t.Context(), worker.Message{}); err != nil {
		t.Fatal(err)
	}
	gone(t, read(t, filepath.Join(dir, "child")))
}

func TestACommandThatIsNotThereIsRefused(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"./no-such-program"}} {
		if _, err := command.New(command.Options{Args: args}); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

// read waits for the number in a file.
func read(t *testing.T, path string) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if n, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
			return n
		}
	}
	t.Fatalf("%s never came", path)
	return 0
}

// gone waits until a process has ended; whoever inherits it may still have to
// reap it.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}
