package router

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hijackAndCut ends the connection without an answer.
func hijackAndCut(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	conn.Close()
}

func TestATaskThatDiesByItselfCostsNoRequest(t *testing.T) {
	a := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{Health: Health{Interval: time.Hour}})
	s.set(t, one(targetOf("a", a), targetOf("b", b)))
	eventually(t, "both are healthy", func() bool { ts := s.Targets("web"); return ts[0].Healthy && ts[1].Healthy })
	a.CloseClientConnections()
	a.Close()
	for i := range 40 {
		if code, page := s.do(t, "POST", "/", strings.NewReader(fmt.Sprint(i)), nil); code != 200 {
			t.Fatalf("%d %s", code, page)
		}
	}
	if state := s.Targets("web")[0]; state.Healthy || !strings.Contains(state.Reason, "refused") {
		t.Errorf("the dead one: %+v", state)
	}
}

func TestARequestIsSentAgainOnlyIfThatIsSafe(t *testing.T) {
	for _, c := range []struct {
		method, body string
		want         int
	}{
		{"GET", "", 200},
		{"DELETE", "", 200},
		{"PUT", "body", 502},
		{"POST", "", 502},
		{"POST", "body", 502},
	} {
		var asked atomic.Int64
		cut := func(w http.ResponseWriter, r *http.Request) {
			// The first request of all is cut, whoever gets it.
			if asked.Add(1) == 1 {
				hijackAndCut(t, w)
			}
		}
		a, b := backend(t, cut), backend(t, cut)
		s := serve(t, Options{})
		s.set(t, one(targetOf("a", a), targetOf("b", b)))
		code, page := s.do(t, c.method, "/", strings.NewReader(c.body), nil)
		if code != c.want {
			t.Errorf("%s with body %q: %d %s, want %d", c.method, c.body, code, page, c.want)
		}
		if want := int64(1 + (502-c.want)/302); asked.Load() != want {
			t.Errorf("%s with body %q was sent %d times, want %d", c.method, c.body, asked.Load(), want)
		}
	}
}

func TestWhereMostTargetsFailAllAreUsed(t *testing.T) {
	var failing atomic.Bool
	var asked [4]atomic.Int64
	var targets []Target
	for i := range asked {
		b := backend(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" {
				if i > 0 && failing.Load() {
					w.WriteHeader(500)
				}
				return
			}
			asked[i].Add(1)
		})
		targets = append(targets, targetOf(fmt.Sprint(i), b))
	}
	s := serve(t, Options{Health: Health{Interval: 5 * time.Millisecond}})
	table := one(targets...)
	table.Routes[0].Check.Path = "/health"
	s.set(t, table)
	healthy := func() (n int) {
		for _, state := range s.Targets("web") {
			if state.Healthy {
				n++
			}
		}
		return n
	}
	eventually(t, "all are healthy", func() bool { return healthy() == 4 })
	failing.Store(true)
	eventually(t, "one is", func() bool { return healthy() == 1 })
	for range 200 {
		if code, _ := s.get(t, "/"); code != 200 {
			t.Fatal(code)
		}
	}
	for i := range asked {
		if asked[i].Load() == 0 {
			t.Errorf("target %d got nothing", i)
		}
	}
	failing.Store(false)
	eventually(t, "all are healthy again", func() bool { return healthy() == 4 })
}

func TestATargetThatBreaksConnectionsIsLeftOutForAGrowingTime(t *testing.T) {
	o := Health{}.withDefaults()
	h := health{state: healthy}
	now := time.Unix(1000, 0)
	broken := errors.New("reset")
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		want *= time.Second
		if got := h.eject(now, o, broken); got != want {
			t.Errorf("left out for %s, want %s", got, want)
		}
		if h.usable(now.Add(want - 1)) {
			t.Error("used before its time is over")
		}
		if now = now.Add(want); !h.usable(now) {
			t.Error("still left out after its time")
		}
	}
	now = now.Add(time.Hour)
	if got := h.eject(now, o, broken); got != o.EjectFor {
		t.Errorf("after an hour without trouble: left out for %s, want %s", got, o.EjectFor)
	}
}

func TestFailedRequestsInARowEjectATarget(t *testing.T) {
	bad := backend(t, func(w http.ResponseWriter, r *http.Request) { hijackAndCut(t, w) })
	good := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{Health: Health{EjectFor: time.Hour, EjectMax: time.Hour}})
	s.set(t, one(targetOf("bad", bad), targetOf("good", good)))
	eventually(t, "both are healthy", func() bool { ts := s.Targets("web"); return ts[0].Healthy && ts[1].Healthy })
	eventually(t, "the bad one is left out", func() bool {
		s.get(t, "/")
		return strings.Contains(s.Targets("web")[0].Reason, "left out")
	})
	before := s.Targets("web")[0].Failed()
	for range 50 {
		if code, _ := s.get(t, "/"); code != 200 {
			t.Fatal(code)
		}
	}
	if state := s.Targets("web")[0]; state.Failed() != before {
		t.Errorf("it was asked %d times more", state.Failed()-before)
	}
}

