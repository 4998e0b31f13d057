package baseline

import "time"

// KEDA's defaults.
const (
	kedaPoll     = 30 * time.Second
	kedaCooldown = 5 * time.Minute
)

// KEDA turns a service on and off by its activation, polled every 30 s, with a
// cool-down of 5 minutes to zero; between one and its greatest count the HPA
// scales it.
type KEDA struct {
	hpa    *HPA
	polled map[string]time.Time
	active map[string]time.Time
}

// NewKEDA makes one.
func NewKEDA() *KEDA {
	return &KEDA{hpa: NewHPA(), polled: map[string]time.Time{}, active: map[string]time.Time{}}
}

// Name is "keda".
func (k *KEDA) Name() string { return "keda" }

// Interval is that of the HPA.
func (k *KEDA) Interval() time.Duration { return hpaSync }

// Desired is 0, 1 or the HPA's count.
func (k *KEDA) Desired(o Observation) int {
	if last, ok := k.polled[o.Service]; !ok || o.Now.Sub(last) >= kedaPoll {
		k.polled[o.Service] = o.Now
		active := len(o.Metrics) == 0
		for _, m := range o.Metrics {
			active = active || !m.Known && o.Desired > 0 || m.Known && m.Value > m.Activation
		}
		switch {
		case active:
			k.active[o.Service] = o.Now
			if o.Desired == 0 {
				return max(1, o.Min)
			}
		case o.Desired > 0 && o.Min == 0 && o.Now.Sub(k.active[o.Service]) >= kedaCooldown:
			return 0
		}
	}
	return k.hpa.Desired(o)
}
