// Package load replays a traffic curve against a running project: real HTTP
// requests in an open loop, and real messages. It is told addresses and texts;
// it must not know of the router, the engine, the compose file or any queue's
// wire.
package load

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// Point is the rates at one moment of a curve, per second.
type Point struct {
	At       time.Duration
	Requests float64
	Messages float64
}

// Curve is two rates over time: between its points they are on straight lines,
// and after the last point they begin anew with the first. Two points at the
// same moment are a step. Make it with NewCurve; it is a value, and never
// changes.
type Curve struct {
	points []Point
	sums   []Point // At as in points; how much is due up to there
}

// NewCurve makes a curve of at least two points in the order of their times,
// the first at 0. Rates are finite and not negative.
func NewCurve(points []Point) (Curve, error) {
	if len(points) < 2 {
		return Curve{}, fmt.Errorf("a curve of %d points: it takes at least two, the beginning and the end", len(points))
	}
	if points[0].At != 0 {
		return Curve{}, fmt.Errorf("the curve begins at %s: the first point must be at 0", points[0].At)
	}
	c := Curve{points: append([]Point(nil), points...), sums: make([]Point, len(points))}
	for i, p := range points {
		if !valid(p.Requests) || !valid(p.Messages) {
			return Curve{}, fmt.Errorf("point %d of the curve: rates %v and %v must be numbers of at least 0", i, p.Requests, p.Messages)
		}
		if i == 0 {
			continue
		}
		before := points[i-1]
		if p.At < before.At {
			return Curve{}, fmt.Errorf("point %d of the curve is at %s, before the one at %s: times must not go back", i, p.At, before.At)
		}
		seconds := (p.At - before.At).Seconds()
		c.sums[i] = Point{
			At:       p.At,
			Requests: c.sums[i-1].Requests + seconds*(p.Requests+before.Requests)/2,
			Messages: c.sums[i-1].Messages + seconds*(p.Messages+before.Messages)/2,
		}
	}
	if c.Length() <= 0 {
		return Curve{}, errors.New("the curve ends where it begins: its last point must be later than its first")
	}
	return c, nil
}

func valid(rate float64) bool { return rate >= 0 && !math.IsInf(rate, 0) }

// Length is the time of one round.
func (c Curve) Length() time.Duration {
	if len(c.points) == 0 {
		return 0
	}
	return c.points[len(c.points)-1].At
}

// At gives the rates, per second, t after the beginning.
func (c Curve) At(t time.Duration) (requests, messages float64) {
	i, rest, _ := c.locate(t)
	a, b := c.points[i], c.points[i+1]
	share := rest.Seconds() / (b.At - a.At).Seconds()
	return a.Requests + share*(b.Requests-a.Requests), a.Messages + share*(b.Messages-a.Messages)
}

// Sum gives how many requests and messages are due up to t.
func (c Curve) Sum(t time.Duration) (requests, messages float64) {
	i, rest, rounds := c.locate(t)
	a, x := c.points[i], rest.Seconds()
	r, m := c.At(t)
	round := c.sums[len(c.sums)-1]
	return rounds*round.Requests + c.sums[i].Requests + x*(a.Requests+r)/2,
		rounds*round.Messages + c.sums[i].Messages + x*(a.Messages+m)/2
}

// locate gives the segment that t lies in, how far in, and the whole rounds
// before it. The segment has a length.
func (c Curve) locate(t time.Duration) (segment int, rest time.Duration, rounds float64) {
	t = max(t, 0)
	rounds = float64(t / c.Length())
	t %= c.Length()
	// The last point that is not after t; with a step, the later of the two.
	segment = sort.Search(len(c.points), func(i int) bool { return c.points[i].At > t }) - 1
	return segment, t - c.points[segment].At, rounds
}

// Due gives when the n-th request is due; n is over 0. false: never, because the
// curve has no requests.
func (c Curve) Due(n float64) (time.Duration, bool) {
	round := c.sums[len(c.sums)-1].Requests
	if round <= 0 {
		return 0, false
	}
	rounds := math.Ceil(n/round) - 1
	rest := n - rounds*round
	i := sort.Search(len(c.sums), func(i int) bool { return c.sums[i].Requests >= rest })
	i = min(max(i, 1), len(c.sums)-1) - 1
	a, b := c.points[i], c.points[i+1]
	// rest = sum + a*x + slope*x*x/2, solved for x without taking one great
	// number from another.
	missing := max(0, rest-c.sums[i].Requests)
	length := (b.At - a.At).Seconds()
	slope := 0.0
	if length > 0 {
		slope = (b.Requests - a.Requests) / length
	}
	x := 0.0
	if root := a.Requests + math.Sqrt(max(0, a.Requests*a.Requests+2*slope*missing)); root > 0 {
		x = min(2*missing/root, length)
	}
	at := a.At + time.Duration(x*float64(time.Second))
	return time.Duration(rounds)*c.Length() + at, true
}

// Builtin is a round of two and a half minutes: quiet, a ramp, a spike, quiet
// again, with the messages in four bursts of two seconds. The arguments are the
// rates at the height of the spike and of a burst, per second.
func Builtin(requests, messages float64) (Curve, error) {
	shape := []struct{ at, requests float64 }{
		{0, 0.05}, {20, 0.05}, {50, 0.45}, {60, 0.45}, {61, 1}, {90, 1}, {91, 0.05}, {150, 0.05},
	}
	bursts := []float64{8, 40, 100, 120}
	var points []Point
	add := func(at, share, messages float64) {
		points = append(points, Point{At: time.Duration(at * float64(time.Second)), Requests: share * requests, Messages: messages})
	}
	for i, s := range shape {
		add(s.at, s.requests, 0)
		if i+1 == len(shape) {
			break
		}
		next := shape[i+1]
		for _, b := range bursts {
			if b < s.at || b >= next.at {
				continue
			}
			on := func(at float64) float64 {
				return s.requests + (at-s.at)/(next.at-s.at)*(next.requests-s.requests)
			}
			add(b, on(b), 0)
			add(b, on(b), messages)
			add(b+2, on(b+2), messages)
			add(b+2, on(b+2), 0)
		}
	}
	return NewCurve(points)
}
