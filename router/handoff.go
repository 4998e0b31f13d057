package router

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll/router/h1"
)

// handoff is the listener that net/http's server takes those connections from
// that need more than plain HTTP/1.1.
type handoff struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, or closes it if nobody takes it any more.
func (h *handoff) give(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		conn.Close()
	}
}

// Accept gives the next connection.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the handing over.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is none: the connections come from elsewhere.
func (h *handoff) Addr() net.Addr { return handoffAddr{} }

type handoffAddr struct{}

func (handoffAddr) Network() string { return "handoff" }
func (handoffAddr) String() string  { return "handoff" }

// handedConn is a connection whose first bytes have been read. What is read from
// it is judged by the same grammar that has judged it so far: from the first
// byte that is refused on, it gives the reader something that no HTTP parser
// takes, so that the server's own handling of a bad request answers it, in its
// turn. The poison is never given for HTTP/2, whose frames net/http judges.
type handedConn struct {
	net.Conn
	read   []byte // from the connection, and not given yet
	secure bool
	begun  bool // it is known what its first bytes are
	http2  bool // its first bytes are HTTP/2's preface

	active   atomic.Bool // a request is under way
	stopped  atomic.Bool
	refused  bool
	left     []byte // of the poison
	follower h1.Follower
}

// poison is a header line without a colon, a request line without a version and
// a chunk size without a digit, and the end of a head.
var poison = []byte("\x00\r\n\r\n")

func (c *handedConn) Read(p []byte) (int, error) {
	if c.refused {
		if len(c.left) == 0 {
			return c.discard()
		}
		n := copy(p, c.left)
		c.left = c.left[n:]
		return n, nil
	}
	if !c.begun {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	n, err := c.readOn(p)
	if c.http2 || c.stopped.Load() {
		return n, err
	}
	if err == io.EOF && c.active.Load() {
		// net/http takes this for the end of its client, who may have closed only
		// what it sends. An answer that is on its way gets as much time as elsewhere.
		time.Sleep(sweepEvery)
	}
	good, reason := c.follower.Follow(p[:n])
	if reason == nil {
		return n, err
	}
	c.refused = true
	m := copy(p[good:], poison)
	c.left = poison[m:]
	return good + m, nil
}

// begin reads on until the first bytes are HTTP/2's preface, or cannot become it:
// there are methods of HTTP/1.1 that begin as it does.
func (c *handedConn) begin() error {
	for len(c.read) < len(preface) && strings.HasPrefix(preface, string(c.read)) {
		var b [len(preface)]byte
		n, err := c.Conn.Read(b[len(c.read):])
		c.read = append(c.read, b[len(c.read):][:n]...)
		if err != nil && n == 0 {
			return err
		}
	}
	c.begun, c.http2 = true, bytes.HasPrefix(c.read, []byte(preface))
	return nil
}

// discard reads what follows on a refused request until the connection ends: a
// request before it may still be under way, and its client is there.
func (c *handedConn) discard() (int, error) {
	var b [512]byte
	for {
		if _, err := c.Conn.Read(b[:]); err != nil {
			return 0, err
		}
	}
}

func (c *handedConn) readOn(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// stop ends the following: the connection is no longer HTTP.
func (c *handedConn) stop() { c.stopped.Store(true) }

// NetConn is the connection itself.
func (c *handedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes one half, where the connection can.
func (c *handedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// handed is the connection below a request of net/http's server.
type handedKey struct{}

// isHTTPS tells whether a request came over TLS.
func isHTTPS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	c, ok := r.Context().Value(handedKey{}).(*handedConn)
	return ok && c.secure
}
