package baseline

import "time"

// Target tracking's own alarms: the metric has a period of a minute; out after 3
// of them above the target, in after 15 below 90 % of it.
const (
	trackPeriod = time.Minute
	trackOut    = 3
	trackIn     = 15
	trackLow    = 0.9
	// trackCooldown is Application Auto Scaling's default for ECS services,
	// for out and in alike.
	trackCooldown = 5 * time.Minute
)

// TargetTracking is ECS service auto scaling by target tracking.
type TargetTracking struct {
	name     string
	services map[string]*trackState
}

type trackState struct {
	high, low []int // periods in a row, by metric
	movedAt   time.Time
	movedIn   bool
}

// NewTargetTracking makes one by the name that it is shown as.
func NewTargetTracking(name string) *TargetTracking {
	return &TargetTracking{name: name, services: map[string]*trackState{}}
}

// Name is the name that it was made with.
func (t *TargetTracking) Name() string { return t.name }

// Interval is the period of the metrics.
func (t *TargetTracking) Interval() time.Duration { return trackPeriod }

// Desired grows if any metric says so, and shrinks only if all do.
func (t *TargetTracking) Desired(o Observation) int {
	s := t.services[o.Service]
	if s == nil {
		s = &trackState{high: make([]int, len(o.Metrics)), low: make([]int, len(o.Metrics))}
		t.services[o.Service] = s
	}
	out, in, all := 0, 0, len(o.Metrics) > 0
	for i, m := range o.Metrics {
		if !m.Known {
			s.high[i], s.low[i], all = 0, 0, false
			continue
		}
		ratio := m.ratio(o.Ready)
		s.high[i], s.low[i] = run(s.high[i], ratio > 1), run(s.low[i], ratio < trackLow)
		want := ceil(ratio * float64(max(1, o.Ready)))
		if s.high[i] >= trackOut {
			out = max(out, want)
		}
		in = max(in, want)
		all = all && s.low[i] >= trackIn
	}
	cooling := o.Now.Sub(s.movedAt) < trackCooldown && !s.movedAt.IsZero()
	switch {
	case out > o.Desired && (!cooling || s.movedIn):
		// During the cool-down of a scale-in, growing is allowed at once.
		s.movedAt, s.movedIn = o.Now, false
		return out
	case all && in < o.Desired && !cooling:
		s.movedAt, s.movedIn = o.Now, true
		return in
	}
	return o.Desired
}

// run counts how often in a row something is so.
func run(so int, now bool) int {
	if now {
		return so + 1
	}
	return 0
}
