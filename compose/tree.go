package compose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v4"
)

// maxNodes and maxDepth bound a file after its aliases are expanded, so that a
// small file cannot ask for much memory.
const (
	maxNodes = 100_000
	maxDepth = 64
)

// node is a value of the file with its place. Aliases and merge keys are
// expanded, and variables filled in.
type node struct {
	kind         yaml.Kind // MappingNode, SequenceNode or ScalarNode
	line, column int
	path         string
	// tag and text are those of a scalar: !!int and 12.
	tag, text string
	// filled scalars had a variable in them: their text may be of any type.
	filled  bool
	entries []entry // of a mapping, in the order of the file
	items   []*node // of a sequence
	scalar  *yaml.Node
}

// entry is a key of a mapping with its place.
type entry struct {
	key          string
	line, column int
	value        *node
}

// get is the value of a key; nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// find follows keys and list indexes as far as they lead: the node found, and
// how many of the steps led to it.
func (n *node) find(steps ...string) (*node, int) {
	for i, step := range steps {
		next := n.get(step)
		if next == nil && n.kind == yaml.SequenceNode {
			var index int
			if _, err := fmt.Sscanf(step, "%d", &index); err == nil && index >= 0 && index < len(n.items) {
				next = n.items[index]
			}
		}
		if next == nil {
			return n, i
		}
		n = next
	}
	return n, len(steps)
}

func (n *node) isNull() bool { return n.kind == yaml.ScalarNode && n.tag == "!!null" }

// describe says what was found, for errors.
func (n *node) describe() string {
	switch {
	case n.kind == yaml.MappingNode:
		return "a mapping"
	case n.kind == yaml.SequenceNode:
		return "a list"
	case n.isNull():
		return "nothing"
	case n.filled:
		return fmt.Sprintf("%q (from a variable)", n.text)
	default:
		return fmt.Sprintf("%q", n.text)
	}
}

// plain is the value as compose-go takes it.
func (n *node) plain() any {
	switch n.kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			m[e.key] = e.value.plain()
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	}
	switch n.tag {
	case "!!null":
		return nil
	case "!!int", "!!float", "!!bool":
		var v any
		if err := n.scalar.Decode(&v); err == nil {
			return v
		}
	}
	return n.text
}

// planter grows the tree of one file out of its YAML.
type planter struct {
	*report
	variables func(name string) (string, bool)
	planted   int
	last      *yaml.Node   // the node that went over the bounds
	open      []*yaml.Node // the anchors that are being expanded
}

// errTooLarge ends the planting of a tree that does not stop growing.
var errTooLarge = errors.New("too large")

// plant is nil without an error for what cannot be used; that is reported.
func (p *planter) plant(y *yaml.Node, path string, depth int) (*node, error) {
	p.planted++
	if p.planted > maxNodes || depth > maxDepth {
		p.last = y
		return nil, errTooLarge
	}
	n := &node{kind: y.Kind, line: y.Line, column: y.Column, path: path}
	switch y.Kind {
	case yaml.AliasNode:
		if slices.Contains(p.open, y.Alias) {
			p.add(y.Line, y.Column, path, "the anchor %q contains itself; write the value out", y.Value)
			return nil, nil
		}
		p.open = append(p.open, y.Alias)
		defer func() { p.open = p.open[:len(p.open)-1] }()
		return p.plant(y.Alias, path, depth+1)
	case yaml.MappingNode:
		return n, p.plantMapping(n, y, depth)
	case yaml.SequenceNode:
		for i, item := range y.Content {
			child, err := p.plant(item, fmt.Sprintf("%s[%d]", path, i), depth+1)
			if err != nil {
				return nil, err
			}
			if child != nil {
				n.items = append(n.items, child)
			}
		}
		return n, nil
	case yaml.ScalarNode:
		p.plantScalar(n, y)
		return n, nil
	}
	return nil, fmt.Errorf("line %d: unexpected kind of YAML node %v", y.Line, y.Kind)
}

func (p *planter) plantMapping(n *node, y *yaml.Node, depth int) error {
	first := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			p.add(key.Line, key.Column, n.path, "the key %q is not text; put it in quotes", key.Value)
			continue
		}
		if line, twice := first[key.Value]; twice {
			p.add(key.Line, key.Column, join(n.path, key.Value), "the key %q is there twice, first in line %d; keep one", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		child, err := p.plant(value, join(n.path, key.Value), depth+1)
		if err != nil {
			return err
		}
		if child != nil {
			n.entries = append(n.entries, entry{key.Value, key.Line, key.Column, child})
		}
	}
	for _, source := range merged {
		if err := p.merge(n, source, depth); err != nil {
			return err
		}
	}
	return nil
}

// merge adds what a merge key (<<) brings and the mapping does not have.
func (p *planter) merge(n *node, source *yaml.Node, depth int) error {
	from, err := p.plant(source, n.path, depth+1)
	if err != nil || from == nil {
		return err
	}
	mappings := []*node{from}
	if from.kind == yaml.SequenceNode {
		mappings = from.items
	}
	for _, m := range mappings {
		if m.kind != yaml.MappingNode {
			p.add(source.Line, source.Column, n.path, "a merge key (<<) takes a mapping or a list of mappings, found %s", m.describe())
			continue
		}
		for _, e := range m.entries {
			if n.get(e.key) == nil {
				e.value.rename(join(n.path, e.key))
				n.entries = append(n.entries, e)
			}
		}
	}
	return nil
}

// rename gives a subtree the path of the place that it was merged into.
func (n *node) rename(path string) {
	n.path = path
	for _, e := range n.entries {
		e.value.rename(join(path, e.key))
	}
	for i, item := range n.items {
		item.rename(fmt.Sprintf("%s[%d]", path, i))
	}
}

func (p *planter) plantScalar(n *node, y *yaml.Node) {
	n.scalar, n.tag, n.text = y, y.ShortTag(), y.Value
	switch n.tag {
	case "!!int", "!!float", "!!bool", "!!null":
		return
	case "!!str":
	case "!!timestamp", "!!merge":
		n.tag = "!!str"
	default:
		p.at(n, "the tag %s is not supported; remove it", n.tag)
		return
	}
	if !strings.Contains(n.text, "$") {
		return
	}
	text, err := template.SubstituteWithOptions(n.text, p.variables, template.WithoutLogging,
		template.WithReplacementFunction(func(part string, variables template.Mapping, c *template.Config) (string, error) {
			value, set, err := template.DefaultReplacementAppliedFunc(part, variables, c)
			if err == nil && !set {
				p.warn(n.line, n.column, n.path, "the variable %q is not set and is taken as empty; set it, or give a default: ${NAME:-default}",
					strings.Trim(part, "${}"))
			}
			return value, err
		}))
	var missing *template.MissingRequiredError
	var invalid *template.InvalidTemplateError
	switch {
	case err == nil:
		n.filled = text != strings.ReplaceAll(n.text, "$$", "$")
		n.text = text
	case errors.As(err, &missing):
		reason := ""
		if missing.Reason != "" {
			reason = ": " + missing.Reason
		}
		p.at(n, "the variable %q is required%s; set it in the environment or in .env", missing.Variable, reason)
	case errors.As(err, &invalid):
		p.at(n, "bad variable in %q; write ${NAME}, ${NAME:-default}, or $$ for a plain $", n.text)
	default:
		p.at(n, "%v", err)
	}
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
