package app

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"plimsoll/compose"
	"plimsoll/engine/runtime"
)

func TestWhatTasksMayHaveIsReadStrictly(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/usr", link); err != nil {
		t.Fatal(err)
	}
	got, err := AllowOptions{
		Rights: []string{"privileged", "host-pid"}, HostPaths: []string{dir + "/", link}, Capabilities: []string{"cap_sys_ptrace"},
	}.allow()
	want := runtime.Allow{HostPaths: []string{dir, link, "/usr"}, Capabilities: []string{"SYS_PTRACE"}, Privileged: true, HostPID: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for words, o := range map[string]AllowOptions{
		"host-network, host-pid, host-ipc, privileged": {Rights: []string{"everything"}},
		"absolute":   {HostPaths: []string{"data"}},
		"SYS_PTRACE": {Capabilities: []string{"a b"}},
	} {
		if _, err := o.allow(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestAFileThatNeedsDockerSaysWhereWithoutIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte("services:\n  db:\n    image: x\n    command: ./db\n    tmpfs: [\"/tmp:size=1m\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	project, err := compose.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = chooseRuntime(t.Context(), runtimeProcess, project.Services)
	if err == nil || !strings.Contains(err.Error(), file+":5:12: services.db.tmpfs: ") {
		t.Errorf("got %v", err)
	}
}
