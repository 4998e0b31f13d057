package scale

import (
	"math"
	"time"
)

// maxMoves bounds what is remembered of one service's changes.
const maxMoves = 64

// recordMoves remembers by how much the desired count has changed since the
// last decision, whoever changed it: a change that failed is no move. It counts
// from that decision, which most likely made it.
func (p *pass) recordMoves(s *service) {
	var period time.Duration
	for _, r := range []*Rate{s.policy.Behavior.Up, s.policy.Behavior.Down} {
		if r != nil {
			period = max(period, r.Period)
		}
	}
	delta := s.current() - s.was.Desired
	moved := !s.was.SeenAt.IsZero() && delta != 0
	if period == 0 || (!moved && len(s.was.Moves) == 0) {
		return
	}
	moves := s.was.Moves
	if moved {
		moves = append(moves[:len(moves):len(moves)], Move{At: s.was.SeenAt, Delta: delta})
	}
	kept := make([]Move, 0, len(moves))
	for _, m := range moves {
		if m.At.Add(period).After(p.now) {
			kept = append(kept, m)
		}
	}
	if len(kept) > maxMoves {
		// The two oldest become one, counted for as long as the later of them.
		kept[1].Delta += kept[0].Delta
		kept = kept[1:]
	}
	s.next.Moves = kept
}

// limit bounds how far the count goes in a period, from where it was when the
// period began.
func (p *pass) limit(s *service, want int) int {
	current := s.current()
	b := &s.policy.Behavior
	switch {
	case want > current && b.Up != nil:
		start, ends := p.startOf(s, b.Up)
		top := max(current, start+b.Up.step(start))
		if want > top {
			want = top
			s.notes.rate, s.notes.rateUp = want, true
			p.by(ends)
		}
	case want < current && b.Down != nil:
		start, ends := p.startOf(s, b.Down)
		bottom := min(current, start-b.Down.step(start))
		if want < bottom {
			want = bottom
			s.notes.rate = want
			p.by(ends)
		}
	}
	return want
}

// startOf is the count at the start of the rate's present period, and when the
// oldest change of the period leaves it.
func (p *pass) startOf(s *service, r *Rate) (count int, ends time.Time) {
	count = s.current()
	for i := len(s.next.Moves) - 1; i >= 0; i-- {
		m := s.next.Moves[i]
		if !m.At.Add(r.Period).After(p.now) {
			break
		}
		count -= m.Delta
		ends = m.At.Add(r.Period)
	}
	return count, ends
}

// step is the most that may change in one period: at least one task, so that a
// percentage of zero is no dead end.
func (r *Rate) step(count int) int {
	percent := int(math.Ceil(float64(count)*r.Percent/100 - rounding))
	return max(percent, r.Tasks, 1)
}
