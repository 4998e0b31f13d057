package router

import (
	"context"
	"time"
)

// sweepEvery is how late a time-out of a connection may be, and how long it
// takes at the most to see that a client has gone while it waits.
const sweepEvery = 250 * time.Millisecond

// clock is the time since the router was made, in nanoseconds, never 0.
func (r *Router) clock() int64 { return int64(time.Since(r.epoch)) | 1 }

func (r *Router) watchSocket(s *socket) {
	r.socketsMu.Lock()
	r.sockets[s] = struct{}{}
	r.socketsMu.Unlock()
}

func (r *Router) unwatchSocket(s *socket) {
	r.socketsMu.Lock()
	delete(r.sockets, s)
	r.socketsMu.Unlock()
}

// sweep wakes, every now and then, what has waited too long, and drops what was
// kept too long, until ctx ends.
func (r *Router) sweep(ctx context.Context) {
	every := sweepEvery
	for _, limit := range []time.Duration{r.options.ResponseTimeout, r.options.HeadTimeout, r.options.BodyTimeout, r.options.DialTimeout} {
		if limit > 0 {
			every = min(every, max(limit/4, time.Millisecond))
		}
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := r.clock()
		r.socketsMu.Lock()
		for s := range r.sockets {
			if by := s.readBy.Load(); by != 0 && now >= by {
				_ = s.conn.SetReadDeadline(past)
			}
			if by := s.writeBy.Load(); by != 0 && now >= by {
				s.expired.Store(true)
				_ = s.conn.SetWriteDeadline(past)
			}
		}
		r.socketsMu.Unlock()
		r.sweepClients(now)
		r.sweepKept(now)
	}
}

// sweepClients looks for clients that have gone while they wait for an answer,
// and for targets whose hosts have gone while they are waited for.
func (r *Router) sweepClients(now int64) {
	// As the sweep may be late by sweepEvery, and what is lost is to be known in time.
	limit := max(r.options.DialTimeout-sweepEvery, r.options.DialTimeout*3/4)
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	for c := range r.clients {
		since := c.waits.Load()
		if since == 0 {
			continue
		}
		if now-since > int64(sweepEvery) && c.hungUp() {
			c.leave()
		} else if u := c.up.Load(); u != nil && now-since > int64(limit) && u.unheard(limit) {
			u.lose()
		}
	}
}

// sweepKept closes the connections to targets that have not been used for
// keepFor.
func (r *Router) sweepKept(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.services {
		s.mu.Lock()
		for _, t := range s.targets {
			t.kept.expire(now)
		}
		s.mu.Unlock()
	}
}