func TestChecksChangeAStateOnlyAfterSoManyInARow(t *testing.T) {
	o := Health{UnhealthyAfter: 3, HealthyAfter: 2}.withDefaults()
	bad := errors.New("no")
	h := health{}
	for i, step := range []struct {
		err  error
		want healthState
	}{
		{bad, unproven}, {bad, unproven}, {nil, healthy}, // a new target needs one
		{bad, healthy}, {bad, healthy}, {nil, healthy}, {bad, healthy}, {bad, healthy}, {bad, unhealthy},
		{nil, unhealthy}, {bad, unhealthy}, {nil, unhealthy}, {nil, healthy},
	} {
		h.checked(step.err, o)
		if h.state != step.want {
			t.Fatalf("step %d: state %d, want %d", i, h.state, step.want)
		}
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	var b budget
	spent := 0
	for b.take(0, 0) {
		spent++
	}
	if spent != budgetRate {
		t.Errorf("%d retries at the start, want %d", spent, budgetRate)
	}
	for spent = 0; b.take(0, 100); spent++ {
	}
	if spent != 20 {
		t.Errorf("%d retries for 100 requests, want a fifth", spent)
	}
	for spent = 0; b.take(time.Hour, 1<<40); spent++ {
	}
	if spent != budgetMax {
		t.Errorf("%d retries saved up, want %d", spent, budgetMax)
	}
}

func TestTheLessLoadedOfTwoIsTaken(t *testing.T) {
	busy, idle := &target{}, &target{}
	busy.inflight.Store(3)
	idle.tunnels.Store(1)
	random := newRand()
	for range 100 {
		if got := pick([]*target{busy, idle}, nil, random); got != idle {
			t.Fatal("the busier one was taken")
		}
	}
	if got := pick([]*target{busy, idle}, []*target{idle}, random); got != busy {
		t.Error("the one to be left out was taken")
	}
	if got := pick([]*target{idle}, []*target{idle}, random); got != nil {
		t.Error("the only one was to be left out")
	}
}

// A host that is cut off breaks all that it had in flight, at one time.
func TestAllThatWasInFlightEjectsATargetOnce(t *testing.T) {
	const many = 20
	var arrived sync.WaitGroup
	arrived.Add(many)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		panic(http.ErrAbortHandler)
	})
	s := serve(t, Options{Health: Health{EjectFor: time.Minute, EjectMax: time.Hour}})
	s.set(t, one(targetOf("1", b)))
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			if code, _ := s.do(t, http.MethodPost, "/", nil, nil); code != http.StatusBadGateway {
				t.Errorf("%d, want 502", code)
			}
		})
	}
	all.Wait()
	if got := s.Targets("web")[0]; got.Healthy || !strings.Contains(got.Reason, "left out for 1m0s") {
		t.Errorf("%+v, want it left out for a minute", got)
	}
}

// pool are the targets of a service that are used.
func (s *served) pool(service string) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[service].usable.Load()
}

// deafTarget is one that was healthy, and takes no connection any more once it has
// been deafened.
func deafTarget(t *testing.T, id string) (target Target, deafen func()) {
	t.Helper()
	b := naming(t, id)
	return targetOf(id, b), func() {
		b.Close()
		deafAt(t, b.Listener.Addr().(*net.TCPAddr).Port)
	}
}

func TestARequestThatWasNotSentGoesToAnotherTargetWhateverTheBudget(t *testing.T) {
	for name, route := range map[string]Route{"plain": {}, "rare": {Compress: true}} {
		t.Run(name, func(t *testing.T) {
			// None is left out for its failures, so that each request has to find out.
			s := serve(t, Options{DialTimeout: 50 * time.Millisecond, Health: Health{Interval: time.Hour, EjectAfter: 1e6}})
			targets := []Target{targetOf("good", naming(t, "good"))}
			var deafened []func()
			for i := range 4 {
				target, deafen := deafTarget(t, fmt.Sprint("deaf-", i))
				targets, deafened = append(targets, target), append(deafened, deafen)
			}
			route.Path, route.Service = "/", "web"
			s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": targets}})
			s.healthy(t, "web", len(targets))
			for _, deafen := range deafened {
				deafen()
			}
			const many = 100
			var all sync.WaitGroup
			for range many {
				all.Go(func() {
					if code, text := s.do(t, http.MethodPost, "/", nil, nil); code != http.StatusOK {
						t.Errorf("%d %s", code, text)
					}
				})
			}
			all.Wait()
			for _, target := range s.Targets("web") {
				if n := target.Failures["connect"]; n > many {
					t.Errorf("%s was tried %d times for %d requests", target.ID, n, many)
				}
			}
		})
	}
}

