package router

import "time"

// Standing is what the checks of a target say of it, for those who tell others of
// the targets.
type Standing int

const (
	// Unchecked: no check has come to its end yet.
	Unchecked Standing = iota
	// Unproven: no check has passed yet, which says little: the target may only be
	// starting, or not be reached from here.
	Unproven
	// LeftOut: it is known to be unwell.
	LeftOut
	// Used: it is well, or more than half are not and all count as well.
	Used
)

// Standings are those of a service's targets, by id, without those that drain; none
// for an unknown service. A target that was never well counts as unwell once it has
// failed for as long as one that was well would have to, and at least half of all are
// used: where none or few can be reached, the fault may be here.
func (r *Router) Standings(service string) map[string]Standing {
	r.mu.Lock()
	s := r.services[service]
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.standings(time.Now(), r.options.Health)
}

func (s *service) standings(now time.Time, o Health) map[string]Standing {
	o = s.settings.Load().check.over(o)
	patience := time.Duration(o.UnhealthyAfter) * o.Interval
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chosen(now)
	used := c.used
	if c.panics() {
		used = c.known // who takes no connections from here may do so elsewhere
	}
	out := make(map[string]Standing, len(s.targets))
	var failing []string
	for _, t := range s.targets {
		switch h := t.health; {
		case t.removed || t.draining.Load():
		case h.state != unproven:
			out[t.ID] = LeftOut
		case h.failing.IsZero():
			out[t.ID] = Unchecked
		default:
			out[t.ID] = Unproven
			if now.Sub(h.failing) >= patience {
				failing = append(failing, t.ID)
			}
		}
	}
	for _, t := range used {
		out[t.ID] = Used
	}
	if 2*len(used) >= len(out) {
		for _, id := range failing {
			out[id] = LeftOut
		}
	}
	return out
}
