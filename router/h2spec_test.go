package router

import (
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// deviations are the cases in which net/http, which reads HTTP/2 here, does
// otherwise than the suite asks, and why that does no harm.
var deviations = map[string]string{
	"Sends invalid connection preface":                                                               "without TLS it is a bad request of HTTP/1.1: 400, and the end of the connection",
	"Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE":                      "the connection is ended with GOAWAY; an answer under way may come before",
	"closed: Sends a HEADERS frame after sending RST_STREAM frame":                                   "not answered with STREAM_CLOSED, but no second request begins",
	"half closed (remote): Sends a HEADERS frame":                                                    "the connection is ended; the answer to the first request may come before",
	"closed: Sends a HEADERS frame":                                                                  "not answered with STREAM_CLOSED, but no second request begins",
	"Sends an invalid PING frame for connection close":                                               "GOAWAY is sent, and the connection stays open a second for the client to read it",
	"Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                          "a setting that comes twice in one frame ends the connection",
	"Sends a HEADERS frame that contains the connection-specific header field":                       "answered with 400 instead of a reset: RFC 9113, 8.1.1, allows both",
	"Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"": "answered with 400 instead of a reset",
}

// The suite h2spec holds the router to RFC 9113 and RFC 7541, with TLS and
// without.
func TestTheRouterPassesH2spec(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the suite waits for answers that must not come")
	}
	server, _ := developmentTLS(t)
	s := serve(t, Options{TLS: server})
	b := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	s.set(t, one(targetOf("a", b)))
	for name, address := range map[string]string{"h2c": s.address, "h2": s.serveTLS(t)} {
		t.Run(name, func(t *testing.T) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			number, _ := strconv.Atoi(port) // of a listener
			c := &config.Config{
				Host: host, Port: number, Path: "/", Timeout: time.Second, MaxHeaderLen: 4000, Strict: true,
				TLS: name == "h2", Insecure: true,
			}
			passed := 0
			for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				group.Test(c)
				passed += group.PassedCount
				failures(t, group)
			}
			if passed < 135 {
				t.Errorf("%d cases were passed", passed)
			}
		})
	}
}

func failures(t *testing.T, group *spec.TestGroup) {
	t.Helper()
	for _, c := range append(group.Tests, group.StrictTests...) {
		if c.Result != nil && c.Result.Failed && deviations[c.Desc] == "" {
			t.Errorf("%s, %s: %s: %v", group.Title(), c.Desc, c.Requirement, c.Result.Error)
		}
	}
	for _, inner := range group.Groups {
		failures(t, inner)
	}
}
