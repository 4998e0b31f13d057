package router

import (
	"context"
	"errors"
	"net"
	"os"
	"reflect"
	"syscall"
	"unsafe"
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

// Inherit is the listener of a socket that another process has opened by Listen, and
// handed over: its connections inherit the same. What Go makes of a file asks for its
// own probes on each connection, and has no other word for that than a field of its own;
// where Go has no such field any more, that is what is done.
func Inherit(file *os.File) (net.Listener, error) {
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.(*net.TCPListener); ok {
		config := reflect.ValueOf(tcp).Elem().FieldByName("lc")
		if config.IsValid() && config.Type() == reflect.TypeFor[net.ListenConfig]() {
			(*net.ListenConfig)(unsafe.Pointer(config.UnsafeAddr())).KeepAlive = -1
		}
	}
	return l, nil
}

func probe(fd int) error {
	return errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, probeAfter),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, probeEvery),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, probeMost),
	)
}
