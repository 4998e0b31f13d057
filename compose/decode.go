package compose

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"go.yaml.in/yaml/v4"
)

// decoder fills tagged structs from nodes, strictly: unknown keys, values of
// another type and values out of bounds are reported, all of them.
type decoder struct{ *report }

// rule is what the tag jsonschema says of a field.
type rule struct {
	required         bool
	byDefault        string
	minimum, maximum string
	over             string // exclusiveMinimum
	enum             []string
	pattern, words   string // words says the pattern for people
	example          string
	minItems         int
}

// field is a key of a struct with its rule.
type field struct {
	key   string
	doc   string
	rule  rule
	index int
	typ   reflect.Type
}

// fieldsOf reads the tags of a struct type; fields without a key are left out.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		r := ruleOf(f.Tag.Get("jsonschema"))
		r.words = f.Tag.Get("words")
		fields = append(fields, field{key, f.Tag.Get("jsonschema_description"), r, i, f.Type})
	}
	return fields
}

func ruleOf(tag string) rule {
	var r rule
	// A comma in a pattern is written \, as the schema's reflector wants it.
	const comma = "\x00"
	for part := range strings.SplitSeq(strings.ReplaceAll(tag, `\,`, comma), ",") {
		name, value, _ := strings.Cut(strings.ReplaceAll(part, comma, ","), "=")
		switch name {
		case "required":
			r.required = true
		case "default":
			r.byDefault = value
		case "minimum":
			r.minimum = value
		case "maximum":
			r.maximum = value
		case "exclusiveMinimum":
			r.over = value
		case "enum":
			r.enum = append(r.enum, value)
		case "pattern":
			r.pattern = value
		case "example":
			r.example = value
		case "minItems":
			r.minItems, _ = strconv.Atoi(value)
		}
	}
	return r
}

// structs reads one mapping into several structs that share it. A nil node
// gives them their defaults.
func (d *decoder) structs(n *node, targets ...any) {
	if n != nil && !d.isMapping(n) {
		return
	}
	var known []string
	for _, target := range targets {
		v := reflect.ValueOf(target).Elem()
		for _, f := range fieldsOf(v.Type()) {
			known = append(known, f.key)
			d.field(n, f, v.Field(f.index))
		}
	}
	if n == nil {
		return
	}
	for _, e := range n.entries {
		if slices.Contains(known, e.key) {
			continue
		}
		if hint := hints()[e.key]; hint != "" {
			d.atKey(e, "unknown key %q; %s", e.key, hint)
		} else {
			d.atKey(e, "%s", unknown("key", e.key, known, nil))
		}
	}
}

// hints are for keys of KEDA that are elsewhere here.
func hints() map[string]string {
	return map[string]string{
		"metadata":        "write its keys directly in the trigger",
		"pollingInterval": `use interval, with a unit: "30s"`,
		"cooldownPeriod":  `use behavior.cooldown, with a unit: "300s"`,
		"minReplicaCount": "use min",
		"maxReplicaCount": "use max",
	}
}

func (d *decoder) field(n *node, f field, v reflect.Value) {
	child := n.get(f.key)
	switch {
	case child != nil:
		d.value(child, v, f.rule)
	case f.rule.required && n != nil:
		d.at(n, "%s is missing; %s", f.key, allowed(f.typ, f.rule))
	case f.rule.byDefault != "":
		if err := setDefault(v, f.rule.byDefault); err != nil {
			panic(fmt.Sprintf("the default of the key %q: %v", f.key, err)) // a tag is wrong: no file can bring this about
		}
	case v.Kind() == reflect.Struct:
		d.structs(nil, v.Addr().Interface())
	}
}

