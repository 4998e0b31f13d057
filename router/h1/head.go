package h1

import "bytes"

// Kind is what a field means to the wire.
type Kind uint8

// The kinds of fields. Those after EndToEnd concern one connection only (RFC
// 9110, section 7.6.1, and those that are used so though no RFC says it): they
// do not go on.
const (
	EndToEnd Kind = iota
	Host
	ContentLength
	Expect
	Trailer
	// HopByHop is any field for one connection without a kind of its own,
	// those that Connection names included.
	HopByHop
	Connection
	TransferEncoding
	TE
	Upgrade
)

// Hop tells whether a field of this kind concerns one connection only.
func (k Kind) Hop() bool { return k >= HopByHop }

// span is where a field lies in the head.
type span struct {
	start, colon, from, to, end int32 // the line; its name's end; its value
	kind                        Kind
}

// Fields are a head's fields, in their order, as they came.
type Fields struct {
	head  []byte
	spans []span
}

// Len is the number of fields.
func (f *Fields) Len() int { return len(f.spans) }

// Name is the name of field i as it was sent.
func (f *Fields) Name(i int) []byte { return f.head[f.spans[i].start:f.spans[i].colon] }

// Value is the value of field i without the spaces around it.
func (f *Fields) Value(i int) []byte { return f.head[f.spans[i].from:f.spans[i].to] }

// Kind is what field i means to the wire.
func (f *Fields) Kind(i int) Kind { return f.spans[i].kind }

// Lines are the fields from i up to j as they were sent, each with its CR LF.
func (f *Fields) Lines(i, j int) []byte {
	if i >= j {
		return nil
	}
	return f.head[f.spans[i].start:f.spans[j-1].end]
}

// Get is the value of the first field of that name, which is in lower case; nil
// without one.
func (f *Fields) Get(name string) []byte {
	for i := range f.spans {
		if Is(f.Name(i), name) {
			return f.Value(i)
		}
	}
	return nil
}

// framing is what the fields of a head say of the message and its connection,
// put together field by field. It is the one reading of them for heads that are
// taken apart and for connections that are followed.
type framing struct {
	length     int64 // -1 without a Content-Length
	chunked    bool
	old        bool // HTTP/1.0
	hosts      int
	connection bool // a Connection field was there
	closes     bool // Connection: close
	keeps      bool // Connection: keep-alive
	upgrade    bool // Connection: upgrade
	fields     int
}

// take takes in one field and tells its kind.
func (f *framing) take(name, value []byte) (Kind, error) {
	if f.fields++; f.fields > MaxFields {
		return 0, errFields
	}
	// The lengths of the names below; most fields are none of them.
	switch len(name) {
	case 2:
		if Is(name, "te") {
			return TE, nil
		}
	case 4:
		if Is(name, "host") {
			if f.hosts++; f.hosts > 1 {
				return 0, bad("the request has more than one Host")
			}
			if len(value) > 0 && !isHost(value) {
				return 0, errHost
			}
			return Host, nil
		}
	case 6:
		if Is(name, "expect") {
			return Expect, nil
		}
	case 7:
		if Is(name, "upgrade") {
			return Upgrade, nil
		}
		if Is(name, "trailer") {
			return Trailer, nil
		}
	case 10:
		if Is(name, "connection") {
			return Connection, f.takeConnection(value)
		}
		if Is(name, "keep-alive") {
			return HopByHop, nil
		}
	case 14:
		if Is(name, "content-length") {
			return ContentLength, f.takeLength(value)
		}
	case 16:
		if Is(name, "proxy-connection") {
			return HopByHop, nil
		}
	case 17:
		if Is(name, "transfer-encoding") {
			return TransferEncoding, f.takeCoding(value)
		}
	case 18:
		if Is(name, "proxy-authenticate") {
			return HopByHop, nil
		}
	case 19:
		if Is(name, "proxy-authorization") {
			return HopByHop, nil
		}
	}
	return EndToEnd, nil
}

