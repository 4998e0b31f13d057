package scale

import "time"

// spend adds up what the service has used since the last decision, and leaves
// it its minimum when the period's limit is reached.
func (p *pass) spend(s *service, want int) int {
	b := s.policy.Spend
	if b == nil {
		return want
	}
	began := p.now.Truncate(b.Period)
	s.next.SpentSince, s.next.Spent = began, 0
	if s.was.SpentSince.Equal(began) {
		s.next.Spent = s.was.Spent
	}
	live := s.running + s.starting
	if since := s.was.SeenAt; !since.IsZero() && since.Before(p.now) {
		if since.Before(began) {
			since = began
		}
		s.next.Spent += p.now.Sub(since).Hours() * float64(live) * b.Price
	}
	left := b.Limit - s.next.Spent
	if left <= 0 {
		if least := min(want, s.policy.Min); least < want {
			s.notes.spend = least
			p.by(began.Add(b.Period))
			return least
		}
		return want
	}
	if rate := float64(max(live, want)) * b.Price; rate > 0 {
		if hours := left / rate; hours < b.Period.Hours() {
			p.by(p.now.Add(time.Duration(hours*float64(time.Hour)) + time.Second))
		}
	}
	return want
}
