//go:build !linux

package router

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// Listen opens a TCP listener for the router; more is done to its socket before
// that is bound.
func Listen(address string, more ...func(fd uintptr) error) (net.Listener, error) {
	var config net.ListenConfig
	config.Control = func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			for _, do := range more {
				failed = errors.Join(failed, do(fd))
			}
		})
		return errors.Join(err, failed)
	}
	return config.Listen(context.Background(), "tcp", address)
}

// Inherit is the listener of a socket that another process has opened by Listen, and
// handed over.
func Inherit(file *os.File) (net.Listener, error) { return net.FileListener(file) }
