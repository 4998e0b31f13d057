package router

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"plimsoll/router/h1"
)

// Span is what one request came to, for whoever gathers traces.
type Span struct {
	Trace  [16]byte
	ID     [8]byte
	Parent [8]byte // all zero: the trace begins here
	State  string  // tracestate, as it came

	Began time.Time
	Took  time.Duration

	Method, Scheme, Host, Path string // Path as it came, without the query
	Proto                      string // "1.1", "2"
	Client, Agent              string

	Service string
	Route   string // its path
	Task    string // that answered; empty without one
	// Status is 0 if the client left before the answer was whole.
	Status   int
	Attempts int
	// Failure is why it was not answered as it should be, as Figures name it.
	Failure string
}

// Spans takes the spans of requests that are sampled.
type Spans interface {
	// Add takes one, at once, whether it can be kept or not.
	Add(*Span)
	// Counts tells how many have been delivered, and how many were lost.
	Counts() (sent, lost uint64)
}

// traceContext is a traceparent (W3C Trace Context).
type traceContext struct {
	trace [16]byte
	span  [8]byte
	flags byte
}

const (
	flagSampled    = 1
	traceparentLen = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")
)

// parseTraceparent reads a traceparent; false if it is none, which begins a new
// trace.
func parseTraceparent(s string) (tc traceContext, ok bool) {
	if len(s) < traceparentLen || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return tc, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || !unhex(tc.trace[:], s[3:35]) || !unhex(tc.span[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return tc, false
	}
	// A later version may have more behind it.
	if version[0] == 0xff || len(s) > traceparentLen && (version[0] == 0 || s[traceparentLen] != '-') {
		return tc, false
	}
	tc.flags = flags[0]
	return tc, tc.trace != [16]byte{} && tc.span != [8]byte{}
}

// unhex reads digits, of which none may be a capital.
func unhex(to []byte, from string) bool {
	for i := range to {
		high, low := hexDigit(from[2*i]), hexDigit(from[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// append appends the traceparent in version 00.
func (tc traceContext) append(b []byte) []byte {
	b = append(b, "00-"...)
	b = append(hex.AppendEncode(b, tc.trace[:]), '-')
	b = append(hex.AppendEncode(b, tc.span[:]), '-')
	return hex.AppendEncode(b, []byte{tc.flags & 3}) // what version 00 has no name for is not ours to pass on
}

// traced is what becomes of a request's trace.
type traced struct {
	out      traceContext // what its target gets, if it is changed
	parent   [8]byte
	given    bool // it came with a trace
	changed  bool
	recorded bool // a span is made of it
}

// tracing tells whether the router has anything to do with traces but to pass
// them on.
func (r *Router) tracing() bool { return r.options.Trace || r.options.Spans != nil }

// trace decides on a request that came with the traceparent given; empty is none.
// A trace that others began is sampled if they say so. One that begins here is
// sampled by chance, and the targets are told which way that fell.
func (r *Router) trace(came string) (t traced) {
	t.out, t.given = parseTraceparent(came)
	switch {
	case t.given && (r.options.Spans == nil || t.out.flags&flagSampled == 0):
		return t
	case t.given:
		t.parent, t.recorded = t.out.span, true
	default:
		t.out = traceContext{}
		binary.BigEndian.PutUint64(t.out.trace[:8], r.someID())
		binary.BigEndian.PutUint64(t.out.trace[8:], r.someID())
		t.recorded = r.options.Spans != nil && float64(r.rand()>>11)/(1<<53) < r.options.SampleShare
		if t.recorded || r.options.Spans == nil {
			t.out.flags = flagSampled
		}
	}
	binary.BigEndian.PutUint64(t.out.span[:], r.someID())
	t.changed = true
	return t
}

// someID is random, and not zero, which would be no id.
func (r *Router) someID() uint64 { return max(r.rand(), 1) }

// span begins the span of a request that is recorded.
func (t traced) span() *Span {
	return &Span{Trace: t.out.trace, ID: t.out.span, Parent: t.parent, Began: time.Now()}
}

// tell gives the span, if there is one, to whoever gathers them.
func (d *dispatch) tell(took time.Duration) {
	if d.span == nil {
		return
	}
	s := d.span
	s.Took, s.Service, s.Route, s.Attempts, s.Failure = took, d.service.name, d.route.Path, d.sent, causeNames[d.cause]
	if s.Status = d.status; d.status == statusClientGone {
		s.Status, s.Failure = 0, classNames[classGone]
	}
	if d.answering != nil {
		s.Task = d.answering.ID
	}
	d.router.options.Spans.Add(s)
}

// maxSpanText bounds what a client can put into a span.
const maxSpanText = 1024

// spanText is a copy of a text that may lie in a buffer, cut to maxSpanText.
func spanText(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxSpanText)]), "?")
}

// follow works out the trace of a request of net/http's.
func (x *exchange) follow() {
	if !x.router.tracing() {
		return
	}
	h := x.request.Header
	came := ""
	if values := h["Traceparent"]; len(values) == 1 {
		came = values[0]
	}
	t := x.router.trace(came)
	if t.changed {
		h["Traceparent"] = []string{string(t.out.append(nil))}
	}
	if !t.given {
		delete(h, "Tracestate") // it belonged to no trace
	}
	if !t.recorded {
		return
	}
	s := t.span()
	s.State = spanText(strings.Join(h["Tracestate"], ","))
	s.Method, s.Scheme, s.Host, s.Path = spanText(x.request.Method), x.from.proto, spanText(x.request.Host), spanText(x.request.URL.EscapedPath())
	s.Proto, s.Agent = "1.1", spanText(x.request.UserAgent())
	if x.request.ProtoMajor == 2 {
		s.Proto = "2"
	} else if !x.request.ProtoAtLeast(1, 1) {
		s.Proto = "1.0"
	}
	if x.from.client.IsValid() {
		s.Client = x.from.client.String()
	}
	x.span = s
}

// follow works out the trace of a plain request, whose path is raw, and tells
// which of its fields go on.
func (c *client) follow(raw []byte) (traced, func(f *h1.Fields, i int) bool) {
	if !c.router.tracing() {
		return traced{}, dropFromRequest
	}
	q := &c.request
	came, n := "", 0
	for i := range q.Len() {
		if h1.Is(q.Name(i), "traceparent") {
			came = text(q.Value(i))
			n++
		}
	}
	if n > 1 {
		came = ""
	}
	t := c.router.trace(came)
	drop := dropFromRequest
	switch {
	case !t.given:
		drop = dropTrace
	case t.changed:
		drop = dropTraceparent
	}
	if t.recorded {
		s := t.span()
		s.Method, s.Scheme, s.Host, s.Path = spanText(text(q.Method)), "http", spanText(text(q.Host)), spanText(text(raw))
		s.Proto, s.Agent = "1.1", spanText(text(q.Get("user-agent")))
		if isSecure(c.conn) {
			s.Scheme = "https"
		}
		if t.given {
			s.State = spanText(text(q.Get("tracestate")))
		}
		s.Client = originOf(addressOf(c.conn.RemoteAddr()), false, nil).ip
		c.span = s
	}
	return t, drop
}

func dropTraceparent(f *h1.Fields, i int) bool {
	return dropFromRequest(f, i) || h1.Is(f.Name(i), "traceparent")
}

func dropTrace(f *h1.Fields, i int) bool {
	return dropTraceparent(f, i) || h1.Is(f.Name(i), "tracestate")
}
