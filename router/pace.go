package router

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// pace bounds, on net/http's path, the time in which a client must send the next
// piece of its body, or take one of the answer: the server has bounds for heads
// alone. Calls of gRPC have none, because their streams may well be silent.
type pace struct {
	control *http.ResponseController
	limit   time.Duration
	// writeBy is when the client must have taken what is written now.
	writeBy time.Time
	// readBy is when the piece that is read now must have come, in nanoseconds since
	// 1970; 0: none is.
	readBy atomic.Int64
	stays  bool // the connection is HTTP/1's, and may carry another request
}

// pacing begins the bounds of a request; nil without any.
func (x *exchange) pacing(w http.ResponseWriter) *pace {
	if x.grpc || isWebSocket(x.request) {
		return nil
	}
	p := &pace{control: http.NewResponseController(w), limit: x.router.options.BodyTimeout, stays: x.request.ProtoMajor < 2}
	if x.request.ContentLength != 0 {
		x.request.Body = &pacedBody{ReadCloser: x.request.Body, pace: p}
	}
	return p
}

// late tells that a piece has not come in time. The body's own error says the
// same, but net/http ends the request's context before that is known.
func (p *pace) late() bool {
	if p == nil {
		return false
	}
	by := p.readBy.Load()
	return by != 0 && time.Now().UnixNano() >= by
}

// slack is by how much a bound may be late, as a part of it: so much fewer
// deadlines have to be set.
const slack = 4

// writing sets the bound for what is written next.
func (p *pace) writing() {
	if p == nil {
		return
	}
	if now := time.Now(); p.writeBy.Sub(now) < p.limit {
		p.writeBy = now.Add(p.limit + p.limit/slack)
		_ = p.control.SetWriteDeadline(p.writeBy) // a test's own writer may have none
	}
}

// written takes the bound back, for what is written next on the connection.
func (p *pace) written() {
	if p == nil || !p.stays || p.writeBy.IsZero() {
		return
	}
	_ = p.control.Flush() // still under it
	_ = p.control.SetWriteDeadline(time.Time{})
}

// pacedBody is the body of a client that must send it in time.
type pacedBody struct {
	io.ReadCloser
	pace *pace
	by   time.Time
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if now := time.Now(); b.by.Sub(now) < b.pace.limit {
		b.by = now.Add(b.pace.limit + b.pace.limit/slack)
		_ = b.pace.control.SetReadDeadline(b.by)
	}
	b.pace.readBy.Store(b.by.UnixNano())
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		b.pace.readBy.Store(0)
	}
	if err == io.EOF {
		// What the connection brings next has bounds of its own.
		_ = b.pace.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
