package router

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// naming is a backend that answers with its name.
func naming(t *testing.T, name string) *httptest.Server {
	t.Helper()
	return backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) })
}

// tally sends n requests and counts the answers.
func (s *served) tally(t *testing.T, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		_, text := s.get(t, "/")
		got[text]++
	}
	return got
}

func (s *served) healthy(t *testing.T, service string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d targets are healthy", n), func() bool {
		count := 0
		for _, state := range s.Targets(service) {
			if state.Healthy {
				count++
			}
		}
		return count == n
	})
}

func TestTwoVersionsShareTheRequestsByTheirWeightsUntilARollback(t *testing.T) {
	s := serve(t, Options{Rand: rand.New(rand.NewPCG(1, 2)).Uint64})
	table := Table{
		Routes:   []Route{{Path: "/", Service: "v1", Weight: 90}, {Path: "/", Service: "v2", Weight: 10}},
		Services: map[string][]Target{"v1": {targetOf("1", naming(t, "v1"))}, "v2": {targetOf("2", naming(t, "v2"))}},
	}
	s.set(t, table)
	if got := s.tally(t, 500); got["v2"] < 25 || got["v2"] > 80 || got["v1"]+got["v2"] != 500 {
		t.Errorf("weights 90 and 10 gave %v", got)
	}
	table.Routes[0].Weight, table.Routes[1].Weight = 1, 0
	s.set(t, table)
	if got := s.tally(t, 100); got["v1"] != 100 {
		t.Errorf("after the rollback: %v", got)
	}
}

func TestRoundRobinGoesOverAllTargetsInTurn(t *testing.T) {
	s := serve(t, Options{})
	table := one(targetOf("1", naming(t, "a")), targetOf("2", naming(t, "b")), targetOf("3", naming(t, "c")))
	table.Routes[0].Balance.Policy = RoundRobin
	s.set(t, table)
	s.healthy(t, "web", 3)
	if got := s.tally(t, 30); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
		t.Errorf("%v", got)
	}
}

func TestWeightedBalancingFollowsTheTargetsWeights(t *testing.T) {
	s := serve(t, Options{Rand: rand.New(rand.NewPCG(3, 4)).Uint64})
	heavy, light := targetOf("1", naming(t, "heavy")), targetOf("2", naming(t, "light"))
	heavy.Weight, light.Weight = 300, 100
	table := one(heavy, light)
	table.Routes[0].Balance.Policy = Weighted
	s.set(t, table)
	s.healthy(t, "web", 2)
	if got := s.tally(t, 400); got["heavy"] < 260 || got["heavy"] > 340 {
		t.Errorf("weights 3 and 1 gave %v", got)
	}
}

func TestAStickyClientStaysAtItsTargetUntilThatDrains(t *testing.T) {
	s := serve(t, Options{})
	table := one(targetOf("task-1", naming(t, "1")), targetOf("task-2", naming(t, "2")), targetOf("task-3", naming(t, "3")))
	table.Routes[0].Balance.Sticky = "stay"
	s.set(t, table)
	s.healthy(t, "web", 3)
	ask := func(cookie string) (string, *http.Cookie) {
		request, err := http.NewRequest("GET", "http://"+s.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			request.AddCookie(&http.Cookie{Name: "stay", Value: cookie})
		}
		answer, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		for _, c := range answer.Cookies() {
			return string(text), c
		}
		return string(text), nil
	}
	first, cookie := ask("")
	if cookie == nil || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || strings.Contains(cookie.Value, "task") {
		t.Fatalf("cookie %+v", cookie)
	}
	for range 20 {
		if text, again := ask(cookie.Value); text != first || again != nil {
			t.Fatalf("%q (and cookie %v), want %q", text, again, first)
		}
	}
	if err := s.Drain(t.Context(), "task-"+first); err != nil {
		t.Fatal(err)
	}
	text, next := ask(cookie.Value)
	if text == first || next == nil || next.Value == cookie.Value {
		t.Errorf("after the drain: %q, cookie %v", text, next)
	}
}

