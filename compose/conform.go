package compose

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// conform reports all that the schema of the Compose Specification finds in
// the model. (compose-go's own validation stops at the first.)
func (r *report) conform(root *node, model map[string]any) error {
	if schema.Validate(model) == nil {
		return nil
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Schema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	const name = "compose-spec.json"
	if err := compiler.AddResource(name, document); err != nil {
		return err
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return err
	}
	var found *jsonschema.ValidationError
	if err := compiled.Validate(model); errors.As(err, &found) {
		wanted := map[string][]string{}
		r.violations(root, found, wanted)
		for _, path := range slices.Sorted(maps.Keys(wanted)) {
			n, _ := root.find(strings.Split(path, "\x00")...)
			r.at(n, "found %s, allowed: %s", n.describe(), strings.Join(slices.Compact(slices.Sorted(slices.Values(wanted[path]))), ", "))
		}
		return nil
	} else if err != nil {
		return err
	}
	return nil
}

// violations walks the schema's findings. Values of a wrong type are collected
// by their place, since each alternative of the schema names its own.
func (r *report) violations(root *node, e *jsonschema.ValidationError, wanted map[string][]string) {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		key := strings.Join(at, "\x00")
		for _, want := range k.Want {
			wanted[key] = append(wanted[key], typeWord(want))
		}
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			r.unknownAttribute(root, at, key)
		}
	case *kind.FalseSchema:
		// Said of unknown keys, and of known ones whose value is wrong too.
		if len(at) > 0 {
			r.unknownAttribute(root, at[:len(at)-1], at[len(at)-1])
		}
	case *kind.OneOf, *kind.AnyOf:
		deepest := 0
		for _, cause := range e.Causes {
			deepest = max(deepest, depthOf(cause))
		}
		for _, cause := range e.Causes {
			if depthOf(cause) == deepest {
				r.violations(root, cause, wanted)
			}
		}
	default:
		for _, cause := range e.Causes {
			r.violations(root, cause, wanted)
		}
		if len(e.Causes) == 0 {
			n, _ := root.find(at...)
			r.at(n, "found %s: %s", n.describe(), k.LocalizedString(message.NewPrinter(language.English)))
		}
	}
}

func depthOf(e *jsonschema.ValidationError) int {
	depth := len(e.InstanceLocation)
	for _, cause := range e.Causes {
		depth = max(depth, depthOf(cause))
	}
	return depth
}

// unknownAttribute reports a key that the specification does not have.
func (r *report) unknownAttribute(root *node, under []string, key string) {
	if len(under) == 1 && under[0] == "services" {
		return // a service's name, which is checked by itself
	}
	known := attributesUnder(pattern(under))
	if slices.Contains(known, key) {
		return
	}
	parent, _ := root.find(under...)
	for _, e := range parent.entries {
		if e.key == key {
			r.atKey(e, "%s", unknown("key", key, known, honouredUnder(pattern(under))))
		}
	}
}

// pattern is a place in the model as schema.AttributePaths has it.
func pattern(steps []string) string {
	steps = slices.Clone(steps)
	for i := range steps {
		if i == 1 {
			steps[i] = "*"
		} else if strings.Trim(steps[i], "0123456789") == "" {
			steps[i] = "[]"
		}
	}
	return strings.Join(steps, ".")
}

// attributesUnder are the keys that a mapping of the model may have.
func attributesUnder(pattern string) []string {
	var keys []string
	for _, p := range schema.AttributePaths() {
		parent, key := "", string(p)
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			parent, key = key[:i], key[i+1:]
		}
		if parent == pattern && key != "*" && key != "[]" {
			keys = append(keys, key)
		}
	}
	if pattern == "" || pattern == "services.*" {
		keys = append(keys, "x-plimsoll")
	}
	return keys
}

// typeWord is JSON Schema's name of a type in this package's words.
func typeWord(name string) string {
	switch name {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "string":
		return "text"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	case "null":
		return "nothing"
	}
	return fmt.Sprintf("a %s", name)
}
