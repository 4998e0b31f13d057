package router

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestARequestEndsWithItsClientHoweverThatIsConnected(t *testing.T) {
	left := make(chan struct{}, 8)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		left <- struct{}{}
	})
	server, client := developmentTLS(t)
	for _, c := range []struct {
		name          string
		proxied, safe bool
	}{{"plain", false, false}, {"TLS", false, true}, {"the PROXY protocol", true, false}, {"TLS in the PROXY protocol", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{TLS: server}
			if c.proxied {
				o.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			s := serve(t, o)
			address := s.address
			if c.safe {
				address = s.serveTLS(t)
			}
			ask := func(request string) net.Conn {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				if c.proxied {
					fmt.Fprint(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n")
				}
				if c.safe {
					conn = tls.Client(conn, client)
				}
				fmt.Fprint(conn, request)
				return conn
			}
			s.set(t, one())
			// Nobody reads a held request's body: its end lies behind that.
			conn := ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("a", 20_000))
			eventually(t, "it is held", func() bool { return s.Stats("web").Held == 1 })
			conn.Close()
			eventually(t, "it is held no longer", func() bool { return s.Stats("web").InFlight == 0 })

			s.set(t, one(targetOf("1", b)))
			conn = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			eventually(t, "it is in flight", func() bool { return s.Targets("web")[0].InFlight == 1 })
			conn.Close()
			<-left
			eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
		})
	}
}

// Some clients close what they send with their last request; nobody can tell it from
// their leaving.
func TestAnAnswerThatComesSoonReachesAClientThatHasSentItsLast(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, "all")
	})
	for name, route := range map[string]Route{"plain": {}, "rare": {Compress: true}} {
		s := serve(t, Options{})
		route.Path, route.Service = "/", "web"
		s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": {targetOf("1", b)}}})
		s.healthy(t, "web", 1)
		answered := false
		for range 20 { // soon is not always soon enough on a busy machine
			a := s.dial(t)
			a.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if err := closeWrite(a.Conn); err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(a)
			if answered = strings.HasSuffix(string(text), "all"); answered {
				break
			}
		}
		if !answered {
			t.Errorf("%s: a client that closes what it sends is never answered", name)
		}
	}
}
