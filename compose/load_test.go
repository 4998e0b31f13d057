package compose_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll"
	"plimsoll/compose"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/configuration.md")

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
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
		t.Errorf("%s differs (go test ./compose -update rewrites it):\n%s", path, diff)
	}
}

// asGolden is the project as JSON, without the folder that it lies in.
func asGolden(t *testing.T, p *compose.Project) []byte {
	t.Helper()
	out, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.ReplaceAll(out, []byte(p.Dir), []byte("DIR")), '\n')
}

func TestAGoodFileIsReadWhole(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, err := compose.Load(file, []string{"MANY=7", "GREETING=from the environment", "SHELL_ONLY=yes"})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", asGolden(t, p))
		})
	}
}

func TestABadFileIsRefusedWithAllThatIsWrongAndWhere(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := compose.Load(file, nil)
			var fileError *compose.FileError
			if !errors.As(err, &fileError) {
				t.Fatalf("want a FileError, got %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(strings.ReplaceAll(err.Error(), "testdata/bad/", "")+"\n"))
		})
	}
}

func TestTheReferenceIsTheTextOfTheTypes(t *testing.T) {
	golden(t, "../docs/configuration.md", []byte(compose.Reference()))
}

// write makes a compose file in a folder of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const smallest = "services: {web: {command: [a]}}\n"

func TestAServiceWithoutTheSectionHasTheLowestPriorityAndOneTask(t *testing.T) {
	p, err := compose.Load(write(t, smallest), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Services[0].Scaling
	if s.Priority != plimsoll.LowestPriority || s.Min != 1 || s.Max != 1 {
		t.Errorf("got priority %d, %d to %d tasks", s.Priority, s.Min, s.Max)
	}
	if p.Services[0].Reserved != compose.DefaultReserved {
		t.Errorf("reserves %v", p.Services[0].Reserved)
	}
}

func TestAFileWithoutZonesNeverHasMoreZonesThanHosts(t *testing.T) {
	p, err := compose.Load(write(t, "x-plimsoll: {hosts: {count: 2}}\n"+smallest), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Hosts.Zones != 2 {
		t.Errorf("%d zones for 2 hosts", p.Hosts.Zones)
	}
}

func TestTheEnvironmentWinsOverTheEnvFile(t *testing.T) {
	file := write(t, "services: {web: {command: [a], environment: {FROM: \"${WHO}\", ALSO: \"${OTHER}\"}}}\n")
	env := filepath.Join(filepath.Dir(file), ".env")
	if err := os.WriteFile(env, []byte("WHO=file\nOTHER=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(file, []string{"WHO=environment"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"FROM": "environment", "ALSO": "file"}
	if diff := cmp.Diff(want, p.Services[0].Environment); diff != "" {
		t.Error(diff)
	}
}

func TestTheProjectIsNamedByTheEnvironmentThenTheFileThenTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "My.Shop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "compose.yaml")
	for _, c := range []struct {
		text, environment, want string
	}{
		{smallest, "", "myshop"},
		{"name: given\n" + smallest, "", "given"},
		{"name: given\n" + smallest, "COMPOSE_PROJECT_NAME=other", "other"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := compose.Load(file, []string{c.environment})
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != c.want {
			t.Errorf("named %q, want %q", p.Name, c.want)
		}
	}
}

func TestAFileThatCannotBeReadSaysWhy(t *testing.T) {
	dir := t.TempDir()
	huge := write(t, smallest+strings.Repeat("# padding\n", compose.MaxSize/10))
	for file, want := range map[string]string{
		filepath.Join(dir, "missing.yaml"): "no such file",
		dir:                                "is a folder",
		huge:                               "is larger than 1048576 bytes",
	} {
		_, err := compose.Load(file, nil)
		var fileError *compose.FileError
		if !errors.As(err, &fileError) || !strings.Contains(err.Error(), file+": "+want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

func TestFindTakesTheFirstOfComposesNames(t *testing.T) {
	dir := t.TempDir()
	if _, err := compose.Find(dir); err == nil || !strings.Contains(err.Error(), "docker-compose.yml") {
		t.Errorf("in an empty folder: %v", err)
	}
	for _, name := range []string{"docker-compose.yml", "compose.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(smallest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if file, err := compose.Find(dir); err != nil || filepath.Base(file) != "compose.yaml" {
		t.Errorf("found %q, error %v", file, err)
	}
}

// FuzzLoad looks for a text that panics, or that is taken and yet breaks what
// the rest of the program relies on.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(dir, "compose.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := compose.Load(file, nil)
		var fileError *compose.FileError
		if err != nil {
			if !errors.As(err, &fileError) || len(fileError.Problems) == 0 {
				t.Fatalf("an error that names no place: %v", err)
			}
			return
		}
		for _, s := range p.Services {
			if s.Scaling.Min < 0 || s.Scaling.Min > s.Scaling.Max || s.Scaling.Priority < 1 || !s.Reserved.Fits(p.Hosts.Each) {
				t.Fatalf("taken, and out of bounds: %+v", s)
			}
			for _, trigger := range s.Scaling.Triggers {
				if trigger.Name == "" || trigger.Parameters == nil {
					t.Fatalf("a trigger without name or parameters: %+v", trigger)
				}
			}
		}
	})
}
