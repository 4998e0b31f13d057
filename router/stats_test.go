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
	got := statsOf(at(9.9999), &m)
	if !near(got.Concurrency, 7.0/6, 0.01) || !near(got.RequestsPerSecond, 0.5, 0.01) {
		t.Errorf("%+v", got)
	}
	if got.Requests != 3 || got.Errors != 1 || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
	if got := statsOf(at(100), &m); got.Concurrency != 0 || got.RequestsPerSecond != 0 || got.LatencyP50 != 0 || got.Requests != 3 {
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
	got := statsOf(at(10), &m)
	if !near(got.Recent, 8, 0.01) || got.Concurrency > 2 {
		t.Errorf("a second into the burst: recent %v, want 8; mean %v, want under 2", got.Recent, got.Concurrency)
	}
	for range 8 {
		m.end(at(9), at(10), false, true)
	}
	if got := statsOf(at(12), &m); got.Recent != 0 {
		t.Errorf("two seconds after it: recent %v, want 0", got.Recent)
	}
}

func TestARequestThatLastsLongerThanTheWindowCountsInAllOfIt(t *testing.T) {
	var m meter
	m.init(0)
	m.begin(time.Second)
	if got := statsOf(time.Hour, &m); !near(got.Concurrency, 1, 0.001) {
		t.Errorf("concurrency %v, want 1", got.Concurrency)
	}
}

func TestAYoungServiceIsMeasuredOverItsAge(t *testing.T) {
	var m meter
	m.init(time.Minute)
	for range 20 {
		m.begin(time.Minute)
	}
	got := statsOf(time.Minute+2*time.Second, &m)
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
	got := statsOf(time.Second, &m)
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

func TestDemandOnAFurtherPortIsDemandOnItsService(t *testing.T) {
	r := New(Options{})
	defer r.Close()
	pressure := r.Pressure("web")
	set := func(services ...string) {
		t.Helper()
		table := Table{Services: map[string][]Target{}}
		for _, name := range services {
			table.Services[name] = nil
		}
		if err := r.SetTable(table); err != nil {
			t.Fatal(err)
		}
	}
	set("web", "web:9000", "web:9001", "webshop", "webshop:9000")
	now := r.now()
	live := r.table.Load().services
	live["web"].meter.begin(now)
	live["web"].meter.end(now, now+time.Millisecond, false, true)
	for range 3 {
		live["web:9000"].meter.begin(now)
		live["web:9000"].meter.end(now, now+time.Second, false, true)
	}
	live["web:9000"].meter.begin(now)
	live["web:9001"].meter.begin(now)
	live["webshop:9000"].meter.begin(now)
	got := r.Demand("web")
	if got.InFlight != 2 || got.Requests != 6 || !near(got.LatencyP50.Seconds(), 1, 0.11) {
		t.Errorf("of all ports: %+v; want 2 of 6 requests in flight, and a median of the answers of all", got)
	}
	if got := r.Stats("web"); got.InFlight != 0 || got.Requests != 1 {
		t.Errorf("of the first port alone: %+v; want its one request", got)
	}
	select {
	case <-pressure:
		t.Error("there is pressure on web, with one request in flight at each port")
	default:
	}
	live["web:9001"].meter.hold(1)
	select {
	case <-pressure:
	default:
		t.Error("a request that waits at a further port is no pressure on the service")
	}
	set("web")
	if got := r.Demand("web"); got.InFlight != 0 {
		t.Errorf("when the further ports are gone: %+v; want nothing in flight", got)
	}
	set("web", "web:9001")
	r.table.Load().services["web:9001"].meter.hold(1)
	if got := r.Demand("web"); got.Held != 1 {
		t.Errorf("when one is back: %+v; want one held", got)
	}
}
