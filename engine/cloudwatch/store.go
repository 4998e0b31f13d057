package cloudwatch

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// The bounds of what is kept.
const (
	// DefaultMost is what the metrics of a store take in bytes at most.
	DefaultMost = 16 << 20
	// Retention is how long samples are kept, and FineRetention how long those of
	// a second can be told apart.
	Retention     = 15 * 24 * time.Hour
	FineRetention = 3 * time.Hour
	minute        = 60 // seconds
)

// Datum is samples of one metric at one moment.
type Datum struct {
	Metric Metric
	Unit   string
	At     time.Time
	// Fine samples are kept by the second, the others by the minute.
	Fine bool
	// Values are the samples; where there are none, Summary is.
	Values  []Values
	Summary Summary
}

// Store keeps samples in memory. When it is full, those that came first go. Time
// comes in from outside. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	most    int
	size    int
	metrics map[string]*metric
	queue   []*bucket // in the order in which they were made
}

// metric is what is kept of one; a metric without samples is not there.
type metric struct {
	Metric
	key    string
	series map[string]*series // by unit
}

// series is the samples of a metric in one unit, in the order of their times.
type series struct {
	metric  *metric
	unit    string
	buckets []*bucket
}

// newBytes is what a metric and its first series take beside the names.
const newBytes = 600

// NewStore makes a store that takes so many bytes at most; 0 is DefaultMost.
func NewStore(most int) *Store {
	if most <= 0 {
		most = DefaultMost
	}
	return &Store{most: most, metrics: map[string]*metric{}}
}

// Put takes samples in.
func (s *Store) Put(now time.Time, data ...Datum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range data {
		b := s.bucket(d)
		s.size -= b.size()
		if len(d.Values) > 0 {
			b.addValues(d.Values)
		} else {
			b.addSummary(d.Summary)
		}
		s.size += b.size()
	}
	s.forget(now)
}

// bucket gives the bucket of a datum, and makes it if need be.
func (s *Store) bucket(d Datum) *bucket {
	key := d.Metric.key()
	m := s.metrics[key]
	if m == nil {
		m = &metric{Metric: d.Metric, key: key, series: map[string]*series{}}
		s.metrics[key] = m
		s.size += newBytes + m.size() + len(key)
	}
	of := m.series[d.Unit]
	if of == nil {
		of = &series{metric: m, unit: d.Unit}
		m.series[d.Unit] = of
	}
	at := d.At.Unix()
	if !d.Fine {
		at -= at % minute
	}
	i, there := of.find(at)
	if there {
		return of.buckets[i]
	}
	b := &bucket{at: at, of: of}
	of.buckets = slices.Insert(of.buckets, i, b)
	s.queue = append(s.queue, b)
	s.size += b.size()
	return b
}

// find is where the first bucket is that is not before a time.
func (s *series) find(at int64) (int, bool) {
	return slices.BinarySearchFunc(s.buckets, at, func(b *bucket, at int64) int {
		switch {
		case b.at < at:
			return -1
		case b.at > at:
			return 1
		}
		return 0
	})
}

// forget drops what came first while there is too much, and what is too old.
func (s *Store) forget(now time.Time) {
	oldest := now.Add(-Retention).Unix()
	for len(s.queue) > 0 && (s.size > s.most || s.queue[0].at < oldest) {
		s.drop(s.queue[0])
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
}

func (s *Store) drop(b *bucket) {
	of := b.of
	s.size -= b.size()
	i, there := of.find(b.at)
	switch {
	case !there: // it cannot be: a bucket leaves its series here alone
		return
	case i == 0:
		of.buckets[0] = nil
		of.buckets = of.buckets[1:]
	default:
		of.buckets = slices.Delete(of.buckets, i, i+1)
	}
	if len(of.buckets) > 0 {
		return
	}
	m := of.metric
	delete(m.series, of.unit)
	if len(m.series) == 0 {
		delete(s.metrics, m.key)
		s.size -= newBytes + m.size() + len(m.key)
	}
}

// Window is which samples of a metric are asked for.
type Window struct {
	// Start is included, End is not. Periods begin at Start.
	Start, End time.Time
	Period     time.Duration
	// Unit is the one whose samples count; empty: all.
	Unit string
}

// Points gives a metric's samples by periods, in the order of time; a period
// without samples has no point.
func (s *Store) Points(now time.Time, m Metric, w Window) []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.metrics[m.key()]
	if found == nil {
		return nil
	}
	start, end, period := w.Start.Unix(), w.End.Unix(), int64(w.Period/time.Second)
	oldest := now.Add(-Retention).Unix()
	if period%minute != 0 {
		oldest = now.Add(-FineRetention).Unix()
	}
	points := map[int64]*Point{}
	for unit, of := range found.series {
		if w.Unit != "" && unit != w.Unit {
			continue
		}
		i, _ := of.find(max(start, oldest))
		for ; i < len(of.buckets) && of.buckets[i].at < end; i++ {
			at := start + (of.buckets[i].at-start)/period*period
			if points[at] == nil {
				points[at] = &Point{At: at}
			}
			points[at].take(of.buckets[i])
		}
	}
	out := make([]Point, 0, len(points))
	for _, at := range slices.Sorted(maps.Keys(points)) {
		out = append(out, *points[at])
	}
	return out
}

// Units are those in which there are samples of a metric, in order.
func (s *Store) Units(m Metric) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.metrics[m.key()]
	if found == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(found.series))
}

// Metrics are those with samples at or after a time, in the order of their names.
func (s *Store) Metrics(since time.Time) []Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Metric
	for _, key := range slices.Sorted(maps.Keys(s.metrics)) {
		m := s.metrics[key]
		for _, of := range m.series {
			if of.buckets[len(of.buckets)-1].at >= since.Unix()-minute {
				out = append(out, m.Metric)
				break
			}
		}
	}
	return out
}

// Size is what is kept, in bytes by the store's own count.
func (s *Store) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}
