package router

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a router on a port of the loopback, with clients for it.
type served struct {
	*Router
	address string
	client  *http.Client
}

func serve(t *testing.T, o Options) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Router: New(o), address: l.Addr().String()}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// one is a table with one service, "web", at every host and path.
func one(targets ...Target) Table {
	return Table{
		Routes:   []Route{{Path: "/", Service: "web"}},
		Services: map[string][]Target{"web": targets},
	}
}

func (s *served) set(t *testing.T, table Table) {
	t.Helper()
	if err := s.SetTable(table); err != nil {
		t.Fatal(err)
	}
}

func (s *served) do(t *testing.T, method, path string, body io.Reader, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	answer, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (s *served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return s.do(t, http.MethodGet, path, nil, nil)
}

// raw sends bytes as they are and reads one answer.
func (s *served) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("answer to %q: %v", request, err)
	}
	return answer
}

func backend(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	b := httptest.NewServer(h)
	t.Cleanup(b.Close)
	return b
}

// listenAt is a backend at a known address.
func listenAt(t *testing.T, address string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := httptest.NewUnstartedServer(h)
	b.Listener.Close()
	b.Listener = l
	b.Start()
	return b
}

func targetOf(id string, b *httptest.Server) Target {
	return Target{ID: id, Zone: "a", Address: b.Listener.Addr().String()}
}

// speaking is a target whose connections f has, each by itself, until it returns.
func speaking(t *testing.T, id string, f func(net.Conn)) Target {
	t.Helper()
	return speakingOver(t, id, nil, f)
}

// speakingOver is speaking with what wrap makes of its connections, such as TLS; nil:
// as they are.
func speakingOver(t *testing.T, id string, wrap func(net.Listener) net.Listener, f func(net.Conn)) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		l = wrap(l)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return Target{ID: id, Address: l.Addr().String()}
}

// deadAddress is one that refuses connections.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestARequestReachesTheServiceOfItsHostAndPath(t *testing.T) {
	name := func(n string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", n, r.URL.Path) }
	}
	shop, api := backend(t, name("shop")), backend(t, name("api"))
	s := serve(t, Options{})
	s.set(t, Table{
		Routes: []Route{
			{Host: "shop.localhost", Path: "/", Service: "shop"},
			{Host: "shop.localhost", Path: "/api", Service: "api", Strip: true},
		},
		Services: map[string][]Target{"shop": {targetOf("1", shop)}, "api": {targetOf("2", api)}},
	})
	for path, want := range map[string]string{
		"/":         "shop /",
		"/apis":     "shop /apis",
		"/api":      "api /",
		"/api/v1/x": "api /v1/x",
	} {
		for _, host := range []string{"shop.localhost", "SHOP.localhost:8080", "shop.localhost."} {
			if code, got := s.do(t, "GET", path, nil, http.Header{"Host": {host}}); code != 200 || got != want {
				t.Errorf("%s at host %s: %d %q, want %q", path, host, code, got, want)
			}
		}
	}
	code, page := s.do(t, "GET", "/x", nil, http.Header{"Host": {"other.localhost"}})
	if code != 404 || !strings.Contains(page, `"other.localhost"`) {
		t.Errorf("unrouted host: %d %q", code, page)
	}
	if s.Totals().Unrouted != 1 {
		t.Errorf("unrouted = %d, want 1", s.Totals().Unrouted)
	}
}

func TestATargetSeesWhereARequestReallyCameFrom(t *testing.T) {
	seen := make(chan *http.Request, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	s.do(t, "GET", "/", nil, http.Header{
		"Host":                {"shop.localhost"},
		"X-Forwarded-For":     {"6.6.6.6"},
		"X-Forwarded-Proto":   {"https"},
		"X-Forwarded-Prefix":  {"/admin"},
		"X_forwarded_for":     {"6.6.6.6"},
		"X-Real-Ip":           {"6.6.6.6"},
		"Forwarded":           {"for=6.6.6.6"},
		"Connection":          {"x-secret, keep-alive"},
		"X-Secret":            {"hop"},
		"Proxy-Authorization": {"Basic eDp5"},
		"X-Kept":              {"yes"},
	})
	r := <-seen
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.localhost", "X-Forwarded-Proto": "http",
		"X-Forwarded-Prefix": "", "X_forwarded_for": "", "X-Real-Ip": "",
		"Forwarded": `for=127.0.0.1;proto=http;host="shop.localhost"`,
		"X-Secret":  "", "Connection": "", "Proxy-Authorization": "", "X-Kept": "yes",
	} {
		if got := strings.Join(r.Header[name], "|"); got != want {
			t.Errorf("%s = %q at the target, want %q", name, got, want)
		}
	}
	if r.Host != "shop.localhost" {
		t.Errorf("host = %q", r.Host)
	}
}