func TestTheRoutersOwnZoneComesFirstWhileItHasRoom(t *testing.T) {
	near, far := &target{Target: Target{Zone: "a"}}, &target{Target: Target{Zone: "b"}}
	for _, x := range []*target{near, far} {
		x.service = &service{}
		x.service.settings.Store(&settings{})
	}
	p := newPool([]*target{near, far}, Balance{}, "a", time.Now())
	random := rand.New(rand.NewPCG(5, 6)).Uint64
	turn := func() uint64 { return 0 }
	for range 50 {
		if p.pick(nil, turn, random) != near {
			t.Fatal("it went to another zone")
		}
	}
	near.inflight.Store(3)
	spilled := 0
	for range 50 {
		if p.pick(nil, turn, random) == far {
			spilled++
		}
	}
	if spilled == 0 {
		t.Error("a loaded zone lets nothing go to another")
	}
	if p.pick([]*target{near}, turn, random) != far {
		t.Error("without a target in the zone the others are used")
	}
	if blind := newPool([]*target{near, far}, Balance{AnyZone: true}, "a", time.Now()); blind.near != nil {
		t.Error("the zone counts though it must not")
	}
}

func TestANewTargetIsBroughtInSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		s.settings.Store(&settings{balance: Balance{SlowStart: 10 * time.Second}})
		old, fresh := &target{service: s}, &target{service: s}
		fresh.rampFrom.Store(time.Now().UnixNano())
		for _, want := range []uint64{100, 190, 280} {
			if got := fresh.share(time.Now()); got != want {
				t.Errorf("share %d, want %d", got, want)
			}
			time.Sleep(time.Second)
		}
		p := newPool([]*target{old, fresh}, Balance{}, "", time.Now())
		random := rand.New(rand.NewPCG(7, 8)).Uint64
		old.inflight.Store(1)
		if p.pick(nil, nil, random) != old {
			t.Error("one request weighs more than a new target's small share")
		}
		old.inflight.Store(9)
		if p.pick(nil, nil, random) != fresh {
			t.Error("a new target gets nothing at all")
		}
		time.Sleep(10 * time.Second)
		if newPool([]*target{old, fresh}, Balance{}, "", time.Now()).ramping {
			t.Error("the slow start has no end")
		}
	})
}

func TestAFullTargetQueuesABoundedNumber(t *testing.T) {
	entered, release := make(chan struct{}, 8), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			entered <- struct{}{}
			<-release
		}
	})
	t.Cleanup(let)
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Balance = Balance{MaxPerTarget: 2, MaxQueued: 3}
	s.set(t, table)
	s.get(t, "/first") // waits for the target's first check: until then all wait
	codes := make(chan int, 8)
	send := func() { code, _ := s.get(t, "/"); codes <- code }
	for range 5 {
		go send()
	}
	eventually(t, "two are sent and three wait", func() bool {
		st := s.Stats("web")
		return st.Held == 3 && st.InFlight == 5 && len(entered) >= 2
	})
	if len(entered) != 2 {
		t.Errorf("%d requests reached the target, which takes 2", len(entered))
	}
	if code, text := s.get(t, "/"); code != 503 || !strings.Contains(text, "3 requests wait") {
		t.Errorf("the one too many: %d %q", code, text)
	}
	let()
	for range 5 {
		if code := <-codes; code != 200 {
			t.Errorf("a queued request got %d", code)
		}
	}
}

func TestNoRequestWaitsForATargetThatHasRoom(t *testing.T) {
	s := serve(t, Options{HoldTimeout: 5 * time.Second})
	table := one(targetOf("1", backend(t, func(http.ResponseWriter, *http.Request) {})))
	table.Routes[0].Balance = Balance{MaxPerTarget: 1, MaxQueued: 8}
	s.set(t, table)
	s.get(t, "/first")
	service := s.Router.table.Load().services["web"]
	for round := range 20_000 {
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				d := dispatch{router: s.Router, service: service, route: &route{}}
				d.run(releaser{t})
			})
		}
		if clients.Wait(); t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// releaser is a sender whose exchanges are over at once.
