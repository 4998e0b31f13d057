package scale

import (
	"slices"
	"time"
)

// maxWants bounds what is remembered of one service's windows.
const maxWants = 256

// smooth holds a count against a brief rise and a brief fall, as the HPA's
// stabilization does: the goal moves up to the smallest want of the
// up window, and down to the largest want of the down window.
func (p *pass) smooth(s *service, asked int) int {
	b := &s.policy.Behavior
	wants := s.was.Wants
	if s.was.SeenAt.IsZero() {
		// The lost history: the present count was wanted until now.
		wants = []Want{{At: p.now, Count: s.current()}}
	}
	s.next.Wants = appendWant(wants, Want{At: p.now, Count: asked}, p.now.Add(-max(b.UpWindow, b.DownWindow)))

	low, lowEnds := asked, p.now
	high, highEnds := asked, p.now
	for _, w := range s.next.Wants {
		if up := w.At.Add(b.UpWindow); b.UpWindow > 0 && !up.Before(p.now) && w.Count <= low {
			low, lowEnds = w.Count, up
		}
		if down := w.At.Add(b.DownWindow); b.DownWindow > 0 && !down.Before(p.now) && w.Count >= high {
			high, highEnds = w.Count, down
		}
	}
	want := min(max(s.goal(), low), high)
	if want != asked {
		s.notes.window, s.notes.windowUp = want, want < asked
		if want < asked {
			p.by(lowEnds.Add(time.Nanosecond))
		} else {
			p.by(highEnds.Add(time.Nanosecond))
		}
	}
	return want
}

// appendWant gives the wants since the given time with one more. It keeps only
// those that can still be the largest or the smallest of a window, which are
// those that no later one equals or passes; that loses nothing, and bounds the
// list by twice the number of different counts.
func appendWant(wants []Want, w Want, since time.Time) []Want {
	kept := make([]Want, 0, min(len(wants), maxWants)+1)
	low, high := w.Count, w.Count
	kept = append(kept, w)
	for i := len(wants) - 1; i >= 0 && len(kept) < maxWants; i-- {
		old := wants[i]
		if old.At.Before(since) {
			break
		}
		if old.Count < low || old.Count > high {
			low, high = min(low, old.Count), max(high, old.Count)
			kept = append(kept, old)
		}
	}
	slices.Reverse(kept)
	return kept
}
