package plimsoll_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "plimsoll"

// rule says what the packages of one folder must not import, and why. A
// forbidden or excepted entry is an import path relative to the module
// ("engine/..." with all below it), or one outside of it.
type rule struct {
	folder string // relative to the module; "x/..." with all below it
	forbid []string
	except []string
	why    string
}

var inputOutput = []string{"os", "os/exec", "net", "net/http", "io/ioutil", "syscall", "database/sql"}

// rules are the floors of the house: docs/architecture.md has them as a table.
var rules = []rule{
	{"demand/...", []string{"scale/...", "platform/...", "control/...", "engine/...", "compose/...", "app/...", "api/..."}, nil,
		"a source reads how much work there is and must not know what is done with it"},
	{"scale/...", append([]string{"log", "log/slog", "sync", "sync/atomic", "math/rand", "math/rand/v2", "context", "demand/...", "platform/...", "control/...", "engine/...", "router/...", "compose/..."}, inputOutput...), nil,
		"decisions are values: no I/O, no log, no lock, no randomness of their own"},
	{"place/...", append([]string{"log", "log/slog", "sync", "time", "math/rand", "math/rand/v2", "scale/...", "engine/...", "platform/...", "control/..."}, inputOutput...), nil,
		"placement is pure, and shared by the engine and the decisions"},
	{"platform/...", []string{"scale/...", "control/...", "engine/...", "router/...", "compose/...", "app/..."}, nil,
		"an adapter carries out; the embedded engine is reached by its endpoint, as AWS is"},
	{"control/...", []string{"engine/...", "router/...", "compose/...", "app/...", "api/...", "platform/ecs/...", "demand/sqs", "demand/router", "demand/cron", "demand/random", "demand/script", "demand/metricsapi", "demand/prometheus", "demand/postgresql", "demand/cloudwatch", "demand/usage"}, nil,
		"the loop sees interfaces, never an adapter"},
	{"engine", append([]string{"log", "log/slog", "sync", "scale/...", "control/...", "demand/...", "platform/...", "router/...", "compose/..."}, inputOutput...), nil,
		"the state machine is deterministic and does no I/O"},
	{"engine/...", []string{"scale/...", "control/...", "demand/...", "platform/...", "router/...", "compose/...", "app/...", "api/..."}, nil,
		"the engine is an ECS; who scales it is none of its business"},
	{"engine/runtime/order", append([]string{"log", "log/slog", "sync", "fmt", "strings", "engine/...", "place/..."}, inputOutput...), nil,
		"the order of containers is pure, and in every task's parent process"},
	{"engine/runtime/docker/dockertest", []string{"engine/..."}, nil,
		"a Docker Engine for tests is dockerd alone"},
	{"engine/queue/...", []string{"net", "net/http"}, nil,
		"the queues are state; their wire is engine/awsapi"},
	{"engine/events/...", []string{"net", "net/http", "engine", "engine/queue/...", "engine/awsapi", "engine/ecsapi"}, nil,
		"rules and the outbox know events as values, whatever they tell of and wherever they go"},
	{"engine/ec2api/...", []string{"net/http", "engine/daemon/...", "engine/runtime/...", "engine/queue/...", "engine/tenants/..."}, nil,
		"what is around ECS reads the cluster as a view and has its hosts made by whoever owns them"},
	{"engine/cloudwatch/...", []string{"net", "net/http", "log/slog", "os", "engine/daemon/...", "engine/runtime/...", "engine/usage/...", "engine/queue/...", "engine/ecsapi", "engine/tenants/..."}, nil,
		"metrics are samples by name; who serves them, and who measures, is told elsewhere"},
	{"engine/tenants/...", []string{"net", "net/http", "engine/daemon/...", "engine/runtime/..."}, nil,
		"tenants are a file and its bounds, whoever serves and runs them"},
	{"engine/usage/...", []string{"net", "net/http", "engine", "engine/daemon/...", "engine/ecsapi", "engine/awsapi", "engine/runtime/process", "engine/runtime/docker", "engine/runtime/fake"}, nil,
		"what is measured are the tasks of some runtime; whose they are is told elsewhere"},
	{"engine/store/...", []string{"net", "net/http"}, nil, "the store knows keys and values only"},
	{"router/...", []string{"engine/...", "platform/...", "scale/...", "control/...", "compose/...", "app/..."}, nil,
		"the router is given its table as a value"},
	{"router/h1", append([]string{"log/slog", "sync", "time", "context", "router"}, inputOutput...), nil,
		"the wire is bytes; who they come from and go to is the router's business"},
	{"discovery/...", []string{"engine/...", "router/...", "platform/...", "scale/...", "control/...", "compose/...", "app/..."}, nil,
		"discovery is given its directory as a value"},
	{"compose/...", []string{"demand/...", "scale/...", "platform/...", "control/...", "engine/...", "router/...", "app/...", "api/...", "net/http"}, nil,
		"the file is parsed into values, whatever runs on them"},
	{"worker/...", []string{"engine/...", "control/...", "scale/...", "platform/...", "demand/...", "compose/...", "router/...", "app/...", "api/..."}, nil,
		"a worker meets the platform and the queue over the wire alone, as on ECS"},
	{"worker", []string{"github.com/aws/..."}, nil, "the queue is a seam; SQS is a leaf"},
	{"mototest", []string{"demand/...", "discovery/...", "scale/...", "platform/...", "control/...", "compose/...", "engine/...", "router/...", "app/...", "api/...", "worker/..."}, nil,
		"a peer for tests is a program that others wrote"},
	{"objects/...", []string{"demand/...", "scale/...", "platform/...", "control/...", "engine/...", "router/...", "compose/...", "app/...", "worker/...", "net/http"}, nil,
		"files are told of as values; who sends them where is none of their business"},
	{"sim/...", []string{"app/...", "api/...", "router/...", "compose/...", "net", "net/http", "os", "os/exec", "sync", "log/slog", "math/rand"}, nil,
		"a simulated world is a value; its time, work and randomness come in"},
	{"sim/baseline", []string{"sim", "scale/...", "control/...", "engine/...", "context", "math/rand/v2"}, nil,
		"the field's policies know what they are shown, and nothing of Plimsoll"},
	{"load/...", []string{"demand/...", "scale/...", "platform/...", "control/...", "engine/...", "router/...", "compose/...", "app/..."}, nil,
		"the load comes from outside, as a client's does"},
	{"api/...", []string{"platform/...", "engine/...", "demand/sqs", "demand/router", "compose/...", "app/..."}, nil,
		"the API shows what the loop knows; adapters and the engine's inside are hidden from it"},
	{"web/...", []string{"platform/...", "engine/...", "router/...", "control/...", "scale/...", "app/..."}, nil,
		"the page is files"},
	{"chaos/...", []string{"app/...", "engine/...", "control/...", "cmd/..."}, nil,
		"chaos knows the program from outside, as its users do"},
	{"app/...", []string{"cmd/..."}, nil, "the command is the top floor"},
}

