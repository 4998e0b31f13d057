package loop

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptPause is a rest when the process has no more descriptors.
const acceptPause = 10 * time.Millisecond

// Acceptor takes the connections of a listener on all loops.
type Acceptor struct {
	loops  []*Loop
	serve  func(*Fiber, *Conn)
	failed func(error)

	mu     sync.RWMutex   // held while fd is used
	fd     int            // -1: closed
	taking sync.WaitGroup // connections that are not yet served
}

// acceptors are those that are open, by descriptor.
var acceptors acceptorTable

type acceptorTable struct {
	mu   sync.RWMutex
	open map[int32]*Acceptor
}

func (t *acceptorTable) take(l *Loop, fd int32) {
	t.mu.RLock()
	a := t.open[fd]
	t.mu.RUnlock()
	if a != nil {
		a.take(l)
	}
}

// Accept lets the loops take what l is connected to from now on, each connection by a
// fiber of its own, which serve is called in, and which has to close it. failed is
// told of what could not be taken. The acceptor ends by its own Close; l stays as it is.
func Accept(l *net.TCPListener, serve func(*Fiber, *Conn), failed func(error)) (*Acceptor, error) {
	loops, err := all()
	if err != nil {
		return nil, err
	}
	conn, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	a := &Acceptor{loops: loops, serve: serve, failed: failed}
	if controlled := conn.Control(func(fd uintptr) {
		a.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); controlled != nil {
		return nil, controlled
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	acceptors.mu.Lock()
	if acceptors.open == nil {
		acceptors.open = map[int32]*Acceptor{}
	}
	acceptors.open[int32(a.fd)] = a
	acceptors.mu.Unlock()
	for _, l := range loops {
		if err := a.listen(l); err != nil {
			a.Close()
			return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
		}
	}
	return a, nil
}

// listen has a loop told of connections; each wakes one loop.
func (a *Acceptor) listen(l *Loop) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, a.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: int32(a.fd), // Pad 0: no connection's
	})
}

// take takes one connection: if there are more, the loop is told again.
func (a *Acceptor) take(l *Loop) {
	fd, from, err := a.accept(l)
	if err == net.ErrClosed {
		return
	}
	defer a.taking.Done()
	if err != nil {
		if err != unix.EAGAIN {
			go a.failed(os.NewSyscallError("accept4", err)) // which may block
		}
		return
	}
	// Whichever loop is to have it, this one begins.
	c, err := register(lightest(a.loops, l), fd, tcpAddress(from))
	if err != nil {
		go a.failed(err)
		return
	}
	l.start(func(f *Fiber) {
		c.Bind(f, f)
		a.serve(f, c)
	})
}

func (a *Acceptor) accept(l *Loop) (fd int, from syscall.Sockaddr, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.fd < 0 {
		return 0, nil, net.ErrClosed
	}
	a.taking.Add(1)
	for {
		fd, from, err = syscall.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case unix.EINTR:
			continue
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			// The loop would be told of it without an end.
			_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, a.fd, nil)
			time.AfterFunc(acceptPause, func() {
				a.mu.RLock()
				defer a.mu.RUnlock()
				if a.fd >= 0 {
					_ = a.listen(l)
				}
			})
		}
		return fd, from, err
	}
}

// Close ends the taking; no call of serve begins after it. It is not for fibers.
func (a *Acceptor) Close() error {
	err := a.close()
	a.taking.Wait()
	return err
}

func (a *Acceptor) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return net.ErrClosed
	}
	acceptors.mu.Lock()
	delete(acceptors.open, int32(a.fd))
	acceptors.mu.Unlock()
	for _, l := range a.loops {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, a.fd, nil)
	}
	err := unix.Close(a.fd)
	a.fd = -1
	return os.NewSyscallError("close", err)
}
