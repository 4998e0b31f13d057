package router

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Listen opens a TCP listener for the router; more is done to its socket before
// that is bound. Connections inherit the listener's options in Linux, and so are
// probed without four system calls for each of them, as Go's own listeners need.
func Listen(address string, more ...func(fd uintptr) error) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.Control = func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = probe(int(fd))
			for _, do := range more {
				failed = errors.Join(failed, do(fd))
			}
		})
		return errors.Join(err, failed)
	}
	return config.Listen(context.Background(), "tcp", address)
}

func probe(fd int) error {
	return errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, probeAfter),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, probeEvery),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, probeMost),
	)
}
