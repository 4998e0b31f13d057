package discovery

import (
	"maps"
	"time"
)

const (
	// firstStay is how long an instance that is left out for its health for the second
	// time soon after the first one stays out; each further time doubles it up to
	// lastStay. Every coming and going is a call, and work for whoever reads the registry.
	firstStay = 10 * time.Second
	lastStay  = 2 * time.Minute
	// calm is how long an instance must not have been left out to be taken as new.
	calm = 10 * time.Minute
)

// damper has instances whose health comes and goes stay out for longer and longer. One
// that is lost leaves at once, and comes back at once the first time.
type damper map[string]*flap

// flap is how an instance has come and gone.
type flap struct {
	well bool
	left time.Time // when it was last left out; zero: never
	stay time.Duration
}

// damp takes in the health of a directory's instances at a time, as far as it is known,
// and gives the services without the health of those that are to stay out yet. Where that would leave less
// than half of a service's healthy instances, none of them has to.
func (m damper) damp(services map[string][]Instance, unsure map[string]bool, now time.Time) map[string][]Instance {
	listed := map[string]bool{}
	out := maps.Clone(services)
	for service, instances := range services {
		kept, healthy, used := make([]Instance, len(instances)), 0, 0
		for n, i := range instances {
			listed[i.ID] = true
			if kept[n] = i; unsure[i.ID] {
				continue
			}
			if kept[n].Healthy = m.usable(i, now); kept[n].Healthy {
				used++
			}
			if i.Healthy {
				healthy++
			}
		}
		if used < healthy && 2*used >= healthy {
			out[service] = kept
		}
	}
	maps.DeleteFunc(m, func(id string, f *flap) bool { return !listed[id] && now.Sub(f.left) > calm })
	return out
}

// usable takes in an instance's health and tells whether it may get work.
func (m damper) usable(i Instance, now time.Time) bool {
	f := m[i.ID]
	if f == nil {
		if !i.Healthy {
			return false // it has not come yet
		}
		f = &flap{well: true}
		m[i.ID] = f
	}
	if f.well && !i.Healthy {
		switch {
		case f.left.IsZero() || now.Sub(f.left) > calm:
			f.stay = 0
		default:
			f.stay = min(max(2*f.stay, firstStay), lastStay)
		}
		f.left = now
	}
	f.well = i.Healthy
	return i.Healthy && (f.stay == 0 || now.Sub(f.left) >= f.stay)
}
