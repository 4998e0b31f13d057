package router

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// vanishing are the options of a router that finds the hosts of its targets to be
// gone once gone is set.
func vanishing(gone *atomic.Bool) Options {
	return Options{
		DialTimeout: 20 * time.Millisecond, Health: Health{Interval: time.Hour},
		unheard: func(syscall.RawConn, time.Duration) bool { return gone.Load() },
	}
}

func TestAConnectionIsResetWhenItsTargetsHostIsGone(t *testing.T) {
	server, client := developmentTLS(t)
	for name, c := range map[string]struct {
		route     Route
		proxyFrom []netip.Prefix
		dial      func(net.Conn) net.Conn
	}{
		"plain": {dial: func(conn net.Conn) net.Conn { return conn }},
		"TLS that ends here": {route: Route{TLS: TLSTerminate}, dial: func(conn net.Conn) net.Conn {
			return tls.Client(conn, client)
		}},
		"behind a proxy": {proxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, dial: func(conn net.Conn) net.Conn {
			fmt.Fprintf(conn, "PROXY TCP4 10.0.0.1 10.0.0.2 1000 443\r\n")
			return conn
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Bool
			o := vanishing(&gone)
			o.TLS, o.ProxyFrom = server, c.proxyFrom
			s := serve(t, o)
			c.route.TCP, c.route.Service = freePort(t), "db"
			s.set(t, Table{Routes: []Route{c.route}, Services: map[string][]Target{"db": {lines(t, "db-1", nil)}}})
			raw := dialPort(t, c.route.TCP)
			conn := c.dial(raw)
			if got := ask(t, conn, "hello"); got != "db-1 hello" {
				t.Fatalf("%q", got)
			}
			gone.Store(true)
			if _, err := io.Copy(io.Discard, raw); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client's connection ended with %v, want a reset: what came was not all", err)
			}
			eventually(t, "the target has the failure", func() bool { return s.Targets("db")[0].Failures["broken"] == 1 })
			eventually(t, "it is forgotten", func() bool { return s.Targets("db")[0].InFlight == 0 })
		})
	}
}

func TestAWebSocketIsClosedWhenItsTargetsHostIsGone(t *testing.T) {
	var closes sync.Map
	b := backend(t, echo(t, &closes))
	for name, route := range map[string]Route{
		"the host is gone":                      {Path: "/", Service: "web"},
		"and the client goes on sending":        {Path: "/", Service: "web"},
		"and it does not read what it was sent": {Path: "/", Service: "web"},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Bool
			s := serve(t, vanishing(&gone))
			s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": {targetOf("1", b)}}})
			c := dialEcho(t, s)
			exchangeMessage(t, c, "hello")
			switch name {
			case "and the client goes on sending":
				go func() {
					for c.Write(t.Context(), websocket.MessageText, []byte("more")) == nil {
						time.Sleep(time.Millisecond)
					}
				}()
			case "and it does not read what it was sent":
				full := make([]byte, 1<<20)
				for range 16 {
					go func() { _ = c.Write(t.Context(), websocket.MessageBinary, full) }()
				}
			}
			gone.Store(true)
			if name == "and it does not read what it was sent" {
				eventually(t, "it is forgotten", func() bool { return s.Targets("web")[0].WebSockets == 0 })
				return
			}
			for {
				_, _, err := c.Read(t.Context())
				if err == nil {
					continue // the echo of what was sent before
				}
				if got := websocket.CloseStatus(err); got != websocket.StatusInternalError {
					t.Errorf("the client's WebSocket ended with %v, want 1011", err)
				}
				break
			}
			eventually(t, "it is forgotten", func() bool { return s.Targets("web")[0].WebSockets == 0 })
		})
	}
}

// A close frame in the midst of another frame would be taken for a part of that.
func TestAWebSocketWithAFrameCutOffEndsWithoutAClose(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		fmt.Fprint(conn, "\x82\x7e\x10\x00the first of 4096 bytes")
		_, _ = io.Copy(io.Discard, conn)
	})
	var gone atomic.Bool
	s := serve(t, vanishing(&gone))
	s.set(t, one(targetOf("1", b)))
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	from := bufio.NewReader(conn)
	answer, err := http.ReadResponse(from, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v %v", answer, err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil || binary.BigEndian.Uint16(head[2:]) != 4096 {
		t.Fatalf("%q %v", head, err)
	}
	gone.Store(true)
	if rest, err := io.ReadAll(from); err != nil || string(rest) != "the first of 4096 bytes" {
		t.Errorf("then came %q, %v", rest, err)
	}
}

func TestATunnelToATargetThatLivesOutlivesItsFailedChecks(t *testing.T) {
	var closes sync.Map
	var failing atomic.Bool
	echo := echo(t, &closes)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/health":
			echo(w, r)
		case failing.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	port := freePort(t)
	var looks atomic.Int64
	s := serve(t, Options{
		DialTimeout: 20 * time.Millisecond, Health: Health{Interval: 5 * time.Millisecond},
		unheard: func(raw syscall.RawConn, limit time.Duration) bool {
			looks.Add(1)
			return unheard(raw, limit)
		},
	})
	check := Check{Path: "/health"}
	s.set(t, Table{
		Routes:   []Route{{Path: "/", Service: "web", Check: check}, {TCP: port, Service: "db", Check: check}},
		Services: map[string][]Target{"web": {targetOf("1", b)}, "db": {targetOf("1", b)}},
	})
	direct, _, err := websocket.Dial(t.Context(), fmt.Sprintf("ws://127.0.0.1:%d/", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.CloseNow()
	tunnels := []*websocket.Conn{dialEcho(t, s), direct}
	failing.Store(true)
	for _, service := range []string{"web", "db"} {
		eventually(t, "the checks fail", func() bool { return !s.Targets(service)[0].Healthy })
	}
	for range 5 {
		for _, c := range tunnels {
			exchangeMessage(t, c, "still here")
		}
		seen := looks.Load()
		eventually(t, "both are looked at again", func() bool { return looks.Load() >= seen+2 })
	}
}
