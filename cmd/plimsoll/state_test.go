package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll/app"
)

// state makes the folder of a run.
func state(t *testing.T, run app.RunFile) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, runFile), string(text))
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDownAsksByTheAPIAndWaitsForTheEnd(t *testing.T) {
	process, ended := sleeper(t)
	var token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/shutdown" {
			token = r.Header.Get("Authorization")
			_ = process.Process.Signal(os.Interrupt)
		}
	}))
	defer server.Close()
	dir := state(t, app.RunFile{PID: process.Process.Pid, Started: time.Now(), UI: server.URL, Token: "secret"})
	if got := typedOK(t, &console{}, "down", "--state", dir); got.out != "stopped\n" {
		t.Errorf("printed %q", got.out)
	}
	if signal := endedBy(<-ended); signal != syscall.SIGINT || token != "Bearer secret" {
		t.Errorf("ended by %v, asked with the token %q", signal, token)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the state is gone: %v", err)
	}
}

func TestDownFallsBackToSIGTERMAndPurgesTheState(t *testing.T) {
	process, ended := sleeper(t)
	dir := state(t, app.RunFile{PID: process.Process.Pid, Started: time.Now()})
	got := typedOK(t, &console{}, "down", "--purge", "--state", dir)
	if !strings.HasPrefix(got.out, "stopped\nremoved ") {
		t.Errorf("printed %q", got.out)
	}
	if signal := endedBy(<-ended); signal != syscall.SIGTERM {
		t.Errorf("ended by %v", signal)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state is still there: %v", err)
	}
}

func TestDownLeavesAProcessThatHasGotTheSameIDSince(t *testing.T) {
	process, ended := sleeper(t)
	dir := state(t, app.RunFile{PID: process.Process.Pid, Started: time.Now().Add(-time.Hour)})
	got := typed(t, &console{}, "down", "--purge", "--state", dir)
	if got.code != exitFailure || !strings.Contains(got.err, "nothing is running") {
		t.Errorf("exit %d, stderr %q", got.code, got.err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it was ended: %v", err)
	default:
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the state is gone: %v", err)
	}
}

func TestEnvPrintsWhatAShellCanTake(t *testing.T) {
	dir := state(t, app.RunFile{PID: os.Getpid(), Started: time.Now(), Region: "eu-central-1", AWS: "http://127.0.0.1:4580"})
	put(t, filepath.Join(dir, "credentials"), "[other]\naws_access_key_id = no\n[default]\naws_access_key_id = AKIAPLIMSOLL\naws_secret_access_key = it's $(a) \\ secret\n")
	got := typedOK(t, &console{}, "env", "--state", dir)
	golden(t, "env.txt", []byte(got.out))
	golden(t, "env-fish.txt", []byte(typedOK(t, &console{}, "env", "--shell", "fish", "--state", dir).out))

	script := got.out + `printf '%s|%s' "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION"`
	taken, err := exec.Command("sh", "-c", script).Output()
	if err != nil || string(taken) != `it's $(a) \ secret|eu-central-1` {
		t.Errorf("the shell took %q, error %v", taken, err)
	}
}

func TestEnvWithoutCredentialsSaysHowToGetNewOnes(t *testing.T) {
	dir := state(t, app.RunFile{PID: os.Getpid(), Started: time.Now(), AWS: "http://127.0.0.1:4580"})
	put(t, filepath.Join(dir, "credentials"), "[default]\n")
	got := typed(t, &console{}, "env", "--state", dir)
	if got.code != exitFailure || !strings.Contains(got.err, "remove the file, and start it again") {
		t.Errorf("exit %d, stderr %q", got.code, got.err)
	}
}