// appImporters are those who may import package app.
var appImporters = []string{"app", "cmd/plimsoll"}

func TestNoPackageImportsWhatItsFloorForbids(t *testing.T) {
	imports := readImports(t, ".")
	if len(imports) < 10 {
		t.Fatalf("read the imports of %d packages only: the walk is broken", len(imports))
	}
	for folder, paths := range imports {
		for _, r := range rules {
			if !matches(r.folder, folder) {
				continue
			}
			for _, path := range paths {
				if forbidden(r, path) {
					t.Errorf("%s imports %q, which its floor forbids: %s", folder, path, r.why)
				}
			}
		}
		if slices.Contains(paths, "app") && !slices.Contains(appImporters, folder) {
			t.Errorf("%s imports app, which cmd alone may", folder)
		}
	}
}

func TestTheRootImportsOnlyTheStandardLibrary(t *testing.T) {
	for _, path := range readImports(t, ".")["."] {
		if strings.Contains(strings.Split(path, "/")[0], ".") || isOwn(path) {
			t.Errorf("the root package imports %q; only the standard library is allowed there", path)
		}
	}
}

func TestTheFloorsTestSeesABreak(t *testing.T) {
	for _, c := range []struct {
		folder, path string
	}{{"scale", "os"}, {"scale", "log/slog"}, {"control", "engine/daemon"}, {"engine", "net/http"}, {"platform/ecs", "scale"}, {"router", "engine"}} {
		broken := false
		for _, r := range rules {
			broken = broken || matches(r.folder, c.folder) && forbidden(r, c.path)
		}
		if !broken {
			t.Errorf("%s importing %q should break a rule", c.folder, c.path)
		}
	}
}

// readImports parses every non-test file below root and gives each package's
// imports, own ones relative to the module. It reads the source rather than
// asking the go command, so that no cached result hides a break.
func readImports(t *testing.T, root string) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[folder] = append(imports[folder], strings.TrimPrefix(p, module+"/"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

func forbidden(r rule, path string) bool {
	return slices.ContainsFunc(r.forbid, func(f string) bool { return matches(f, path) }) &&
		!slices.ContainsFunc(r.except, func(e string) bool { return matches(e, path) })
}

// matches tells whether path is the pattern, or lies below it where that ends
// in "/...".
func matches(pattern, path string) bool {
	below, all := strings.CutSuffix(pattern, "/...")
	return path == below || all && strings.HasPrefix(path, below+"/")
}

func isOwn(path string) bool {
	first := strings.Split(path, "/")[0]
	entry, err := os.Stat(first)
	return err == nil && entry.IsDir()
}
