package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Pattern is an event pattern: for each field that it names, what is allowed
// there. All fields have to match; of a field's alternatives, one.
type Pattern struct{ root fields }

type fields map[string]matcher

// matcher tells whether a value matches. A field that is not there is absent.
type matcher func(value any, absent bool) bool

// maxPattern is EventBridge's bound on a pattern, in bytes.
const maxPattern = 4096

// ParsePattern reads an event pattern. What it cannot judge is refused by name.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it has %d characters; %d are allowed", len(text), maxPattern)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it goes on after the JSON object")
	}
	root, ok := tree.(map[string]any)
	if !ok || len(root) == 0 {
		return nil, errors.New("it is not an object that names a field, such as {\"source\": [\"aws.ecs\"]}")
	}
	f, err := parseFields(root, "")
	return &Pattern{f}, err
}

// Matches tells whether an event, as a parsed JSON object, matches.
func (p *Pattern) Matches(event map[string]any) bool { return p.root.match(event) }

func (f fields) match(value map[string]any) bool {
	for name, m := range f {
		v, there := value[name]
		if !m(v, !there) {
			return false
		}
	}
	return true
}

func parseFields(tree map[string]any, path string) (fields, error) {
	f := fields{}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		if name == "$or" {
			return nil, fmt.Errorf("%s: $or is not supported here; use a rule for each alternative", at)
		}
		var err error
		switch below := tree[name].(type) {
		case map[string]any:
			f[name], err = parseBelow(below, at)
		case []any:
			f[name], err = parseAlternatives(below, at)
		default:
			err = fmt.Errorf("%s: %q must be an object or an array", at, name)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// parseBelow matches an object, or one of a list of objects.
func parseBelow(tree map[string]any, path string) (matcher, error) {
	if len(tree) == 0 {
		return nil, fmt.Errorf("%s: an object must name a field", path)
	}
	below, err := parseFields(tree, path)
	if err != nil {
		return nil, err
	}
	return func(value any, absent bool) bool {
		switch value := value.(type) {
		case map[string]any:
			return below.match(value)
		case []any:
			return slices.ContainsFunc(value, func(item any) bool {
				object, ok := item.(map[string]any)
				return ok && below.match(object)
			})
		}
		return below.match(nil) // exists:false holds where nothing is
	}, nil
}

// parseAlternatives matches a value, or one of a list of values, by one of the
// matchers.
func parseAlternatives(list []any, path string) (matcher, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: the array must have a value", path)
	}
	var alternatives []matcher
	for _, item := range list {
		m, err := parseMatcher(item, path)
		if err != nil {
			return nil, err
		}
		alternatives = append(alternatives, m)
	}
	return func(value any, absent bool) bool {
		return slices.ContainsFunc(alternatives, func(m matcher) bool {
			if items, ok := value.([]any); ok {
				if len(items) == 0 {
					return m(nil, true)
				}
				return slices.ContainsFunc(items, func(item any) bool { return m(item, false) })
			}
			return m(value, absent)
		})
	}, nil
}

func parseMatcher(item any, path string) (matcher, error) {
	object, ok := item.(map[string]any)
	if !ok {
		if _, isList := item.([]any); isList {
			return nil, fmt.Errorf("%s: an alternative is a value or a matcher, not an array", path)
		}
		return func(value any, absent bool) bool { return !absent && equal(value, item) }, nil
	}
	if len(object) != 1 {
		return nil, fmt.Errorf("%s: a matcher has one name, got %d", path, len(object))
	}
	for name, argument := range object {
		return namedMatcher(name, argument, path)
	}
	return nil, nil
}

func namedMatcher(name string, argument any, path string) (matcher, error) {
	text, isText := argument.(string)
	switch name {
	case "exists":
		wanted, ok := argument.(bool)
		if !ok {
			return nil, fmt.Errorf("%s: exists must be true or false", path)
		}
		return func(_ any, absent bool) bool { return absent != wanted }, nil
	case "numeric":
		return numericMatcher(argument, path)
	case "anything-but":
		return butMatcher(argument, path)
	case "prefix", "suffix", "equals-ignore-case":
		if !isText || text == "" {
			return nil, fmt.Errorf("%s: %s must be a string that is not empty", path, name)
		}
		return textMatcher(name, text), nil
	}
	return nil, fmt.Errorf("%s: the match type %q is not supported here: exists, prefix, suffix, equals-ignore-case, anything-but and numeric are", path, name)
}

func textMatcher(name, text string) matcher {
	return func(value any, absent bool) bool {
		got, ok := value.(string)
		switch {
		case !ok || absent:
			return false
		case name == "prefix":
			return strings.HasPrefix(got, text)
		case name == "suffix":
			return strings.HasSuffix(got, text)
		}
		return strings.EqualFold(got, text)
	}
}

// butMatcher matches a value that is there and is none of those named.
func butMatcher(argument any, path string) (matcher, error) {
	var not []matcher
	switch argument := argument.(type) {
	case []any:
		if len(argument) == 0 {
			return nil, fmt.Errorf("%s: anything-but must name a value", path)
		}
		for _, item := range argument {
			if _, isObject := item.(map[string]any); isObject {
				return nil, fmt.Errorf("%s: anything-but takes strings and numbers, or one prefix or suffix", path)
			}
			not = append(not, func(value any, _ bool) bool { return equal(value, item) })
		}
	case map[string]any:
		for name := range argument {
			if name != "prefix" && name != "suffix" {
				return nil, fmt.Errorf("%s: anything-but with %q is not supported here: prefix and suffix are", path, name)
			}
		}
		m, err := parseMatcher(argument, path)
		if err != nil {
			return nil, err
		}
		not = append(not, m)
	default:
		not = append(not, func(value any, _ bool) bool { return equal(value, argument) })
	}
	return func(value any, absent bool) bool {
		return !absent && !slices.ContainsFunc(not, func(m matcher) bool { return m(value, false) })
	}, nil
}

// numericMatcher is ["=", 5] or [">", 0, "<=", 5].
func numericMatcher(argument any, path string) (matcher, error) {
	list, _ := argument.([]any)
	if len(list) != 2 && len(list) != 4 {
		return nil, fmt.Errorf("%s: numeric must be an array such as [\">\", 0, \"<=\", 5]", path)
	}
	var all []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		sign, _ := list[i].(string)
		bound, ok := number(list[i+1])
		if !ok {
			return nil, fmt.Errorf("%s: numeric %q must be followed by a number", path, sign)
		}
		compare := map[string]func(float64) bool{
			"=": func(n float64) bool { return n == bound }, "<": func(n float64) bool { return n < bound },
			"<=": func(n float64) bool { return n <= bound }, ">": func(n float64) bool { return n > bound },
			">=": func(n float64) bool { return n >= bound },
		}[sign]
		if compare == nil {
			return nil, fmt.Errorf("%s: numeric has %q; =, <, <=, > and >= are allowed", path, sign)
		}
		all = append(all, compare)
	}
	return func(value any, absent bool) bool {
		n, ok := number(value)
		return ok && !absent && !slices.ContainsFunc(all, func(c func(float64) bool) bool { return !c(n) })
	}, nil
}

func number(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		f, isFloat := value.(float64)
		return f, isFloat
	}
	f, err := n.Float64()
	return f, err == nil && !math.IsInf(f, 0)
}

// equal compares two values that are no object and no list; numbers by value.
func equal(a, b any) bool {
	x, xIsNumber := number(a)
	y, yIsNumber := number(b)
	if xIsNumber || yIsNumber {
		return xIsNumber && yIsNumber && x == y
	}
	switch a.(type) {
	case nil, string, bool:
		return a == b
	}
	return false
}
