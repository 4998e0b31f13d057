package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"syscall"
	"time"
)

// errLost ends the wait for an answer of a target whose host is gone without a
// word: powered off, or cut off from here. Nothing else would tell before the
// time for an answer is over.
var errLost = errors.New("its host has acknowledged nothing for a time, and is taken to be gone")

// How connections of clients on which nothing happens are probed: as Go does by
// itself.
const (
	probeAfter = 15 // seconds
	probeEvery = 15 // seconds
	probeMost  = 9

	// clientSilence is how long a client may acknowledge nothing: as long as one that
	// is sent nothing may say nothing. It may be out of reach for a while, as a target
	// may not.
	clientSilence = (probeAfter + probeEvery*probeMost) * time.Second
)

// heartbeat has the kernel ask the host of a connection that says nothing whether
// it is there: what waits for a slow answer, and what has been sent nothing, has
// nothing that could stay unacknowledged. Three questions without an answer end
// the connection.
func heartbeat(dial time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: max(time.Second, dial*3/2), Interval: time.Second, Count: 3}
}

// closedByPeer tells whether an error says that the other side has closed, as a
// target does with a connection that it has kept for long enough.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// lose ends what waits on the socket.
func (s *socket) lose() {
	abandon(s.raw)
	s.lost.Store(true)
	_ = s.conn.SetReadDeadline(past)
}

// unheard tells whether the other side's host has been silent for that long.
func (s *socket) unheard(limit time.Duration) bool {
	return s.raw != nil && s.owner.options.unheard(s.raw, limit)
}

// vigil looks, while an attempt on net/http's path or a tunnel goes on, whether the
// host at the other end of a connection is still there.
type vigil struct {
	router *Router
	every  time.Duration
	end    func(error) // told errLost, once

	mu    sync.Mutex
	raw   syscall.RawConn
	timer *time.Timer
	ended bool
	found bool // that it is gone
	asked bool // net/http was asked for a connection
	had   bool // and had one
}

// over gives the context with which the attempt has to be made.
func (v *vigil) over(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.asked = true
		},
		GotConn: func(got httptrace.GotConnInfo) {
			v.mu.Lock()
			v.had = true
			v.mu.Unlock()
			v.begin(got.Conn)
		},
	})
}

// sentNothing tells whether net/http had no connection to send the request on, as
// where the handshake of TLS fails.
func (v *vigil) sentNothing() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked && !v.had
}

func (v *vigil) begin(conn net.Conn) {
	c, ok := below(conn).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw = raw
	if v.timer == nil && !v.ended {
		v.timer = time.AfterFunc(v.every, v.look)
	}
}

func (v *vigil) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return
	}
	if v.router.options.unheard(v.raw, v.every) {
		v.found = true
		abandon(v.raw)
		v.end(errLost)
		return
	}
	v.timer.Reset(v.every)
}

func (v *vigil) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	if v.timer != nil {
		v.timer.Stop()
	}
}

// reason is why something on the connection failed, where the vigil ended it.
func (v *vigil) reason(err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.found {
		return errLost
	}
	return err
}

// givenUp tells whether an error says that the kernel has heard nothing of the other
// side's host for so long that it has ended the connection.
func givenUp(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// hostGone tells whether an error says that the target's host is gone. What was lost
// there is nobody's load any more, and so is no load twice if it is sent again.
func hostGone(err error) bool { return errors.Is(err, errLost) || givenUp(err) }

// below is the connection beneath TLS, and beneath all that was put around it.
func below(conn net.Conn) net.Conn {
	for {
		switch c := conn.(type) {
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		case interface{ Raw() net.Conn }: // of go-proxyproto
			conn = c.Raw()
		default:
			return conn
		}
	}
}

// sever resets a connection: its other end must not take what has come for all
// that there was, as it could where the connection ends in order.
func sever(conn net.Conn) {
	conn = below(conn)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