func TestARequestThatTwoParsersCouldReadDifferentlyIsRefused(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		t.Errorf("it reached the target: %s %s", r.Method, r.URL)
	})
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/in/", Service: "web"}, {Path: "/", Service: "web"}},
		Services: map[string][]Target{"web": {targetOf("1", b)}},
	})
	const host = "Host: x\r\n"
	for what, request := range map[string]string{
		"both lengths":               "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"both lengths, turned":       "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"two equal lengths":          "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"a list of lengths":          "POST / HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc",
		"a signed length":            "POST / HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc",
		"an unknown coding":          "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":        "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bare LF":                    "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
		"a bare LF head end":         "GET / HTTP/1.1\r\n" + host + "\n",
		"bare CR":                    "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
		"a folded line":              "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n",
		"a space before the colon":   "POST / HTTP/1.1\r\n" + host + "Content-Length : 3\r\n\r\nabc",
		"NUL in a value":             "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n",
		"two spaces in the request":  "GET  / HTTP/1.1\r\n" + host + "\r\n",
		"an unknown version":         "GET / HTTP/1.2\r\n" + host + "\r\n",
		"CONNECT":                    "CONNECT x:443 HTTP/1.1\r\n" + host + "\r\n",
		"a star":                     "OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
		"NUL in the path":            "GET /a%00b HTTP/1.1\r\n" + host + "\r\n",
		"a line end in the path":     "GET /a%0d%0ab HTTP/1.1\r\n" + host + "\r\n",
		"out of the root":            "GET /../etc HTTP/1.1\r\n" + host + "\r\n",
		"out of the prefix":          "GET /in/../x HTTP/1.1\r\n" + host + "\r\n",
		"out of it, encoded":         "GET /in/%2e%2e/x HTTP/1.1\r\n" + host + "\r\n",
		"out of it, encoded slash":   "GET /in/%2e%2e%2fx HTTP/1.1\r\n" + host + "\r\n",
		"out of it and in again":     "GET /in/a/../../in/b HTTP/1.1\r\n" + host + "\r\n",
		"out of it with a backslash": "GET /in/a\\..\\..\\x HTTP/1.1\r\n" + host + "\r\n",
		"out of it with a parameter": "GET /in/..;a/x HTTP/1.1\r\n" + host + "\r\n",
	} {
		answer := s.raw(t, request)
		if answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusHTTPVersionNotSupported {
			t.Errorf("%s: %d, want 400", what, answer.StatusCode)
		}
		if !answer.Close {
			t.Errorf("%s: the connection stays open", what)
		}
	}
}

func TestABadChunkNeverCompletesABody(t *testing.T) {
	whole := make(chan string, 16)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			whole <- string(body)
		}
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	head := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	for what, chunks := range map[string]string{
		"a signed size":      "+3\r\nabc\r\n0\r\n\r\n",
		"a prefixed size":    "0x3\r\nabc\r\n0\r\n\r\n",
		"a bare LF":          "3\nabc\r\n0\r\n\r\n",
		"a longer chunk":     "2\r\nabc\r\n0\r\n\r\n",
		"a length in a tail": "3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
		"a huge size":        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
	} {
		if answer := s.raw(t, head+chunks); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", what, answer.StatusCode)
		}
	}
	if answer := s.raw(t, head+"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"); answer.StatusCode != 200 {
		t.Errorf("a good one with an extension and a trailer: %d", answer.StatusCode)
	}
	if got := <-whole; got != "abc" || len(whole) > 0 {
		t.Errorf("body %q, and %d more", got, len(whole))
	}
}

