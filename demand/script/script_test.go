package script_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll/demand/script"
)

func sh(text string, o script.Options) script.Options {
	o.Command = []string{"/bin/sh", "-c", text}
	return o
}

func open(t *testing.T, o script.Options) *script.Source {
	t.Helper()
	s, err := script.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatACommandPrintsIsTheDemand(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for text, want := range map[string]float64{
		"echo 12": 12, "printf 3.5": 3.5, "echo 0": 0, "echo ' 7 '": 7, "echo 4; echo warning >&2": 4,
	} {
		sample, err := open(t, sh(text, script.Options{Now: func() time.Time { return now }})).Read(t.Context())
		if err != nil || sample.Value != want || !sample.At.Equal(now) || sample.Detail == "" {
			t.Errorf("%s: sample %+v, error %v; want %v", text, sample, err, want)
		}
	}
}

func TestWhateverElseACommandDoesIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"true":                           `""`,
		"echo many":                      `"many"`,
		"echo 1 2":                       `"1 2"`,
		"echo -3":                        `"-3"`,
		"echo NaN":                       `"NaN"`,
		"echo Inf":                       `"Inf"`,
		"echo 5; exit 3":                 "exit status 3",
		"echo no such queue >&2; exit 1": "no such queue",
		"kill -9 $$":                     "killed",
		"yes 1":                          "killed",
		"head -c 5000 /dev/zero":         "4096 bytes",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			sample, err := open(t, sh(text, script.Options{Timeout: time.Second})).Read(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), text) {
				t.Errorf("sample %+v, error %v; want one that names the command and says %q", sample, err, want)
			}
		})
	}
}

func TestACommandThatDoesNotExistIsAnError(t *testing.T) {
	s := open(t, script.Options{Command: []string{"/nowhere/depth"}})
	if _, err := s.Read(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), `"/nowhere/depth"`) {
		t.Errorf("error %v, want one that names what does not exist", err)
	}
}

func TestATimeOutEndsTheWholeProcessGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := open(t, sh(`sleep 600 & echo $! >"$FILE"; wait; echo 1`, script.Options{
		Timeout: 500 * time.Millisecond, Env: map[string]string{"FILE": file},
	}))
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "500ms") {
		t.Fatalf("error %v, want one that names the time", err)
	}
	waitUntilGone(t, file)
}

func TestACommandThatLeavesAProcessBehindIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := open(t, sh(`sleep 600 & echo $! >"$FILE"; echo 1`, script.Options{Env: map[string]string{"FILE": file}}))
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "left a process behind") {
		t.Fatalf("error %v, want one that tells of the process", err)
	}
	waitUntilGone(t, file)
}

// waitUntilGone waits until the process whose id is in the file runs no more.
func waitUntilGone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if isGone(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
}

// isGone tells whether a process has ended, a zombie that nobody has waited for
// included.
func isGone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestACallerThatGivesUpEndsTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := open(t, sh("sleep 600", script.Options{Timeout: time.Minute})).Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

func TestACommandSeesOnlyItsOwnEnvironment(t *testing.T) {
	t.Setenv("PLIMSOLL_TEST_SECRET", "12")
	dir := t.TempDir()
	s := open(t, sh(`test -z "$PLIMSOLL_TEST_SECRET" && test "$PATH" = /bin && test "$PWD" = "$DIR" && test "$HOME" = / && echo 1`, script.Options{
		Dir: dir, Env: map[string]string{"PATH": "/bin", "DIR": dir},
	}))
	if sample, err := s.Read(t.Context()); err != nil || sample.Value != 1 {
		t.Errorf("sample %+v, error %v; want 1", sample, err)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]script.Options{
		"command is missing": {},
		"command":            {Command: []string{""}},
		`timeout "-1s"`:      {Command: []string{"true"}, Timeout: -time.Second},
	} {
		if _, err := script.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
