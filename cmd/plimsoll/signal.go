package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// untilInterrupted gives a context that ends with the first SIGINT, SIGTERM or
// SIGHUP (the terminal is gone), for an orderly stop. The second one ends the program at once, with 128 and
// the signal's number (130 after Ctrl-C).
func untilInterrupted() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Output that nobody reads any more must not end the program with its tasks
	// running. Ignored, the signal would be ignored by all children as well.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		first := true
		for s := range signals {
			if !first {
				code := 128
				if number, ok := s.(syscall.Signal); ok {
					code += int(number)
				}
				os.Exit(code)
			}
			first = false
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// tellStopping says, once ctx is done, that an orderly stop has begun. The
// function it gives takes that back.
func (c *console) tellStopping(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() {
		_, _ = fmt.Fprintln(c.err, "plimsoll: stopping; Ctrl-C once more ends it at once and leaves the tasks to the next start")
	})
}
