//go:build !linux

package loop

import (
	"errors"
	"net"
)

// Loop, Conn and Acceptor are not there.
type (
	Loop     struct{ later, resting []*Fiber }
	Conn     struct{ net.Conn }
	Acceptor struct{}
)

// Accept says that there are no loops: errors.ErrUnsupported.
func Accept(*net.TCPListener, func(*Fiber, *Conn), func(error)) (*Acceptor, error) {
	return nil, errors.ErrUnsupported
}

// What follows is never called, for there is no Conn.

func (a *Acceptor) Close() error { return errors.ErrUnsupported }

func Adopt(*net.TCPConn, *Loop) (*Conn, error)  { return nil, errors.ErrUnsupported }
func Splice(_, _ *Conn, _ int64) (int64, error) { return 0, errors.ErrUnsupported }
func (c *Conn) Leave() (net.Conn, error)        { return nil, errors.ErrUnsupported }
func (c *Conn) Loop() *Loop                     { return nil }
func (c *Conn) Bind(_, _ *Fiber)                {}
func (c *Conn) Took(bool)                       {}
func (c *Conn) Quiet() bool                     { return false }
