package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"plimsoll/app"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plimsoll": main})
}

func TestScripts(t *testing.T) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		"misuse":  endsWith(exitMisuse),
		"failure": endsWith(exitFailure),
	}
	maps.Copy(cmds, queueCommands)
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: *update, Cmds: cmds})
}

// endsWith is a script's command: what it runs must end with the status, tell
// why in one error on stderr, and print neither output nor usage.
func endsWith(status int) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, not bool, args []string) {
		if not || len(args) == 0 {
			ts.Fatalf("usage: misuse|failure program [arguments]")
		}
		var exit *exec.ExitError
		if err := ts.Exec(args[0], args[1:]...); !errors.As(err, &exit) || exit.ExitCode() != status {
			ts.Fatalf("%q: %v, want the exit status %d", args, err, status)
		}
		told := ts.ReadFile("stderr")
		if strings.Count(told, "plimsoll: ") != 1 && !strings.HasPrefix(told, "plimsoll: ") || strings.Contains(told, "Usage:") {
			ts.Fatalf("%q told %q", args, told)
		}
		if out := ts.ReadFile("stdout"); out != "" {
			ts.Fatalf("%q printed %q", args, out)
		}
	}
}

// golden compares with a file of testdata/golden, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata/golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (go test ./cmd/plimsoll -update rewrites it):\n%s", path, diff)
	}
}

// noon is when the tests take place.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// outcome is what a command line gave.
type outcome struct {
	code     int
	out, err string
}

// typed carries out a command line as if somebody had typed it.
func typed(t *testing.T, c *console, args ...string) outcome {
	t.Helper()
	var out, errors bytes.Buffer
	c.args, c.out, c.err, c.in = args, &out, &errors, &bytes.Buffer{}
	c.now, c.version = noon, "v1.2.3"
	code := c.run(t.Context())
	return outcome{code, out.String(), errors.String()}
}

func TestTheHelpNamesEveryCommand(t *testing.T) {
	got := typed(t, &console{}, "--help")
	if got.code != exitOK || got.err != "" {
		t.Fatalf("exit %d, stderr %q", got.code, got.err)
	}
	golden(t, "help.txt", []byte(got.out))
}

func TestUpHandsItsFlagsToTheProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got app.UpOptions
	c := &console{programs: Programs{Up: func(_ context.Context, o app.UpOptions) error { got = o; return nil }}}
	typedOK(t, c, "up", "-f", "shop.yaml", "--state", "s", "--router", "127.0.0.1:1", "--ui", "127.0.0.1:2", "--aws", "127.0.0.1:3",
		"--runtime", "fake", "--image-mirror", "127.0.0.1:5000", "--load", "--trace", "t.csv", "--load-for", "90s", "--token-file", file)
	got.Out, got.Log = nil, nil
	want := app.UpOptions{
		File: "shop.yaml", State: "s", Router: "127.0.0.1:1", UI: "127.0.0.1:2", AWS: "127.0.0.1:3", Runtime: "fake", Edge: app.EdgeOptions{AccessFormat: "json", OTLPSample: -1},
		Images: app.ImageOptions{Pull: "prefer-cached", Mirrors: []string{"127.0.0.1:5000"}, MinAge: time.Hour},
		Load:   true, Trace: "t.csv", LoadFor: 90 * time.Second, Token: "secret", Version: "v1.2.3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEngineAndRunHandTheirFlagsToTheProgram(t *testing.T) {
	var engine app.EngineOptions
	var run app.RunOptions
	c := &console{programs: Programs{
		Engine: func(_ context.Context, o app.EngineOptions) error { engine = o; return nil },
		Run:    func(_ context.Context, o app.RunOptions) error { run = o; return nil },
	}}
	typedOK(t, c, "engine", "--hosts", "5", "--zones", "2", "--host-cpu", "2048", "--host-memory", "512", "--aws", "127.0.0.1:0", "--runtime", "process")
	if engine.Hosts != 5 || engine.Zones != 2 || engine.Each.CPU != 2048 || engine.Each.Memory != 512 || engine.Cluster != "default" ||
		engine.Region != app.DefaultRegion || engine.State != app.DefaultState || engine.Runtime != "process" {
		t.Errorf("engine got %+v", engine)
	}
	typedOK(t, c, "run", "-f", "shop.yaml", "--cluster", "prod", "--once", "--dry-run", "-o", "json")
	if run.Platform != "ecs" || run.Cluster != "prod" || !run.Once || !run.DryRun || run.Output != "json" || run.File != "shop.yaml" || run.State != "" {
		t.Errorf("run got %+v", run)
	}
}

func typedOK(t *testing.T, c *console, args ...string) outcome {
	t.Helper()
	got := typed(t, c, args...)
	if got.code != exitOK {
		t.Fatalf("plimsoll %v: exit %d, stderr %q", args, got.code, got.err)
	}
	return got
}
