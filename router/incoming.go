package router

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"plimsoll/router/h1"
)

const (
	// spliceFrom is the size of a rest of a body from which it is worth the
	// kernel's moving it alone, and spliceStep how much is moved at a time.
	spliceFrom = 64 << 10
	spliceStep = 128 << 10
	// What a client still sends after its last answer is read for so long and
	// up to so many bytes.
	lingerTime  = time.Second
	lingerBytes = 256 << 10
	// uploadGrace is how long the end of a body may come after the end of its
	// answer.
	uploadGrace = 100 * time.Millisecond
)

// errClient marks an error on the client's side of an exchange.
var errClient = errors.New("the client's side")

// incoming is the body of the request under way. A small one of a known length
// is read as a whole before it is sent, so that a slow client holds no target;
// any other is sent as it comes, by a goroutine of its own, because its answer
// may begin before its end.
type incoming struct {
	length  int64 // of the body; -1 in chunks
	streams bool
	whole   []byte // the body, if it does not stream and is read
	chunks  h1.Chunks

	// While and after it streams:
	ended    chan struct{} // closed at the end of the sending; nil before
	sent     atomic.Bool   // to the body's end
	cut      atomic.Bool   // nobody wants the rest
	answered atomic.Bool   // the answer has begun
	err      error         // what the client's side ended in; set before ended
}

// begin takes in the head of a request.
func (b *incoming) begin(c *client) {
	q := &c.request
	b.length, b.whole, b.ended, b.err = max(q.Length, 0), nil, nil, nil
	b.streams = false
	if q.Chunked {
		b.length = -1
		b.chunks.Reset()
	}
	c.method, c.isHead, c.again = method(q.Method)
	if !q.HasBody() {
		return
	}
	b.sent.Store(false)
	b.cut.Store(false)
	b.answered.Store(false)
	c.again = false
	b.streams = q.Chunked || q.Continues || int64(c.head)+b.length > bodyBuffer
	if need := c.head + int(b.length); !b.streams && len(c.in)-c.from < need {
		c.grow(max(need, len(c.in))) // what moves is parsed anew
		_, _ = q.Parse(c.bytes())
	}
}

// method gives a method as a string that stays, whether it is HEAD, and whether
// it is idempotent.
func method(b []byte) (name string, head, again bool) {
	switch string(b) {
	case http.MethodGet:
		return http.MethodGet, false, true
	case http.MethodPost:
		return http.MethodPost, false, false
	case http.MethodHead:
		return http.MethodHead, true, true
	}
	name = string(b)
	return name, false, repeatable(name, false)
}

// pending tells whether a part of the body has not been read.
func (b *incoming) pending() bool {
	if b.streams {
		return b.ended == nil || !b.sent.Load()
	}
	return b.length > 0 && b.whole == nil
}

// gather reads a body that does not stream. False: the exchange is over.
func (b *incoming) gather(c *client) bool {
	if b.streams || b.length == 0 || b.whole != nil {
		return true
	}
	end := c.from + c.head + int(b.length)
	for c.to < end {
		c.readBy.Store(c.router.clock() + int64(c.router.options.BodyTimeout))
		if err := c.fill(nil); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.fail(causeMalformed, http.StatusRequestTimeout, "the request's body took too long")
			} else {
				c.status, c.reuse = statusClientGone, false
			}
			return false
		}
		c.now = c.router.clock()
	}
	b.whole = c.in[c.from+c.head : end]
	return true
}

// skip takes the request off the connection where no target is to get it.
func (b *incoming) skip(c *client) {
	if !b.pending() {
		c.used(c.head + len(b.whole))
	}
}

// end stops what is still sent of the body, and takes the request off the
// connection.
func (b *incoming) end(c *client) {
	if b.ended == nil {
		b.skip(c)
		return
	}
	b.stop(c)
	if !b.sent.Load() {
		c.reuse = false
		c.unread = b.err == nil
	}
}

// stop ends the sending; the target's connection must be closed, or the body
// sent.
func (b *incoming) stop(c *client) {
	if b.sent.Load() {
		<-b.ended
		return
	}
	b.cut.Store(true)
	_ = c.conn.SetReadDeadline(past)
	<-b.ended
}

// failure is what is wrong with the client's side of a body that streams.
func (b *incoming) failure(c *client) error {
	if b.ended == nil {
		return nil
	}
	b.stop(c)
	return b.err
}

// settled tells whether the body is sent to its end, or is within a short time.
func (b *incoming) settled() bool {
	if b.ended == nil || b.sent.Load() {
		return true
	}
	grace := time.NewTimer(uploadGrace)
	defer grace.Stop()
	select {
	case <-b.ended:
	case <-grace.C:
	}
	return b.sent.Load()
}

