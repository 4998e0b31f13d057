package sim

import "time"

// Measures are the elasticity measures of the SPEC Research Group (Herbst et
// al., "Ready for Rain?", 2016), and the cost. With d(t) the tasks that the
// arriving work takes, s(t) those that run, and T the length:
//
//	aU     = 100/T x sum of max(d-s, 0)/d x dt   under-provisioning, in percent
//	aO     = 100/T x sum of max(s-d, 0)/d x dt   over-provisioning, in percent
//	tU, tO = 100/T x the time in which s < d, s > d
//	jitter = (changes of s - changes of d) / T   in an hour
//
// Where d is 0, 1 stands in its place as the divisor. Of several services they
// are the means.
type Measures struct {
	AU     float64 `json:"aU"`
	AO     float64 `json:"aO"`
	TU     float64 `json:"tU"`
	TO     float64 `json:"tO"`
	Jitter float64 `json:"jitter"`
	// TaskHours and HostHours are those of tasks that hold a place on a host and
	// of hosts. Unmet is the sum of max(d-s, 0), in task-hours.
	TaskHours float64 `json:"task_hours"`
	HostHours float64 `json:"host_hours"`
	Unmet     float64 `json:"unmet"`
}

// tally adds up the measures of one service.
type tally struct {
	seconds, under, over, below, above, unmet, held float64
	supply, need                                    int
	supplied, needs                                 int // changes
	begun                                           bool
}

// add counts some seconds in which need tasks were needed and supply ran.
func (t *tally) add(seconds float64, need, supply int) {
	divisor := float64(max(need, 1))
	t.seconds += seconds
	switch {
	case supply < need:
		t.under += float64(need-supply) / divisor * seconds
		t.below += seconds
		t.unmet += float64(need-supply) * seconds
	case supply > need:
		t.over += float64(supply-need) / divisor * seconds
		t.above += seconds
	}
	if t.begun && supply != t.supply {
		t.supplied++
	}
	if t.begun && need != t.need {
		t.needs++
	}
	t.begun, t.supply, t.need = true, supply, need
}

// measures are those of the time so far.
func (t *tally) measures() Measures {
	if t.seconds == 0 {
		return Measures{}
	}
	share := 100 / t.seconds
	return Measures{
		AU: share * t.under, AO: share * t.over, TU: share * t.below, TO: share * t.above,
		Jitter:    float64(t.supplied-t.needs) / (t.seconds / 3600),
		TaskHours: t.held / 3600, Unmet: t.unmet / 3600,
	}
}

// together are the measures of several services.
func together(all []Measures, hostSeconds float64) Measures {
	var m Measures
	n := float64(len(all))
	for _, s := range all {
		m.AU += s.AU / n
		m.AO += s.AO / n
		m.TU += s.TU / n
		m.TO += s.TO / n
		m.Jitter += s.Jitter / n
		m.TaskHours += s.TaskHours
		m.Unmet += s.Unmet
	}
	m.HostHours = hostSeconds / 3600
	return m
}

// Point is the world at a moment, for charts: sums over all services.
type Point struct {
	At      time.Duration
	Demand  float64 // arriving work in a second
	Needed  float64 // tasks
	Wanted  float64
	Running float64
	Pending float64
	Hosts   float64
	Unmet   float64 // tasks
	Backlog float64
	Cost    float64 // task-hours so far
}

// series keeps at most mostPoints points: when it is full, every second goes,
// and from then on every other is kept.
type series struct {
	points []Point
	every  int
	seen   int
}

const mostPoints = 2000

func (s *series) add(p Point) {
	s.every = max(s.every, 1)
	if s.seen%s.every == 0 {
		if len(s.points) == mostPoints {
			for i := range mostPoints / 2 {
				s.points[i] = s.points[2*i]
			}
			s.points = s.points[:mostPoints/2]
			s.every *= 2
		}
		if s.seen%s.every == 0 {
			s.points = append(s.points, p)
		}
	}
	s.seen++
}
