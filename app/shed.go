package app

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
)

// settling is how long after its start a program is taken to have started: its
// first tasks are under way, and what it will do from here it has done once.
const settling = 5 * time.Second

// shedLater gives back, once the program has settled, the memory that only its
// start needed, on the heap and of its own file: together that is more than what
// it works with. stop ends the wait.
func shedLater(log *slog.Logger) (stop func()) {
	timer := time.AfterFunc(settling, func() {
		debug.FreeOSMemory()
		if err := shedProgram(); err != nil {
			log.Debug("the memory of the start is kept", "err", err)
		}
	})
	return func() { timer.Stop() }
}

// span is a part of the address space.
type span struct{ from, to uintptr }

// asFiled reads, in the form of /proc/PID/smaps, where a file is mapped read-only
// and is in memory as it is on disk. A page that differs, because it was relocated
// or has a debugger's breakpoint, is nowhere else.
func asFiled(smaps io.Reader, file string) ([]span, error) {
	var all []span
	var of bool // the mapping is the file's, and read-only
	var at span
	for lines := bufio.NewScanner(smaps); ; {
		if !lines.Scan() {
			return all, lines.Err()
		}
		switch fields := strings.Fields(lines.Text()); {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"):
			_, path, _ := strings.Cut(lines.Text(), "/")
			of = "/"+path == file && !strings.Contains(fields[1], "w")
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &at.from, &at.to); err != nil {
				return nil, fmt.Errorf("%q is no range of addresses: %w", fields[0], err)
			}
		case of && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			all = append(all, at)
		}
	}
}
