package load

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
)

// placeholder is {n} or {random:…}; all other braces are text, because bodies
// are often JSON.
var placeholder = regexp.MustCompile(`\{n\}|\{random:([^{}]*)\}`)

var bounds = regexp.MustCompile(`^(\d{1,15})-(\d{1,15})$`)

// Template is a path or a body with placeholders: {n} is the number of the
// request or message, {random:A-B} a whole number from A to B, both included.
type Template struct {
	parts []part
	size  int
}

// part is a text and the placeholder that follows it.
type part struct {
	text      string
	number    bool
	random    bool
	low, span uint64
}

// ParseTemplate reads a template. The error names the placeholder at fault.
func ParseTemplate(text string) (Template, error) {
	t := Template{size: len(text)}
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		p := part{text: text[at:m[0]], number: m[2] < 0, random: m[2] >= 0}
		at = m[1]
		if p.random {
			b := bounds.FindStringSubmatch(text[m[2]:m[3]])
			if b == nil {
				return Template{}, fmt.Errorf("%q in %q: it must be {random:A-B} with two whole numbers", text[m[0]:m[1]], text)
			}
			low, _ := strconv.ParseUint(b[1], 10, 64) // the pattern lets nothing else through
			high, _ := strconv.ParseUint(b[2], 10, 64)
			if high < low {
				return Template{}, fmt.Errorf("%q in %q: %d is less than %d; the smaller number comes first", text[m[0]:m[1]], text, high, low)
			}
			p.low, p.span = low, high-low+1
		}
		t.parts = append(t.parts, p)
	}
	t.parts = append(t.parts, part{text: text[at:]})
	return t, nil
}

// Expand fills in the number and numbers from the generator.
func (t Template) Expand(n uint64, random *rand.Rand) string {
	out := make([]byte, 0, t.size+16)
	for _, p := range t.parts {
		out = append(out, p.text...)
		switch {
		case p.number:
			out = strconv.AppendUint(out, n, 10)
		case p.random:
			out = strconv.AppendUint(out, p.low+random.Uint64N(p.span), 10)
		}
	}
	return string(out)
}
