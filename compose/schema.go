package compose

import (
	"encoding/json"
	"fmt"
	"reflect"

	spec "github.com/compose-spec/compose-go/v2/schema"
	"github.com/invopop/jsonschema"
)

// Schema is a JSON Schema for editors: that of the Compose Specification with
// the x-plimsoll extension added, which is made from the types that parse it.
// Rules over several keys are beyond it.
func Schema() ([]byte, error) {
	var whole map[string]any
	if err := json.Unmarshal([]byte(spec.Schema), &whole); err != nil {
		return nil, fmt.Errorf("the schema of the Compose Specification: %w", err)
	}
	definitions, ok := whole["$defs"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the schema of the Compose Specification has no $defs")
	}
	service, ok := definitions["service"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the schema of the Compose Specification has no definition of a service")
	}
	whole["$id"] = "https://plimsoll.invalid/compose.json"
	whole["title"] = "A compose file with the x-plimsoll extension"
	for _, place := range []struct {
		object map[string]any
		name   string
		value  any
	}{{whole, "plimsoll_project", extension{}}, {service, "plimsoll_service", Scaling{}}} {
		properties, ok := place.object["properties"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the schema of the Compose Specification has no properties where x-plimsoll goes")
		}
		properties["x-plimsoll"] = map[string]any{"$ref": "#/$defs/" + place.name}
		definitions[place.name] = withVariables(schemaOf(reflect.TypeOf(place.value)))
	}
	out, err := json.MarshalIndent(whole, "", "  ")
	return append(out, '\n'), err
}

// variableText is a text with a variable in it, which may stand for a scalar of
// any type.
const variableText = `\$`

// schemaOf is the schema of one struct, complete in itself.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	reflector := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		DoNotReference:             true,
		Anonymous:                  true,
		Mapper:                     mapped,
	}
	s := reflector.ReflectFromType(t)
	s.Version = ""
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == "" {
			s.Properties.Delete(t.Field(i).Name)
		}
	}
	return s
}

// mapped gives the types that are not written as Go has them.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case durationType:
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$|^0$`}
	case memoryType:
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)? ?[kKmMgGtT]([iI]?[bB])?$`}
	case commandType:
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "string", MinLength: one()},
			{Type: "array", Items: &jsonschema.Schema{Type: "string"}, MinItems: one()},
		}}
	case triggerList:
		list := &jsonschema.Schema{Type: "array", MinItems: one(), Items: &jsonschema.Schema{}}
		for _, kind := range triggerTypes() {
			list.Items.OneOf = append(list.Items.OneOf, kind.schema())
		}
		return list
	}
	return nil
}

func one() *uint64 {
	n := uint64(1)
	return &n
}

// schema is that of a trigger of this type: the common keys and its own.
func (k triggerType) schema() *jsonschema.Schema {
	s := schemaOf(reflect.TypeFor[Trigger]())
	own := schemaOf(reflect.TypeOf(k.make()).Elem())
	for pair := own.Properties.Oldest(); pair != nil; pair = pair.Next() {
		s.Properties.Set(pair.Key, pair.Value)
	}
	s.Properties.Set("type", &jsonschema.Schema{Const: k.name, Description: k.doc})
	s.Title, s.Description = k.name, k.doc
	s.Required = append(s.Required, own.Required...)
	return s
}

// withVariables lets every scalar of a schema be a text with a variable in it
// as well.
func withVariables(s *jsonschema.Schema) *jsonschema.Schema {
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		pair.Value = withVariables(pair.Value)
	}
	for i := range s.OneOf {
		s.OneOf[i] = withVariables(s.OneOf[i])
	}
	if s.Items != nil {
		s.Items = withVariables(s.Items)
	}
	switch s.Type {
	case "integer", "number", "boolean":
		plain := *s
		plain.Description, plain.Default = "", nil
		return &jsonschema.Schema{
			Description: s.Description, Default: s.Default,
			AnyOf: []*jsonschema.Schema{&plain, {Type: "string", Pattern: variableText}},
		}
	case "string":
		if s.Pattern != "" {
			s.Pattern = "(" + s.Pattern + ")|" + variableText
		}
	}
	return s
}
