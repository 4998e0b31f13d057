package loop

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Loop is a thread and the connections that it waits for.
type Loop struct {
	epoll   int
	conns   atomic.Int64 // that are its own
	later   []*Fiber     // which have given their turn to others
	resting []*Fiber     // which have nothing to do
	busy    bool         // several events came at once the last time
}

// eventsAtOnce is how many events a loop takes from the kernel at a time.
const eventsAtOnce = 128

// all are the process's loops, as many as there are processors, once they are needed.
var all = sync.OnceValues(startAll)

func startAll() ([]*Loop, error) {
	n := runtime.GOMAXPROCS(0)
	loops := make([]*Loop, n)
	for i := range loops {
		epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return nil, fmt.Errorf("loop: epoll_create1: %w", err)
		}
		loops[i] = &Loop{epoll: epoll}
	}
	// A loop that waits in the kernel keeps its processor, in the sense of Go's
	// scheduler, for up to 10 ms. One more is for the goroutines of the rest of the
	// program, and for Go's own poller.
	runtime.GOMAXPROCS(n + 1)
	for _, l := range loops {
		go l.run()
	}
	return loops, nil
}

// lightest is the loop with the fewest connections; but for a tie the one that asks.
func lightest(loops []*Loop, asks *Loop) *Loop {
	best := asks
	if best == nil {
		best = loops[0]
	}
	for _, l := range loops {
		if l.conns.Load() < best.conns.Load() {
			best = l
		}
	}
	return best
}

func (l *Loop) run() {
	var events [eventsAtOnce]unix.EpollEvent
	var turns []*Fiber
	for {
		for i := range l.wait(events[:]) {
			l.take(&events[i])
		}
		turns, l.later = l.later, turns[:0]
		for i, f := range turns {
			turns[i] = nil
			f.run(l)
		}
	}
}

// wait gives the number of events that have come; it waits for the first, unless a
// fiber waits for its turn.
func (l *Loop) wait(events []unix.EpollEvent) int {
	if l.busy || len(l.later) > 0 {
		// A look that cannot wait costs less than a call that Go's scheduler has to
		// know of; and more have most likely come.
		n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll),
			uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno == 0 && n > 0 {
			return int(n)
		}
		if len(l.later) > 0 {
			return 0
		}
	}
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err == nil {
			l.busy = n > 1
			return n
		}
		if err != unix.EINTR {
			panic(fmt.Sprintf("loop: epoll_wait: %v", err)) // the descriptor is the loop's own
		}
	}
}

const (
	readable = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	writable = unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR
	over     = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
)

// take passes an event on to whom it is for.
func (l *Loop) take(e *unix.EpollEvent) {
	if e.Pad == 0 {
		acceptors.take(l, e.Fd)
		return
	}
	c := conns.at(int(e.Fd))
	if c == nil || c.serial != e.Pad {
		return // closed meanwhile
	}
	if e.Events&over != 0 {
		c.in.ended.Store(true)
	}
	if e.Events&readable != 0 {
		c.in.happened(l)
	}
	if e.Events&writable != 0 {
		c.out.happened(l)
	}
}

// conns are the connections of all loops by their descriptors, which the kernel gives
// to one at a time.
var conns table

const (
	pageBits = 10
	pages    = 1 << 12 // Linux allows 1<<20 descriptors if it is not told otherwise
)

type table struct {
	pages [pages]atomic.Pointer[[1 << pageBits]atomic.Pointer[Conn]]
}

func (t *table) at(fd int) *Conn {
	page := t.pages[fd>>pageBits].Load()
	if page == nil {
		return nil
	}
	return page[fd&(1<<pageBits-1)].Load()
}

func (t *table) set(fd int, c *Conn) error {
	if fd>>pageBits >= pages {
		return fmt.Errorf("loop: descriptor %d: at most %d are possible: %w", fd, pages<<pageBits, syscall.EMFILE)
	}
	p := &t.pages[fd>>pageBits]
	if p.Load() == nil {
		p.CompareAndSwap(nil, new([1 << pageBits]atomic.Pointer[Conn]))
	}
	p.Load()[fd&(1<<pageBits-1)].Store(c)
	return nil
}

// drop forgets c, if the descriptor is still its own.
func (t *table) drop(fd int, c *Conn) {
	if page := t.pages[fd>>pageBits].Load(); page != nil {
		page[fd&(1<<pageBits-1)].CompareAndSwap(c, nil)
	}
}