// upload sends the head, and begins to send the body that follows on it.
func (b *incoming) upload(c *client, u *upstream) {
	// The head leaves the buffer: what is needed of it is kept.
	c.path = strings.Clone(c.path)
	c.used(c.head)
	b.ended = make(chan struct{})
	go func() {
		defer close(b.ended)
		err := u.write(c.out, nil)
		if err == nil {
			err = b.copy(c, u)
		}
		switch {
		case err == nil:
			b.sent.Store(true)
			b.limitAnswer(c, u)
		case errors.Is(err, errClient) && !b.cut.Load():
			b.err = err
			// Nobody waits for an answer to half a request.
			c.gone.Store(true)
			_ = u.conn.SetReadDeadline(past)
		}
	}()
}

// limitAnswer starts the time for the answer, if that has not begun.
func (b *incoming) limitAnswer(c *client, u *upstream) {
	limit := c.patience()
	if limit <= 0 || b.answered.Load() {
		return
	}
	u.readBy.Store(c.router.clock() + int64(limit))
	if b.answered.Load() { // meanwhile
		u.readBy.Store(0)
	}
}

// copy sends the body as it comes.
func (b *incoming) copy(c *client, u *upstream) error {
	c.size = bodyBuffer
	defer func() { c.size = headBuffer }()
	if b.length < 0 {
		return b.copyChunks(c, u)
	}
	for left := b.length; ; {
		if n := min(left, int64(len(c.bytes()))); n > 0 {
			if err := u.write(c.bytes()[:n], nil); err != nil {
				return err
			}
			c.used(int(n))
			left -= n
		}
		if left == 0 {
			return nil
		}
		if left >= spliceFrom && c.tcp() != nil && u.tcp() != nil {
			c.readBy.Store(c.router.clock() + int64(c.router.options.BodyTimeout))
			n, mine, err := c.move(&u.socket, min(left, spliceStep), &b.cut)
			if left -= n; err != nil && mine {
				return b.lost(err)
			} else if err != nil {
				return err
			}
			continue
		}
		if err := b.more(c); err != nil {
			return err
		}
	}
}

// more reads more of the body.
func (b *incoming) more(c *client) error {
	c.readBy.Store(c.router.clock() + int64(c.router.options.BodyTimeout))
	if !c.room(bodyBuffer) {
		return nil
	}
	if err := c.fill(&b.cut); err != nil {
		return b.lost(err)
	}
	return nil
}

// lost marks an error as the client's.
func (b *incoming) lost(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &h1.Error{Status: http.StatusRequestTimeout, Reason: "it took too long"}
	}
	return fmt.Errorf("%w: %w", errClient, err)
}

// copyChunks sends a chunked body in chunks of the router's own.
func (b *incoming) copyChunks(c *client, u *upstream) error {
	held := scratches.Get().(*scratch)
	defer scratches.Put(held)
	total := int64(0)
	for {
		out := held.out[:0]
		data, rest, err := rechunk(&b.chunks, c.bytes())
		if err != nil {
			return b.lost(err)
		}
		total += int64(len(data))
		if limit := c.router.options.MaxBody; limit > 0 && total > limit {
			return b.lost(&h1.Error{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("it is larger than %d bytes", limit)})
		}
		if out = appendChunk(out, data); b.chunks.Done() {
			out = appendLastChunk(out, b.chunks.Trailer(), ownField)
		}
		if held.out = out; len(out) > 0 {
			if err := u.write(out, nil); err != nil {
				return err
			}
		}
		c.used(len(c.bytes()) - len(rest))
		if b.chunks.Done() {
			return nil
		}
		if err := b.more(c); err != nil {
			return err
		}
	}
}

// rechunk moves all the data of p, which is a part of a chunked body, to the
// beginning of p, and gives what follows on the body.
func rechunk(chunks *h1.Chunks, p []byte) (data, rest []byte, err error) {
	n := 0
	for rest = p; ; {
		piece, after, err := chunks.Next(rest)
		if err != nil {
			return nil, nil, err
		}
		n += copy(p[n:], piece)
		if rest = after; len(piece) == 0 {
			return p[:n], rest, nil
		}
	}
}

// appendChunk appends data as one chunk; none for no data, which would be the
// last.
func appendChunk(b, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	b = append(strconv.AppendUint(b, uint64(len(data)), 16), "\r\n"...)
	return append(append(b, data...), "\r\n"...)
}

// appendLastChunk appends the end of a body with its trailer, but for the fields
// that drop names.
func appendLastChunk(b, trailer []byte, drop func(name []byte) bool) []byte {
	b = append(b, "0\r\n"...)
	for len(trailer) > 0 {
		end := bytes.IndexByte(trailer, '\n') + 1
		if name, _, _ := bytes.Cut(trailer[:end], colon); drop == nil || !drop(name) {
			b = append(b, trailer[:end]...)
		}
		trailer = trailer[end:]
	}
	return append(b, "\r\n"...)
}

var colon = []byte{':'}
