//go:build !linux

package router

import "syscall"

// parted tells whether the other side of a connection has closed it. What it has sent
// before that, and nobody has read, hides it.
func parted(raw syscall.RawConn) bool {
	gone := false
	err := raw.Control(func(fd uintptr) {
		n, errno := peek(fd)
		gone = errno == 0 && n == 0 || errno != 0 && errno != syscall.EAGAIN
	})
	return err != nil || gone
}
