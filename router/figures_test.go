package router

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"
)

// routeNamed gives the figures of a route once done of its requests have ended:
// an end is counted just after the client has its answer.
func (s *served) routeNamed(t *testing.T, name string, done uint64) RouteState {
	t.Helper()
	var found RouteState
	eventually(t, "the figures", func() bool {
		found = RouteState{}
		for _, r := range s.Routes() {
			if r.Route == name {
				found = r
			}
		}
		return found.Requests-uint64(found.InFlight) == done
	})
	return found
}

func TestAnswersAreCountedByClassOnTheRouteAndOnTheTarget(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		code := http.StatusOK
		_, _ = fmt.Sscan(r.URL.Query().Get("code"), &code)
		w.WriteHeader(code)
	})
	s := serve(t, Options{})
	s.set(t, Table{
		Routes: []Route{
			{Path: "/plain", Service: "web"},
			{Path: "/rare", Service: "web", Compress: true},
			{Path: "/unused", Service: "web"},
		},
		Services: map[string][]Target{"web": {targetOf("1", b)}},
	})
	for _, path := range []string{"/plain", "/rare"} {
		for _, code := range []int{200, 204, 301, 404, 503, 503} {
			if got, _ := s.get(t, fmt.Sprintf("%s?code=%d", path, code)); got != code && code != 301 {
				t.Errorf("%s answered %d, want %d", path, got, code)
			}
		}
		got := s.routeNamed(t, path, 6)
		want := map[string]uint64{"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 2}
		if !maps.Equal(got.Answers, want) || got.Failed() != 0 || got.Latencies.Count != 6 || got.Service != "web" {
			t.Errorf("%s: %+v, want the answers %v", path, got, want)
		}
	}
	target := s.Targets("web")[0]
	if want := map[string]uint64{"2xx": 4, "3xx": 2, "4xx": 2, "5xx": 4}; !maps.Equal(target.Answers, want) || target.Latencies.Count != 12 || target.InFlight != 0 {
		t.Errorf("target: %+v, want the answers %v", target, want)
	}
	if n := len(s.Routes()); n != 2 {
		t.Errorf("%d routes have figures, want the 2 that had requests", n)
	}
	if st := s.Stats("web"); st.Requests != 12 || st.Errors != 4 {
		t.Errorf("the demand's own figures %+v differ", st)
	}
}

// closing is a target that ends each connection after saying answer.
func closing(t *testing.T, answer string) Target {
	t.Helper()
	return speaking(t, "1", func(conn net.Conn) {
		if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, request.Body)
			_, _ = io.WriteString(conn, answer)
		}
	})
}

func TestEachFailureIsCountedByItsCause(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	stuck := make(chan struct{})
	good := targetOf("1", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stuck" {
			<-stuck
		}
	}))
	defer close(stuck)
	unhealthy := backend(t, func(http.ResponseWriter, *http.Request) {})
	refusing := targetOf("1", unhealthy)
	everyone := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, c := range []struct {
		name    string
		route   Route
		target  Target
		path    string
		body    io.Reader
		status  int
		route_  string
		target_ string
	}{
		{"denied", Route{Access: Access{Deny: everyone}}, good, "/", nil, 403, "forbidden", ""},
		{"no password", Route{Access: Access{Users: map[string]string{"u": string(hash)}}}, good, "/", nil, 401, "unauthorized", ""},
		{"no authority", Route{Access: Access{Forward: "http://127.0.0.1:1/"}}, good, "/", nil, 502, "authority", ""},
		{"slow, rare", Route{Timeout: 20 * time.Millisecond, Compress: true}, good, "/stuck", nil, 504, "timeout", "timeout"},
		{"slow", Route{Timeout: 20 * time.Millisecond}, good, "/stuck", nil, 504, "timeout", "timeout"},
		{"closes", Route{}, closing(t, ""), "/", strings.NewReader("a body"), 502, "broken", "broken"},
		{"no HTTP", Route{}, closing(t, "SSH-2.0-x\r\n\r\n"), "/", strings.NewReader("a body"), 502, "unreadable", "unreadable"},
		{"too large", Route{}, good, "/", strings.NewReader(strings.Repeat("x", 2000)), 413, "too_large", ""},
		{"too large, rare", Route{Compress: true}, good, "/", strings.NewReader(strings.Repeat("x", 2000)), 413, "too_large", ""},
		{"refuses", Route{HoldTimeout: 30 * time.Millisecond}, refusing, "/", nil, 503, "hold_timeout", "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, Options{MaxBody: 1000, Health: Health{Interval: time.Hour}})
			c.route.Path, c.route.Service = "/", "web"
			s.set(t, Table{Routes: []Route{c.route}, Services: map[string][]Target{"web": {c.target}}})
			eventually(t, "the figures", func() bool { return s.Targets("web")[0].Healthy })
			if c.target == refusing {
				unhealthy.Close()
			}
			method := http.MethodGet
			if c.body != nil {
				method = http.MethodPost
			}
			if status, text := s.do(t, method, c.path, c.body, nil); status != c.status {
				t.Errorf("status %d, want %d: %s", status, c.status, text)
			}
			got := s.routeNamed(t, "/", 1)
			if want := map[string]uint64{c.route_: 1}; !maps.Equal(got.Failures, want) {
				t.Errorf("the route's failures are %v, want %v", got.Failures, want)
			}
			if of := s.Targets("web")[0]; (of.Failures[c.target_] > 0) != (c.target_ != "") || of.Failed() != of.Failures[c.target_] {
				t.Errorf("the target's failures are %v, want %q", of.Failures, c.target_)
			}
		})
	}
}