func (f *framing) takeLength(value []byte) error {
	if f.length >= 0 {
		return bad("there is more than one Content-Length")
	}
	n, ok := number(value, 10, maxLength)
	if !ok {
		return bad("the Content-Length is not a number of digits")
	}
	f.length = int64(n)
	return nil
}

func (f *framing) takeCoding(value []byte) error {
	switch {
	case f.chunked:
		return bad("there is more than one Transfer-Encoding")
	case f.old:
		return bad("HTTP/1.0 knows no Transfer-Encoding")
	case !Is(value, "chunked"):
		return bad("the Transfer-Encoding is another than \"chunked\"")
	}
	f.chunked = true
	return nil
}

func (f *framing) takeConnection(value []byte) error {
	f.connection = true
	for len(value) > 0 {
		part := value
		if comma := bytes.IndexByte(value, ','); comma >= 0 {
			part, value = value[:comma], value[comma+1:]
		} else {
			value = nil
		}
		switch part = trim(part); {
		case len(part) == 0, Is(part, "te"):
		case Is(part, "close"):
			f.closes = true
		case Is(part, "keep-alive"):
			f.keeps = true
		case Is(part, "upgrade"):
			f.upgrade = true
		case !isToken(part):
			return bad("Connection is not a list of tokens")
		case Is(part, "host"), Is(part, "content-length"), Is(part, "transfer-encoding"), Is(part, "trailer"):
			return bad("Connection names a field that says how the message is read")
		}
	}
	return nil
}

// ends judges the fields as a whole.
func (f *framing) ends() error {
	if f.chunked && f.length >= 0 {
		return bad("there are both a Content-Length and a Transfer-Encoding")
	}
	return nil
}

// persists tells whether the connection stays open after the message.
func (f *framing) persists() bool { return !f.closes && (!f.old || f.keeps) }

// takeFields takes head apart from at on, up to its empty line. n is 0 if that
// has not come yet.
func (f *Fields) takeFields(head []byte, at int, frame *framing) (n int, err error) {
	f.spans = f.spans[:0]
	for {
		text, _, ok, err := line(head[at:])
		if err != nil {
			return 0, err
		}
		if !ok {
			if len(head) >= MaxHead {
				return 0, errHead
			}
			return 0, nil
		}
		end := at + len(text) + 2
		if end > MaxHead {
			return 0, errHead
		}
		if len(text) == 0 {
			f.head = head[:end]
			if err := frame.ends(); err != nil {
				return 0, err
			}
			if frame.connection {
				f.markNamed()
			}
			return end, nil
		}
		name, value, err := field(text)
		if err != nil {
			return 0, err
		}
		kind, err := frame.take(name, value)
		if err != nil {
			return 0, err
		}
		colon := at + len(name)
		from := colon + 1
		if len(value) > 0 {
			for head[from] == ' ' || head[from] == '\t' {
				from++
			}
		}
		f.spans = append(f.spans, span{
			start: int32(at), colon: int32(colon), from: int32(from), to: int32(from + len(value)),
			end: int32(end), kind: kind,
		})
		at = end
	}
}

// markNamed marks the fields that Connection names.
func (f *Fields) markNamed() {
	for c := range f.spans {
		if f.spans[c].kind != Connection {
			continue
		}
		list := f.Value(c)
		if Is(list, "keep-alive") || Is(list, "close") {
			continue
		}
		for i := range f.spans {
			s := &f.spans[i]
			if !s.kind.Hop() && nameIn(list, f.Name(i)) {
				s.kind = HopByHop
			}
		}
	}
}

// nameIn tells whether a list has the name, whatever the case of both.
func nameIn(list, name []byte) bool {
	for len(list) > 0 {
		part := list
		if comma := bytes.IndexByte(list, ','); comma >= 0 {
			part, list = list[:comma], list[comma+1:]
		} else {
			list = nil
		}
		if part = trim(part); len(part) == len(name) && bytes.EqualFold(part, name) {
			return true
		}
	}
	return false
}
