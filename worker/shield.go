package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// shield keeps the task protected while any message is in hand.
type shield struct {
	platform Platform
	length   time.Duration
	log      *slog.Logger

	// mu is held during the calls: nobody may begin while it is not certain
	// whether the task is protected.
	mu    sync.Mutex
	busy  int
	until time.Time // the present protection's end; zero: none
}

const protectTries = 4

// enter returns when the task is protected for one job more.
func (s *shield) enter(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Until(s.until) < s.length/2 {
		if err := s.protect(ctx); err != nil {
			return err
		}
	}
	s.busy++
	return nil
}

// protect asks a few times: a look past a short failure of the agent is cheaper
// than giving the message back.
func (s *shield) protect(ctx context.Context) error {
	var err error
	pause := pauseMin
	for range protectTries {
		asked := time.Now()
		if err = s.call(ctx, s.length); err == nil {
			s.until = asked.Add(s.length)
			return nil
		}
		if errors.Is(err, ErrLeaving) {
			return err
		}
		sleep(ctx, pause)
		pause *= 2
	}
	return err
}

// exit ends one job, and with the last one the protection.
func (s *shield) exit(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy--; s.busy > 0 {
		return
	}
	s.until = time.Time{}
	if err := s.call(ctx, 0); err != nil {
		s.log.Warn("the protection goes on until it expires", "error", err)
	}
}

func (s *shield) call(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return s.platform.Protect(ctx, d)
}

// renew prolongs the protection of long jobs until ctx ends.
func (s *shield) renew(ctx context.Context) {
	every := s.length / 3
	for {
		sleep(ctx, every)
		if ctx.Err() != nil {
			return
		}
		every = s.length / 3
		s.mu.Lock()
		if s.busy > 0 && time.Until(s.until) <= 2*s.length/3+time.Second {
			if err := s.call(ctx, s.length); err != nil {
				s.log.Warn("the protection was not renewed", "until", s.until, "error", err)
				every /= 5
			} else {
				s.until = time.Now().Add(s.length)
			}
		}
		s.mu.Unlock()
	}
}
