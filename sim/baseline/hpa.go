package baseline

import (
	"math"
	"time"
)

// The HPA's defaults (kube-controller-manager and autoscaling/v2).
const (
	hpaSync       = 15 * time.Second
	hpaTolerance  = 0.1
	hpaDownWindow = 5 * time.Minute
	hpaPeriod     = 15 * time.Second
	hpaPods       = 4
)

// HPA is Kubernetes' Horizontal Pod Autoscaler with its default behavior: up by
// the greater of 100 % and 4 pods in 15 s, down by 100 % in 15 s to the greatest
// recommendation of 5 minutes.
type HPA struct{ services map[string]*hpaState }

type hpaState struct {
	recommended window
	moves       window
}

// NewHPA makes one.
func NewHPA() *HPA { return &HPA{services: map[string]*hpaState{}} }

// Name is "hpa".
func (h *HPA) Name() string { return "hpa" }

// Interval is the sync period.
func (h *HPA) Interval() time.Duration { return hpaSync }

// Desired is the greatest count of all metrics; an unknown one lets it grow and
// not shrink.
func (h *HPA) Desired(o Observation) int {
	s := h.services[o.Service]
	if s == nil {
		s = &hpaState{}
		h.services[o.Service] = s
	}
	current := o.Desired
	if current == 0 {
		return 0 // the HPA is off at zero
	}
	want, unknown := 0, false
	for _, m := range o.Metrics {
		if !m.Known {
			unknown = true
			continue
		}
		want = max(want, hpaCount(m, o.Ready, current))
	}
	if len(o.Metrics) == 0 || unknown && want < current {
		want = current
	}
	s.recommended = s.recommended.add(o.Now, float64(want), hpaDownWindow)
	if want < current {
		want = min(current, int(s.recommended.most()))
	}
	return s.limit(o.Now, current, max(want, 1))
}

// hpaCount is the count that one metric asks for: none but the present while it
// is within the tolerance.
func hpaCount(m Metric, ready, current int) int {
	ratio := m.ratio(current)
	if math.Abs(1-ratio) <= hpaTolerance {
		return current
	}
	if m.Kind == Average {
		return ceil(m.Value / m.Target)
	}
	want := ceil(ratio * float64(ready))
	if (ratio > 1) != (want > current) {
		return current
	}
	return want
}

// limit is the default rate of growth.
func (s *hpaState) limit(now time.Time, current, want int) int {
	grown := 0.0
	for _, m := range s.moves {
		if m.at.After(now.Add(-hpaPeriod)) {
			grown += m.value
		}
	}
	start := float64(current) - grown
	if most := int(math.Max(2*start, start+hpaPods)); want > most {
		want = max(current, most)
	}
	if want > current {
		s.moves = s.moves.add(now, float64(want-current), hpaPeriod)
	}
	return want
}
