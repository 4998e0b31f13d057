package compose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Formula makes one count of the readings of all triggers, which it knows by
// their names.
type Formula struct {
	Expression string  `yaml:"expression" jsonschema:"required,example=max(jobs\\, mails * 2)" jsonschema_description:"An expression in the expr language (expr-lang.org) over the readings, by the triggers' names. It has no access to the time."`
	Target     float64 `yaml:"target" jsonschema:"default=1,exclusiveMinimum=0" jsonschema_description:"Its value for each task."`
	Activation float64 `yaml:"activation" jsonschema:"default=0,minimum=0" jsonschema_description:"At or under it the demand counts as none, and the count may go to 0."`

	names   []string // of the triggers, in their order
	program *vm.Program
}

// Evaluate gives the value for the triggers' readings, in their order. It is
// pure.
func (f *Formula) Evaluate(values []float64) (float64, error) {
	if len(values) != len(f.names) {
		return 0, fmt.Errorf("%d readings for %d triggers", len(values), len(f.names))
	}
	env := make(map[string]any, len(values))
	for i, name := range f.names {
		env[name] = values[i]
	}
	out, err := expr.Run(f.program, env)
	if err != nil {
		return 0, fmt.Errorf("%s", firstLine(err))
	}
	value, ok := out.(float64)
	if !ok {
		return 0, fmt.Errorf("the result is %v, not a number", out)
	}
	return value, nil
}

// check compiles the expression. Each trigger has to be named so that it can be
// used, and used.
func (f *Formula) check(c check, triggers []Trigger) {
	if f == nil {
		return
	}
	identifier := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	env := map[string]any{}
	for _, t := range triggers {
		if !identifier.MatchString(t.Name) {
			c.at(c.node, "the trigger %q has no name that a formula can use; give it a name of letters, digits and _", t.Name)
			return
		}
		f.names = append(f.names, t.Name)
		env[t.Name] = 0.0
	}
	if len(triggers) == 0 {
		c.at(c.node, "a formula is over the readings of triggers; add triggers")
		return
	}
	used, err := identifiers(f.Expression)
	if err == nil {
		f.program, err = expr.Compile(f.Expression, expr.Env(env), expr.AsFloat64(), expr.DisableBuiltin("now"))
	}
	if err != nil {
		c.key("expression", "%s; the triggers are: %s", firstLine(err), strings.Join(f.names, ", "))
		return
	}
	for _, name := range f.names {
		if !slices.Contains(used, name) {
			c.key("expression", "the trigger %q is not used in it; use it, or remove it", name)
		}
	}
}

// identifiers are the names in an expression.
func identifiers(expression string) ([]string, error) {
	tree, err := parser.Parse(expression)
	if err != nil {
		return nil, err
	}
	var found names
	ast.Walk(&tree.Node, &found)
	return found, nil
}

type names []string

// Visit completes ast.Visitor.
func (n *names) Visit(node *ast.Node) {
	if i, ok := (*node).(*ast.IdentifierNode); ok {
		*n = append(*n, i.Value)
	}
}

// firstLine is the message of an error of expr without the picture of the place.
func firstLine(err error) string {
	if e, ok := err.(*file.Error); ok {
		return fmt.Sprintf("%s (at %d)", e.Message, e.Column+1)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
