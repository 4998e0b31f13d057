package router

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Sizes of the buffers that sockets read into. A connection holds one only
// while it has bytes in it or a message under way.
const (
	headBuffer = 8 << 10  // what clients send
	bodyBuffer = 32 << 10 // what targets send
)

var (
	headBuffers = sync.Pool{New: func() any { return new([headBuffer]byte) }}
	bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}
)

// errStopped ends a read that somebody no longer wants.
var errStopped = errors.New("the read was stopped")

// past is a deadline that wakes whoever reads or writes.
var past = time.Unix(1, 0)

// socket reads and writes one connection. On a plain TCP connection it makes
// the system calls itself, so that a buffer is taken only once there is
// something to read, and a request is written and its answer awaited in one go.
//
// Its time-outs are two times on the router's clock, which the router's sweep
// looks at: setting a timer at each read would cost more than the read.
type socket struct {
	conn  net.Conn
	raw   syscall.RawConn // nil: conn is read and written as it is
	under syscall.RawConn // the connection below TLS, or raw; nil if there is none
	owner *Router
	size  int // of a new buffer

	// readBy and writeBy are when, on the router's clock, a read or a write
	// must have gone on; 0 for no bound.
	readBy, writeBy atomic.Int64
	expired         atomic.Bool // the sweep has seen writeBy pass
	lost            atomic.Bool // the sweep has seen that the other side is gone

	in       []byte // the buffer; nil without one
	from, to int    // in[from:to] is read and not used
	onRead   func(fd uintptr) bool
	before   [2][]byte // written before the read that is to come
	got      int
	gotError syscall.Errno

	onWrite    func(fd uintptr) bool
	rest       [2][]byte // still to be written
	iovecs     [2]syscall.Iovec
	wroteError syscall.Errno
	onPeek     func(fd uintptr)
	peeked     syscall.Errno
	stall      int64 // how long a write may wait for the other side
}

// open makes the socket ready for conn.
func (s *socket) open(r *Router, conn net.Conn, size int) {
	s.owner, s.conn, s.size, s.stall = r, conn, size, int64(r.options.BodyTimeout)
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			s.raw, s.under = raw, raw
			if s.onRead == nil {
				s.onRead, s.onWrite = s.readNow, s.writeNow
				s.onPeek = func(fd uintptr) { _, s.peeked = peek(fd) }
			}
		}
	}
	if c, ok := below(conn).(syscall.Conn); ok && s.raw == nil {
		if raw, err := c.SyscallConn(); err == nil {
			s.under = raw
		}
	}
	r.watchSocket(s)
}

// close closes the connection, unless it goes on elsewhere.
func (s *socket) close() {
	s.forget()
	s.conn.Close()
}

// tcp is the connection if the kernel can move bytes between it and another.
func (s *socket) tcp() *net.TCPConn {
	conn, _ := s.conn.(*net.TCPConn)
	return conn
}

// forget gives up the socket and its buffer, and leaves the connection open.
func (s *socket) forget() {
	s.owner.unwatchSocket(s)
	s.drop()
}

// bytes are what is read and not used.
func (s *socket) bytes() []byte { return s.in[s.from:s.to] }

// used takes n bytes off what is read, and gives the buffer back when nothing
// is left.
func (s *socket) used(n int) {
	if s.from += n; s.from == s.to {
		s.drop()
	}
}

// drop gives the buffer back with all that is in it.
func (s *socket) drop() {
	switch len(s.in) {
	case headBuffer:
		headBuffers.Put((*[headBuffer]byte)(s.in))
	case bodyBuffer:
		bodyBuffers.Put((*[bodyBuffer]byte)(s.in))
	}
	s.in, s.from, s.to = nil, 0, 0
}

