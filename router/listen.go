package router

import (
	"errors"
	"net"
	"sync"

	"plimsoll/router/loop"
)

// listener is what Listen gives: one whose connections can be taken by loops, for
// which its end is the end as well.
type listener struct {
	*net.TCPListener
	closing sync.Once
	closed  chan struct{}
	mu      sync.Mutex
	looped  *loop.Acceptor
}

// looping makes a listener such a one.
func looping(l net.Listener, err error) (net.Listener, error) {
	if tcp, ok := l.(*net.TCPListener); ok && err == nil {
		return &listener{TCPListener: tcp, closed: make(chan struct{})}, nil
	}
	return l, err
}

// serve has the loops serve what the listener is connected to, until Close. The error
// is errors.ErrUnsupported where there are no loops.
func (l *listener) serve(connection func(*loop.Fiber, *loop.Conn), failed func(error)) error {
	l.mu.Lock()
	if l.looped != nil {
		l.mu.Unlock()
		return errors.New("the listener is served already")
	}
	var err error
	l.looped, err = loop.Accept(l.TCPListener, connection, failed)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	<-l.closed
	return nil
}

// Close ends the listener; connections that are taken go on.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.closing.Do(func() {
		l.mu.Lock()
		looped := l.looped
		l.mu.Unlock()
		if looped != nil {
			_ = looped.Close()
		}
		err = l.TCPListener.Close()
		close(l.closed)
	})
	return err
}