type releaser struct{ *testing.T }

func (r releaser) attempt(t *target) bool {
	runtime.Gosched()
	t.release()
	return true
}
func (r releaser) fail(_ cause, _ int, reason string) { r.Error(reason) }
func (r releaser) watch() (context.Context, func())   { return context.Background(), func() {} }

func TestATargetIsCheckedByGRPCsOwnHealthService(t *testing.T) {
	target, states := grpcBackend(t)
	states.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	s := serve(t, Options{})
	table := one(target)
	table.Routes[0].Check = Check{Kind: CheckGRPC, Service: "db", Interval: 10 * time.Millisecond, UnhealthyAfter: 1}
	s.set(t, table)
	eventually(t, "it is seen not to serve", func() bool { return strings.Contains(s.Targets("web")[0].Reason, "state 2") })
	states.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_SERVING)
	s.healthy(t, "web", 1)
	states.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	s.healthy(t, "web", 0)
}

func TestARowOfErrorsLeavesATargetOutWhereThatIsAskedFor(t *testing.T) {
	var bad atomic.Bool
	bad.Store(true)
	sick := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if bad.Load() {
			w.WriteHeader(500)
		}
	})
	well := naming(t, "well")
	s := serve(t, Options{Health: Health{EjectFor: time.Minute}})
	table := one(targetOf("sick", sick), targetOf("well", well))
	table.Routes[0].Check.EjectErrors = 3
	table.Routes[0].Balance.Policy = RoundRobin
	s.set(t, table)
	s.healthy(t, "web", 2)
	errors := 0
	for range 40 {
		if code, _ := s.get(t, "/"); code == 500 {
			errors++
		}
	}
	if errors != 3 {
		t.Errorf("%d clients saw an error, want the 3 that it took", errors)
	}
}

func TestABlackHoleIsLeftOutAndTrafficRecovers(t *testing.T) {
	well := naming(t, "well")
	hole := mute(t, "hole")
	s := serve(t, Options{ResponseTimeout: 20 * time.Millisecond, Health: Health{EjectFor: time.Minute}})
	table := one(targetOf("well-1", well), targetOf("well-2", naming(t, "well")), hole)
	table.Routes[0].Check = Check{Kind: CheckTCP} // which a black hole passes
	table.Routes[0].Balance.Policy = RoundRobin
	s.set(t, table)
	s.healthy(t, "web", 3)
	slow := 0
	for range 60 {
		if code, _ := s.get(t, "/"); code != 200 {
			slow++
		}
	}
	if slow != 3 {
		t.Errorf("%d requests failed, want the 3 after which it is left out", slow)
	}
}

func TestAnAddressThatMayNotUseARouteIsRefused(t *testing.T) {
	s := serve(t, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	table := one(targetOf("1", naming(t, "in")))
	table.Routes[0].Access = Access{
		Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")},
	}
	s.set(t, table)
	for from, want := range map[string]int{"192.0.2.7": 200, "192.0.2.66": 403, "198.51.100.1": 403, "192.0.2.7, 198.51.100.1": 403} {
		if code, _ := s.do(t, "GET", "/", nil, http.Header{"X-Forwarded-For": {from}}); code != want {
			t.Errorf("from %s: %d, want %d", from, code, want)
		}
	}
}

func TestARouteAsksForANameAndAPassword(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 8)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") })
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Access.Users = map[string]string{"ali": string(hash)}
	s.set(t, table)
	ask := func(name, password string) *http.Response {
		request, _ := http.NewRequest("GET", "http://"+s.address, nil)
		if name != "" {
			request.SetBasicAuth(name, password)
		}
		answer, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	for _, c := range []struct {
		name, password string
		want           int
	}{{"", "", 401}, {"ali", "wrong", 401}, {"baba", "open sesame", 401}, {"ali", "open sesame", 200}, {"ali", "open sesame", 200}, {"ali", "wrong", 401}} {
		answer := ask(c.name, c.password)
		if answer.StatusCode != c.want || (c.want == 401) != strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%q %q: %d, %q", c.name, c.password, answer.StatusCode, answer.Header.Get("WWW-Authenticate"))
		}
	}
	if got := <-seen; got != "" {
		t.Errorf("the target got the password: %q", got)
	}
}

