package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"plimsoll/router/h1"
)

func TestWhatHTTP11ForbidsIsRefusedInHTTP2TooAndSaysNothingAgainstTheTarget(t *testing.T) {
	b := record(t)
	s := serve(t, Options{})
	s.set(t, one(Target{ID: "1", Address: b.Addr().String()}))
	s.healthy(t, "web", 1)
	plain := []string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/"}
	f := s.dialHTTP2(t)
	for _, c := range []struct{ name, value, status string }{
		{":path", "/a?b=c;d%20", "200"},
		{":path", "/?a b", "400"},
		{":path", "/? HTTP/1.1", "400"},
		{":path", "/a b", "400"},
		{":path", "/?a#b", "400"},
		{":path", "/?\xff", "400"},
		{":path", "/\xff", "400"},
		{":path", "http://y/", "400"},
		{":path", "*", "400"},
		{":path", "/" + strings.Repeat("a", 17<<10), "414"},
		{":authority", "x:80", "200"},
		{":authority", "[::1]:80", "200"},
		{":authority", `a";for=6.6.6.6`, "400"},
		{":authority", "a b", "400"},
		{":authority", "a/b", "400"},
		{":authority", "a,b", "400"},
		{":authority", "\xff", "400"},
		{":method", "BREW", "200"},
		{":method", "GE T", "400"},
		{":method", "GET\"", "400"},
		{":method", strings.Repeat("A", 33), "501"},
		{"expect", "x", "417"},
	} {
		fields := append([]string(nil), plain...)
		for i := 0; i < len(fields); i += 2 {
			if fields[i] == c.name {
				fields[i+1] = c.value
			}
		}
		if c.name[0] != ':' {
			fields = append(fields, c.name, c.value)
		}
		b.take()
		stream, err := f.askWith(true, fields...)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.status(stream); got != c.status {
			t.Errorf("%s %.20q: %s, want %s", c.name, c.value, got, c.status)
		}
		whole, _, loose := b.take()
		if seen := len(whole) + len(loose); (seen > 0) != (c.status == "200") {
			t.Errorf("%s %.20q: the target saw %q %q", c.name, c.value, whole, loose)
		}
	}
	if state := s.Targets("web")[0]; !state.Healthy || len(state.Failures) > 0 {
		t.Errorf("the target is blamed: %+v", state)
	}
}

func TestAHeadOfHTTP2IsBoundedAsOneOfHTTP11Is(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	server := httptest.NewUnstartedServer(s.Router) // which itself would take 1 MiB
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	client := http2Client(t, nil)
	for _, c := range []struct {
		fields, size, status int
		code                 string
	}{
		{h1.MaxFields / 2, 10, 200, ""},
		{h1.MaxFields, 10, 431, "8"},
		{1, h1.MaxHead / 2, 200, ""},
		{1, h1.MaxHead, 431, "8"},
		{4, h1.MaxHead / 4, 431, "8"},
	} {
		for _, grpc := range []bool{false, true} {
			request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.fields {
				request.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", c.size))
			}
			if grpc {
				request.Header.Set("Content-Type", "application/grpc")
			}
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			switch {
			case !grpc && answer.StatusCode != c.status:
				t.Errorf("%d fields of %d bytes: %s, want %d", c.fields, c.size, answer.Status, c.status)
			case grpc && c.code != "" && answer.Header.Get("Grpc-Status") != c.code:
				t.Errorf("%d fields of %d bytes: gRPC's status is %q, want %q", c.fields, c.size, answer.Header.Get("Grpc-Status"), c.code)
			}
		}
	}
}

func TestAHostInTheTargetIsReadAsStrictlyAsOneInItsField(t *testing.T) {
	b := record(t)
	s := serve(t, Options{})
	s.set(t, one(Target{ID: "1", Address: b.Addr().String()}))
	for target, want := range map[string]int{
		"http://y/":                200,
		`http://a";for=6.6.6.6"/`:  400,
		"http://a,b/":              400,
		"http://user:password@y/":  200, // the host is y
		"http://y:80/a?b":          200,
		"http://y/../secret%0d%0a": 400,
	} {
		b.take()
		answer := s.raw(t, "GET "+target+" HTTP/1.1\r\nHost: y\r\n\r\n")
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, answer.StatusCode, want)
		}
		_, raw, _ := b.take()
		if want != 200 && len(raw) > 0 || want == 200 && (len(raw) != 1 || !strings.Contains(raw[0], "\r\nHost: y")) {
			t.Errorf("%s: the target saw %q", target, raw)
		}
	}
}

func TestAMethodThatBeginsAsThePrefaceDoesIsNotHTTP2(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", naming(t, "ok"))))
	s.get(t, "/")
	for first := range 4 {
		for request, want := range map[string]int{
			"PROPFIND / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n": 400, // it is folded
			"PRI / HTTP/1.1\r\nHost: x\r\n\r\n":                    200,
		} {
			a := s.hand(t)
			a.say(t, request[:first])
			a.say(t, request[first:])
			if code, _ := a.answer(t); code != want {
				t.Errorf("%.8q with %d bytes first: %d, want %d", request, first, code, want)
			}
		}
	}
	for _, first := range []int{1, 2, 16, len(http2.ClientPreface) - 1} {
		a := s.hand(t)
		a.say(t, http2.ClientPreface[:first])
		a.say(t, http2.ClientPreface[first:])
		f := http2.NewFramer(a.Conn, a)
		if frame, err := f.ReadFrame(); err != nil || frame.Header().Type != http2.FrameSettings {
			t.Errorf("HTTP/2 with %d bytes of its preface first: %v, %v", first, frame, err)
		}
	}
}

