//go:build !linux

package router

import (
	"syscall"
	"time"
)

// unheard is not known here; the time-out for an answer remains.
func unheard(syscall.RawConn, time.Duration) bool { return false }

// abandon follows on what is not known here.
func abandon(syscall.RawConn) {}