// room makes sure that a read has room: at the end of the buffer, by moving
// what is read to its beginning, or in a larger buffer, up to limit bytes.
// False: limit bytes are read already.
func (s *socket) room(limit int) bool {
	switch {
	case s.in == nil || s.to < len(s.in):
		return true
	case s.from > 0:
		s.to = copy(s.in, s.in[s.from:s.to])
		s.from = 0
		return true
	case len(s.in) >= limit:
		return false
	}
	s.grow(min(limit, 4*len(s.in)))
	return true
}

// grow moves what is read into a buffer of at least that size.
func (s *socket) grow(size int) {
	var larger []byte
	if size <= bodyBuffer {
		larger = bodyBuffers.Get().(*[bodyBuffer]byte)[:]
	} else {
		larger = make([]byte, size)
	}
	n := copy(larger, s.bytes())
	s.drop()
	s.in, s.to = larger, n
}

// fill reads at least one byte more; there must be room. It ends with
// os.ErrDeadlineExceeded when readBy has passed, and with errStopped when it is
// woken with stop set.
func (s *socket) fill(stop *atomic.Bool) error {
	for {
		n, err := s.read()
		if n > 0 {
			s.to += n
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if stop != nil && stop.Load() {
			return errStopped
		}
		if s.lost.Load() {
			return errLost
		}
		if by := s.readBy.Load(); by != 0 && s.owner.clock() >= by {
			return err
		}
		// Woken for something that is over.
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if stop != nil && stop.Load() { // set since: its wake may be undone
			return errStopped
		}
		if s.lost.Load() {
			return errLost
		}
	}
}

// read is one read into the buffer.
func (s *socket) read() (int, error) {
	if s.raw == nil {
		if len(s.before[0]) > 0 {
			head, body := s.before[0], s.before[1]
			s.before = [2][]byte{}
			if err := s.write(head, body); err != nil {
				return 0, err
			}
		}
		s.needBuffer()
		return s.conn.Read(s.in[s.to:])
	}
	if err := s.raw.Read(s.onRead); err != nil {
		return 0, err
	}
	if len(s.before[0])+len(s.before[1]) > 0 {
		// It did not fit, or failed: the slow way says which.
		head, body := s.before[0], s.before[1]
		s.before = [2][]byte{}
		if err := s.write(head, body); err != nil {
			return 0, err
		}
		return s.read()
	}
	switch {
	case s.gotError != 0:
		return 0, os.NewSyscallError("read", s.gotError)
	case s.got == 0:
		return 0, io.EOF
	}
	return s.got, nil
}

func (s *socket) needBuffer() {
	if s.in != nil {
		return
	}
	if s.size == headBuffer {
		s.in = headBuffers.Get().(*[headBuffer]byte)[:]
	} else {
		s.in = bodyBuffers.Get().(*[bodyBuffer]byte)[:]
	}
}

// readNow reads what there is; false if there is nothing yet. What is to be
// written before the read is written now that the poller listens for what will
// follow on it, so that the read, which could find nothing, is not tried.
func (s *socket) readNow(fd uintptr) bool {
	if len(s.before[0]) > 0 {
		return !s.writeBefore(fd)
	}
	had := s.in != nil
	s.needBuffer()
	for {
		p := s.in[s.to:]
		// As a socket, not as a file: read and write do more on their way to it.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		switch errno {
		case 0:
			s.got, s.gotError = int(n), 0
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if !had {
				s.drop()
			}
			return false
		default:
			s.got, s.gotError = 0, errno
		}
		return true
	}
}

// writeBefore writes what is to be written before a read; false if not all of
// it could be.
func (s *socket) writeBefore(fd uintptr) bool {
	n, errno := s.vectored(fd, &s.before)
	if errno != 0 {
		return false
	}
	advance(&s.before, n)
	return len(s.before[0]) == 0
}

