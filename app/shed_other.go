//go:build !linux

package app

import "errors"

func shedProgram() error { return errors.New("only Linux can be asked to drop a program's pages") }
