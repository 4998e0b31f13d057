package router

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"plimsoll/router/h1"
)

// client is one HTTP/1.1 connection of a client and the request that is under
// way on it. Its goroutine does everything, the target's side included, except
// for the sending of large bodies.
//
// What is not plain HTTP/1.1 on a plain route goes to net/http with all the
// bytes read so far: HTTP/2, HTTP/1.0, upgrades, targets that are no path.
type client struct {
	socket
	dispatch
	// origin are the fields that tell a target where the requests come from,
	// but for their host.
	origin  []byte
	node    []byte // the same in Forwarded's form: for=…;proto=…
	request h1.Request
	head    int    // length of the request's head in the buffer
	path    string // decoded; in the buffer, or in decoded
	decoded []byte
	body    incoming
	chunks  h1.Chunks // of the answer
	reuse   bool      // the connection is good for another request
	replied bool      // an answer has begun
	unread  bool      // the client may still send what nobody reads
	method  string
	isHead  bool // the method is HEAD
	again   bool // the request may be sent twice
	*scratch

	now   int64        // the last look at the router's clock
	waits atomic.Int64 // since when it waits for a target; 0 if it does not
	gone  atomic.Bool  // the client has left, the sweep says
	up    atomic.Pointer[upstream]
	last  *upstream                          // to be kept
	left  atomic.Pointer[context.CancelFunc] // ends the wait for a target
}

// scratch is what a request is put together in, and its answer.
type scratch struct {
	out   []byte // the request's head, as the targets get it
	reply []byte
}

// preface begins an HTTP/2 connection (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// serveConn serves one connection that has been accepted, and closes it.
func (r *Router) serveConn(conn net.Conn) {
	c := clients.Get().(*client)
	defer c.retire()
	c.dispatch.router = r
	trusted := c.setOrigin(conn.RemoteAddr(), isSecure(conn))
	c.open(r, conn, headBuffer)
	if !r.enter(c) {
		c.close()
		return
	}
	defer r.exit(c)
	c.now = r.clock()
	// What a trusted peer says of the origin has to be taken in: not plain.
	if trusted || r.redirects(isSecure(conn)) || c.serve() {
		r.full.give(&handedConn{Conn: conn, read: bytes.Clone(c.bytes()), secure: isSecure(conn)})
		c.forget()
		return
	}
	c.close()
}

// clients are those without a connection.
var clients = sync.Pool{New: func() any { return &client{} }}

// retire makes the client fit for another connection. Nobody else knows it any more.
func (c *client) retire() {
	*c = client{
		socket:  socket{onRead: c.onRead, onWrite: c.onWrite, onPeek: c.onPeek},
		request: c.request, origin: c.origin[:0], node: c.node[:0], decoded: c.decoded[:0],
	}
	clients.Put(c)
}

// enter makes the connection known to Shutdown and to the sweep; false after
// Close.
func (r *Router) enter(c *client) bool {
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	if r.closed.Load() {
		return false
	}
	r.clients[c] = struct{}{}
	if r.evicting.Load() {
		_ = c.conn.SetReadDeadline(past)
	}
	return true
}

func (r *Router) exit(c *client) {
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	delete(r.clients, c)
}

// isSecure tells whether the connection is TLS.
func isSecure(conn net.Conn) bool {
	_, ok := conn.(interface{ Handshake() error })
	return ok
}

func (c *client) setOrigin(from net.Addr, secure bool) (trusted bool) {
	o := originOf(addressOf(from), secure, c.dispatch.router.options.Trusted)
	if o.ip != "" {
		c.origin = append(c.origin, "X-Forwarded-For: "+o.ip+"\r\n"...)
	}
	c.origin = append(c.origin, "X-Forwarded-Proto: "+o.proto+"\r\n"...)
	c.node = append(c.node, o.node...)
	return o.trusted
}

// serve answers requests until the connection is at its end, or is to go to
// net/http, which it reports.
func (c *client) serve() (handOver bool) {
	limit := c.router.options.HeadTimeout
	for first := true; ; first = false {
		state := c.await(first, limit)
		if state != ready {
			return state == other
		}
		if c.request.Old || c.request.Upgrades || c.request.Target[0] != '/' || c.router.challenged(c.request.Target) {
			return true
		}
		if c.answer() == other {
			return true
		}
		if !c.reuse {
			if c.unread {
				c.linger()
			}
			return false
		}
		limit = idleTimeout
	}
}

// verdicts on what a connection has sent.
type arrived int

const (
	ready arrived = iota // a request's head
	ended                // nothing more is to be done
	other                // something that net/http is for
)

// await reads the head of the next request. limit bounds the wait for its first
// byte.
func (c *client) await(first bool, limit time.Duration) arrived {
	since := c.now
	c.readBy.Store(since + int64(limit))
	parsed := 0 // bytes that held no whole head
	stop := &c.router.evicting
	for {
		if b := c.bytes(); len(b) > parsed {
			if first && b[0] == 'P' && len(b) <= len(preface) && string(b) == preface[:len(b)] {
				if len(b) == len(preface) {
					return other
				}
			} else if first && len(b) > len(preface) && string(b[:len(preface)]) == preface {
				return other
			} else if parsed == 0 || bytes.IndexByte(b[parsed:], '\n') >= 0 || len(b) >= h1.MaxHead {
				n, err := c.request.Parse(b)
				if err != nil {
					c.object(err)
					return ended
				}
				if n > 0 {
					c.head = n
					return ready
				}
			}
			if parsed == 0 {
				c.readBy.Store(c.router.clock() + int64(c.router.options.HeadTimeout))
			}
			parsed, stop = len(b), nil
		}
		if !c.room(h1.MaxHead) {
			c.object(&h1.Error{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "the head is too large"})
			return ended
		}
		err := errStopped
		if stop == nil || !stop.Load() {
			err = c.fill(stop)
		}
		switch {
		case err == nil:
		case errors.Is(err, errStopped) && c.stays(since):
			stop = nil
		case parsed > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			c.object(&h1.Error{Status: http.StatusRequestTimeout, Reason: "the request's head took too long"})
			return ended
		default:
			return ended
		}
	}
}

