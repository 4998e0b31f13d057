package h1

// Answer is the head of a target's answer. Its slices are into the bytes that it
// was parsed from, and are valid as long as those.
type Answer struct {
	Fields
	Status int
	// Line is the status line from its code on, without its end: "200 OK".
	Line []byte
	// Length is the Content-Length; -1 without one.
	Length int64
	// Chunked tells that the body comes in chunks.
	Chunked bool
	// Persists tells that the target keeps the connection open.
	Persists bool
}

// Parse takes the head at the beginning of b apart and gives its length; 0 and
// no error if it is not there as a whole. The error is an *Error.
func (a *Answer) Parse(b []byte) (n int, err error) {
	text, _, ok, err := line(b)
	if err != nil {
		return 0, err
	}
	if !ok {
		const proto = "HTTP/1."
		if head := b[:min(len(b), len(proto))]; string(head) != proto[:len(head)] {
			return 0, bad("the answer is not HTTP/1.1")
		}
		if len(b) >= MaxHead {
			return 0, errHead
		}
		return 0, nil
	}
	frame := framing{length: -1}
	if a.Status, frame.old, err = statusLine(text); err != nil {
		return 0, err
	}
	a.Line = text[len("HTTP/1.1 "):]
	if n, err = a.takeFields(b, len(text)+2, &frame); n == 0 {
		return 0, err
	}
	a.Length, a.Chunked, a.Persists = frame.length, frame.chunked, frame.persists()
	if frame.chunked && (a.Status < 200 || a.Status == 204) {
		return 0, bad("an answer that has no body has a Transfer-Encoding")
	}
	return n, nil
}

// Bodiless tells whether no body follows the head, whatever its fields say: it
// answers HEAD, or its status has none (RFC 9112, section 6.3).
func (a *Answer) Bodiless(head bool) bool {
	return head || a.Status < 200 || a.Status == 204 || a.Status == 304
}

// statusLine takes a status line apart: version, three digits, and a reason that
// may be empty, as may the space before it.
func statusLine(text []byte) (status int, old bool, err error) {
	const codeEnds = len("HTTP/1.1 200")
	if len(text) < codeEnds || text[8] != ' ' {
		return 0, false, bad("the status line is not \"version code reason\"")
	}
	if old, err = version(text[:8]); err != nil {
		return 0, false, err
	}
	for _, c := range text[9:codeEnds] {
		if !isDigit(c) {
			return 0, false, bad("the status code is not three digits")
		}
		status = 10*status + int(c-'0')
	}
	if status < 100 {
		return 0, false, bad("the status code is less than 100")
	}
	if len(text) > codeEnds && text[codeEnds] != ' ' {
		return 0, false, bad("the status code is longer than three digits")
	}
	if !printable(text[codeEnds:]) {
		return 0, false, bad("the reason has a control character")
	}
	return status, old, nil
}
