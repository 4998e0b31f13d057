package router

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// recorded is a connection that keeps what is written first, and is at its end.
type recorded struct {
	net.Conn
	first []byte
}

func (r *recorded) Read([]byte) (int, error) { return 0, io.EOF }

func (r *recorded) Write(p []byte) (int, error) {
	if r.first == nil {
		r.first = append(r.first, p...)
	}
	return len(p), nil
}

func (r *recorded) SetWriteDeadline(time.Time) error { return nil }

// wholeHello is what a client of TLS says first.
func wholeHello() []byte {
	var r recorded
	_ = tls.Client(&r, &tls.Config{ServerName: "localhost"}).Handshake() // it ends at once
	return r.first
}

// unfinished are the ways in which a client may leave a handshake of TLS undone.
// They go on until the connection ends.
var unfinished = map[string]func(net.Conn){
	"it says nothing":          func(net.Conn) {},
	"it stops in its hello":    func(conn net.Conn) { fmt.Fprint(conn, "\x16\x03\x01\x02\x00\x01\x00\x01") },
	"it stops after its hello": func(conn net.Conn) { _, _ = conn.Write(wholeHello()) },
	"its hello comes by drops": func(conn net.Conn) { drip(conn, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
	"its hello asks for more":  func(conn net.Conn) { drip(conn, "\x16\x03\x01\x00\x01\x01") },
	"it says what is no TLS":   func(conn net.Conn) { fmt.Fprint(conn, "GET /") },
}

// drip sends the beginning, and then a byte now and then for as long as it can.
func drip(conn net.Conn, beginning string) {
	for rest := []byte(beginning); ; time.Sleep(5 * time.Millisecond) {
		piece := []byte{0}
		if len(rest) > 0 {
			piece, rest = rest[:1], rest[1:]
		}
		if _, err := conn.Write(piece); err != nil {
			return
		}
	}
}

func TestAClientThatLeavesItsHandshakeUndoneIsCutOffAndOthersAreServed(t *testing.T) {
	server, client := developmentTLS(t)
	web := targetOf("1", backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served") }))
	port := freePort(t)
	passing := Route{Host: "a.localhost", TLS: TLSPassthrough, Service: "db"}
	for name, c := range map[string]struct {
		options Options
		routes  []Route
	}{
		"the TLS listener":              {Options{}, nil},
		"beside a route of passthrough": {Options{}, []Route{passing}},
		"a TCP port that ends TLS":      {Options{}, []Route{{TCP: port, TLS: TLSTerminate, Service: "db"}}},
		"a TCP port that passes it":     {Options{}, []Route{{TCP: port, Host: "a.localhost", TLS: TLSPassthrough, Service: "db"}}},
		"behind a proxy":                {Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.TLS, c.options.HandshakeTimeout = server, 250*time.Millisecond
			c.options.HeadTimeout = c.options.HandshakeTimeout
			s := serve(t, c.options)
			s.set(t, Table{
				Routes:   append([]Route{{Path: "/", Service: "web"}}, c.routes...),
				Services: map[string][]Target{"web": {web}, "db": {lines(t, "db-1", nil)}},
			})
			address := s.serveTLS(t)
			at := address
			if len(c.routes) > 0 && c.routes[0].TCP != 0 {
				at = fmt.Sprintf("127.0.0.1:%d", port)
			}
			var all sync.WaitGroup
			for what, begin := range unfinished {
				conn, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if c.options.ProxyFrom != nil && what != "it says nothing" {
					fmt.Fprintf(conn, "PROXY TCP4 10.0.0.1 10.0.0.2 1000 443\r\n")
				}
				go begin(conn)
				all.Go(func() {
					_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
					if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s: the connection is still open", what)
					}
				})
			}
			if c.options.ProxyFrom == nil {
				answer, err := http2Client(t, client).Get("https://" + address)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if text, _ := io.ReadAll(answer.Body); string(text) != "served" {
					t.Errorf("meanwhile another client got %q", text)
				}
			}
			all.Wait()
		})
	}
}

// What comes in time piece by piece is still too slow as a whole.
func TestAHeadThatComesByDropsTimesOut(t *testing.T) {
	s := serve(t, Options{HeadTimeout: 100 * time.Millisecond})
	s.set(t, one(targetOf("1", backend(t, func(w http.ResponseWriter, r *http.Request) {}))))
	for what, first := range map[string]string{"the first head": "", "the second head": "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		a := s.dial(t)
		if first != "" {
			a.say(t, first)
			if code, _ := a.answer(t); code != http.StatusOK {
				t.Fatalf("%s: the request before it got %d", what, code)
			}
		}
		go drip(a, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		if code, _ := a.answer(t); code != http.StatusRequestTimeout {
			t.Errorf("%s: %d, want 408", what, code)
		}
		if code, _ := s.get(t, "/"); code != http.StatusOK {
			t.Errorf("%s: another client got %d", what, code)
		}
	}
}