func TestAnAuthorityDecidesWhoPasses(t *testing.T) {
	authority := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Modified-Since") != "" || r.Header.Get("Expect") != "" {
			t.Errorf("the authority is asked whether its answer has changed: %v", r.Header)
		}
		if r.Header.Get("Token") != "good" {
			w.Header().Set("Location", "https://login.example/")
			w.WriteHeader(302)
			return
		}
		w.Header().Set("X-User", "ali "+r.Header.Get("X-Forwarded-Method")+" "+r.Header.Get("X-Forwarded-Uri"))
	})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s|%s", r.Header["X-User"], body)
		if r.Method == http.MethodPost && r.Header.Get("If-Modified-Since") == "" {
			t.Errorf("the target is not asked so: %v", r.Header)
		}
	})
	s := serve(t, Options{})
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	table := one(targetOf("1", b))
	table.Routes[0].Access = Access{Forward: authority.URL + "/check", ForwardFields: []string{"x-user"}}
	s.set(t, table)
	code, text := s.do(t, "POST", "/a?b=c", strings.NewReader("body"), http.Header{
		"Token": {"good"}, "X-User": {"root"}, "Expect": {"100-continue"}, "If-Modified-Since": {"Sun, 29 Nov 2026 13:00:00 GMT"},
	})
	if code != 200 || text != "[ali POST /a?b=c]|body" {
		t.Errorf("%d %q", code, text)
	}
	if code, _ := s.get(t, "/"); code != 302 {
		t.Errorf("without a token: %d, want the authority's own answer", code)
	}
	_, err := grpc_health_v1.NewHealthClient(grpcClient(t, s.address, nil)).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call of gRPC without a token: %v", err)
	}
	_, port, _ := net.SplitHostPort(authority.Listener.Addr().String())
	table.Routes[0].Access.Forward = "http://auth.localhost:" + port
	s.set(t, table)
	if code, text := s.do(t, "GET", "/", nil, http.Header{"Token": {"good"}}); code != 200 {
		t.Errorf("an authority at a name below localhost: %d %s", code, text)
	}
	authority.Close()
	if code, _ := s.do(t, "GET", "/", nil, http.Header{"Token": {"good"}}); code != 502 {
		t.Errorf("without an authority: %d", code)
	}
}

func TestARoutesRateAndNumberInFlightAreBounded(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-release
		}
	})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Limits = Limits{Rate: 0.001, Burst: 3, InFlight: 1}
	s.set(t, table)
	done := make(chan int, 1)
	go func() { code, _ := s.get(t, "/slow"); done <- code }()
	<-entered
	if code, text := s.get(t, "/"); code != 503 || !strings.Contains(text, "limit") {
		t.Errorf("a second in flight: %d %q", code, text)
	}
	close(release)
	if code := <-done; code != 200 {
		t.Errorf("the first: %d", code)
	}
	eventually(t, "it is counted out", func() bool { return s.Stats("web").InFlight == 0 })
	s.set(t, table) // the count outlives a table
	codes := [3]int{}
	for i := range codes {
		codes[i], _ = s.get(t, "/")
	}
	if codes != [3]int{200, 200, 429} {
		t.Errorf("after a burst of 3: %v", codes)
	}
}

func TestAMirrorGetsACopyAndItsAnswerIsDropped(t *testing.T) {
	copies := make(chan string, 4)
	shadow := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		copies <- r.Method + " " + r.URL.Path + " " + string(body)
		w.WriteHeader(500)
	})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/", Service: "web", Mirror: Mirror{Service: "next", Share: 1}}},
		Services: map[string][]Target{"web": {targetOf("1", b)}, "next": {targetOf("2", shadow)}},
	})
	s.healthy(t, "next", 1)
	if code, text := s.do(t, "POST", "/x", strings.NewReader("hello"), nil); code != 200 || text != "hello" {
		t.Errorf("%d %q", code, text)
	}
	if got := <-copies; got != "POST /x hello" {
		t.Errorf("the copy is %q", got)
	}
}

