package router

import (
	"fmt"
	"log/slog"
	"maps"
)

// Checked is a service whose targets are checked, and how.
type Checked struct {
	Upstream Upstream
	Check    Check
	Targets  []Target
}

// Checker runs the router's active checks of targets to which nothing is sent, for
// those who tell others where they are. It finds what a router would find that has no
// requests, if later where there are more than a thousand targets (checksPerSecond).
type Checker struct{ router *Router } // which serves nobody

// NewChecker gives a checker of no targets.
func NewChecker(h Health, log *slog.Logger) *Checker {
	c := &Checker{router: New(Options{Health: h, Log: log})}
	c.router.pace = newCheckPace()
	return c
}

// Set replaces the targets in one step. Those that stay (the same service, id and
// address) keep what is known of them. An error leaves the old ones in force.
func (c *Checker) Set(services map[string]Checked) error {
	r := c.router
	t, all := Table{Services: map[string][]Target{}}, map[string]settings{}
	hosts := map[string]bool{}
	for name, s := range services {
		for _, target := range s.Targets {
			hosts[target.Host] = true
		}
		if err := s.check(r); err != nil {
			return fmt.Errorf("service %q: %w", name, err)
		}
		t.Services[name] = s.Targets
		all[name] = settings{upstream: s.Upstream, check: s.Check}
	}
	if err := t.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	live := r.ready(t)
	r.fill(live, t, all)
	r.retireServices(live)
	maps.DeleteFunc(r.pace.hosts, func(name string, _ *checkedHost) bool { return !hosts[name] })
	return nil
}

// check finds what is wrong with a service by itself.
func (s Checked) check(r *Router) error {
	if err := s.Check.check(); err != nil {
		return err
	}
	if err := s.Upstream.check(); err != nil {
		return err
	}
	return r.transports.prepare(s.Upstream)
}

// Standings are those of a service's targets, as Router.Standings gives them.
func (c *Checker) Standings(service string) map[string]Standing {
	return c.router.Standings(service)
}

// Close ends all checks.
func (c *Checker) Close() error { return c.router.Close() }
