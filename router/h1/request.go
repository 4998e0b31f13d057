package h1

import "bytes"

// Request is the head of a request. Its slices are into the bytes that it was
// parsed from, and are valid as long as those.
type Request struct {
	Fields
	Method []byte
	// Target is as it was sent: a path with its query, or one of the forms
	// that are for proxies and servers as a whole ("http://…", "host:port",
	// "*").
	Target []byte
	// Host is the value of the one Host field, which HTTP/1.1 must have; nil
	// without one.
	Host []byte
	// Length is the Content-Length; -1 without one.
	Length int64
	// Chunked tells that the body comes in chunks.
	Chunked bool
	// Old tells that it is HTTP/1.0, not 1.1.
	Old bool
	// Persists tells that the client wants the connection to stay open.
	Persists bool
	// Upgrades tells that Connection has "upgrade" and Upgrade is there.
	Upgrades bool
	// Continues tells that the client waits for a 100 before it sends the body.
	Continues bool
	// Trailers tells that the client takes trailer fields ("TE: trailers").
	Trailers bool
}

// HasBody tells whether a body follows the head.
func (r *Request) HasBody() bool { return r.Chunked || r.Length > 0 }

// Parse takes the head at the beginning of b apart and gives its length; 0 and
// no error if it is not there as a whole. The error is an *Error.
func (r *Request) Parse(b []byte) (n int, err error) {
	text, _, ok, err := line(b)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, partialRequest(b)
	}
	frame := framing{length: -1}
	if r.Method, r.Target, frame.old, err = requestLine(text); err != nil {
		return 0, err
	}
	if n, err = r.takeFields(b, len(text)+2, &frame); n == 0 {
		return 0, err
	}
	r.Length, r.Chunked, r.Old, r.Persists = frame.length, frame.chunked, frame.old, frame.persists()
	r.Host, r.Upgrades, r.Continues, r.Trailers = nil, false, false, false
	for i := range r.spans {
		switch r.spans[i].kind {
		case Host:
			r.Host = r.Value(i)
		case TE:
			r.Trailers = r.Trailers || HasToken(r.Value(i), "trailers")
		case Upgrade:
			r.Upgrades = frame.upgrade
		case Expect:
			if !Is(r.Value(i), "100-continue") {
				return 0, &Error{Status: 417, Reason: "Expect is another than \"100-continue\""}
			}
			r.Continues = !frame.old
		}
	}
	if r.Host == nil && !frame.old {
		return 0, bad("the request names no Host")
	}
	return n, nil
}

// Judge judges by the same grammar a request that another parser has read: one of
// HTTP/2, or one whose target names its host.
func Judge(method, target, host string) *Error {
	switch {
	case !isToken([]byte(method)):
		return bad("the request's method is not a token")
	case len(method) > maxMethod:
		return errUnknown
	case len(target) > MaxTarget:
		return errTarget
	case !isTarget([]byte(target)):
		return errNoTarget
	case host != "" && !isHost([]byte(host)):
		return errHost
	}
	return nil
}

// JudgeFields judges by the same bounds a head that another parser has read: by the
// number of its fields, and by their size as HTTP/1.1 would write them.
func JudgeFields(fields, size int) *Error {
	switch {
	case fields > MaxFields:
		return errFields
	case size > MaxHead:
		return errHead
	}
	return nil
}

// partialRequest judges a request line that has not come to its end.
func partialRequest(b []byte) error {
	if len(b) > MaxTarget+maxMethod+16 {
		return errTarget
	}
	if len(b) > 0 && classes[b[0]]&token == 0 {
		return errMethod
	}
	return nil
}

// requestLine takes a request line apart: a method, a target and a version, with
// one space between each.
func requestLine(text []byte) (method, target []byte, old bool, err error) {
	space := bytes.IndexByte(text, ' ')
	if space < 0 || !isToken(text[:space]) {
		return nil, nil, false, bad("the request line is not \"method target version\"")
	}
	method, rest := text[:space], text[space+1:]
	if len(method) > maxMethod {
		return nil, nil, false, errUnknown
	}
	space = bytes.IndexByte(rest, ' ')
	if space < 0 {
		return nil, nil, false, bad("the request line has no version")
	}
	target = rest[:space]
	if len(target) > MaxTarget {
		return nil, nil, false, errTarget
	}
	if !isTarget(target) {
		return nil, nil, false, errNoTarget
	}
	if old, err = version(rest[space+1:]); err != nil {
		return nil, nil, false, err
	}
	return method, target, old, nil
}

func version(b []byte) (old bool, err error) {
	switch string(b) {
	case "HTTP/1.1":
		return false, nil
	case "HTTP/1.0":
		return true, nil
	}
	if len(b) == 8 && string(b[:5]) == "HTTP/" && b[6] == '.' && isDigit(b[5]) && isDigit(b[7]) {
		return false, &Error{Status: 505, Reason: "the version is another than HTTP/1.1 and HTTP/1.0"}
	}
	return false, bad("the version is not \"HTTP/1.1\"")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
