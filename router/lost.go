package router

import (
	"context"
	"crypto/tls"
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
func (s *socket) unheard(limit time.Duration) bool { return s.raw != nil && unheard(s.raw, limit) }

// vigil looks, while an attempt on net/http's path goes on, whether the target's
// host is still there.
type vigil struct {
	every time.Duration
	end   context.CancelCauseFunc

	mu    sync.Mutex
	raw   syscall.RawConn
	timer *time.Timer
	ended bool
}

// over gives the context with which the attempt has to be made.
func (v *vigil) over(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { v.begin(got.Conn) }})
}

func (v *vigil) begin(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	c, ok := conn.(syscall.Conn)
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
	if unheard(v.raw, v.every) {
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
