package process

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"plimsoll/engine/runtime"
)

// How often the listeners are looked at: often right after a start, seldom
// later, and no more when a container has had this long to listen.
const (
	probeFirst = 2 * time.Millisecond
	probeLast  = 250 * time.Millisecond
	probeFor   = 3 * time.Minute
)

// prober finds out on which address started tasks really listen. It reads the
// kernel's list of listeners, once for all tasks: no task sees a connection
// that nobody made.
type prober struct {
	r *Runtime

	mu      sync.Mutex
	pending map[*task]*probe
	running bool
	closed  chan struct{}
	wake    chan struct{}
}

// probe is what is awaited of one task.
type probe struct {
	bindings []runtime.Binding
	open     map[int]bool // indexes of bindings that nobody listens on yet
	rebound  bool
	since    time.Time
	next     time.Time
	pause    time.Duration
}

func newProber(r *Runtime) *prober {
	return &prober{r: r, pending: map[*task]*probe{}, closed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (p *prober) add(t *task) {
	w := &probe{open: map[int]bool{}, since: time.Now(), pause: probeFirst}
	w.next = w.since.Add(w.pause)
	w.bindings = append(w.bindings, t.kept.Bindings...)
	for i, b := range w.bindings {
		if b.Protocol == "tcp" {
			w.open[i] = true
		}
	}
	if len(w.open) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending[t] = w
	if !p.running {
		p.running = true
		p.r.spawn(p.run)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *prober) remove(t *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, t)
}

func (p *prober) close() { close(p.closed) }

// run looks as long as anything is awaited.
func (p *prober) run() {
	timer := time.NewTimer(probeFirst)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.closed:
			return
		}
		next, more := p.look(time.Now())
		if !more {
			return
		}
		timer.Reset(time.Until(next))
	}
}

// look reads the listeners if anybody is due, and says what it found.
func (p *prober) look(now time.Time) (next time.Time, more bool) {
	p.mu.Lock()
	var due []*task
	for t, w := range p.pending {
		if !now.Before(w.next) {
			due = append(due, t)
		}
	}
	p.mu.Unlock()
	if len(due) > 0 {
		listeners := listeners()
		for _, t := range due {
			p.compare(t, listeners, now)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.pending {
		if next.IsZero() || w.next.Before(next) {
			next = w.next
		}
	}
	p.running = len(p.pending) > 0
	return next, p.running
}

// compare checks one task against the listeners.
func (p *prober) compare(t *task, listeners map[int][]netip.Addr, now time.Time) {
	p.mu.Lock()
	w := p.pending[t]
	if w == nil {
		p.mu.Unlock()
		return
	}
	for i := range w.open {
		b := &w.bindings[i]
		at, ok := reachable(b.Address, listeners[b.HostPort], p.r.ports.shared(b.HostPort))
		if !ok {
			continue
		}
		delete(w.open, i)
		if at != b.Address {
			b.Address, w.rebound = at, true
		}
	}
	w.pause = min(2*w.pause, probeLast)
	w.next = now.Add(w.pause)
	done := len(w.open) == 0 || now.Sub(w.since) > probeFor
	if done {
		delete(p.pending, t)
	}
	bindings, rebound := w.bindings, w.rebound
	p.mu.Unlock()
	if done && rebound {
		t.tell(runtime.Event{Kind: runtime.Rebound, Bindings: bindings})
	}
}

// reachable gives the address by which one of the listeners of a port is
// reached: the one that was asked for, if it can be. A fixed port that tasks
// of several hosts share tells nothing about whose a listener elsewhere is.
func reachable(want string, listeners []netip.Addr, shared bool) (at string, ok bool) {
	asked, err := netip.ParseAddr(want)
	for _, a := range listeners {
		if a.IsUnspecified() || err == nil && a == asked {
			return want, true
		}
	}
	if len(listeners) == 0 || shared {
		return "", false
	}
	return listeners[0].String(), true
}

// listeners gives, by port, the addresses that somebody listens on.
func listeners() map[int][]netip.Addr {
	found := map[int][]netip.Addr{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		readListeners(path, found)
	}
	return found
}

// readListeners reads one table of the kernel's. It lists listeners before
// connections, so the thousands of a busy router are not read.
func readListeners(path string, found map[int][]netip.Addr) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(bufio.NewReaderSize(f, 16<<10))
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "0A" {
			return
		}
		host, port, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		addr, good := kernelAddr(host)
		if ok && err == nil && good {
			found[int(n)] = append(found[int(n)], addr)
		}
	}
}

// kernelAddr reads an address as the kernel prints it: words of four bytes in
// the machine's own order, which is little-endian wherever this runs.
func kernelAddr(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	addr, ok := netip.AddrFromSlice(b)
	return addr.Unmap(), ok
}
