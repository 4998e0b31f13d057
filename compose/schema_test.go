package compose_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"plimsoll/compose"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := compose.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	var model any
	if err := yaml.Unmarshal(text, &model); err != nil {
		t.Fatal(err)
	}
	return schema.Validate(model)
}

func TestTheSchemaAdmitsTheGoodFiles(t *testing.T) {
	schema := compiledSchema(t)
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, schema, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Rules over several keys (min over max, a missing queue) are the parser's
// alone; these are the slips that an editor can show while one types.
func TestTheSchemaRefusesWhatIsWrongInItself(t *testing.T) {
	schema := compiledSchema(t)
	for _, name := range []string{
		"unknown-key", "unknown-top-key", "unknown-host-key", "unknown-compose-key", "many-at-once", "quoted-number",
		"priority-zero", "queue-name", "keda-trigger", "keda-metadata", "keda-interval", "cron", "random", "script",
		"metrics-api", "route-bad", "empty-triggers", "behavior", "not-a-mapping", "hosts",
	} {
		text, err := os.ReadFile(filepath.Join("testdata/bad", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if validate(t, schema, text) == nil {
			t.Errorf("%s: the schema admits what the parser refuses", name)
		}
	}
}

func TestTheSchemaDocumentsEveryKey(t *testing.T) {
	text, err := compose.Schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"1 is the highest", "Messages for each task", "The number of hosts."} {
		if !strings.Contains(string(text), words) {
			t.Errorf("the schema does not say %q", words)
		}
	}
}
