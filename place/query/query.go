// Package query is ECS's cluster query language: the expressions of memberOf
// placement constraints, and of the filter of ListContainerInstances. It parses
// them and tells whether a container instance satisfies them. It is pure, and
// must not know how instances are kept.
package query

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Subject is a container instance as an expression asks about it.
type Subject interface {
	// Value is the value of a subject of the language ("attribute:ecs.os-type",
	// "agentConnected", "runningTasksCount", …); false if the instance has none.
	Value(subject string) (string, bool)
	// Groups are the groups of the tasks that are on it.
	Groups() []string
}

// Error tells where an expression cannot be read, and why. At counts bytes
// from 1.
type Error struct {
	At     int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("position %d: %s", e.At, e.Reason) }

// The bounds of an expression, so that no text costs more than it should.
const (
	maxLength = 2000
	maxDepth  = 50
)

// subjects are those that the language has beside attribute:NAME.
var subjects = []string{"agentConnected", "agentVersion", "ec2InstanceId", "registeredAt", "runningTasksCount", "task:group"}

const groupSubject = "task:group"

// Expr is a parsed expression. The zero value, and that of an empty text, holds
// for every instance.
type Expr struct {
	root node
	// fixed tells that only attributes are asked about.
	fixed bool
}

// Holds tells whether the instance satisfies the expression.
func (e Expr) Holds(s Subject) bool { return e.root == nil || e.root.holds(s) }

// Fixed tells whether the expression asks only about attributes, so that it
// holds for an instance until its attributes change.
func (e Expr) Fixed() bool { return e.root == nil || e.fixed }

// Parse reads an expression. The error, if any, is an *Error.
func Parse(text string) (Expr, error) {
	if len(text) > maxLength {
		return Expr{}, &Error{At: maxLength + 1, Reason: fmt.Sprintf("the expression has %d bytes: at most %d are allowed", len(text), maxLength)}
	}
	p := &parser{text: text, fixed: true}
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if p.is(end) {
		return Expr{}, nil
	}
	root, err := p.or(0)
	if err != nil {
		return Expr{}, err
	}
	if !p.is(end) {
		return Expr{}, p.fail("%s was not expected here: and, or, or the end was", p.tok)
	}
	return Expr{root: root, fixed: p.fixed}, nil
}

// node is a part of an expression.
type node interface{ holds(Subject) bool }

type both struct{ a, b node }
type either struct{ a, b node }
type not struct{ a node }

func (n both) holds(s Subject) bool   { return n.a.holds(s) && n.b.holds(s) }
func (n either) holds(s Subject) bool { return n.a.holds(s) || n.b.holds(s) }
func (n not) holds(s Subject) bool    { return !n.a.holds(s) }

// test compares a subject; which is how, negated tells that the opposite is
// asked for.
type test struct {
	subject string
	which   operator
	negated bool
	args    []string
	pattern *regexp.Regexp
}

// holds: of the tasks' groups it is enough that one satisfies the comparison,
// and a negated one holds if none does. A comparison with what is not there
// holds only negated.
func (n test) holds(s Subject) bool {
	if n.subject == groupSubject {
		return slices.ContainsFunc(s.Groups(), n.matches) != n.negated
	}
	value, ok := s.Value(n.subject)
	return (ok && n.matches(value)) != n.negated
}

func (n test) matches(value string) bool {
	switch n.which {
	case exists:
		return true
	case equals, in:
		return slices.ContainsFunc(n.args, func(a string) bool { return same(value, a) })
	case matches:
		return n.pattern.MatchString(value)
	}
	by := compare(value, n.args[0])
	switch n.which {
	case greater:
		return by > 0
	case greaterEqual:
		return by >= 0
	case less:
		return by < 0
	}
	return by <= 0
}

// same compares as equals does: true and false, and nothing else, in any case.
func same(value, arg string) bool {
	if value == arg {
		return true
	}
	return (value == "true" || value == "false") && strings.EqualFold(value, arg)
}

// compare orders numbers as numbers, versions part by part and all else as text:
// times in UTC, as the API writes them, are in the order of their text.
func compare(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	if v, w := versionOf(a), versionOf(b); v != nil && w != nil {
		return slices.Compare(v, w)
	}
	return strings.Compare(a, b)
}

// versionOf reads "1.14.3"; nil if it is no version.
func versionOf(text string) []int {
	var parts []int
	for _, word := range strings.Split(text, ".") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 {
			return nil
		}
		parts = append(parts, n)
	}
	return parts
}
