package query

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// kind is a kind of token.
type kind int

const (
	end kind = iota
	word
	text // in quotes
	symbol
)

// token is a word, a text in quotes or a symbol, and where it begins.
type token struct {
	kind  kind
	value string
	at    int
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return fmt.Sprintf("%q", t.value)
}

type operator int

const (
	exists operator = iota + 1
	equals
	greater
	greaterEqual
	less
	lessEqual
	in
	matches
)

// operators are the words and symbols that compare. A ! in front negates exists
// and in.
var operators = map[string]struct {
	which   operator
	negated bool
}{
	"==": {equals, false}, "equals": {equals, false},
	"!=": {equals, true}, "not_equals": {equals, true},
	">": {greater, false}, "greater_than": {greater, false},
	">=": {greaterEqual, false}, "greater_than_equal": {greaterEqual, false},
	"<": {less, false}, "less_than": {less, false},
	"<=": {lessEqual, false}, "less_than_equal": {lessEqual, false},
	"exists": {exists, false}, "!exists": {exists, true}, "not_exists": {exists, true},
	"in": {in, false}, "!in": {in, true}, "not_in": {in, true},
	"=~": {matches, false}, "matches": {matches, false},
	"!~": {matches, true}, "not_matches": {matches, true},
}

// symbols, the longer before those that they begin with.
var symbols = []string{"==", "!=", ">=", "<=", "=~", "!~", "&&", "||", ">", "<", "(", ")", "[", "]", ",", "!"}

type parser struct {
	text  string
	pos   int
	tok   token
	fixed bool
}

func (p *parser) is(k kind, values ...string) bool {
	return p.tok.kind == k && (len(values) == 0 || slices.Contains(values, p.tok.value))
}

// fail is the error at the token that has been read.
func (p *parser) fail(format string, args ...any) error {
	return &Error{At: p.tok.at + 1, Reason: fmt.Sprintf(format, args...)}
}

// next reads a token.
func (p *parser) next() error {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	p.tok = token{at: p.pos}
	if p.pos == len(p.text) {
		return nil
	}
	rest := p.text[p.pos:]
	if quote := rest[0]; quote == '"' || quote == '\'' {
		n := strings.IndexByte(rest[1:], quote)
		if n < 0 {
			return p.fail("the text in quotes has no end")
		}
		p.tok.kind, p.tok.value = text, rest[1:1+n]
		p.pos += n + 2
		return nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			p.tok.kind, p.tok.value = symbol, s
			p.pos += len(s)
			return nil
		}
	}
	n := strings.IndexAny(rest, " \t\r\n()[],<>=!&|\"'")
	if n == 0 {
		return p.fail("%q is no part of an expression", rest[:1])
	}
	if n < 0 {
		n = len(rest)
	}
	p.tok.kind, p.tok.value = word, rest[:n]
	p.pos += n
	return nil
}

func (p *parser) or(depth int) (node, error) {
	return p.chain(depth, []string{"or", "||"}, p.and, func(a, b node) node { return either{a, b} })
}

func (p *parser) and(depth int) (node, error) {
	return p.chain(depth, []string{"and", "&&"}, p.unary, func(a, b node) node { return both{a, b} })
}

// chain reads parts with one of the words between them.
func (p *parser) chain(depth int, between []string, part func(int) (node, error), joined func(a, b node) node) (node, error) {
	left, err := part(depth)
	for err == nil && (p.is(word, between...) || p.is(symbol, between...)) {
		if err = p.next(); err != nil {
			break
		}
		var right node
		if right, err = part(depth); err == nil {
			left = joined(left, right)
		}
	}
	return left, err
}

func (p *parser) unary(depth int) (node, error) {
	if depth > maxDepth {
		return nil, p.fail("parentheses and negations are more than %d deep", maxDepth)
	}
	switch {
	case p.is(word, "not"), p.is(symbol, "!"):
		if err := p.next(); err != nil {
			return nil, err
		}
		inner, err := p.unary(depth + 1)
		return not{inner}, err
	case p.is(symbol, "("):
		if err := p.next(); err != nil {
			return nil, err
		}
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.is(symbol, ")") {
			return nil, p.fail("a closing parenthesis was expected, not %s", p.tok)
		}
		return inner, p.next()
	}
	return p.test()
}

// test reads a subject, an operator and what it is compared with.
func (p *parser) test() (node, error) {
	n := test{subject: p.tok.value}
	name, isAttribute := strings.CutPrefix(n.subject, "attribute:")
	switch {
	case !p.is(word):
		return nil, p.fail("a subject was expected (attribute:NAME, %s), not %s", strings.Join(subjects, ", "), p.tok)
	case isAttribute && name == "":
		return nil, p.fail("attribute: has no name behind it")
	case !isAttribute && !slices.Contains(subjects, n.subject):
		return nil, p.fail("the subject %q is unknown: attribute:NAME, %s are allowed", n.subject, strings.Join(subjects, ", "))
	}
	p.fixed = p.fixed && isAttribute
	if err := p.next(); err != nil {
		return nil, err
	}
	if err := p.operator(&n); err != nil {
		return nil, err
	}
	return n, p.argument(&n)
}

// operator reads how the subject is compared.
func (p *parser) operator(n *test) error {
	at, negated := p.tok, false
	if p.is(symbol, "!") {
		negated = true
		if err := p.next(); err != nil {
			return err
		}
	}
	name := p.tok.value
	if negated {
		name = "!" + name
	}
	op, known := operators[name]
	if !known || p.tok.kind == text {
		p.tok.at = at.at
		return p.fail("an operator was expected after %q (==, !=, >, >=, <, <=, exists, !exists, in, !in, =~, !~), not %s", n.subject, p.tok)
	}
	n.which, n.negated = op.which, op.negated
	return p.next()
}

// argument reads what the subject is compared with.
func (p *parser) argument(n *test) error {
	switch n.which {
	case exists:
		return nil
	case in:
		return p.list(n)
	}
	at := p.tok.at
	value, err := p.value()
	if err != nil {
		return err
	}
	n.args = []string{value}
	if n.which == matches {
		if n.pattern, err = regexp.Compile("^(?:" + value + ")$"); err != nil {
			return &Error{At: at + 1, Reason: fmt.Sprintf("the pattern %q is no regular expression: %v", value, err)}
		}
	}
	return nil
}

func (p *parser) value() (string, error) {
	if !p.is(word) && !p.is(text) {
		return "", p.fail("a value was expected, not %s", p.tok)
	}
	value := p.tok.value
	return value, p.next()
}

// list reads "[a, b]"; parentheses do as well.
func (p *parser) list(n *test) error {
	closing := map[string]string{"[": "]", "(": ")"}[p.tok.value]
	if !p.is(symbol) || closing == "" {
		return p.fail("a list in brackets was expected after in, not %s", p.tok)
	}
	for {
		if err := p.next(); err != nil {
			return err
		}
		value, err := p.value()
		if err != nil {
			return err
		}
		n.args = append(n.args, value)
		if p.is(symbol, closing) {
			return p.next()
		}
		if !p.is(symbol, ",") {
			return p.fail("a comma or the end of the list was expected, not %s", p.tok)
		}
	}
}
