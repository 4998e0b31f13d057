package router

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// window is what rates, means and quantiles are over: the panic window of
	// Knative's KPA.
	window   = 6 * time.Second
	slotTime = 500 * time.Millisecond
	slots    = int(window / slotTime)
	// recentSlots whole slots and the one under way are what Recent is over:
	// 1 to 1.5 s.
	recentSlots = 2
	// A latency falls into one of four buckets for each doubling of a
	// microsecond: a quantile is off by a tenth at the most.
	latencyBuckets = 4 * 28
	// After stepMemory a power of two may be announced again: a count that
	// swings around one gives a notice a second, not one at each swing.
	stepMemory = time.Second
)

// meter measures one service. Its lock is held for tens of nanoseconds at the
// arrival and at the end of a request.
type meter struct {
	pressure chan struct{}
	retries  atomic.Uint64
	waited   atomic.Uint64

	mu         sync.Mutex
	born       time.Duration
	inflight   int
	held       int
	webSockets int
	requests   uint64
	errors     uint64
	step       int           // the power of two that in-flight was last announced at
	stepAt     time.Duration // when that was
	last       time.Duration // up to when the area is counted
	ring       [slots]slot
	took       [latencyBuckets]uint64 // answers since the start
	tookSum    time.Duration
}

// slot is half a second of the window.
type slot struct {
	index    int64         // time / slotTime
	area     time.Duration // requests in flight, summed over time
	arrivals int
	answers  int
	latency  [latencyBuckets]uint32
}

func (m *meter) init(now time.Duration) {
	m.pressure = make(chan struct{}, 1)
	m.born, m.last = now, now
}

// begin counts an arrival.
func (m *meter) begin(now time.Duration) {
	m.mu.Lock()
	s := m.advance(now)
	s.arrivals++
	m.requests++
	m.inflight++
	if now-m.stepAt > stepMemory {
		m.step = bits.Len(uint(m.inflight - 1))
	}
	step := bits.Len(uint(m.inflight))
	notify := step > m.step && m.inflight > 1
	if notify {
		m.step, m.stepAt = step, now
	}
	m.mu.Unlock()
	if notify {
		m.press()
	}
}

// end counts the end of a request. measured tells whether its time says
// something about the service: that of a WebSocket or of a client that went
// away does not.
func (m *meter) end(began, now time.Duration, failed, measured bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.advance(now)
	m.inflight--
	if failed {
		m.errors++
	}
	if measured {
		s.answers++
		bucket := latencyBucket(now - began)
		s.latency[bucket]++
		m.took[bucket]++
		m.tookSum += now - began
	}
}

// hold counts a request that waits; false if limit of them wait already.
func (m *meter) hold(limit int) bool {
	m.mu.Lock()
	if m.held >= limit {
		m.mu.Unlock()
		return false
	}
	m.held++
	m.mu.Unlock()
	m.press()
	return true
}

func (m *meter) letGo() {
	m.mu.Lock()
	m.held--
	m.mu.Unlock()
}

func (m *meter) tunnel(n int) {
	m.mu.Lock()
	m.webSockets += n
	m.mu.Unlock()
}

func (m *meter) total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

func (m *meter) press() {
	select {
	case m.pressure <- struct{}{}:
	default:
	}
}

// advance adds the requests in flight since the last event to the slots that
// have passed, and gives the slot of now; m.mu is held.
func (m *meter) advance(now time.Duration) *slot {
	now = max(now, m.last) // two callers may come with their times crossed
	if m.last < now-window {
		m.last = now - window // older slots are not kept
	}
	for m.last < now {
		s := m.slot(m.last)
		end := min(now, time.Duration(s.index+1)*slotTime)
		s.area += time.Duration(m.inflight) * (end - m.last)
		m.last = end
	}
	return m.slot(now)
}

func (m *meter) slot(at time.Duration) *slot {
	index := int64(at / slotTime)
	s := &m.ring[index%int64(slots)]
	if s.index != index {
		*s = slot{index: index}
	}
	return s
}

// Latencies are the answers since the start by their time, as Prometheus has
// them: of those that took less than Bounds[i] there are Counts[i].
type Latencies struct {
	Bounds []time.Duration
	Counts []uint64
	Count  uint64
	Sum    time.Duration
}

// The bounds are powers of two from 512 us to 34 s.
const (
	boundFirst = 9
	boundLast  = 25
)

func (m *meter) latencies() Latencies {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := Latencies{Sum: m.tookSum}
	for bucket, n := range m.took {
		if exponent := bucket/4 + 2; bucket%4 == 0 && exponent >= boundFirst && exponent <= boundLast {
			l.Bounds = append(l.Bounds, bucketFloor(bucket))
			l.Counts = append(l.Counts, l.Count)
		}
		l.Count += n
	}
	return l
}

// statsOf are the figures of all the meters together.
func statsOf(now time.Duration, all ...*meter) Stats {
	total := Stats{Window: window}
	var answered slot
	for _, m := range all {
		m.addTo(&total, &answered, now)
	}
	if answered.answers > 0 {
		total.LatencyP50 = answered.quantile(0.50)
		total.LatencyP99 = answered.quantile(0.99)
	}
	return total
}

// addTo adds the meter's figures to those of others, and its answers in the window.
func (m *meter) addTo(st *Stats, sum *slot, now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now = max(now, m.last)
	current := m.advance(now).index
	var area, recent time.Duration
	var arrivals int
	for i := range m.ring {
		s := &m.ring[i]
		if s.index <= current-int64(slots) {
			continue
		}
		if s.index >= current-recentSlots {
			recent += s.area
		}
		area += s.area
		arrivals += s.arrivals
		sum.answers += s.answers
		for b, n := range s.latency {
			sum.latency[b] += n
		}
	}
	// The oldest slot is whole, the newest is not; a service younger than the
	// window is measured over its age, but never over so little that one
	// request looks like a flood.
	over := now - time.Duration(current-int64(slots)+1)*slotTime
	over = max(min(over, now-m.born), time.Second)
	recentOver := now - time.Duration(current-recentSlots)*slotTime
	recentOver = max(min(recentOver, now-m.born), slotTime)
	st.InFlight += m.inflight
	st.Held += m.held
	st.WebSockets += m.webSockets
	st.Concurrency += float64(area) / float64(over)
	st.Recent += float64(recent) / float64(recentOver)
	st.RequestsPerSecond += float64(arrivals) / over.Seconds()
	st.Requests += m.requests
	st.Errors += m.errors
	st.Retries += m.retries.Load()
	st.Waited += m.waited.Load()
}

// quantile is the middle of the bucket that holds the answer of that rank.
func (s *slot) quantile(q float64) time.Duration {
	rank := int(q * float64(s.answers-1))
	for b, n := range s.latency {
		if rank -= int(n); rank < 0 {
			low, high := bucketFloor(b), bucketFloor(b+1)
			return (low + high) / 2
		}
	}
	return 0
}

// latencyBucket is four times the binary logarithm of the microseconds, less
// what the mantissa's two bits leave out.
func latencyBucket(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 4))
	exponent := bits.Len64(us) - 1
	return min(4*(exponent-2)+int(us>>(exponent-2)&3), latencyBuckets-1)
}

// bucketFloor is the least duration of a bucket.
func bucketFloor(bucket int) time.Duration {
	return time.Duration(uint64(4+bucket%4)<<(bucket/4)) * time.Microsecond
}
