package h1

import "bytes"

// Chunks takes a chunked body apart as it comes in (RFC 9112, section 7.1),
// however its bytes are cut. The zero value is at the beginning of a body.
type Chunks struct {
	state   chunkState
	left    uint64 // bytes of the chunk still to come
	line    []byte // the part of a line seen so far
	trailer []byte // the trailer fields, each with its CR LF
	fields  int
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	afterData
	inTrailer
	atEnd
)

// Reset makes c ready for another body.
func (c *Chunks) Reset() {
	*c = Chunks{line: c.line[:0], trailer: c.trailer[:0]}
}

// Done tells that the body has come to its end, the trailer included.
func (c *Chunks) Done() bool { return c.state == atEnd }

// Trailer are the trailer fields of a body that is done, as they were sent, each
// with its CR LF.
func (c *Chunks) Trailer() []byte { return c.trailer }

// Next gives the next piece of data in p, which is a part of p, and what follows
// on it. Without data, all of p was framing, or the body is done and rest is
// what comes after it.
func (c *Chunks) Next(p []byte) (data, rest []byte, err error) {
	for len(p) > 0 && c.state != atEnd {
		if c.state == inData {
			n := min(c.left, uint64(len(p)))
			if c.left -= n; c.left == 0 {
				c.state = afterData
			}
			return p[:n], p[n:], nil
		}
		if p, err = c.takeLine(p); err != nil {
			return nil, p, err
		}
	}
	return nil, p, nil
}

// takeLine takes one line, or the part of it that is there.
func (c *Chunks) takeLine(p []byte) (rest []byte, err error) {
	limit := maxChunkLine
	if c.state == inTrailer {
		limit = MaxTrailer
	}
	end := bytes.IndexByte(p, '\n')
	if len(c.line)+max(end, 0) > limit || end < 0 && len(c.line)+len(p) > limit {
		return p, bad("a line of the chunked body is too long")
	}
	if end < 0 {
		c.line = append(c.line, p...)
		return nil, nil
	}
	text := p[:end+1]
	if len(c.line) > 0 {
		c.line = append(c.line, text...)
		text = c.line
	}
	if len(text) < 2 || text[len(text)-2] != '\r' {
		return p, errBareLF
	}
	if err := c.judge(text[:len(text)-2]); err != nil {
		return p, err
	}
	c.line = c.line[:0]
	return p[end+1:], nil
}

// judge takes a whole line.
func (c *Chunks) judge(text []byte) error {
	switch c.state {
	case atSize:
		return c.takeSize(text)
	case afterData:
		if len(text) > 0 {
			return bad("a chunk is longer than its size")
		}
		c.state = atSize
		return nil
	default: // inTrailer
		if len(text) == 0 {
			c.state = atEnd
			return nil
		}
		return c.takeTrailer(text)
	}
}

func (c *Chunks) takeSize(text []byte) error {
	digits := text
	if semicolon := bytes.IndexByte(text, ';'); semicolon >= 0 {
		digits = text[:semicolon]
		if !printable(text[semicolon:]) {
			return bad("a chunk's extension has a control character")
		}
	}
	size, ok := number(digits, 16, maxChunkSize)
	if !ok {
		return bad("a chunk's size is not a number of hexadecimal digits")
	}
	c.left, c.state = size, inData
	if size == 0 {
		c.state = inTrailer
	}
	return nil
}

func (c *Chunks) takeTrailer(text []byte) error {
	name, value, err := field(text)
	if err != nil {
		return err
	}
	if c.fields++; c.fields > MaxFields || len(c.trailer)+len(text)+2 > MaxTrailer {
		return errFields
	}
	frame := framing{length: -1}
	kind, err := frame.take(name, value)
	if err != nil {
		return err
	}
	if kind != EndToEnd {
		return bad("a trailer has a field that is for the head only")
	}
	c.trailer = append(append(c.trailer, text...), '\r', '\n')
	return nil
}
