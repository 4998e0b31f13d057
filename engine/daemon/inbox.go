package daemon

import (
	"sync"

	"plimsoll/engine"
)

// mostEvents is how many events one step takes at most: a long step holds up
// readers.
const mostEvents = 512

// inbox holds what has happened until a step takes it. It takes any number, so
// that a runtime's sink never blocks.
type inbox struct {
	mu     sync.Mutex
	events []engine.Event
	closed bool
	// ready has a token while there is something to take.
	ready chan struct{}
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

func (b *inbox) put(e engine.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.events = append(b.events, e)
	b.signal()
}

// take gives the oldest events, in their order.
func (b *inbox) take() []engine.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.events), mostEvents)
	taken := b.events[:n:n]
	b.events = b.events[n:]
	if len(b.events) > 0 {
		b.signal()
	}
	return taken
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.events = true, nil
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
