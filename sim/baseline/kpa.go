package baseline

import (
	"math"
	"time"
)

// Knative's defaults (config-autoscaler).
const (
	kpaTick       = 2 * time.Second
	kpaStable     = 60 * time.Second
	kpaPanic      = 6 * time.Second
	kpaThreshold  = 2
	kpaUse        = 0.7
	kpaMostUp     = 1000
	kpaMostDown   = 2
	kpaScaleGrace = 30 * time.Second
)

// KPA is Knative's Pod Autoscaler: the mean of 60 s over 70 % of what a pod
// bears; in panic, when the mean of 6 s asks for twice the pods that are ready,
// that of 6 s, and nothing shrinks until 60 s have passed without it.
type KPA struct{ services map[string]*kpaState }

type kpaState struct {
	values  window
	panicAt time.Time
	most    int // in panic
	idleAt  time.Time
}

// NewKPA makes one.
func NewKPA() *KPA { return &KPA{services: map[string]*kpaState{}} }

// Name is "kpa".
func (k *KPA) Name() string { return "kpa" }

// Interval is the tick.
func (k *KPA) Interval() time.Duration { return kpaTick }

// Desired follows the first metric; where one task's capacity is not known, its
// target stands for 70 % of it.
func (k *KPA) Desired(o Observation) int {
	s := k.services[o.Service]
	if s == nil {
		s = &kpaState{}
		k.services[o.Service] = s
	}
	if len(o.Metrics) == 0 || !o.Metrics[0].Known {
		return o.Desired
	}
	m := o.Metrics[0]
	target := o.Capacity * kpaUse
	if target <= 0 {
		target = m.Target
	}
	value := m.Value
	if m.Kind == Ratio {
		value = m.Value / m.Target * float64(max(1, o.Ready)) * target
	}
	s.values = s.values.add(o.Now, value, kpaStable)
	ready := float64(max(1, o.Ready))
	bound := func(mean float64) int {
		want := math.Ceil(mean/target - 1e-9)
		return int(min(max(want, math.Floor(ready/kpaMostDown)), kpaMostUp*ready))
	}
	stable, burst := bound(s.values.mean(o.Now.Add(-kpaStable))), bound(s.values.mean(o.Now.Add(-kpaPanic)))
	if float64(burst)/ready >= kpaThreshold {
		s.panicAt = o.Now
	}
	want := stable
	if !s.panicAt.IsZero() && o.Now.Sub(s.panicAt) < kpaStable {
		s.most = max(s.most, burst, o.Ready)
		want = s.most
	} else {
		s.panicAt, s.most = time.Time{}, 0
	}
	return s.toZero(o, want)
}

// toZero keeps the last pod for the grace period.
func (s *kpaState) toZero(o Observation, want int) int {
	if want > 0 {
		s.idleAt = time.Time{}
		return want
	}
	if s.idleAt.IsZero() {
		s.idleAt = o.Now
	}
	if o.Desired > 0 && o.Now.Sub(s.idleAt) < kpaScaleGrace {
		return 1
	}
	return 0
}
