package scale

import (
	"math"
	"time"
)

// Bounds of the measurement of a rate: the shortest and the longest time that
// one takes. A higher rate counts for a half at once; a lower one, which may
// come of arrivals, by the time constant forgetRates.
const (
	leastMeasure = 5 * time.Second
	mostMeasure  = 10 * time.Minute
	quickly      = 0.5
	forgetRates  = 10 * time.Minute
)

// learn measures by how much one running task lowers the backlog. Only while
// there is work for every task does that say anything; a backlog that grows
// says nothing either, since what arrives is not known.
func (p *pass) learn(s *service, m TriggerMemory, r Reading) TriggerMemory {
	if !r.Known {
		m.Since = time.Time{}
		return m
	}
	at := m.GoodAt
	took := at.Sub(m.Since)
	busy := r.Value >= float64(max(1, s.running)) && s.running > 0
	switch {
	case m.Since.IsZero() || took < 0 || took > mostMeasure || s.running != m.Running || !busy:
		// The measurement begins, or begins anew: the count has changed.
	case took < leastMeasure:
		return m
	default:
		if done := m.From - r.Value; done > 0 {
			rate := done / took.Seconds() / float64(s.running)
			share := 1 - math.Exp(-float64(took)/float64(forgetRates))
			switch {
			case m.Rate <= 0:
				share = 1
			case rate > m.Rate:
				share = quickly
			}
			m.Rate += share * (rate - m.Rate)
		}
	}
	m.Since, m.From, m.Running = time.Time{}, 0, 0
	if busy {
		m.Since, m.From, m.Running = at, r.Value, s.running
	}
	return m
}
