package daemon

import (
	"sync"

	"plimsoll/engine"
)

// noticesKept is how many notices a subscriber may be behind before it loses
// some.
const noticesKept = 1024

// subscribers are those who are told of each change.
type subscribers struct {
	mu       sync.Mutex
	channels map[chan engine.Notice]bool
	closed   bool
}

func (s *subscribers) add() (<-chan engine.Notice, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan engine.Notice, noticesKept)
	if s.closed {
		close(ch)
		return ch, func() {}
	}
	if s.channels == nil {
		s.channels = map[chan engine.Notice]bool{}
	}
	s.channels[ch] = true
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.channels[ch] {
			delete(s.channels, ch)
			close(ch)
		}
	}
}

// tell gives the notices to all who have room for them. A full channel is a
// wake already.
func (s *subscribers) tell(notices []engine.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.channels {
		for _, n := range notices {
			select {
			case ch <- n:
			default:
			}
		}
	}
}

func (s *subscribers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for ch := range s.channels {
		delete(s.channels, ch)
		close(ch)
	}
}
