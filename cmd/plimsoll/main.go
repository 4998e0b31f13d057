// Command plimsoll is the command line: it turns arguments into options of
// package app, and asks a running Plimsoll over its REST API. It must not
// decide, schedule or route anything itself.
package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"plimsoll/app"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "unknown"

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimCommand {
		os.Exit(shim(os.Args[2:]))
	}
	c := &console{
		args:     os.Args[1:],
		in:       os.Stdin,
		out:      os.Stdout,
		err:      os.Stderr,
		environ:  os.Environ(),
		size:     terminalSize(os.Stdout),
		now:      time.Now,
		version:  version,
		programs: Programs{Up: app.Up, Engine: app.Engine, Run: app.Run, Route: app.Route, Work: app.Work, Put: app.Put, Sim: app.Sim},
	}
	ctx, stop := untilInterrupted()
	code := c.run(ctx)
	stop()
	os.Exit(code)
}

// terminalSize asks for the size of a terminal; nil for what is none.
func terminalSize(f *os.File) func() (width, height int) {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return func() (int, int) {
		width, height, err := term.GetSize(fd)
		if err != nil {
			return 80, 24
		}
		return width, height
	}
}

// console is all that the commands know of the world they run in.
type console struct {
	args     []string
	in       io.Reader
	out, err io.Writer
	environ  []string
	// size is that of the terminal that out is; nil where out is none.
	size     func() (width, height int)
	now      func() time.Time
	version  string
	programs Programs
}

// env is a variable of the environment; empty if it is not set.
func (c *console) env(name string) string {
	for i := len(c.environ) - 1; i >= 0; i-- {
		if value, ok := cutName(c.environ[i], name); ok {
			return value
		}
	}
	return ""
}

func cutName(pair, name string) (string, bool) {
	if len(pair) > len(name) && pair[:len(name)] == name && pair[len(name)] == '=' {
		return pair[len(name)+1:], true
	}
	return "", false
}
