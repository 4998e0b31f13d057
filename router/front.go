package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// maxHello bounds what is read of a connection before its server name is known.
const maxHello = 64 << 10

// httpTLS offers both versions of HTTP.
func httpTLS(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	config = config.Clone()
	// What is there already is ACME's own.
	config.NextProtos = append([]string{"h2", "http/1.1"}, config.NextProtos...)
	return config
}

// greet takes a connection of the TLS listener to where it belongs: one of a
// server name with a route of pass-through to its targets, any other, after the
// handshake, to HTTP.
func (r *Router) greet(conn net.Conn, config *tls.Config) {
	_ = conn.SetDeadline(time.Now().Add(r.options.HandshakeTimeout))
	if names := r.table.Load().ports[0]; names != nil {
		var route *route
		if conn, route = names.lookup(conn); route != nil {
			_ = conn.SetDeadline(time.Time{})
			r.join(conn, route)
			return
		}
	}
	if config == nil {
		conn.Close()
		return
	}
	secure := tls.Server(conn, config)
	ctx, cancel := context.WithTimeout(r.ctx, r.options.HandshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		r.handshakes.Add(1)
		r.log.Debug("router: TLS handshake", "peer", conn.RemoteAddr(), "err", err)
		conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		r.full.give(secure)
		return
	}
	r.serveConn(secure)
}

// errHeard ends the reading of a client's hello, which is all that is wanted.
var errHeard = errors.New("the hello has been heard")

// serverName reads the client's hello, and gives the name in it and the
// connection with the bytes put back. Empty if there is none, or no TLS.
func serverName(conn net.Conn) (string, net.Conn) {
	var read bytes.Buffer
	var name string
	hearing := tls.Server(hello{Conn: conn, from: io.TeeReader(io.LimitReader(conn, maxHello), &read)}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = h.ServerName
			return nil, errHeard
		},
	})
	_ = hearing.Handshake()
	return canonicalHost(name), &replayed{Conn: conn, from: io.MultiReader(&read, conn)}
}

// hello is a connection that is only listened to.
type hello struct {
	net.Conn
	from io.Reader
}

func (h hello) Read(p []byte) (int, error)  { return h.from.Read(p) }
func (h hello) Write(p []byte) (int, error) { return len(p), nil } // the alert that it ends with
func (h hello) Close() error                { return nil }

// replayed is a connection whose first bytes have been read and put back.
type replayed struct {
	net.Conn
	from io.Reader
}

func (r *replayed) Read(p []byte) (int, error) { return r.from.Read(p) }

// WriteTo lets the kernel move what follows the bytes that were put back.
func (r *replayed) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.from) }

// NetConn is the connection itself.
func (r *replayed) NetConn() net.Conn { return r.Conn }

// CloseWrite closes one half, where the connection can.
func (r *replayed) CloseWrite() error { return closeWrite(r.Conn) }

func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
