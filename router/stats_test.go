package router

import (
	"math"
	"testing"
	"time"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*math.Abs(b) }

func TestTheMeanOfRequestsInFlightIsOverTime(t *testing.T) {
	var m meter
	m.init(0)
	// Two requests for 3 s of the 6 s before second 10, one for 1 s.
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	m.begin(at(4))
	m.begin(at(4))
	m.end(at(4), at(7), false, true)
	m.end(at(4), at(7), false, true)
	m.begin(at(8))
	m.end(at(8), at(9), true, true)
	got := m.stats(at(9.9999))
	if !near(got.Concurrency, 7.0/6, 0.01) || !near(got.RequestsPerSecond, 0.5, 0.01) {
		t.Errorf("%+v", got)
	}
	if got.Requests != 3 || got.Errors != 1 || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
	if got := m.stats(at(100)); got.Concurrency != 0 || got.RequestsPerSecond != 0 || got.LatencyP50 != 0 || got.Requests != 3 {
		t.Errorf("long after: %+v", got)
	}
}

func TestTheLastSecondShowsABurstThatTheWindowDoesNotYet(t *testing.T) {
	var m meter
	m.init(0)
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for range 8 {
		m.begin(at(9))
	}
	got := m.stats(at(10))
	if !near(got.Recent, 8, 0.01) || got.Concurrency > 2 {
		t.Errorf("a second into the burst: recent %v, want 8; mean %v, want under 2", got.Recent, got.Concurrency)
	}
	for range 8 {
		m.end(at(9), at(10), false, true)
	}
	if got := m.stats(at(12)); got.Recent != 0 {
		t.Errorf("two seconds after it: recent %v, want 0", got.Recent)
	}
}

func TestARequestThatLastsLongerThanTheWindowCountsInAllOfIt(t *testing.T) {
	var m meter
	m.init(0)
	m.begin(time.Second)
	if got := m.stats(time.Hour); !near(got.Concurrency, 1, 0.001) {
		t.Errorf("concurrency %v, want 1", got.Concurrency)
	}
}

func TestAYoungServiceIsMeasuredOverItsAge(t *testing.T) {
	var m meter
	m.init(time.Minute)
	for range 20 {
		m.begin(time.Minute)
	}
	got := m.stats(time.Minute + 2*time.Second)
	if !near(got.Concurrency, 20, 0.01) || !near(got.RequestsPerSecond, 10, 0.01) {
		t.Errorf("%+v", got)
	}
}

func TestQuantilesAreWithinATenth(t *testing.T) {
	var m meter
	m.init(0)
	for i := 1; i <= 1000; i++ {
		m.begin(0)
		m.end(0, time.Duration(i)*time.Millisecond, false, true)
	}
	got := m.stats(time.Second)
	if !near(got.LatencyP50.Seconds(), 0.5, 0.11) || !near(got.LatencyP99.Seconds(), 0.99, 0.11) {
		t.Errorf("p50 %s p99 %s", got.LatencyP50, got.LatencyP99)
	}
	for b := range latencyBuckets - 1 {
		if floor := bucketFloor(b); latencyBucket(floor) != b {
			t.Fatalf("bucket %d begins at %s, which falls into %d", b, floor, latencyBucket(floor))
		}
	}
}

func TestPressureIsToldAtEachPowerOfTwo(t *testing.T) {
	var m meter
	m.init(0)
	notices := 0
	drain := func() {
		select {
		case <-m.pressure:
			notices++
		default:
		}
	}
	for range 64 {
		m.begin(0)
		drain()
	}
	if notices != 6 {
		t.Errorf("%d notices on the way to 64, want 6 (2, 4, 8, 16, 32, 64)", notices)
	}
	// A count that swings around a power of two is told once a second at most.
	notices = 0
	for i := range 1000 {
		now := time.Duration(i) * time.Millisecond
		m.end(now, now, false, true)
		m.begin(now)
		drain()
	}
	if notices > 1 {
		t.Errorf("%d notices in a second of swinging", notices)
	}
}

func TestTheHistogramCountsEachAnswerBelowItsBounds(t *testing.T) {
	var m meter
	m.init(0)
	for _, took := range []time.Duration{100 * time.Microsecond, 600 * time.Microsecond, 600 * time.Microsecond, time.Minute} {
		m.begin(0)
		m.end(0, took, false, true)
	}
	got := m.latencies()
	if got.Bounds[0] != 512*time.Microsecond || got.Counts[0] != 1 || got.Bounds[1] != 1024*time.Microsecond || got.Counts[1] != 3 {
		t.Errorf("%+v", got)
	}
	if last := len(got.Counts) - 1; got.Counts[last] != 3 || got.Count != 4 || got.Sum != time.Minute+1300*time.Microsecond {
		t.Errorf("%+v", got)
	}
}
