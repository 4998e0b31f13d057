package router

import (
	"context"
	"fmt"
	"time"
)

// Drain takes the target with this id out of every service at once and for
// good: a table that still names it does not bring it back. It returns nil when
// the target's requests have ended and then its WebSockets, which are sent a
// close (1001, going away). If ctx ends before, the WebSockets get their close
// all the same, and the error tells what is still open. An unknown id is
// remembered, and there is nothing to wait for.
func (r *Router) Drain(ctx context.Context, id string) error {
	targets := r.takeOut(id)
	var err error
	for _, t := range targets {
		if err == nil {
			err = t.awaitRequests(ctx)
		}
	}
	for _, t := range targets {
		t.cutNow() // streams of gRPC and of TCP have no other end
	}
	// With time left, the WebSockets get theirs; without, their close at least.
	var leaving []*tunnel
	for _, t := range targets {
		leaving = append(leaving, t.sendAway()...)
	}
	for _, tunnel := range leaving {
		if err != nil {
			break
		}
		select {
		case <-tunnel.done:
		case <-ctx.Done():
			err = fmt.Errorf("task %q: a WebSocket is still open: %w", id, context.Cause(ctx))
		}
	}
	return err
}

// TakeOut is the first half of Drain: no more requests go to the target. It
// tells whether one was in the table.
func (r *Router) TakeOut(id string) bool { return len(r.takeOut(id)) > 0 }

// takeOut marks the id as drained and gives its live targets.
func (r *Router) takeOut(id string) []*target {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained[id] = time.Now()
	var found []*target
	for _, s := range r.services {
		s.mu.Lock()
		took := false
		for _, t := range s.targets {
			if t.ID != id {
				continue
			}
			t.draining.Store(true)
			t.stop()
			t.kept.close()
			took = took || !t.removed
			found = append(found, t)
		}
		if took {
			s.choose()
		}
		s.mu.Unlock()
	}
	return found
}

// awaitRequests waits until the target, which takes no more, has no request.
func (t *target) awaitRequests(ctx context.Context) error {
	if t.inflight.Load() == 0 {
		return nil
	}
	select {
	case <-t.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("task %q: %d requests are still in flight: %w", t.ID, t.inflight.Load(), context.Cause(ctx))
	}
}

// sendAway closes the target's WebSockets and gives those that were open.
func (t *target) sendAway() []*tunnel {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	tunnels := make([]*tunnel, 0, len(t.open))
	for tunnel := range t.open {
		tunnel.goAway()
		tunnels = append(tunnels, tunnel)
	}
	return tunnels
}
