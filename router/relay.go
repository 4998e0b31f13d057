package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"plimsoll/router/h1"
)

// provisional passes an answer on that is not the last (1xx), and takes its
// head, of n bytes, off the target's connection.
func (c *client) provisional(u *upstream, n int) error {
	b := append(append(append(c.reply[:0], "HTTP/1.1 "...), u.answer.Line...), "\r\n"...)
	b = append(appendFields(b, &u.answer.Fields, dropFromBodiless), "\r\n"...)
	c.reply = b
	u.used(n)
	if err := c.write(b, nil); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

// copyUpTo is the size of a body that is cheaper to copy behind its head than to
// write from where it lies.
const copyUpTo = 2 << 10

// ending is how a body ends.
type ending int

const (
	bodiless ending = iota
	byLength
	byChunks
	byClose
)

// relay sends the answer whose head has come, and what follows on it, and keeps
// the target's connection if that can be used again.
func (c *client) relay(u *upstream) {
	a := &u.answer
	c.body.answered.Store(true)
	c.status = a.Status
	how := byClose
	drop := dropNothing
	switch {
	case a.Bodiless(c.isHead):
		how = bodiless
		if a.Status == http.StatusNoContent {
			drop = dropFromBodiless
		}
	case a.Chunked:
		how = byChunks
	case a.Length >= 0:
		how = byLength
	}
	if c.router.halting.Load() {
		c.reuse = false
	}
	b := append(append(append(c.reply[:0], "HTTP/1.1 "...), a.Line...), "\r\n"...)
	b = appendFields(b, &a.Fields, drop)
	if how == byChunks || how == byClose || how == bodiless && a.Chunked && c.isHead {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if !c.reuse {
		b = append(b, "Connection: close\r\n"...)
	}
	c.reply = append(b, "\r\n"...)
	keep := a.Persists && how != byClose
	u.doubtful = how == bodiless // some send a body all the same
	if err := c.relayBody(u, how); err != nil {
		c.broke(u, err)
		return
	}
	// What a target sends beyond its answer belongs to no request.
	if keep = keep && u.from == u.to && c.body.settled(); keep {
		// A read that filled the buffer may have left something.
		u.doubtful = u.doubtful || u.to == len(u.in)
		u.drop()
		c.last = u
		return
	}
	u.close()
}

// broke ends an exchange whose answer did not come, or go, to its end. The
// client learns of it by the end of its connection.
func (c *client) broke(u *upstream, err error) {
	u.close()
	c.reuse, c.unread = false, false
	if errors.Is(err, errClient) {
		c.status = statusClientGone
		return
	}
	why := brokenOff(err)
	u.target.failed(err, why)
	c.cause, c.answering = why, nil
	if c.status = http.StatusBadGateway; !c.replied {
		c.reuse = true
		c.fail(why, http.StatusBadGateway, fmt.Sprintf("task %s of service %q gave an answer that cannot be read: %v", u.target.ID, c.service.name, err))
	}
}

func dropNothing(*h1.Fields, int) bool { return false }

// dropFromBodiless tells whether a field has no place in an answer that can have
// no body (RFC 9110, section 8.6).
func dropFromBodiless(f *h1.Fields, i int) bool { return f.Kind(i) == h1.ContentLength }

func (c *client) relayBody(u *upstream, how ending) error {
	switch how {
	case byLength:
		return c.relayLength(u, u.answer.Length)
	case byChunks:
		return c.relayChunks(u)
	case byClose:
		return c.relayToClose(u)
	}
	return c.give(c.reply, nil)
}

// give writes to the client.
func (c *client) give(head, body []byte) error {
	c.replied = true
	if err := c.write(head, body); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

// refill reads on in an answer, whose bytes read so far are used.
func (c *client) refill(u *upstream) error {
	u.readBy.Store(0)
	c.up.Store(u)
	c.waits.Store(c.router.clock())
	err := u.fill(&c.gone)
	c.waits.Store(0)
	c.up.Store(nil)
	if errors.Is(err, errStopped) {
		return fmt.Errorf("%w: it has gone", errClient)
	}
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return nil
}

// moveAnswer lets the kernel move a part of the answer.
func (c *client) moveAnswer(u *upstream, size int64) (int64, error) {
	u.doubtful = true // it moves what is asked for, and tells of no more
	u.readBy.Store(0)
	c.up.Store(u)
	c.waits.Store(c.router.clock())
	n, mine, err := u.move(&c.socket, size, &c.gone)
	c.waits.Store(0)
	c.up.Store(nil)
	switch {
	case err == nil:
		return n, nil
	case !mine, errors.Is(err, errStopped):
		return n, fmt.Errorf("%w: %w", errClient, err)
	}
	return n, fmt.Errorf("the answer broke off: %w", err)
}

// relayLength sends the head and a body of a known length.
func (c *client) relayLength(u *upstream, left int64) error {
	head := c.reply
	for {
		n := min(left, int64(len(u.bytes())))
		body := u.bytes()[:n]
		if len(head) > 0 && n <= copyUpTo {
			head, body = append(head, body...), nil
			c.reply = head
		}
		if len(head)+len(body) > 0 {
			if err := c.give(head, body); err != nil {
				return err
			}
		}
		head, left, u.from = nil, left-n, u.from+int(n)
		if left == 0 {
			return nil
		}
		u.from, u.to = 0, 0
		if left >= spliceFrom && c.tcp() != nil && u.tcp() != nil {
			n, err := c.moveAnswer(u, min(left, spliceStep))
			if left -= n; err != nil {
				return err
			}
			if left > 0 {
				continue
			}
			return nil
		}
		if err := c.refill(u); err != nil {
			return err
		}
	}
}

// relayChunks sends the head and a chunked body in chunks of the router's own.
func (c *client) relayChunks(u *upstream) error {
	c.chunks.Reset()
	for {
		data, rest, err := rechunk(&c.chunks, u.bytes())
		if err != nil {
			return err
		}
		b := appendChunk(c.reply, data)
		if c.chunks.Done() {
			b = appendLastChunk(b, c.chunks.Trailer(), nil)
		}
		c.reply = b
		if err := c.give(b, nil); err != nil {
			return err
		}
		if c.chunks.Done() {
			u.from = u.to - len(rest)
			return nil
		}
		c.reply = c.reply[:0]
		u.from, u.to = 0, 0
		if err := c.refill(u); err != nil {
			return err
		}
	}
}

// relayToClose sends the head and a body that ends with the target's connection,
// in chunks.
func (c *client) relayToClose(u *upstream) error {
	for {
		c.reply = appendChunk(c.reply, u.bytes())
		if len(c.reply) > 0 {
			if err := c.give(c.reply, nil); err != nil {
				return err
			}
		}
		c.reply = c.reply[:0]
		u.from, u.to = 0, 0
		if err := c.refill(u); errors.Is(err, io.EOF) {
			return c.give([]byte("0\r\n\r\n"), nil)
		} else if err != nil {
			return err
		}
	}
}

// appendStatus appends a code and its text.
func appendStatus(b []byte, code int) []byte {
	b = append(strconv.AppendInt(b, int64(code), 10), ' ')
	return append(b, http.StatusText(code)...)
}
