package router

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"plimsoll/router/h1"
)

var scratches = sync.Pool{New: func() any {
	return &scratch{out: make([]byte, 0, 1<<10), reply: make([]byte, 0, 1<<10)}
}}

// maxProvisional is the greatest number of 1xx answers to one request.
const maxProvisional = 16

// errUnreadable marks an answer that is not as it should be.
var errUnreadable = errors.New("the answer cannot be read")

// tokenField is TokenField as h1 looks for it.
var tokenField = strings.ToLower(TokenField)

// decode decodes a path; false if its percent-encoding is bad.
func (c *client) decode(path []byte) ([]byte, bool) {
	if bytes.IndexByte(path, '%') < 0 {
		return path, true
	}
	c.decoded = c.decoded[:0]
	for i := 0; i < len(path); i++ {
		b := path[i]
		if b == '%' {
			if i+2 >= len(path) {
				return nil, false
			}
			n, err := strconv.ParseUint(text(path[i+1:i+3]), 16, 8)
			if err != nil {
				return nil, false
			}
			b, i = byte(n), i+2
		}
		c.decoded = append(c.decoded, b)
	}
	return c.decoded, true
}

// prepare puts the head together that the targets get. False: the request is
// refused.
func (c *client) prepare(raw []byte) bool {
	q := &c.request
	target := q.Target
	trace, drop := c.follow(raw)
	if limit := c.router.options.MaxBody; limit > 0 && q.Length > limit {
		c.fail(causeTooLarge, http.StatusRequestEntityTooLarge, tooLarge(limit))
		return false
	}
	if c.route.Strip {
		rest, ok := c.strip(raw)
		if !ok {
			c.router.refused.Add(1)
			c.fail(causeMalformed, http.StatusBadRequest, unstrippable(c.route))
			return false
		}
		target = rest
	}
	b := append(append(c.out[:0], q.Method...), ' ')
	if len(target) == 0 || target[0] != '/' {
		b = append(b, '/')
	}
	b = append(append(b, target...), " HTTP/1.1\r\n"...)
	b = appendFields(b, &q.Fields, drop)
	if trace.changed {
		b = append(trace.out.append(append(b, "Traceparent: "...)), "\r\n"...)
	}
	if q.Chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if q.Trailers {
		b = append(b, "Te: trailers\r\n"...)
	}
	b = append(b, c.origin...)
	b = append(append(append(b, "X-Forwarded-Host: "...), q.Host...), "\r\nForwarded: "...)
	b = append(append(b, c.node...), `;host="`...)
	c.out = append(append(b, q.Host...), "\"\r\n\r\n"...)
	return true
}

func tooLarge(limit int64) string {
	return fmt.Sprintf("the request's body is larger than %d bytes", limit)
}

// strip takes the route's prefix off the target, whose path is raw.
func (c *client) strip(raw []byte) ([]byte, bool) {
	prefix := strings.TrimSuffix(c.route.Path, "/")
	if !bytes.HasPrefix(raw, []byte(prefix)) {
		return nil, false
	}
	return c.request.Target[len(prefix):], true
}

// appendFields appends the lines of the fields that go on, in runs.
func appendFields(b []byte, f *h1.Fields, drop func(f *h1.Fields, i int) bool) []byte {
	run := 0
	for i := range f.Len() {
		if f.Kind(i).Hop() || drop(f, i) {
			b = append(b, f.Lines(run, i)...)
			run = i + 1
		}
	}
	return append(b, f.Lines(run, f.Len())...)
}

func dropFromRequest(f *h1.Fields, i int) bool { return ownField(f.Name(i)) }

// ownField tells whether a request's field is the router's own to set, or for it
// alone.
func ownField(name []byte) bool {
	switch name[0] | 0x20 {
	case 'x', 'f':
		return forwarding(text(name)) || h1.Is(name, tokenField)
	}
	return false
}

// attempt sends the request to the target, which it releases.
func (c *client) attempt(t *target) (over bool) {
	defer t.release()
	if !c.body.gather(c) {
		return true
	}
	for kept := true; ; kept = false {
		u, err := t.connect(c, kept)
		if err != nil {
			c.now = c.router.clock()
			return c.unanswered(c, t, notConnected, err, c.again)
		}
		err = c.send(u)
		if err == nil {
			t.answered()
			c.answering = t
			c.relay(u)
			return true
		}
		nothing := u.to == 0
		u.close()
		c.now = c.router.clock()
		why := c.whyUnanswered(err)
		if why == broken && u.reused && nothing && c.again && closedByPeer(err) {
			continue // the target had closed it, and most likely never saw the request
		}
		if why == badBody {
			err = c.body.failure(c)
		}
		return c.unanswered(c, t, why, err, c.again && !c.replied)
	}
}

// send sends the request and reads the head of its answer.
func (c *client) send(u *upstream) error {
	c.gone.Store(false)
	c.up.Store(u)
	c.waits.Store(c.now)
	err := c.sendAndRead(u)
	c.waits.Store(0)
	c.up.Store(nil)
	return err
}

func (c *client) sendAndRead(u *upstream) error {
	limit := int64(c.patience())
	if limit > 0 {
		limit += c.now
	}
	if c.body.streams {
		u.readBy.Store(0)
		c.body.upload(c, u)
	} else {
		u.readBy.Store(limit)
		u.before = [2][]byte{c.out, c.body.whole}
	}
	for provisional := 0; ; {
		n, err := 0, error(nil)
		if u.to > u.from {
			n, err = u.answer.Parse(u.bytes())
		}
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", errUnreadable, err)
		case n == 0:
			if !u.room(h1.MaxHead) {
				return fmt.Errorf("%w: its head is too large", errUnreadable)
			}
			if err := u.fill(&c.gone); err != nil {
				return err
			}
		case u.answer.Status == http.StatusSwitchingProtocols:
			return fmt.Errorf("%w: it switches protocols unasked", errUnreadable)
		case u.answer.Status >= 200:
			u.from += n
			return nil
		default:
			if provisional++; provisional > maxProvisional {
				return fmt.Errorf("%w: too many provisional ones come before it", errUnreadable)
			}
			if err := c.provisional(u, n); err != nil {
				return err
			}
		}
	}
}

// whyUnanswered tells what an error of send means.
func (c *client) whyUnanswered(err error) failure {
	switch {
	case errors.Is(err, errStopped):
		var e *h1.Error
		if errors.As(c.body.failure(c), &e) {
			return badBody
		}
		return clientGone
	case errors.Is(err, errClient):
		return clientGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		return timedOut
	case errors.Is(err, errUnreadable):
		return unreadable
	}
	return broken
}
