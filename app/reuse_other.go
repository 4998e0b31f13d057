//go:build !linux

package app

import "errors"

func reusePort(uintptr) error { return errors.New("--reuse-port needs Linux") }
