package app

import (
	"os"
	"strings"
	"testing"
)

func TestTheCredentialsAreMadeOnceForTheOwnerAlone(t *testing.T) {
	state, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := state.credentials()
	if err != nil {
		t.Fatal(err)
	}
	again, err := state.credentials()
	if err != nil || again != first || first.Secret == "" {
		t.Errorf("the second start has %+v, %v; the first had %+v", again, err, first)
	}
	info, err := os.Stat(state.path(credentialsName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v; want 0600", info.Mode(), err)
	}
}

func TestDamagedCredentialsAreRefusedAndLeftAlone(t *testing.T) {
	state, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const text = "[other]\naws_access_key_id = A\naws_secret_access_key = B\n"
	if err := os.WriteFile(state.path(credentialsName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := state.credentials(); err == nil || !strings.Contains(err.Error(), state.path(credentialsName)) {
		t.Errorf("the error is %v; it should name the file", err)
	}
	if data, _ := os.ReadFile(state.path(credentialsName)); string(data) != text {
		t.Errorf("the file was changed to %q", data)
	}
}

func TestADamagedRunFileKeepsNobodyFromStarting(t *testing.T) {
	state, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state.path(runFileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := state.lastRun(); got.PID != 0 || got.Ports != nil {
		t.Errorf("the last run is %+v, want none", got)
	}
}
