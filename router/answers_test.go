package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// script is a target that reads a request's head and answers with bytes as they
// are given; then it closes.
func script(t *testing.T, answer string) Target {
	t.Helper()
	return speaking(t, "t", func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, wired(answer))
		time.Sleep(10 * time.Millisecond)
	})
}

func TestAnAnswerIsPassedOnOnlyIfItCanBeReadInOneWay(t *testing.T) {
	const broken = "broken" // the client sees that the body did not come to its end
	for _, c := range []struct {
		name, method, answer string
		status               int
		body                 string
	}{
		{"a length", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"},
		{"no reason", "GET", "HTTP/1.1 200\nContent-Length: 2\n\nok", 200, "ok"},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\nContent-Length: 2\n\nok", 200, "ok"},
		{"chunks", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1;x\no\n1\nk\n0\n\n", 200, "ok"},
		{"until the connection ends", "GET", "HTTP/1.1 200 OK\n\nok", 200, "ok"},
		{"an unusual status", "GET", "HTTP/1.1 299 Own\nContent-Length: 2\n\nok", 299, "ok"},
		{"204", "GET", "HTTP/1.1 204 No Content\n\n", 204, ""},
		{"204 with a length", "GET", "HTTP/1.1 204 No Content\nContent-Length: 2\n\n", 204, ""},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\nContent-Length: 2\n\n", 304, ""},
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\nContent-Length: 2\n\n", 200, ""},
		{"HEAD with chunks", "HEAD", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", 200, ""},
		{"HEAD with a body all the same", "HEAD", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, ""},
		{"more than the length", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 5\n\nother", 200, "ok"},
		{"more than the last chunk", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\nHTTP/1.1 404 No\n\n", 200, "ok"},
		{"provisional ones", "GET", "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"},

		{"half of a length", "GET", "HTTP/1.1 200 OK\nContent-Length: 20\n\nok", 200, broken},
		{"no last chunk", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n", 200, broken},
		{"a bad chunk", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nokay\n0\n\n", 502, ""},
		{"a bare LF in the chunks", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2␊ok\n0\n\n", 502, ""},
		{"a length and a coding", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", 502, ""},
		{"two lengths", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok", 502, ""},
		{"a coding that is unknown", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n0\n\n", 502, ""},
		{"a coding in HTTP/1.0", "GET", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n0\n\n", 502, ""},
		{"a coding with 204", "GET", "HTTP/1.1 204 No\nTransfer-Encoding: chunked\n\n0\n\n", 502, ""},
		{"a bare LF", "GET", "HTTP/1.1 200 OK␊Content-Length: 2\n\nok", 502, ""},
		{"a folded line", "GET", "HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 2\n\nok", 502, ""},
		{"a space before the colon", "GET", "HTTP/1.1 200 OK\nContent-Length : 2\n\nok", 502, ""},
		{"NUL in a value", "GET", "HTTP/1.1 200 OK\nX: \x00\nContent-Length: 2\n\nok", 502, ""},
		{"a bare CR in a value", "GET", "HTTP/1.1 200 OK\nX: a␍Set-Cookie: b\nContent-Length: 2\n\nok", 502, ""},
		{"a status of two digits", "GET", "HTTP/1.1 20 OK\nContent-Length: 2\n\nok", 502, ""},
		{"a status of four digits", "GET", "HTTP/1.1 2000 OK\nContent-Length: 2\n\nok", 502, ""},
		{"another version", "GET", "HTTP/2.0 200 OK\nContent-Length: 2\n\nok", 502, ""},
		{"another protocol", "GET", "SSH-2.0-OpenSSH\n", 502, ""},
		{"101 unasked", "GET", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n", 502, ""},
		{"nothing", "GET", "", 502, ""},
		{"half a head", "GET", "HTTP/1.1 200 OK\nContent-", 502, ""},
		{"provisional ones without end", "GET", strings.Repeat("HTTP/1.1 102 Processing\n\n", 40), 502, ""},
		{"a head that is too large", "GET", "HTTP/1.1 200 OK\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\n", 70) + "\n", 502, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, Options{HoldTimeout: 5 * time.Second})
			s.set(t, one(script(t, c.answer)))
			request, err := http.NewRequest(c.method, "http://"+s.address+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if answer.StatusCode != c.status {
				t.Errorf("status %d, want %d (%s)", answer.StatusCode, c.status, body)
			}
			if (err != nil) != (c.body == broken) {
				t.Errorf("the body %q ends with %v", body, err)
			}
			if c.status != 502 && c.body != broken && string(body) != c.body {
				t.Errorf("body %q, want %q", body, c.body)
			}
			// The page may be read before its request is counted.
			eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
			if got := s.Stats("web").Errors; (got > 0) != (c.status == 502 || c.body == broken) {
				t.Errorf("%d errors are counted", got)
			}
		})
	}
}

func TestProvisionalAnswersArePassedOn(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, one(script(t, "HTTP/1.1 103 Early Hints\nLink: </a.css>\nConnection: x-hop\nX-Hop: 1\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok")))
	answer := s.raw(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer.StatusCode != 103 || answer.Header.Get("Link") != "</a.css>" || answer.Header.Get("X-Hop") != "" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}

func TestProvisionalAnswersArePassedOnWhicheverWayARequestGoes(t *testing.T) {
	hints := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		fmt.Fprint(w, "ok")
	}
	plain, h2c := backend(t, hints), h2cBackend(t, hints)
	s := serve(t, Options{})
	for _, c := range []struct {
		name   string
		table  Table
		client *http.Client
	}{
		{"HTTP/2 to HTTP/1.1", one(targetOf("1", plain)), http2Client(t, nil)},
		{"HTTP/1.1 to HTTP/2", over(Upstream{Protocol: H2C}, targetOf("2", h2c)), s.client},
		{"compressed", rare(one(targetOf("1", plain))), s.client},
	} {
		s.set(t, c.table)
		var codes []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			codes = append(codes, fmt.Sprint(code, h["Link"], h["Connection"]))
			return nil
		}}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", "http://"+s.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if string(body) != "ok" || err != nil || answer.Header["Link"] != nil {
			t.Errorf("%s: %q %v %v", c.name, body, err, answer.Header)
		}
		if len(codes) != 1 || codes[0] != "103 [</a.css>] []" {
			t.Errorf("%s: the provisional answers are %q", c.name, codes)
		}
	}
	if answer := s.raw(t, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"); answer.StatusCode != 200 {
		t.Errorf("HTTP/1.0, which knows none: %d", answer.StatusCode)
	}
}

// rare gives the routes a feature that net/http's path alone has.
func rare(table Table) Table {
	for i := range table.Routes {
		table.Routes[i].Compress = true
	}
	return table
}

// asks is a client's connection on which a test writes and reads by itself.
type asks struct {
	net.Conn
	*bufio.Reader
}

func (a asks) Read(p []byte) (int, error) { return a.Reader.Read(p) }

func (s *served) dial(t *testing.T) asks {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return asks{conn, bufio.NewReader(conn)}
}

func (a asks) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(a.Conn, text); err != nil {
		t.Fatal(err)
	}
}

func (a asks) answer(t *testing.T) (int, string) {
	t.Helper()
	answer, err := http.ReadResponse(a.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestABodyIsAskedForOnlyIfTheTargetWantsIt(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(r.Body) // net/http says 100 now
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "got %s", body)
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	a := s.dial(t)
	a.say(t, "POST /yes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if code, _ := a.answer(t); code != 100 {
		t.Fatalf("%d, want 100", code)
	}
	a.say(t, "body")
	if code, text := a.answer(t); code != 200 || text != "got body" {
		t.Fatalf("%d %q", code, text)
	}
	a.say(t, "POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if code, _ := a.answer(t); code != 403 {
		t.Fatalf("%d, want 403 without a 100", code)
	}
	if n, err := a.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("after it: %d bytes, %v; want the end, for nobody knows whether a body comes", n, err)
	}
}

func TestAnAnswerBeforeTheEndOfTheBodyReachesTheClient(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	for range 20 {
		a := s.dial(t)
		a.say(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
		go func() {
			_, _ = a.Conn.Write(make([]byte, 1<<20)) // and never the rest
		}()
		if code, text := a.answer(t); code != 413 || !strings.HasPrefix(text, "too much") {
			t.Errorf("%d %q", code, text)
		}
	}
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
}

func TestTrailersPassButForThoseThatSayWhereARequestCameFrom(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"+
		"3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n")
	if got := <-seen; got.Get("X-Sum") != "6" || len(got) != 1 {
		t.Errorf("trailers %v", got)
	}
}

func TestAConnectionCarriesManyRequestsOfAllKinds(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %d", r.URL.Path, len(body))
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	a := s.dial(t)
	sizes := []int{0, 1, 100, 5000, 8192, 20_000, 40_000, 200_000, 3, 0}
	go func() {
		w := bufio.NewWriter(a.Conn)
		for i, size := range sizes {
			body := strings.Repeat("b", size)
			fmt.Fprintf(w, "POST /l%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, size, body)
			fmt.Fprintf(w, "GET /g%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
			fmt.Fprintf(w, "POST /c%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", i)
			if size > 0 {
				fmt.Fprintf(w, "%x\r\n%s\r\n", size, body)
			}
			fmt.Fprint(w, "0\r\n\r\n")
		}
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
	}()
	for i, size := range sizes {
		for _, want := range []string{fmt.Sprintf("/l%d %d", i, size), fmt.Sprintf("/g%d 0", i), fmt.Sprintf("/c%d %d", i, size)} {
			if code, text := a.answer(t); code != 200 || text != want {
				t.Fatalf("%d %q, want %q", code, text, want)
			}
		}
	}
}

func TestTheStrippedPathIsWhatTheTargetSees(t *testing.T) {
	b := record(t)
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/api", Service: "web", Strip: true}, {Path: "/dir/", Service: "web", Strip: true}},
		Services: map[string][]Target{"web": {{ID: "1", Address: b.Addr().String()}}},
	})
	for path, want := range map[string]string{
		"/api": "/", "/api?q": "/?q", "/api/": "/", "/api/x%2Fy?z": "/x%2Fy?z", "/dir/x": "/x", "/dir/": "/",
	} {
		b.take()
		if code, _ := s.get(t, path); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		if whole, _, _ := b.take(); len(whole) != 1 || whole[0] != "GET "+want+" " {
			t.Errorf("%s reached the target as %q, want %q", path, whole, want)
		}
	}
	if answer := s.raw(t, "GET /%61pi/x HTTP/1.1\r\nHost: x\r\n\r\n"); answer.StatusCode != 400 {
		t.Errorf("a prefix in another spelling: %d, want 400", answer.StatusCode)
	}
}

func TestSlowHeadsAndBodiesTimeOut(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	s := serve(t, Options{BodyTimeout: 50 * time.Millisecond, HeadTimeout: 50 * time.Millisecond})
	s.set(t, one(targetOf("1", b)))
	for what, sent := range map[string]string{
		"a head":          "GET / HTTP/1.1\r\nHost:",
		"a small body":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
		"a large body":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\nabc",
		"a chunked body":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
		"a chunk's size":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9",
		"a trailer's end": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
	} {
		a := s.dial(t)
		a.say(t, sent)
		if code, _ := a.answer(t); code != http.StatusRequestTimeout {
			t.Errorf("%s: %d, want 408", what, code)
		}
	}
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	whole := make(chan int, 8)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			whole <- len(body)
		}
	})
	s := serve(t, Options{MaxBody: 1000})
	s.set(t, one(targetOf("1", b)))
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("a", 1000) + "\r\n1\r\na\r\n0\r\n\r\n",
		"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat("a", 1001),
	} {
		if answer := s.raw(t, request); answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%d, want 413", answer.StatusCode)
		}
	}
	if answer := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("a", 1000)); answer.StatusCode != 200 {
		t.Errorf("%d, want 200", answer.StatusCode)
	}
	if n := <-whole; n != 1000 || len(whole) > 0 {
		t.Errorf("%d bytes, and %d more bodies", n, len(whole))
	}
}

func TestAClientThatLeavesEndsItsRequest(t *testing.T) {
	left := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(left)
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	a := s.dial(t)
	a.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "it is in flight", func() bool { return s.Targets("web")[0].InFlight == 1 })
	a.Conn.Close()
	<-left
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
	if got := s.Stats("web").Errors; got != 0 {
		t.Errorf("%d errors are counted", got)
	}
}