func TestAnswersAreCompressedByChoice(t *testing.T) {
	long := strings.Repeat("the same words again and again ", 200)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, long)
	})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Compress = true
	s.set(t, table)
	request, _ := http.NewRequest("GET", "http://"+s.address, nil)
	request.Header.Set("Accept-Encoding", "gzip")
	answer, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("fields %v", answer.Header)
	}
	from, err := gzip.NewReader(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(from); err != nil || string(text) != long {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestARouteHasPagesOfItsOwn(t *testing.T) {
	s := serve(t, Options{HoldTimeout: time.Millisecond})
	table := one()
	table.Routes[0].Pages = map[int]string{503: "<h1>back soon</h1>"}
	s.set(t, table)
	if code, text := s.get(t, "/"); code != 503 || text != "<h1>back soon</h1>" {
		t.Errorf("%d %q", code, text)
	}
}

func TestAnAnswerThatMaySoonBeAnotherSaysWhenToAskAgain(t *testing.T) {
	for code, want := range map[int]string{503: "1", 429: "1", 404: "", 502: "", 403: ""} {
		own, page := httptest.NewRecorder(), httptest.NewRecorder()
		refuse(own, code, "no", false)
		sendPage(page, code, "<p>no", false)
		if a, b := own.Header().Get("Retry-After"), page.Header().Get("Retry-After"); a != want || b != want {
			t.Errorf("%d: Retry-After is %q, and %q with a page of the route's own; want %q", code, a, b, want)
		}
	}
}

func TestTheAccessLogOutlivesItsRotation(t *testing.T) {
	dir := t.TempDir()
	for _, format := range []string{FormatJSON, FormatCommon} {
		path := filepath.Join(dir, format+".log")
		log, err := OpenAccessLog(path, format)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, Options{Access: log})
		table := one(targetOf("1", naming(t, "hello")))
		table.Routes[0].Log = true
		s.set(t, table)
		s.get(t, "/a?b=\"c")
		line := func(path string) string {
			var text []byte
			eventually(t, "the line is there", func() bool { text, _ = os.ReadFile(path); return strings.Count(string(text), "\n") == 1 })
			return string(text)
		}
		check := func(text string) {
			if format == FormatCommon {
				if !strings.HasPrefix(text, "127.0.0.1 - - [") || !strings.Contains(text, `"GET /a?b=\"c HTTP/1.1" 200 5 "-"`) {
					t.Errorf("line %q", text)
				}
				return
			}
			var got struct {
				Client, Method, URI, Service, Task string
				Status, Bytes                      int
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil || got.Client != "127.0.0.1" || got.URI != `/a?b="c` || got.Status != 200 || got.Bytes != 5 || got.Task != "1" {
				t.Errorf("line %q is %+v (%v)", text, got, err)
			}
		}
		check(line(path))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if err := log.Reopen(); err != nil {
			t.Fatal(err)
		}
		s.get(t, "/a?b=\"c")
		check(line(path))
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyWritesALineOfTheAccessLogButTheRouter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	log, err := OpenAccessLog(path, FormatCommon)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const forged = "me\n6.6.6.6 - \"you\""
	log.Write(Record{Client: "127.0.0.1", User: forged, Method: "GET", URI: "/" + forged, Proto: "HTTP/1.1", Status: 200, Referer: forged, Agent: forged})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if line := string(text); strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, `127.0.0.1 - me\n6.6.6.6_-_\"you\" [`) {
		t.Errorf("%q, want one line", line)
	}
}

func TestASilentAnswerEndsWhereThatIsBounded(t *testing.T) {
	release := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a piece")
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Idle = 20 * time.Millisecond
	s.set(t, table)
	answer, err := s.client.Get("http://" + s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the answer %q ended with %v, want a break", text, err)
	}
}