func TestARequestOverALimitIsCountedByWhichLimitItWas(t *testing.T) {
	s := serve(t, Options{})
	release := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/few" {
			<-release
		}
	})
	s.set(t, Table{
		Routes:   []Route{{Path: "/few", Service: "web", Limits: Limits{InFlight: 1}}, {Path: "/slow", Service: "web", Limits: Limits{Rate: 0.001}}},
		Services: map[string][]Target{"web": {targetOf("1", b)}},
	})
	first := make(chan struct{})
	go func() { defer close(first); s.get(t, "/few") }()
	eventually(t, "the figures", func() bool {
		return slices.ContainsFunc(s.Routes(), func(r RouteState) bool { return r.Route == "/few" && r.InFlight == 1 })
	})
	s.get(t, "/few")
	close(release)
	<-first
	if got := s.routeNamed(t, "/few", 2); got.Failures["in_flight_limit"] != 1 || got.Answers["2xx"] != 1 || got.Answers["5xx"] != 1 {
		t.Errorf("%+v", got)
	}
	s.get(t, "/slow")
	s.get(t, "/slow")
	if got := s.routeNamed(t, "/slow", 2); got.Failures["rate_limit"] != 1 || got.Answers["4xx"] != 1 {
		t.Errorf("%+v", got)
	}
}

func TestConnectionsThatATCPRouteRefusesAreCounted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Listen: func(int) (net.Listener, error) { return l, nil }})
	table := Table{Routes: []Route{{TCP: 5432, Service: "db"}}, Services: map[string][]Target{"db": {parrot(t)}}}
	s.set(t, table)
	connect := func() {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "x"); err == nil {
			_, _ = conn.Read(make([]byte, 1))
		}
	}
	connect()
	if got := s.routeNamed(t, "tcp:5432", 1); got.Answers["ended"] != 1 || got.Failed() != 0 {
		t.Errorf("one that was served: %+v", got)
	}
	table.Routes[0].Access.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.set(t, table)
	connect()
	if got := s.routeNamed(t, "tcp:5432", 2); got.Failures["forbidden"] != 1 || got.Answers["4xx"] != 1 {
		t.Errorf("one that was refused: %+v", got)
	}
}

// parrot is a target that gives back what it gets.
func parrot(t *testing.T) Target {
	t.Helper()
	return speaking(t, "1", func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}

func TestFiguresOutliveATableAndAChangeOfLimitsAndEndWithTheirRoute(t *testing.T) {
	b := backend(t, func(http.ResponseWriter, *http.Request) {})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	s.set(t, table)
	s.get(t, "/")
	s.set(t, table)
	s.get(t, "/")
	table.Routes[0].Limits.InFlight = 5
	s.set(t, table)
	s.get(t, "/")
	if got := s.routeNamed(t, "/", 3); got.Answers["2xx"] != 3 {
		t.Errorf("%+v", got)
	}
	table.Routes[0].Path = "/other"
	s.set(t, table)
	if got := s.Routes(); len(got) != 0 {
		t.Errorf("figures of a route that is no more: %+v", got)
	}
}

func TestRoutesPastTheBoundShareOneSetOfFigures(t *testing.T) {
	s := serve(t, Options{})
	const more = 7
	table := Table{Services: map[string][]Target{"web": {}}}
	for i := range maxRouteFigures + more {
		table.Routes = append(table.Routes, Route{Path: fmt.Sprintf("/r%d", i), Service: "web", HoldTimeout: time.Nanosecond})
	}
	s.set(t, table)
	for _, route := range table.Routes {
		s.ServeHTTP(discard{}, mustRequest(t, route.Path))
	}
	got := s.Routes()
	if len(got) != maxRouteFigures+1 || got[0].Requests != 1 {
		t.Fatalf("%d sets of figures, want %d and one for the others", len(got), maxRouteFigures)
	}
	if last := got[maxRouteFigures]; last.Route != OtherRoutes || last.Requests != more || last.Failures["hold_timeout"] != more {
		t.Errorf("the others: %+v", last)
	}
	// The places of routes that are no more are given out again.
	s.set(t, Table{Routes: []Route{{Path: "/new", Service: "web", HoldTimeout: time.Nanosecond}}, Services: table.Services})
	s.ServeHTTP(discard{}, mustRequest(t, "/new"))
	if got := s.Routes(); len(got) != 1 || got[0].Route != "/new" {
		t.Errorf("after a new table: %+v", got)
	}
}

// discard is an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func mustRequest(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:1"
	return r
}

