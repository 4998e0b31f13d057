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
	closed chan struct{}
	mu     sync.Mutex
	looped *loop.Acceptor
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
	if err := l.accept(connection, failed); err != nil {
		return err
	}
	<-l.closed
	return nil
}

func (l *listener) accept(connection func(*loop.Fiber, *loop.Conn), failed func(error)) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	default:
	}
	if l.looped != nil {
		return errors.New("the listener is served already")
	}
	l.looped, err = loop.Accept(l.TCPListener, connection, failed)
	return err
}

// Close ends the listener; connections that are taken go on.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
	}
	defer close(l.closed)
	if l.looped != nil {
		_ = l.looped.Close()
	}
	return l.TCPListener.Close()
}
