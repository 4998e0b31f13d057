package router

import (
	"bytes"
	"net"
	"sync/atomic"
)

// Listener makes the connections of l refuse requests that two parsers could
// read differently, before net/http takes them apart and hides it: both
// Content-Length and Transfer-Encoding, more than one of either, a bare CR or
// LF, folded header lines, spaces before a colon, control characters, bad chunk
// sizes. Such a request is answered with 400, and its connection is closed.
func Listener(l net.Listener) net.Listener { return strictListener{l} }

type strictListener struct{ net.Listener }

func (l strictListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: conn}, nil
}

// strictConn follows what is read from a connection. From the first byte that
// it refuses on, it gives the reader something that no HTTP parser takes, so
// that the server's own handling of a bad request answers it, in its turn.
type strictConn struct {
	net.Conn
	stopped atomic.Bool
	refused bool
	left    []byte // of the poison
	wire    wire
}

// poison is a header line without a colon, a request line without a version and
// a chunk size without a digit, and the end of a head.
var poison = []byte("\x00\r\n\r\n")

func (c *strictConn) Read(p []byte) (int, error) {
	if c.stopped.Load() {
		return c.Conn.Read(p)
	}
	if c.refused {
		if len(c.left) == 0 {
			return 0, net.ErrClosed
		}
		n := copy(p, c.left)
		c.left = c.left[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	good := c.wire.follow(p[:n])
	if good == n {
		return n, err
	}
	c.refused = true
	m := copy(p[good:], poison)
	c.left = poison[m:]
	return good + m, nil
}

// stop ends the following: the connection is no longer HTTP.
func (c *strictConn) stop() { c.stopped.Store(true) }

// CloseWrite closes one half, where the connection can.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// wire follows the requests of one HTTP/1.1 connection: heads, bodies, chunks,
// trailers (RFC 9112). It keeps one line at the most.
type wire struct {
	state  wireState
	line   []byte // the part of a line seen so far
	body   uint64 // bytes of the body or chunk still to come
	length bool   // the head has a Content-Length
	coded  bool   // the head has a Transfer-Encoding
	old    bool   // HTTP/1.0
}

type wireState int

const (
	atRequest wireState = iota
	inHead
	inBody
	atChunk
	inChunk
	afterChunk
	inTrailer
)

// maxLine bounds a line of a head, as maxHeaderBytes bounds the whole.
const maxLine = maxHeaderBytes

// follow gives the number of bytes of p that are as they should be: len(p), or
// the index at which the request has gone wrong.
func (w *wire) follow(p []byte) int {
	at := 0
	for at < len(p) {
		if w.state == inBody || w.state == inChunk {
			n := min(w.body, uint64(len(p)-at))
			w.body -= n
			at += int(n)
			if w.body == 0 {
				w.bodyEnds()
			}
			continue
		}
		end := bytes.IndexByte(p[at:], '\n')
		if end < 0 {
			if len(w.line)+len(p)-at > maxLine {
				return at
			}
			w.line = append(w.line, p[at:]...)
			return len(p)
		}
		line := p[at : at+end+1]
		if len(w.line) > 0 {
			w.line = append(w.line, line...)
			line = w.line
		}
		if len(line) > maxLine || !w.take(line) {
			return at
		}
		w.line = w.line[:0]
		at += end + 1
	}
	return at
}

func (w *wire) bodyEnds() {
	if w.state == inChunk {
		w.state = afterChunk
	} else {
		w.state = atRequest
	}
}

// take takes in one line with its end; false if it is refused.
func (w *wire) take(line []byte) bool {
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return false // a bare LF
	}
	line = line[:len(line)-2]
	switch w.state {
	case atRequest:
		w.state, w.length, w.coded, w.body = inHead, false, false, 0
		return w.takeRequest(line)
	case inHead:
		if len(line) == 0 {
			return w.headEnds()
		}
		return w.takeField(line)
	case atChunk:
		return w.takeChunk(line)
	case afterChunk:
		w.state = atChunk
		return len(line) == 0
	default: // inTrailer
		if len(line) == 0 {
			w.state = atRequest
			return true
		}
		name, _, ok := field(line)
		return ok && !framing(name)
	}
}

// takeRequest takes a request line: a method, a target and a version, with one
// space between each.
func (w *wire) takeRequest(line []byte) bool {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || !isToken(method) {
		return false
	}
	target, version, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(target) == 0 {
		return false
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	w.old = string(version) == "HTTP/1.0"
	return w.old || string(version) == "HTTP/1.1"
}

func (w *wire) takeField(line []byte) bool {
	name, value, ok := field(line)
	switch {
	case !ok:
		return false
	case is(name, "content-length"):
		if w.length {
			return false
		}
		w.length = true
		w.body, ok = number(value, 10, 18)
		return ok
	case is(name, "transfer-encoding"):
		if w.coded || w.old {
			return false
		}
		w.coded = true
		return is(value, "chunked")
	}
	return true
}

func (w *wire) headEnds() bool {
	switch {
	case w.length && w.coded:
		return false
	case w.coded:
		w.state = atChunk
	case w.body > 0:
		w.state = inBody
	default:
		w.state = atRequest
	}
	return true
}

func (w *wire) takeChunk(line []byte) bool {
	size, extension, _ := bytes.Cut(line, []byte{';'})
	if !printable(extension) {
		return false
	}
	var ok bool
	if w.body, ok = number(size, 16, 15); !ok {
		return false
	}
	w.state = inChunk
	if w.body == 0 {
		w.state = inTrailer
	}
	return true
}

// field takes a header line apart; the value is without the spaces around it.
func field(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte{':'})
	return name, bytes.Trim(value, " \t"), ok && isToken(name) && printable(value)
}

// framing tells whether a field says where a message begins and ends, or whom it
// is for: a trailer must not.
func framing(name []byte) bool {
	return is(name, "content-length") || is(name, "transfer-encoding") || is(name, "host")
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

// is compares with a word in lower case.
func is(b []byte, word string) bool {
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

func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// isToken tells whether b is a token (RFC 9110, section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChars[c] {
			return false
		}
	}
	return len(b) > 0
}

var tokenChars = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()
