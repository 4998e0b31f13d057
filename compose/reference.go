package compose

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference is the documentation of the file, in Markdown, made from the types
// that parse it: docs/configuration.md is this text.
func Reference() string {
	w := &reference{}
	w.line("# The file")
	w.line("")
	w.line("<!-- Made from the types in package compose: go test ./compose -update rewrites it. -->")
	w.line("")
	w.line(intro)
	w.line("## x-plimsoll at the top level")
	w.line("")
	w.table("", reflect.TypeFor[extension]())
	w.line("## x-plimsoll of a service")
	w.line("")
	w.line("A service without the section has the lowest priority, and `deploy.replicas` tasks, else one.")
	w.line("")
	w.table("", reflect.TypeFor[Scaling]())
	w.line("## Triggers")
	w.line("")
	w.line("Each item of `triggers` has a `type`, these common keys, and the keys of its type.")
	w.line("")
	w.table("", reflect.TypeFor[Trigger]())
	for _, kind := range triggerTypes() {
		w.line("### %s", kind.name)
		w.line("")
		w.line("%s It is read %s.", kind.doc, kind.pace())
		w.line("")
		w.table("", reflect.TypeOf(kind.make()).Elem())
	}
	w.line("KEDA's other triggers (%s) are known by name and not yet supported.", strings.Join(plannedTriggers(), ", "))
	w.line("")
	w.attributes()
	return w.String()
}

const intro = `Plimsoll reads compose files as the [Compose Specification](https://compose-spec.io)
has them, with one section more, ` + "`x-plimsoll`" + `, at the top level and in each service.

- Variables (` + "`${NAME}`, `${NAME:-default}`, `${NAME:?message}`" + `) are filled in from the
  environment, and from ` + "`.env`" + ` beside the file; ` + "`$$`" + ` is a plain ` + "`$`" + `.
- Unknown keys, values of another type and values out of bounds are errors, all
  told at once, each with file, line, column, what was found and what is
  allowed: ` + "`plimsoll validate FILE`" + `.
- Durations have a unit: ` + "`500ms`, `20s`, `5m`" + `. So has memory: ` + "`64M`, `1.5G`" + ` (M is MiB).
- ` + "`plimsoll schema`" + ` prints a JSON Schema. With ` + "`plimsoll schema > compose.schema.json`" + `
  and this line at the top of the file, editors complete and check it:
  ` + "`# yaml-language-server: $schema=compose.schema.json`" + `
`

// reference writes the text.
type reference struct{ strings.Builder }

func (w *reference) line(format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

// table has a row for each key of a struct and of the structs in it.
func (w *reference) table(prefix string, t reflect.Type) {
	w.line("| key | value | default | |")
	w.line("| --- | --- | --- | --- |")
	w.rows(prefix, t)
	w.line("")
}

func (w *reference) rows(prefix string, t reflect.Type) {
	for _, f := range fieldsOf(t) {
		inner := f.typ
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		byDefault := ""
		switch {
		case f.rule.required:
			byDefault = "required"
		case f.rule.byDefault != "":
			byDefault = "`" + f.rule.byDefault + "`"
		}
		w.line("| `%s%s` | %s | %s | %s |", prefix, f.key, cell(values(f)), byDefault, cell(f.doc))
		if inner.Kind() == reflect.Struct {
			w.rows(prefix+f.key+".", inner)
		}
	}
}

// values says what a key takes, for the table.
func values(f field) string {
	text := strings.TrimPrefix(allowed(f.typ, f.rule), "allowed: ")
	text = strings.ReplaceAll(text, " with its unit (500ms, 20s, 5m)", "")
	text = strings.ReplaceAll(text, " with its unit (64M, 1.5G), whole MiB,", "")
	return text
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// pace says how often a trigger of this type is read by default.
func (k triggerType) pace() string {
	if k.interval == 0 {
		return "at every step of the control loop"
	}
	return "every " + k.interval.String() + " by default"
}

// attributes says what becomes of the specification's own keys.
func (w *reference) attributes() {
	w.line("## Keys of the Compose Specification")
	w.line("")
	w.line("What is honoured, what has no effect (a warning), and what would change what runs and")
	w.line("cannot be done (an error). Keys that are not in the table are errors, but for other `x-` keys,")
	w.line("which are left alone.")
	w.line("")
	w.line("| key | | |")
	w.line("| --- | --- | --- |")
	for _, a := range attributes() {
		became, note := string(a.verdict), a.note
		switch a.verdict {
		case noted:
			became = "no effect"
		case refused:
			became = "error"
		}
		if len(a.harmless) > 0 {
			note += "; allowed is only `" + strings.Join(a.harmless, "`, `") + "`"
		}
		w.line("| `%s` | %s | %s |", a.path, became, cell(note))
	}
}