func TestALatencyIsCountedBelowTheFirstBoundThatIsOverIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := time.Duration(rapid.Int64Range(-5, int64(2*time.Minute)).Draw(t, "took"))
		var f figures
		f.begin()
		f.end(200, noCause, took, true)
		l := f.snapshot().Latencies
		for i, bound := range l.Bounds {
			if (l.Counts[i] == 1) != (took.Truncate(time.Microsecond) < bound) {
				t.Fatalf("%s and the bound %s: %d", took, bound, l.Counts[i])
			}
		}
		if l.Count != 1 || l.Sum != took {
			t.Fatalf("%+v", l)
		}
	})
}

func TestAStatusOf499OfATargetIsAnAnswerLikeAnyOther(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(499)
		_, _ = io.WriteString(w, "a whole answer")
	})
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/plain", Service: "web"}, {Path: "/rare", Service: "web", Compress: true}},
		Services: map[string][]Target{"web": {targetOf("1", b)}},
	})
	for _, path := range []string{"/plain", "/rare"} {
		if status, text := s.get(t, path); status != 499 || text != "a whole answer" {
			t.Errorf("%s: %d %q", path, status, text)
		}
		if got := s.routeNamed(t, path, 1); got.Answers["4xx"] != 1 {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// TestAPlainRequestAllocatesNothing sends requests on one connection, from a
// client and to a target that allocate nothing either.
func TestAPlainRequestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates by itself")
	}
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	target := speaking(t, "1", func(conn net.Conn) {
		buffer, out := make([]byte, 4096), []byte(answer)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	})
	s := serve(t, Options{Health: Health{Interval: time.Hour}})
	s.set(t, one(target))
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request, buffer := []byte("GET /a/b?c=d HTTP/1.1\r\nHost: web.localhost\r\nAccept: */*\r\n\r\n"), make([]byte, 4096)
	ok := []byte("HTTP/1.1 200")
	send := func(n int) {
		for range n {
			if _, err := conn.Write(request); err != nil {
				t.Fatal(err)
			}
			if n, err := io.ReadAtLeast(conn, buffer, len(answer)); err != nil || !bytes.HasPrefix(buffer[:n], ok) {
				t.Fatalf("%q, %v", buffer[:n], err)
			}
		}
	}
	send(200)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 5000
	send(n)
	runtime.ReadMemStats(&after)
	// The sweep and the collector have a few of their own.
	if each := float64(after.Mallocs-before.Mallocs) / n; each > 0.2 {
		t.Errorf("%.2f allocations for a request", each)
	}
}

func TestARequestThatTheRouterTurnsAwayIsNoDemandOnTheService(t *testing.T) {
	authority := backend(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
	nowhere := netip.MustParsePrefix("192.0.2.0/24")
	for name, c := range map[string]struct {
		route  Route
		path   string
		body   string
		status int
		class  string
	}{
		"for its address":             {Route{Access: Access{Allow: []netip.Prefix{nowhere}}}, "/", "", 403, "4xx"},
		"for want of a name":          {Route{Access: Access{Users: map[string]string{"ali": "$2y$05$none"}}}, "/", "", 401, "4xx"},
		"by its authority":            {Route{Access: Access{Forward: authority.URL}}, "/", "", 403, "4xx"},
		"for want of an authority":    {Route{Access: Access{Forward: "http://" + deadAddress(t)}}, "/", "", 502, "5xx"},
		"for its client's rate":       {Route{Limits: Limits{ClientRate: 0.001}}, "/", "", 429, "4xx"},
		"for its size":                {Route{}, "/", "longer than three", 413, "4xx"},
		"for its size, not plain":     {Route{Compress: true}, "/", "longer than three", 413, "4xx"},
		"for how its path is spelled": {Route{Path: "/a", Strip: true}, "/%61/b", "", 400, "4xx"},
		"for its spelling, not plain": {Route{Path: "/a", Strip: true, Compress: true}, "/%61/b", "", 400, "4xx"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{MaxBody: 3})
			route := c.route
			route.Path, route.Service = cmp.Or(route.Path, "/"), "web"
			s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": {targetOf("1", naming(t, "in"))}}})
			served := uint64(0)
			if route.Limits.ClientRate > 0 {
				served = 1 // the first is let in
				s.get(t, c.path)
			}
			code, text := s.do(t, "POST", c.path, strings.NewReader(c.body), nil)
			if code != c.status {
				t.Fatalf("%d %q; want %d", code, text, c.status)
			}
			eventually(t, "the route counts it", func() bool {
				routes := s.Routes()
				return len(routes) == 1 && routes[0].Requests == served+1 && routes[0].Answers[c.class] == 1 && routes[0].InFlight == 0
			})
			if got := s.Demand("web"); got.Requests != served || got.InFlight != 0 {
				t.Errorf("demand %+v; want none of one that is turned away", got)
			}
		})
	}
}