// value reads one node into a field.
func (d *decoder) value(n *node, v reflect.Value, r rule) {
	if n.isNull() {
		d.at(n, "found nothing; remove the key, or give it a value; %s", allowed(v.Type(), r))
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *Command:
		d.command(n, target)
		return
	case *[]Trigger:
		if d.list(n, r) {
			for _, item := range n.items {
				*target = append(*target, d.decodeTrigger(item))
			}
			d.uniqueNames(n, *target)
		}
		return
	case *[]time.Duration:
		if d.list(n, r) {
			for _, item := range n.items {
				var length time.Duration
				d.value(item, reflect.ValueOf(&length).Elem(), rule{})
				*target = append(*target, length)
			}
		}
		return
	case *[]string:
		if d.list(n, r) {
			for _, item := range n.items {
				var text string
				d.value(item, reflect.ValueOf(&text).Elem(), r)
				*target = append(*target, text)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structs(n, v.Addr().Interface())
	case reflect.Slice: // of structs
		if d.list(n, r) {
			v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
			for i, item := range n.items {
				d.structs(item, v.Index(i).Addr().Interface())
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Type().Elem().Kind() != reflect.Struct {
			d.scalar(n, v.Elem(), r)
			return
		}
		d.structs(n, v.Interface())
	default:
		d.scalar(n, v, r)
	}
}

func (d *decoder) isMapping(n *node) bool {
	if n.kind == yaml.MappingNode {
		return true
	}
	d.at(n, "found %s, allowed: a mapping", n.describe())
	return false
}

func (d *decoder) list(n *node, r rule) bool {
	if n.kind != yaml.SequenceNode {
		d.at(n, "found %s, allowed: a list", n.describe())
		return false
	}
	if len(n.items) < r.minItems {
		d.at(n, "the list is empty; remove the key, or give it an item")
		return false
	}
	return true
}

// text reads a text without further rules.
func (d *decoder) text(n *node, to *string) bool {
	before := len(d.errors)
	d.value(n, reflect.ValueOf(to).Elem(), rule{})
	return len(d.errors) == before
}

func (d *decoder) command(n *node, to *Command) {
	if n.kind == yaml.ScalarNode {
		var line string
		if d.text(n, &line) {
			*to = Command{"/bin/sh", "-c", line}
		}
		return
	}
	if !d.list(n, rule{minItems: 1}) {
		return
	}
	for _, item := range n.items {
		var arg string
		d.text(item, &arg)
		*to = append(*to, arg)
	}
	if (*to)[0] == "" {
		d.at(n, "the first item is empty, allowed: a program")
	}
}

// scalar reads and checks a number, a switch, a text, a duration or an amount
// of memory.
func (d *decoder) scalar(n *node, v reflect.Value, r rule) {
	bad := func() { d.at(n, "found %s, %s", n.describe(), allowed(v.Type(), r)) }
	if n.kind != yaml.ScalarNode {
		bad()
		return
	}
	if n.tag == "!!str" && !n.filled && wantsPlain(v.Type()) {
		if parse(reflect.New(v.Type()).Elem(), n.text) == nil {
			d.at(n, "found the text %q, %s; remove the quotes", n.text, allowed(v.Type(), r))
		} else {
			bad()
		}
		return
	}
	if v.Kind() == reflect.String && n.tag != "!!str" {
		d.at(n, "found %s, allowed: text; put it in quotes: \"%s\"", n.text, n.text)
		return
	}
	parsed := reflect.New(v.Type()).Elem()
	if err := parse(parsed, n.text); err != nil || !r.admits(parsed) {
		bad()
		return
	}
	v.Set(parsed)
}

// wantsPlain tells whether a quoted text is refused for the type.
func wantsPlain(t reflect.Type) bool {
	if t == durationType || t == memoryType {
		return false
	}
	return t.Kind() != reflect.String
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	memoryType   = reflect.TypeFor[MiB]()
	commandType  = reflect.TypeFor[Command]()
	triggerList  = reflect.TypeFor[[]Trigger]()
)

// setDefault sets a field to the default that its tag names.
func setDefault(v reflect.Value, text string) error { return parse(v, text) }

// parse reads a scalar by the type of the value.
func parse(v reflect.Value, text string) error {
	switch v.Type() {
	case durationType:
		duration, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(duration))
		return nil
	case memoryType:
		mib, err := parseMemory(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(mib))
		return nil
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			return err
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return fmt.Errorf("%q is not finite", text)
		}
		v.SetFloat(f)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.String:
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("the text is empty")
		}
		v.SetString(text)
	default:
		return fmt.Errorf("no scalar can be read into %v", v.Type())
	}
	return nil
}

// parseMemory reads 64M or 1.5G. A number without a unit is refused: compose
// takes it as bytes, and people mean MiB.
func parseMemory(text string) (MiB, error) {
	if text == "" || !strings.ContainsAny(strings.ToLower(text), "kmgt") {
		return 0, fmt.Errorf("%q has no unit", text)
	}
	bytes, err := units.RAMInBytes(text)
	if err != nil {
		return 0, err
	}
	const mib = 1 << 20
	if bytes < 0 || bytes%mib != 0 {
		return 0, fmt.Errorf("%q is no whole number of MiB", text)
	}
	return MiB(bytes / mib), nil
}

// admits tells whether a value that was read is within the rule's bounds.
func (r rule) admits(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		if len(r.enum) > 0 && !slices.Contains(r.enum, v.String()) {
			return false
		}
		return r.pattern == "" || regexp.MustCompile(r.pattern).MatchString(v.String())
	case reflect.Int, reflect.Int64, reflect.Float64:
		return r.within(r.minimum, v, func(bound, value float64) bool { return value >= bound }) &&
			r.within(r.maximum, v, func(bound, value float64) bool { return value <= bound }) &&
			r.within(r.over, v, func(bound, value float64) bool { return value > bound })
	}
	return true
}

func (r rule) within(bound string, v reflect.Value, holds func(bound, value float64) bool) bool {
	if bound == "" {
		return true
	}
	limit := reflect.New(v.Type()).Elem()
	if v.Type() == memoryType {
		bound += "M"
	}
	if err := parse(limit, bound); err != nil {
		panic(fmt.Sprintf("the bound %q: %v", bound, err)) // a tag is wrong: no file can bring this about
	}
	return holds(number(limit), number(v))
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// allowed says in words what a field takes: "allowed: a whole number from 1 to
// 1000".
func allowed(t reflect.Type, r rule) string {
	text := kindOf(t)
	if len(r.enum) > 0 {
		return "allowed: " + strings.Join(r.enum, ", ")
	}
	switch {
	case r.minimum != "" && r.maximum != "":
		text += " from " + r.minimum + " to " + r.maximum
	case r.minimum != "":
		text += " of at least " + r.minimum
	case r.over != "":
		text += " over " + r.over
	}
	if t == memoryType && r.minimum != "" {
		text += "M"
	}
	if r.words != "" {
		text = r.words
	} else if r.pattern != "" {
		text += " that matches " + r.pattern
	}
	if r.example != "" {
		text += fmt.Sprintf(", such as %q", r.example)
	}
	return "allowed: " + text
}

// kindOf names a type for people.
func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Struct {
		t = t.Elem()
	}
	switch t {
	case durationType:
		return "a duration with its unit (500ms, 20s, 5m)"
	case memoryType:
		return "an amount of memory with its unit (64M, 1.5G), whole MiB,"
	case commandType:
		return "a command: a list, or a text for /bin/sh -c"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	default:
		return "a mapping"
	}
}