func TestWhereMostTargetsFailThoseThatTakeNoConnectionsAreNotUsed(t *testing.T) {
	var failing atomic.Bool
	var asked atomic.Int64
	ill := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			asked.Add(1)
		} else if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	gone := backend(t, func(http.ResponseWriter, *http.Request) {})
	deaf, deafen := deafTarget(t, "deaf")
	s := serve(t, Options{DialTimeout: 50 * time.Millisecond, Health: Health{Interval: 5 * time.Millisecond, Timeout: 50 * time.Millisecond}})
	table := one(targetOf("well", naming(t, "well")), targetOf("ill", ill), targetOf("gone", gone), deaf)
	table.Routes[0].Check.Path = "/health"
	s.set(t, table)
	s.healthy(t, "web", 4)
	failing.Store(true)
	gone.Close()
	deafen()
	s.healthy(t, "web", 1)
	eventually(t, "it is known who takes connections", func() bool { return len(s.pool("web").targets) == 2 })
	for range 100 {
		if code, text := s.get(t, "/"); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	if asked.Load() == 0 {
		t.Error("the one that fails its checks, but takes connections, was not used")
	}
	for _, target := range s.Targets("web") {
		if target.Failed() != 0 {
			t.Errorf("%s was tried: %v", target.ID, target.Failures)
		}
	}
}

// What would be sent to all of them, one after the other and over again, would make
// an outage worse.
func TestWhereNoTargetTakesConnectionsARequestTriesOneAndWaits(t *testing.T) {
	for cause, gone := range map[string]func(*httptest.Server){
		"refused": func(b *httptest.Server) { b.Close() },
		"connect": func(b *httptest.Server) {
			b.Close()
			deafAt(t, b.Listener.Addr().(*net.TCPAddr).Port)
		},
	} {
		t.Run(cause, func(t *testing.T) {
			s := serve(t, Options{
				DialTimeout: 20 * time.Millisecond, HoldTimeout: 200 * time.Millisecond,
				Health: Health{Interval: 5 * time.Millisecond, Timeout: 20 * time.Millisecond, EjectAfter: 1e6},
			})
			var targets []Target
			var servers []*httptest.Server
			for i := range 5 {
				b := naming(t, fmt.Sprint(i))
				targets, servers = append(targets, targetOf(fmt.Sprint(i), b)), append(servers, b)
			}
			s.set(t, one(targets...))
			s.healthy(t, "web", len(targets))
			for _, b := range servers {
				gone(b)
			}
			eventually(t, "it is known that none takes connections", func() bool { return s.pool("web").blind })
			const many = 20
			var all sync.WaitGroup
			for range many {
				all.Go(func() {
					if code, text := s.get(t, "/"); code != http.StatusServiceUnavailable || !strings.Contains(text, "took the connection") {
						t.Errorf("%d %s", code, text)
					}
				})
			}
			all.Wait()
			tried := uint64(0)
			for _, target := range s.Targets("web") {
				tried += target.Failures[cause]
			}
			if tried != many {
				t.Errorf("%d connections were tried for %d requests", tried, many)
			}
		})
	}
}

func TestAnotherTryGoesToATargetThatHasNotFailed(t *testing.T) {
	tried, failed, well := &target{}, &target{}, &target{}
	failed.strikes.Store(1)
	well.inflight.Store(9)
	random := newRand()
	near := &pool{targets: []*target{tried, failed, well}, near: []*target{tried, failed}}
	for range 20 {
		if got := pick([]*target{tried, failed, well}, []*target{tried}, random); got != well {
			t.Fatal("the one that has failed was taken")
		}
		if got := near.pick([]*target{tried}, nil, random); got != well {
			t.Fatal("the one of the own zone that has failed was taken")
		}
	}
	if got := pick([]*target{tried, failed, well}, []*target{tried, well}, random); got != failed {
		t.Error("the one that has failed is not taken where it is the last")
	}
}

func TestATargetThatNeverPassesItsCheckIsToldOfOnce(t *testing.T) {
	var told bytes.Buffer
	r := New(Options{Log: slog.New(slog.NewTextHandler(&told, nil))})
	defer r.Close()
	s := newService(r, "web")
	one := &target{Target: Target{ID: "1"}, service: s}
	began := time.Now()
	for at := time.Duration(0); at < unprovenAfter; at += unprovenAfter / 4 {
		one.tellUnproven(began.Add(at), errors.New("answered with 404"))
	}
	if told.Len() > 0 {
		t.Errorf("told too soon, for it may only be starting: %s", &told)
	}
	for range 3 {
		one.tellUnproven(began.Add(unprovenAfter), errors.New("answered with 404"))
	}
	if got := told.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "answered with 404") {
		t.Errorf("told %q, want one warning with the reason", got)
	}
}
