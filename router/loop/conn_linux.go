package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection of a loop. It is a net.Conn whose deadlines are past ones,
// which end what waits, or none.
//
// Each direction belongs to a fiber, or else to whichever goroutine uses it (Bind).
type Conn struct {
	fd      int
	serial  int32 // tells it from others that have had its descriptor; never 0
	loop    *Loop
	in, out side
	uses    atomic.Int64 // of the descriptor, under way; closed; released
	writes  atomic.Bool  // the loop waits that it can be written, too
	remote  net.Addr
}

// In Conn.uses, beside the number.
const (
	closed   = 1 << 32
	released = 1 << 33
)

var serials atomic.Int32

func serial() int32 {
	for {
		if n := serials.Add(1); n != 0 {
			return n
		}
	}
}

// register makes a connection of a descriptor, which it takes over.
func register(l *Loop, fd int, remote net.Addr) (*Conn, error) {
	c := &Conn{fd: fd, serial: serial(), loop: l, remote: remote}
	if err := conns.set(fd, c); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	l.conns.Add(1)
	if err := c.watch(unix.EPOLL_CTL_ADD, 0); err != nil {
		c.Close()
		return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	return c, nil
}

func (c *Conn) watch(how int, more uint32) error {
	return unix.EpollCtl(c.loop.epoll, how, c.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET | more, Fd: int32(c.fd), Pad: c.serial,
	})
}

// Adopt puts a connection on a loop. Whatever becomes of it, conn is used up.
func Adopt(conn *net.TCPConn, l *Loop) (*Conn, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := 0, error(nil)
	if err := raw.Control(func(old uintptr) {
		fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("fcntl", failed)
	}
	return register(l, fd, conn.RemoteAddr())
}

// Leave takes the connection off its loop, and gives it as Go's own. Whatever becomes
// of it, c is used up.
func (c *Conn) Leave() (net.Conn, error) {
	defer c.Close()
	if !c.use() {
		return nil, net.ErrClosed
	}
	defer c.done()
	_ = unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_DEL, c.fd, nil) // copies would keep it there
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	return net.FileConn(file)
}

// Loop is the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Bind says whose the directions are; nil: goroutines'. Nobody may wait meanwhile.
func (c *Conn) Bind(reader, writer *Fiber) { c.in.fiber, c.out.fiber = reader, writer }

// Took notes, in a read by SyscallConn, whether it took all that there was.
func (c *Conn) Took(all bool) { c.in.drained = all }

// Quiet tells whether nothing has come since the last read, which took all that there
// was: not even the end.
func (c *Conn) Quiet() bool { return c.in.quiet() }

// use keeps the descriptor open until done; false if the connection is closed.
func (c *Conn) use() bool {
	if c.uses.Add(1)&closed == 0 {
		return true
	}
	c.done()
	return false
}

func (c *Conn) done() {
	if c.uses.Add(-1) != closed || !c.uses.CompareAndSwap(closed, closed|released) {
		return
	}
	conns.drop(c.fd, c)
	_ = unix.Close(c.fd) // which takes it off the loop, too
	c.loop.conns.Add(-1)
}

// Close ends the connection, and what waits on it.
func (c *Conn) Close() error {
	c.uses.Add(1)
	if c.uses.Or(closed)&closed != 0 {
		c.done()
		return net.ErrClosed
	}
	c.in.happened(nil)
	c.out.happened(nil)
	c.done()
	return nil
}

// CloseWrite ends what is sent.
func (c *Conn) CloseWrite() error {
	if !c.use() {
		return net.ErrClosed
	}
	defer c.done()
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, unix.SHUT_WR))
}

// SetLinger is net.TCPConn's.
func (c *Conn) SetLinger(seconds int) error {
	if !c.use() {
		return net.ErrClosed
	}
	defer c.done()
	on := int32(1)
	if seconds < 0 {
		on = 0
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER,
		&unix.Linger{Onoff: on, Linger: int32(seconds)}))
}

// SetReadDeadline ends what reads, and will read, if t is past; it must not be later.
// A zero t undoes that.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.expire(t) }

// SetWriteDeadline is SetReadDeadline for what writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.expire(t) }

// SetDeadline sets both.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.expire(t), c.out.expire(t))
}

func (s *side) expire(t time.Time) error {
	switch {
	case t.IsZero():
		s.expired.Store(false)
	case time.Until(t) > 0:
		return fmt.Errorf("loop: deadline %s: only a past one can be set", t)
	default:
		s.expired.Store(true)
		s.happened(nil)
	}
	return nil
}

// RemoteAddr is the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is this end's address; nil if the connection is closed.
func (c *Conn) LocalAddr() net.Addr {
	if !c.use() {
		return nil
	}
	defer c.done()
	address, err := syscall.Getsockname(c.fd)
	if err != nil {
		return nil
	}
	return tcpAddress(address)
}

func tcpAddress(s syscall.Sockaddr) net.Addr {
	switch s := s.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: s.Addr[:], Port: s.Port}
	case *syscall.SockaddrInet6:
		a := &net.TCPAddr{IP: s.Addr[:], Port: s.Port}
		if s.ZoneId != 0 {
			if link, err := net.InterfaceByIndex(int(s.ZoneId)); err == nil {
				a.Zone = link.Name
			}
		}
		return a
	}
	return nil
}

// Read reads what there is.
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.drained = false
	var failed error
	err = raw{c}.Read(func(fd uintptr) bool {
		n, failed = ignoringEINTR(func() (int, error) { return unix.Read(int(fd), p) })
		return failed != unix.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, os.NewSyscallError("read", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of p.
func (c *Conn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		var m int
		var failed error
		err = raw{c}.Write(func(fd uintptr) bool {
			m, failed = ignoringEINTR(func() (int, error) { return unix.Write(int(fd), p[n:]) })
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return n, err
		case failed != nil:
			return n, os.NewSyscallError("write", failed)
		}
		n += m
	}
	return n, nil
}

func ignoringEINTR(do func() (int, error)) (int, error) {
	for {
		n, err := do()
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// SyscallConn gives the descriptor to work on. What is read must be read until there
// is nothing before it is waited for more.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return raw{c}, nil }

type raw struct{ c *Conn }

func (r raw) Control(f func(fd uintptr)) error {
	if !r.c.use() {
		return net.ErrClosed
	}
	f(uintptr(r.c.fd))
	r.c.done()
	return nil
}

func (r raw) Read(f func(fd uintptr) bool) error { return r.c.try(&r.c.in, f) }

func (r raw) Write(f func(fd uintptr) bool) error {
	return r.c.try(&r.c.out, func(fd uintptr) bool {
		if f(fd) {
			return true
		}
		// A loop hears of what can be written only once somebody waits for it: most
		// connections always can.
		if !r.c.writes.Swap(true) {
			_ = r.c.watch(unix.EPOLL_CTL_MOD, unix.EPOLLOUT)
		}
		return false
	})
}

// try calls f until it says that it is done, and waits in between.
func (c *Conn) try(s *side, f func(fd uintptr) bool) error {
	if !c.use() {
		return net.ErrClosed
	}
	defer c.done()
	for {
		if c.uses.Load()&closed != 0 {
			return net.ErrClosed
		}
		if s.expired.Load() {
			return os.ErrDeadlineExceeded
		}
		if f(uintptr(c.fd)) {
			s.fiber.turn()
			return nil
		}
		s.wait()
	}
}
