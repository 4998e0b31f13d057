package router

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// parted tells whether the other side of a connection has closed it, whatever it has
// sent before that and nobody has read.
func parted(raw syscall.RawConn) bool {
	gone := false
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err == nil && (info.State == unix.BPF_TCP_CLOSE_WAIT || info.State == unix.BPF_TCP_CLOSE ||
			info.State == unix.BPF_TCP_LAST_ACK || info.State == unix.BPF_TCP_CLOSING)
	})
	return err != nil || gone
}