// write writes both, one after the other.
func (s *socket) write(head, body []byte) error {
	if s.raw == nil {
		return s.writePlain(head, body)
	}
	s.rest = [2][]byte{head, body}
	advance(&s.rest, 0)
	s.wroteError = 0
	waits := false
	for len(s.rest[0]) > 0 {
		err := s.raw.Write(s.onWrite)
		waits = waits || s.writeBy.Load() != 0
		if err == nil && s.wroteError != 0 {
			err = os.NewSyscallError("write", s.wroteError)
		}
		if err != nil {
			s.rest = [2][]byte{}
			return err
		}
	}
	if waits {
		s.writeBy.Store(0)
	}
	return nil
}

// writeNow writes what can be written; false if the rest has to wait.
func (s *socket) writeNow(fd uintptr) bool {
	for len(s.rest[0]) > 0 {
		n, errno := s.vectored(fd, &s.rest)
		if errno == syscall.EAGAIN {
			s.writeBy.Store(s.owner.clock() + s.stall)
			return false
		}
		if errno != 0 {
			s.wroteError = errno
			return true
		}
		advance(&s.rest, n)
	}
	return true
}

// vectored is one system call that writes both slices.
func (s *socket) vectored(fd uintptr, p *[2][]byte) (int, syscall.Errno) {
	for {
		var n uintptr
		var errno syscall.Errno
		if len(p[1]) == 0 {
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0][0])), uintptr(len(p[0])), 0, 0, 0)
		} else {
			for i := range s.iovecs {
				s.iovecs[i].Base = &p[i][0]
				s.iovecs[i].SetLen(len(p[i]))
			}
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&s.iovecs)), 2)
			s.iovecs[0].Base, s.iovecs[1].Base = nil, nil
		}
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

// advance takes n written bytes off; the first slice is empty only if both are.
func advance(p *[2][]byte, n int) {
	k := min(n, len(p[0]))
	p[0] = p[0][k:]
	p[1] = p[1][n-k:]
	if len(p[0]) == 0 {
		p[0], p[1] = p[1], nil
	}
}

func (s *socket) writePlain(head, body []byte) error {
	if len(head) > 0 && len(body) > 0 && len(body) <= headBuffer {
		head, body = append(head[:len(head):len(head)], body...), nil // one TLS record
	}
	for _, p := range [][]byte{head, body} {
		if len(p) == 0 {
			continue
		}
		s.writeBy.Store(s.owner.clock() + s.stall)
		if _, err := s.conn.Write(p); err != nil {
			return err
		}
	}
	s.writeBy.Store(0)
	return nil
}

// move lets the kernel move up to size bytes to another connection, both plain
// TCP. mine tells that it is this side, which is read, that an error came from.
func (s *socket) move(to *socket, size int64, stop *atomic.Bool) (n int64, mine bool, err error) {
	to.writeBy.Store(s.owner.clock() + s.stall)
	n, err = io.CopyN(to.tcp(), s.tcp(), size)
	to.writeBy.Store(0)
	switch {
	case err == nil:
		return n, false, nil
	case errors.Is(err, io.EOF):
		return n, true, io.ErrUnexpectedEOF
	case stop.Load():
		return n, true, errStopped
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return n, !to.hungUp(), err
	}
	if by := s.readBy.Load(); by != 0 && s.owner.clock() >= by {
		return n, true, err
	}
	if s.lost.Load() {
		return n, true, errLost
	}
	if to.expired.Load() {
		return n, false, err
	}
	// Woken for something that is over.
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return n, true, err
	}
	if stop.Load() {
		return n, true, errStopped
	}
	return n, false, nil
}

// stale tells whether a kept connection has ended or holds bytes that nobody
// asked for: no request may be sent on it.
func (s *socket) stale() bool {
	if s.raw == nil {
		return false
	}
	return s.raw.Control(s.onPeek) != nil || s.peeked != syscall.EAGAIN
}

// hungUp tells whether the other side has closed. Whoever reads the socket may
// do so meanwhile.
func (s *socket) hungUp() bool { return s.under != nil && parted(s.under) }

func peek(fd uintptr) (n int, errno syscall.Errno) {
	var b [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}
