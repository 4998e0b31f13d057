package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// secureBackend is a target that speaks TLS, with a certificate for localhost.
func secureBackend(t *testing.T, certificate *tls.Certificate, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	b := httptest.NewUnstartedServer(h)
	b.EnableHTTP2 = true
	b.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	b.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

// secureLines is lines over TLS.
func secureLines(t *testing.T, name string, certificate *tls.Certificate) Target {
	t.Helper()
	return lines(t, name, func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
	})
}

// mute is a target that takes connections and never says anything.
func mute(t *testing.T, id string) Target {
	t.Helper()
	return speaking(t, id, func(net.Conn) { <-t.Context().Done() })
}

func TestATargetWhoseHandshakeFailsIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	right, wrong := writePair(t, dir, "right"), writePair(t, dir, "wrong")
	var closes sync.Map
	echo := echo(t, &closes)
	serving := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		fmt.Fprint(w, "served")
	}
	well := []Target{targetOf("well", secureBackend(t, right, serving))}
	wellLines := []Target{secureLines(t, "well", right)}
	port := freePort(t)
	post := func(t *testing.T, s *served) {
		if code, text := s.do(t, http.MethodPost, "/", nil, nil); code != http.StatusOK || text != "served" {
			t.Errorf("%d %s", code, text)
		}
	}
	for name, c := range map[string]struct {
		route   Route
		targets []Target
		ask     func(*testing.T, *served)
	}{
		"HTTP/1.1": {route: Route{Path: "/", Upstream: Upstream{Protocol: HTTPS}}, targets: well, ask: post},
		"HTTP/2":   {route: Route{Path: "/", Upstream: Upstream{Protocol: H2}}, targets: well, ask: post},
		"WebSocket": {route: Route{Path: "/", Upstream: Upstream{Protocol: HTTPS}}, targets: well, ask: func(t *testing.T, s *served) {
			c := dialEcho(t, s)
			exchangeMessage(t, c, "hello")
			_ = c.CloseNow()
		}},
		"TCP": {route: Route{TCP: port, Upstream: Upstream{Protocol: HTTPS}}, targets: wellLines, ask: func(t *testing.T, s *served) {
			conn := dialPort(t, port)
			if got := ask(t, conn, "hello"); got != "well hello" {
				t.Errorf("%q", got)
			}
			_ = conn.Close()
		}},
	} {
		for what, bad := range map[string]Target{
			"its certificate is another's": targetOf("bad", secureBackend(t, wrong, serving)),
			"it never answers":             mute(t, "bad"),
			"it speaks no TLS":             targetOf("bad", naming(t, "bad")),
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				s := serve(t, Options{HandshakeTimeout: 500 * time.Millisecond, Health: Health{Interval: time.Hour, EjectAfter: 1e6}})
				c.route.Service = "web"
				c.route.Upstream.ServerName, c.route.Upstream.CAFile = "localhost", filepath.Join(dir, "right.crt")
				c.route.Balance.Policy = RoundRobin
				s.set(t, Table{Routes: []Route{c.route}, Services: map[string][]Target{"web": append(c.targets, bad)}})
				s.healthy(t, "web", 2)
				for range 2 {
					c.ask(t, s)
				}
				for _, target := range s.Targets("web") {
					if n := target.Failures["connect"]; (n > 0) != (target.ID == "bad") || target.Failed() != n {
						t.Errorf("%s: failures %v", target.ID, target.Failures)
					}
				}
			})
		}
	}
}

func TestWhereNoTargetsCertificateIsRightTheClientIsToldSoAtOnce(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "right")
	wrong := writePair(t, dir, "wrong")
	for name, route := range map[string]Route{"HTTP/1.1": {}, "rare": {Compress: true}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{Health: Health{Interval: time.Hour, EjectAfter: 1e6}, HoldTimeout: time.Hour})
			route.Path, route.Service = "/", "web"
			route.Upstream = Upstream{Protocol: HTTPS, ServerName: "localhost", CAFile: filepath.Join(dir, "right.crt")}
			var targets []Target
			for i := range 2 {
				targets = append(targets, targetOf(fmt.Sprint(i), secureBackend(t, wrong, func(http.ResponseWriter, *http.Request) {})))
			}
			s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": targets}})
			s.healthy(t, "web", len(targets))
			if code, text := s.get(t, "/"); code != http.StatusBadGateway || !strings.Contains(text, "certificate") {
				t.Errorf("%d %s", code, text)
			}
			for _, target := range s.Targets("web") {
				if n := target.Failures["connect"]; n != 1 {
					t.Errorf("%s was tried %d times", target.ID, n)
				}
			}
		})
	}
}

func TestARequestIsSentOnceMoreAtTheMostWhereKeptConnectionsEnd(t *testing.T) {
	const many = 6
	var came, heard atomic.Int64
	all := make(chan struct{})
	to := speaking(t, "1", func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for first := true; ; first = false {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			switch {
			case request.URL.Path == "/together":
				if came.Add(1) == many {
					close(all)
				}
				<-all // so that there are as many connections
			case request.URL.Path == "/once":
				if heard.Add(1); !first {
					_ = conn.(*net.TCPConn).SetLinger(0)
					return
				}
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s := serve(t, Options{Health: Health{Interval: time.Hour}})
	s.set(t, one(to))
	s.healthy(t, "web", 1)
	var together sync.WaitGroup
	for range many {
		together.Go(func() { s.get(t, "/together") })
	}
	together.Wait()
	if code, text := s.get(t, "/once"); code != http.StatusOK || text != "ok" {
		t.Errorf("%d %q", code, text)
	}
	if n := heard.Load(); n > 2 {
		t.Errorf("it was sent %d times", n)
	}
}
