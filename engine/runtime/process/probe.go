package process

import (
	"net/netip"
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
// that nobody made. A listener counts if a process of the task has it: another
// program may listen on the same port, of this address or another.
type prober struct {
	r *Runtime

	mu      sync.Mutex
	pending map[*task]*probe
	running bool
	closed  chan struct{}
	wake    chan struct{}
}

// probe is what is awaited of one task. Once it is pending, it is the prober's
// goroutine's.
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
		all := listeners()
		for _, t := range due {
			p.compare(t, all, now)
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
func (p *prober) compare(t *task, all map[int][]listener, now time.Time) {
	p.mu.Lock()
	w := p.pending[t]
	p.mu.Unlock()
	if w == nil {
		return
	}
	w.settle(all, t.owned)
	p.mu.Lock()
	w.pause = min(2*w.pause, probeLast)
	w.next = now.Add(w.pause)
	done := len(w.open) == 0 || now.Sub(w.since) > probeFor
	if done {
		delete(p.pending, t)
	}
	p.mu.Unlock()
	if done && w.rebound {
		t.tell(runtime.Event{Kind: runtime.Rebound, Bindings: w.bindings})
	}
}

// settle corrects the bindings that somebody listens on by what is the task's
// own. Whose the sockets are is asked only when there are any.
func (w *probe) settle(all map[int][]listener, owned func(sockets map[uint64]bool) (own map[uint64]bool, blind bool)) {
	sockets := map[uint64]bool{}
	for i := range w.open {
		for _, l := range all[w.bindings[i].HostPort] {
			sockets[l.socket] = true
		}
	}
	if len(sockets) == 0 {
		return
	}
	own, blind := owned(sockets)
	for i := range w.open {
		b := &w.bindings[i]
		at, ok := reachable(b.Address, all[b.HostPort], own, blind)
		if !ok {
			continue
		}
		delete(w.open, i)
		if at != b.Address {
			b.Address, w.rebound = at, true
		}
	}
}

// reachable gives the address by which a task is reached on a port, going by
// those of the port's listeners that are its own: the address that was asked
// for, if it can be. Blind says that not all processes of the task could be
// looked at. Whose a listener is remains unknown then, so that one where it was
// asked for counts; one elsewhere never does, for it may be a stranger's.
func reachable(want string, listeners []listener, own map[uint64]bool, blind bool) (at string, ok bool) {
	asked, err := netip.ParseAddr(want)
	for _, l := range listeners {
		if !own[l.socket] {
			continue
		}
		if l.addr.IsUnspecified() || err == nil && l.addr == asked {
			return want, true
		}
		if !ok {
			at, ok = l.addr.String(), true
		}
	}
	if ok || !blind {
		return at, ok
	}
	for _, l := range listeners {
		if l.addr.IsUnspecified() || err == nil && l.addr == asked {
			return want, true
		}
	}
	return "", false
}
