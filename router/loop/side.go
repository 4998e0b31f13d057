package loop

import "sync/atomic"

// What is known of one direction of a connection.
const (
	idle    uint32 = iota // nothing has happened since the last look
	ready                 // something has
	waiting               // somebody waits that it does
)

// side is one direction of a connection, on which one fiber or one goroutine at a
// time may wait.
type side struct {
	state   atomic.Uint32
	ended   atomic.Bool // the other end has closed, or the connection is broken
	expired atomic.Bool // by a deadline
	drained bool        // the last read left nothing

	fiber *Fiber        // whose the side is; nil: goroutines'
	wake  chan struct{} // to a goroutine that waits
}

// wait returns when something has happened, which may have been before, or may turn
// out to be nothing.
func (s *side) wait() {
	s.drained = false // by the time that it returns
	if f := s.fiber; f != nil {
		f.row = 0
		f.yield(pause{why: waits, side: s})
		return
	}
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	if s.park() {
		<-s.wake
	}
}

// park marks that somebody waits; false if there is no need to.
func (s *side) park() bool {
	if s.state.CompareAndSwap(idle, waiting) {
		return true
	}
	s.state.Store(idle)
	return false
}

// happened tells whoever waits. l is the loop that calls; nil: none does.
func (s *side) happened(l *Loop) {
	for {
		switch s.state.Load() {
		case ready:
			return
		case idle:
			if s.state.CompareAndSwap(idle, ready) {
				return
			}
		case waiting:
			if !s.state.CompareAndSwap(waiting, idle) {
				continue
			}
			switch f := s.fiber; {
			case f == nil:
				s.wake <- struct{}{}
			case l == nil:
				go f.run(nil)
			default:
				f.run(l)
			}
			return
		}
	}
}

// quiet tells whether nothing has happened since a read that left nothing: another
// would find nothing.
func (s *side) quiet() bool {
	if !s.drained || s.ended.Load() {
		return false
	}
	if s.state.Load() == idle {
		return true
	}
	s.state.Store(idle)
	return false
}
