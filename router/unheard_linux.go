package router

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lostInARow is how often something must have been sent in vain: one lost packet
// after a long silence is not yet a host that is gone.
const lostInARow = 3

// unheard tells whether the other side's host has acknowledged nothing for that
// long, although it was sent something, or was asked whether there is room for more
// again. A program that does not read is not the same: its host acknowledges, and
// answers when it is asked.
func unheard(raw syscall.RawConn, limit time.Duration) bool {
	silent := false
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		inVain := info.Unacked > 0 && info.Retransmits >= lostInARow || info.Probes >= lostInARow
		silent = inVain &&
			time.Duration(info.Last_ack_recv)*time.Millisecond >= limit
	})
	return err == nil && silent
}

// abandon has what the other side's host has not acknowledged dropped when the
// connection is closed: the client was told that there is no answer, and the
// request must not arrive after all when the network is whole again.
func abandon(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}
