package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// stack is what has been started, to be stopped in the reverse order.
type stack struct {
	log   *slog.Logger
	parts []part
}

type part struct {
	name string
	stop func(context.Context) error
}

func (s *stack) push(name string, stop func(context.Context) error) {
	s.parts = append(s.parts, part{name, stop})
}

// close stops every part, the last started first. A part that fails to stop
// does not keep the others from it.
func (s *stack) close(ctx context.Context) error {
	var problems []error
	for len(s.parts) > 0 {
		last := s.parts[len(s.parts)-1]
		s.parts = s.parts[:len(s.parts)-1]
		s.log.Debug("stopping", "part", last.name)
		if err := last.stop(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stopping %s: %w", last.name, err))
		}
	}
	return errors.Join(problems...)
}