func TestABodyGoesThroughBothWaysWithItsTrailers(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		n, err := io.Copy(w, r.Body)
		if err != nil {
			t.Errorf("body at the target: %v", err)
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%d %s", n, r.Trailer.Get("X-In")))
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	const size = 3 << 20
	request, err := http.NewRequest("POST", "http://"+s.address+"/", io.LimitReader(letters{}, size))
	if err != nil {
		t.Fatal(err)
	}
	request.Trailer = http.Header{"X-In": {"sent"}}
	answer, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || n != size {
		t.Errorf("%d bytes came back (%v), want %d", n, err, size)
	}
	if got, want := answer.Trailer.Get("X-Sum"), fmt.Sprintf("%d sent", size); got != want {
		t.Errorf("trailer %q, want %q", got, want)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a' + byte(i%26)
	}
	return len(p), nil
}

func TestAStreamIsPassedOnAsItComes(t *testing.T) {
	next := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	answer, err := s.client.Get("http://" + s.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	for i := range 3 {
		// The target sends no more before this line has been read.
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("line %q (%v), want %q", line, err, want)
		}
		_, _ = lines.ReadString('\n')
		next <- struct{}{}
	}
}

func TestAnAnswerThatBreaksOffIsNotTakenForAWholeOne(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	answer, err := s.client.Get("http://" + s.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("read %q to its end", text)
	}
	eventually(t, "the break is counted", func() bool { return s.Stats("web").Errors == 1 })
}

func TestATargetThatDoesNotAnswerIsReportedWith504(t *testing.T) {
	release := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	s := serve(t, Options{ResponseTimeout: 30 * time.Millisecond})
	s.set(t, one(targetOf("t-1", b)))
	code, page := s.get(t, "/")
	if code != http.StatusGatewayTimeout || !strings.Contains(page, "t-1") || !strings.Contains(page, `"web"`) {
		t.Errorf("%d %q", code, page)
	}
}

func TestATableThatContradictsItselfLeavesTheOldOneInForce(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	for what, table := range map[string]Table{
		"web2":      {Routes: []Route{{Path: "/", Service: "web2"}}},
		"claim":     {Routes: []Route{{Path: "/", Service: "a"}, {Path: "/", Service: "b"}}, Services: map[string][]Target{"a": nil, "b": nil}},
		"slash":     {Routes: []Route{{Path: "x", Service: "a"}}, Services: map[string][]Target{"a": nil}},
		"port":      {Services: map[string][]Target{"a": {{ID: "1", Address: "10.0.0.1"}}}},
		"twice":     {Services: map[string][]Target{"a": {{ID: "1", Address: "1.1.1.1:1"}, {ID: "1", Address: "1.1.1.1:1"}}}},
		"without a": {Routes: []Route{{Host: "x:80", Path: "/", Service: "a"}}, Services: map[string][]Target{"a": nil}},
	} {
		if err := s.SetTable(table); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if code, _ := s.get(t, "/"); code != 200 {
		t.Errorf("the old table answers %d", code)
	}
}

func TestTargetsThatStayKeepTheirCounts(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	c := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	for range 5 {
		s.get(t, "/")
	}
	s.set(t, one(targetOf("1", b), targetOf("2", c)))
	states := s.Targets("web")
	if len(states) != 2 || states[0].Requests != 5 || !states[0].Healthy {
		t.Errorf("targets %+v", states)
	}
	if got := s.Stats("web"); got.Requests != 5 || got.Errors != 0 || got.LatencyP99 == 0 {
		t.Errorf("stats %+v", got)
	}
	if got := s.Services(); len(got) != 1 || got[0] != "web" {
		t.Errorf("services %q", got)
	}
}

func TestTheChannelOfAServiceOutlivesItsPlaceInTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		defer r.Close()
		before := r.Pressure("web")
		if err := r.SetTable(one()); err != nil {
			t.Fatal(err)
		}
		if err := r.SetTable(Table{}); err != nil {
			t.Fatal(err)
		}
		if err := r.SetTable(one()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		request := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
		go r.ServeHTTP(httptest.NewRecorder(), request)
		<-before // the held request says so
		cancel()
		synctest.Wait()
		if got := r.Stats("web"); got.Held != 0 || got.InFlight != 0 || got.Errors != 0 {
			t.Errorf("after the client left: %+v", got)
		}
	})
}
