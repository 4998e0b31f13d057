package router

import (
	"sync"
	"time"

	"plimsoll/router/h1"
)

const (
	// keepFor is shorter than the keep-alive time-outs of common servers (2 s
	// and 5 s are usual): a kept connection that the target is just closing
	// must not be handed a request that cannot be sent twice.
	keepFor = 1500 * time.Millisecond
	// keepMax is the greatest number of unused connections to one target.
	keepMax = 256
	// freshFor is how long after its last use a kept connection is taken to be
	// open without a look, where the request can be sent twice.
	freshFor = 20 * time.Millisecond
)

// upstream is a connection to a target.
type upstream struct {
	socket
	target *target
	answer h1.Answer
	// since is when it was last used, on the router's clock.
	since int64
	// doubtful tells that more may have come than its last answer, such as the body
	// of an answer to HEAD: it is looked at before it is used again.
	doubtful bool
	// reused tells that it has carried a request before this one.
	reused bool
}

// kept are a target's connections without a request, the last used one last.
type kept struct {
	mu     sync.Mutex
	unused []*upstream
	closed bool // the target takes no more
}

// take gives the connection that was used last; nil without one.
func (k *kept) take() *upstream {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.unused)
	if n == 0 {
		return nil
	}
	u := k.unused[n-1]
	k.unused[n-1] = nil
	k.unused = k.unused[:n-1]
	return u
}

// put keeps u, or closes it.
func (k *kept) put(u *upstream, now int64) {
	u.since, u.reused = now, true
	k.mu.Lock()
	keep := !k.closed && len(k.unused) < keepMax
	if keep {
		k.unused = append(k.unused, u)
	}
	k.mu.Unlock()
	if !keep {
		u.close()
	}
}

// expire closes what was not used for keepFor.
func (k *kept) expire(now int64) {
	k.mu.Lock()
	n := 0
	for n < len(k.unused) && now-k.unused[n].since > int64(keepFor) {
		n++
	}
	var old []*upstream
	if n > 0 {
		old = append(old, k.unused[:n]...)
		rest := copy(k.unused, k.unused[n:])
		clear(k.unused[rest:])
		k.unused = k.unused[:rest]
	}
	k.mu.Unlock()
	for _, u := range old {
		u.close()
	}
}

// close closes all, and those that are still to come back.
func (k *kept) close() {
	k.mu.Lock()
	old := k.unused
	k.unused, k.closed = nil, true
	k.mu.Unlock()
	for _, u := range old {
		u.close()
	}
}

// connect gives a connection to the target: one that was kept, if that will do, or a
// new one. Where the request cannot be sent twice, a kept one is looked at first.
func (t *target) connect(c *client, kept bool) (*upstream, error) {
	for {
		var u *upstream
		if kept {
			u = t.kept.take()
		}
		if u == nil {
			return t.dial()
		}
		idle := c.now - u.since
		if idle < int64(freshFor) && c.again && !u.doubtful || idle < int64(keepFor) && !u.stale() {
			return u, nil
		}
		u.close()
	}
}

// dial makes a new connection to the target.
func (t *target) dial() (*upstream, error) {
	r := t.service.router
	conn, err := r.dialer.DialContext(r.ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	u := &upstream{target: t}
	u.open(r, conn, bodyBuffer)
	return u, nil
}
