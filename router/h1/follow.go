package h1

import "bytes"

// Follower judges the requests of a connection that another parser reads:
// heads, bodies, chunks, trailers. It keeps one line at the most. The zero value
// is at the beginning of a connection.
type Follower struct {
	state  followState
	line   []byte // the part of a line seen so far
	head   int    // bytes of the head before that line
	left   int64  // bytes of the body still to come
	frame  framing
	chunks Chunks
}

type followState uint8

const (
	atRequest followState = iota
	inHead
	inBody
	inChunks
)

// Between tells whether the bytes seen end with a request.
func (f *Follower) Between() bool { return f.state == atRequest && len(f.line) == 0 }

// Follow gives the number of bytes of p that are as they should be: len(p), or
// the index at which the request has gone wrong, with the reason.
func (f *Follower) Follow(p []byte) (good int, err error) {
	at := 0
	for at < len(p) {
		n, err := f.step(p[at:])
		if err != nil {
			return at, err
		}
		at += n
	}
	return at, nil
}

// step follows a part of p: of a body, or one line of a head.
func (f *Follower) step(p []byte) (n int, err error) {
	switch f.state {
	case inBody:
		n := min(f.left, int64(len(p)))
		if f.left -= n; f.left == 0 {
			f.state = atRequest
		}
		return int(n), nil
	case inChunks:
		data, rest, err := f.chunks.Next(p)
		if err != nil {
			return 0, err
		}
		if f.chunks.Done() {
			f.state = atRequest
		} else if data == nil {
			return len(p), nil
		}
		return len(p) - len(rest), nil
	}
	end := bytes.IndexByte(p, '\n')
	if f.head+len(f.line)+max(end, 0) > MaxHead || end < 0 && f.head+len(f.line)+len(p) > MaxHead {
		return 0, errHead
	}
	if f.state == atRequest && len(f.line) == 0 && classes[p[0]]&token == 0 {
		return 0, errMethod // whether or not its line ever ends
	}
	if end < 0 {
		f.line = append(f.line, p...)
		return len(p), nil
	}
	text := p[:end+1]
	if len(f.line) > 0 {
		f.line = append(f.line, text...)
		text = f.line
	}
	if len(text) < 2 || text[len(text)-2] != '\r' {
		return 0, errBareLF
	}
	if err := f.take(text[:len(text)-2]); err != nil {
		return 0, err
	}
	f.head += len(text)
	if f.state != inHead {
		f.head = 0
	}
	f.line = f.line[:0]
	return end + 1, nil
}

// take takes in one line of a head.
func (f *Follower) take(text []byte) error {
	if f.state == atRequest {
		_, _, old, err := requestLine(text)
		f.state, f.frame = inHead, framing{length: -1, old: old}
		return err
	}
	if len(text) == 0 {
		return f.headEnds()
	}
	name, value, err := field(text)
	if err != nil {
		return err
	}
	kind, err := f.frame.take(name, value)
	if err == nil && kind == Expect && !Is(value, "100-continue") {
		return &Error{Status: 417, Reason: "Expect is another than \"100-continue\""}
	}
	return err
}

func (f *Follower) headEnds() error {
	if err := f.frame.ends(); err != nil {
		return err
	}
	if f.frame.hosts == 0 && !f.frame.old {
		return bad("the request names no Host")
	}
	switch f.state = atRequest; {
	case f.frame.chunked:
		f.state = inChunks
		f.chunks.Reset()
	case f.frame.length > 0:
		f.state, f.left = inBody, f.frame.length
	}
	return nil
}