// hand gives net/http's server a connection on which each piece that is said is
// read alone.
func (s *served) hand(t *testing.T) asks {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	full.give(&handedConn{Conn: server})
	return asks{client, bufio.NewReader(client)}
}

func TestWhatAnAuthoritySaysReachesTheTargetWhateverTheClientSays(t *testing.T) {
	authority := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-User", "ali")
		w.Header().Set("X-Forwarded-User", "ali")
	})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-User"], r.Header["X_user"], r.Header["X-Forwarded-User"], r.Header["X-Role"], r.Header["X_role"])
	})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Access = Access{Forward: authority.URL, ForwardFields: []string{"x-user", "X-Forwarded-User", "X-Role"}}
	s.set(t, table)
	for _, fields := range []string{
		"",
		"X-User: root\r\nX-Role: root\r\nX-Forwarded-User: root\r\n",
		"Connection: X-User, X-Forwarded-User\r\nX-User: root\r\n",
		"x_user: root\r\nX_Role: root\r\n",
	} {
		a := s.dial(t)
		a.say(t, "GET / HTTP/1.1\r\nHost: x\r\n"+fields+"\r\n")
		if code, text := a.answer(t); code != 200 || text != "[ali] [] [ali] [] []" {
			t.Errorf("with %q the target got %d %s", fields, code, text)
		}
	}
}

func TestAPathThatAnotherRouteCouldClaimIsRefused(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, Table{
		Routes: []Route{
			{Path: "/", Service: "open"}, {Path: "/admin", Service: "closed"}, {Path: "/files/", Service: "files"},
			{Host: "own", Path: "/", Service: "open"},
		},
		Services: map[string][]Target{
			"open": {targetOf("1", naming(t, "open"))}, "closed": {targetOf("2", naming(t, "closed"))}, "files": {targetOf("3", naming(t, "files"))},
		},
	})
	h2 := http2Client(t, nil)
	for path, want := range map[string]string{
		"/":                   "open",
		"/administrator":      "open",
		"/a//b/./c;d/../e":    "open",
		"/.well-known/x":      "open",
		"/...":                "open",
		"/admin":              "closed",
		"/admin//x/.":         "closed",
		"/admin/;a=b":         "closed",
		"/files//x":           "files",
		"/files":              "open",
		"/files/..;x/files/a": "", // it leaves /files/ on its way
		"//admin":             "",
		"/./admin/x":          "",
		"/a/../admin":         "",
		"/a/%2e%2e/admin":     "",
		"/a/..%2Fadmin/":      "",
		"/a%5C..%5Cadmin":     "",
		"/%5cadmin":           "",
		"/admin;x":            "",
		"/;/admin":            "",
		"/x/..;y/admin/z":     "",
		"//files/a":           "",
		"/admin/../files/x":   "",
	} {
		for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": h2} {
			request, err := http.NewRequest("GET", "http://"+s.address, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.URL.Opaque = path
			if strings.HasPrefix(path, "//") {
				request.URL.Opaque, request.URL.Path = "", path
			}
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if want == "" && answer.StatusCode != 400 || want != "" && string(text) != want {
				t.Errorf("%s %s: %d %q, want %q", name, path, answer.StatusCode, text, want)
			}
		}
	}
	if code, text := s.do(t, "GET", "/a/../admin", nil, http.Header{"Host": {"own"}}); text != "open" {
		t.Errorf("a host without such a route: %d %q", code, text)
	}
}

func TestAHeadOfHTTP2ThatIsTooLargeIsAnsweredAndItsConnectionGoesOn(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", backend(t, func(http.ResponseWriter, *http.Request) {}))))
	for _, c := range []struct{ fields, size int }{{1, 66_000}, {1, 140_000}, {4_000, 1}} {
		f := s.dialHTTP2(t)
		fields := []string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/"}
		for i := range c.fields {
			fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("a", c.size))
		}
		f.head.Reset()
		for i := 0; i < len(fields); i += 2 {
			if err := f.pack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		block, stream := f.head.Bytes(), f.next
		f.next += 2
		n := min(len(block), 16<<10)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
		for block = block[n:]; len(block) > 0; block = block[n:] {
			n = min(len(block), 16<<10)
			_ = f.WriteContinuation(stream, n == len(block), block[:n])
		}
		if got := f.status(stream); got != "431" {
			t.Errorf("%d fields of %d bytes: %q, want 431", c.fields, c.size, got)
		}
		next, err := f.ask(true)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.status(next); got != "200" {
			t.Errorf("the request after it: %q", got)
		}
	}
}