// stays tells whether a connection without a request may bring one more although the
// router ends: it has come already, or the client has not been told by an answer that
// has only just ended.
func (c *client) stays(since int64) bool {
	until := since + int64(partingGrace)
	if c.router.clock() < until {
		c.readBy.Store(until)
		return true
	}
	return c.stale() // reading it does not wait
}

// object answers what cannot be read as a request, which ends the connection.
func (c *client) object(err error) {
	var e *h1.Error
	if !errors.As(err, &e) {
		return
	}
	c.router.refused.Add(1)
	c.replied, c.isHead = false, false
	c.scratch = scratches.Get().(*scratch)
	c.page(e.Status, e.Reason, true)
	c.release()
	c.linger()
}

// answer answers the request whose head has come.
func (c *client) answer() arrived {
	r := c.router
	c.now = r.clock()
	c.scratch = scratches.Get().(*scratch)
	defer c.release()
	c.dispatch = dispatch{router: r}
	c.reuse, c.replied = c.request.Persists, false
	c.body.begin(c)
	raw, query, _ := bytes.Cut(c.request.Target, question)
	path, ok := c.decode(raw)
	if !ok {
		r.refused.Add(1)
		c.page(http.StatusBadRequest, "the path has a bad percent-encoding", true)
		return ended
	}
	c.path = text(path)
	a := arrival{method: text(c.request.Method), host: text(c.request.Host), path: c.path, query: text(query)}
	if r.options.Token != "" {
		a.token = text(c.request.Get(tokenField))
	}
	route, no := r.admit(&a)
	if no != nil {
		c.page(no.code, no.reason, no.last)
		c.body.skip(c)
		return ended
	}
	if !route.plain() {
		return other
	}
	c.service, c.route = route.service, route
	c.began = time.Duration(c.now)
	if !c.prepare(raw) {
		c.body.end(c)
		c.turnedAway(time.Duration(c.router.clock()))
		return ended
	}
	c.dispatch.begin(time.Duration(c.now))
	c.run(c)
	c.body.end(c)
	if c.status == statusClientGone {
		c.reuse = false // what it sent before it went is not to be answered, nor asked again
	}
	c.now = r.clock()
	c.dispatch.end(time.Duration(c.now), c.status != statusClientGone)
	if c.last != nil {
		c.last.target.kept.put(c.last, c.now)
		c.last = nil
	}
	return ended
}

var question = []byte{'?'}

// release gives back what a request holds.
func (c *client) release() {
	if c.scratch != nil {
		if cap(c.out) <= 2*bodyBuffer && cap(c.reply) <= 2*bodyBuffer {
			scratches.Put(c.scratch)
		}
		c.scratch = nil
	}
	c.path = ""
}

// text is b as a string, which is valid no longer than b is.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// watch gives a context that ends when the sweep sees that the client has gone.
func (c *client) watch() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c.left.Store(&cancel)
	c.waits.Store(c.router.clock())
	return ctx, func() {
		c.waits.Store(0)
		c.left.Store(nil)
		cancel()
		c.now = c.router.clock()
	}
}

// leave tells the connection's goroutine that the client has gone.
func (c *client) leave() {
	c.gone.Store(true)
	if u := c.up.Load(); u != nil {
		_ = u.conn.SetReadDeadline(past)
	}
	if cancel := c.left.Load(); cancel != nil {
		(*cancel)()
	}
}

// fail answers with a page of the router's own.
func (c *client) fail(why cause, code int, reason string) {
	c.status, c.cause = code, why
	c.logFailure(code, c.method, strings.Clone(c.path), reason) // the log may keep it
	c.page(code, reason, code == http.StatusBadRequest)
}

// page sends a page of the router's own, and ends the connection after it if
// what follows could not be trusted, or is a body that nobody has read.
func (c *client) page(code int, reason string, last bool) {
	if c.replied {
		c.reuse = false
		return
	}
	c.replied = true
	if last || c.body.pending() {
		c.unread = true
	}
	if c.unread || c.router.halting.Load() {
		c.reuse = false
	}
	fields, page := ownPage(code, reason)
	b := append(c.reply[:0], "HTTP/1.1 "...)
	b = append(appendStatus(b, code), "\r\n"...)
	for _, f := range fields {
		b = append(append(append(append(b, f[0]...), ": "...), f[1]...), "\r\n"...)
	}
	if !c.reuse {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.reply = b
	if c.isHead {
		page = ""
	}
	if err := c.write(b, []byte(page)); err != nil {
		c.reuse = false
	}
}

// linger lets the client read what was sent before its own bytes, which nobody
// reads any more, would make the kernel reset the connection.
func (c *client) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.drop()
	c.readBy.Store(c.router.clock() + int64(lingerTime))
	for read := 0; read < lingerBytes; {
		if c.fill(&c.router.closed) != nil {
			return
		}
		read += c.to
		c.drop()
	}
}
