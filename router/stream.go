package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// names are the routes of one port's connections: by TLS server name, or one
// for all.
type names struct {
	hosts, wild map[string]*route
	any         *route
}

// lookup finds the route of a connection, which it may have to read the start
// of: use the one that it gives. nil if there is no route.
func (n *names) lookup(conn net.Conn) (net.Conn, *route) {
	if len(n.hosts)+len(n.wild) == 0 {
		return conn, n.any
	}
	name, conn := serverName(conn)
	if r := n.hosts[name]; r != nil {
		return conn, r
	}
	for host := name; ; {
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return conn, n.any
		}
		if r := n.wild[host[dot:]]; r != nil {
			return conn, r
		}
		host = host[dot+1:]
	}
}

func (n *names) add(r *route) {
	switch host := canonicalHost(r.Host); {
	case host == "":
		n.any = r
	case strings.HasPrefix(host, "*"):
		n.wild[host[1:]] = r
	default:
		n.hosts[host] = r
	}
}

// streams counts the connections that are served as such.
type streams struct {
	mu    sync.Mutex
	open  int
	ended chan struct{} // made by who waits, closed when none is open
}

func (s *streams) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
}

func (s *streams) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

// wait waits for them to end until ctx does.
func (s *streams) wait(ctx context.Context) error {
	s.mu.Lock()
	if s.open == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	open, ended := s.open, s.ended
	s.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d connections of TCP routes are still open: %w", open, context.Cause(ctx))
	}
}

// port is a listening TCP port of the table.
type port struct {
	l      net.Listener
	number int
}

// openPorts opens the ports of a table that are not open yet. What cannot be
// opened is told in the log and tried again with the next table: one route must
// not hold up all others. r.mu is held.
func (r *Router) openPorts(t *table) {
	for number := range t.ports {
		if number == 0 || r.ports[number] != nil {
			continue
		}
		l, err := r.options.Listen(number)
		if err != nil {
			r.log.Error("router: a TCP route has no port", "port", number, "err", err)
			continue
		}
		p := &port{l: r.behindProxy(l), number: number}
		r.ports[number] = p
		r.tasks.Go(func() { r.acceptStreams(p) })
	}
}

// closePorts closes the ports that the table has not; all with nil. r.mu is held.
func (r *Router) closePorts(t *table) {
	for number, p := range r.ports {
		if t == nil || t.ports[number] == nil {
			p.l.Close()
			delete(r.ports, number)
		}
	}
}

func (r *Router) acceptStreams(p *port) {
	for {
		conn, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) || r.ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Warn("router: a connection was not taken", "port", p.number, "error", err)
			time.Sleep(acceptPause)
			continue
		}
		go r.receive(conn, p.number)
	}
}

// receive finds the route of a connection of a TCP port.
func (r *Router) receive(conn net.Conn, number int) {
	names := r.table.Load().ports[number]
	if names == nil {
		conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Now().Add(r.options.HandshakeTimeout))
	conn, route := names.lookup(conn)
	if route == nil {
		r.unrouted.Add(1)
		conn.Close()
		return
	}
	if route.TLS == TLSTerminate {
		secure := tls.Server(conn, r.options.TLS)
		if err := secure.Handshake(); err != nil {
			r.handshakes.Add(1)
			r.log.Debug("router: TLS handshake", "peer", conn.RemoteAddr(), "err", err)
			conn.Close()
			return
		}
		conn = secure
	}
	_ = conn.SetDeadline(time.Time{})
	r.join(conn, route)
}

// join connects a client to a target of the route's service and moves bytes
// both ways until one of them, or the target's drain, ends it. It closes conn.
// While the service has no target nothing is read.
func (r *Router) join(conn net.Conn, route *route) {
	defer conn.Close()
	r.streams.enter()
	defer r.streams.leave()
	s := &stream{dispatch: dispatch{router: r, service: route.service, route: route}, conn: conn}
	if !s.enter() {
		s.turnedAway(0)
		return
	}
	defer route.gate.leave()
	s.begin(r.now())
	s.run(s)
	s.end(r.now(), false)
}

// stream is a connection on its way to a target.
type stream struct {
	dispatch
	conn net.Conn
}

// attempt connects to the target. Nothing has been sent where it fails, so that
// another may be tried.
func (s *stream) attempt(t *target) (over bool) {
	defer t.release()
	to, err := s.router.connect(t, s.conn, s.route)
	if err != nil {
		return s.unanswered(s, t, notConnected, err, false)
	}
	t.answered()
	s.answering = t
	defer to.Close()
	defer context.AfterFunc(t.cut, func() { s.conn.Close(); to.Close() })()
	defer s.guard(t, to)()
	couple(s.conn, to)
	return true
}

// guard ends the connection when the host at one of its ends has gone without a
// word. One on which nothing is unacknowledged the kernel ends, by its probes.
func (s *stream) guard(t *target, to net.Conn) (stop func()) {
	target := vigil{router: s.router, every: s.router.options.DialTimeout, end: func(err error) {
		t.failed(err, causeBroken)
		s.cause, s.answering = causeBroken, nil
		sever(s.conn)
		sever(to)
	}}
	client := vigil{router: s.router, every: clientSilence, end: func(error) {
		sever(to)
		sever(s.conn)
	}}
	target.begin(to)
	client.begin(s.conn)
	return func() {
		target.stop()
		client.stop()
	}
}

// fail has no words for the client: the connection's end is all it gets.
func (s *stream) fail(why cause, code int, reason string) {
	s.status, s.cause = code, why
	s.logFailure(code, "TCP", strconv.Itoa(s.route.TCP), reason)
}

// watch gives the router's own context: nothing is read of a connection before
// it has a target, and so its end is not seen.
func (s *stream) watch() (context.Context, func()) { return s.router.ctx, func() {} }

// connect dials a target and says what it is to be told before the first byte.
func (r *Router) connect(t *target, client net.Conn, route *route) (net.Conn, error) {
	to, err := r.dialer.DialContext(r.ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	upstream := route.service.settings.Load().upstream
	if upstream.Proxy != "" {
		if err := announce(upstream.Proxy, client, to); err != nil {
			return nil, errors.Join(err, to.Close())
		}
	}
	if !upstream.secure() || route.TLS == TLSPassthrough {
		return to, nil
	}
	return r.secured(r.ctx, to, upstream)
}

// couple moves bytes both ways until both directions are at their end, or one
// is broken.
func couple(a, b net.Conn) {
	var other sync.WaitGroup
	other.Go(func() { pour(b, a) })
	pour(a, b)
	other.Wait()
}

func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if givenUp(err) {
		sever(to)
		sever(from)
	} else if err != nil || closeWrite(to) != nil {
		// Neither end can be told in another way that bytes are missing.
		to.Close()
		from.Close()
	}
}
