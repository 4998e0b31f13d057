// Package h1 is the wire of HTTP/1.1 (RFC 9110, RFC 9112), read strictly: heads
// of requests and answers, chunked bodies, and a follower that judges a
// connection which another parser reads. What two parsers could read in
// different ways is an error, never a guess. It works in place on the bytes
// given to it, allocates nothing in steady state, and must not know of routes,
// targets or connections.
package h1

import (
	"bytes"
	"fmt"
)

// Bounds of one message. What is beyond them is refused.
const (
	// MaxHead is the greatest size of a head, its last line included.
	MaxHead = 64 << 10
	// MaxTarget is the greatest length of a request's target.
	MaxTarget = 16 << 10
	// MaxFields is the greatest number of a head's fields.
	MaxFields = 128
	// MaxTrailer is the greatest size of all of a body's trailer fields.
	MaxTrailer = 8 << 10

	maxMethod    = 32
	maxChunkLine = 1 << 10 // a chunk's size with its extensions
	maxLength    = 18      // digits of a Content-Length: less than 2^63
	maxChunkSize = 15      // digits of a chunk's size: less than 2^63
)

// Error is why a message is refused. Status is what a client is to be answered
// with; for a target's answer it has no meaning.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string { return e.Reason }

func bad(reason string) *Error { return &Error{Status: 400, Reason: reason} }

var (
	errBareLF   = bad("a line ends with a bare LF, not with CR LF")
	errNoColon  = bad("a header line has no colon")
	errName     = bad("a field's name is not a token: it is empty, or has a space or another character that is not allowed before its colon")
	errFolded   = bad("a header line is folded: it begins with a space or a tab")
	errValue    = bad("a field's value has a control character")
	errMethod   = bad("the request does not begin with a method")
	errUnknown  = &Error{Status: 501, Reason: "the request's method is unknown"}
	errHost     = bad("the Host has a character that no host name has")
	errHead     = &Error{Status: 431, Reason: fmt.Sprintf("the head is larger than %d bytes", MaxHead)}
	errFields   = &Error{Status: 431, Reason: fmt.Sprintf("the head has more than %d fields", MaxFields)}
	errNoTarget = bad("the request's target is empty or has a character that is not allowed in it")
	errTarget   = &Error{Status: 414, Reason: fmt.Sprintf("the request's target is longer than %d bytes", MaxTarget)}
)

// line cuts the first line off p, without its CR LF. ok is false if p holds no
// whole line.
func line(p []byte) (text, rest []byte, ok bool, err error) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return nil, p, false, nil
	}
	if end == 0 || p[end-1] != '\r' {
		return nil, p, false, errBareLF
	}
	return p[:end-1], p[end+1:], true, nil
}

// field takes a header line apart; the value is without the spaces around it.
func field(text []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(text, ':')
	if len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		return nil, nil, errFolded
	}
	if colon < 0 {
		return nil, nil, errNoColon
	}
	name, value = text[:colon], trim(text[colon+1:])
	if !isToken(name) {
		return nil, nil, errName
	}
	if !printable(value) {
		return nil, nil, errValue
	}
	return name, value, nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// number reads digits only, with no sign and no space, and not many.
func number(digits []byte, base uint64, longest int) (uint64, bool) {
	if len(digits) == 0 || len(digits) > longest {
		return 0, false
	}
	n := uint64(0)
	for _, c := range digits {
		d := uint64(99)
		switch {
		case c >= '0' && c <= '9':
			d = uint64(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = uint64(c|0x20-'a') + 10
		}
		if d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}

// Is compares b with a word in lower case, whatever b's case.
func Is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// HasToken tells whether a comma-separated list has the token, a word in lower
// case.
func HasToken(list []byte, token string) bool {
	for len(list) > 0 {
		part := list
		if comma := bytes.IndexByte(list, ','); comma >= 0 {
			part, list = list[:comma], list[comma+1:]
		} else {
			list = nil
		}
		if Is(trim(part), token) {
			return true
		}
	}
	return false
}

// printable tells whether b has no control character but tabs.
func printable(b []byte) bool {
	for _, c := range b {
		if classes[c]&control != 0 {
			return false
		}
	}
	return true
}

// isToken tells whether b is a token (RFC 9110, section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if classes[c]&token == 0 {
			return false
		}
	}
	return len(b) > 0
}

func isHost(b []byte) bool {
	for _, c := range b {
		if classes[c]&host == 0 {
			return false
		}
	}
	return len(b) > 0
}

func isTarget(b []byte) bool {
	for _, c := range b {
		if classes[c]&target == 0 {
			return false
		}
	}
	return len(b) > 0
}

const (
	token   = 1 << iota // in a token
	control             // not allowed in a field's value
	host                // in a host with its port
	target              // in a request's target
)

var classes = func() (t [256]uint8) {
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range []byte("!#$%&'*+-.^_`|~" + alphanumeric) {
		t[c] |= token
	}
	for c := range 0x20 {
		if c != '\t' {
			t[c] |= control
		}
	}
	t[0x7f] |= control
	// RFC 3986's reg-name without what no name of a host has, and an IP
	// literal.
	for _, c := range []byte("-._~%:[]" + alphanumeric) {
		t[c] |= host
	}
	for c := 0x21; c < 0x7f; c++ {
		if c != '#' { // a fragment is the client's own
			t[c] |= target
		}
	}
	return t
}()
