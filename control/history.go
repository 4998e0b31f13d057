package control

import (
	"sync"
	"time"

	"plimsoll/scale"
)

// keptPoints is 15 minutes of seconds.
const keptPoints = 15 * 60

// history keeps each service's points for charts, one a second.
type history struct {
	mu       sync.Mutex
	services map[string]*ring[Point]
}

func newHistory() *history { return &history{services: map[string]*ring[Point]{}} }

// record adds the verdicts as points. The last of a second stands for it.
func (h *history) record(now time.Time, verdicts []scale.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range verdicts {
		v := &verdicts[i]
		r := h.services[v.Service]
		if r == nil {
			r = newRing[Point](keptPoints)
			h.services[v.Service] = r
		}
		p := Point{
			At: now, Demand: v.Demand, Want: v.Want, Grant: v.Grant,
			Desired: v.Desired, Running: v.Running, Pending: v.Pending,
		}
		if f := v.Forecast; f != nil && f.Off == "" {
			p.Forecast = &f.Tasks
		}
		if last := r.last(); last != nil && last.At.Unix() == now.Unix() {
			*last = p
			continue
		}
		r.add(p)
	}
}

func (h *history) points(service string) []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.services[service]
	if r == nil {
		return nil
	}
	return r.since(func(*Point) bool { return true })
}
