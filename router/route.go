package router

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Route sends requests for a host name and a path prefix to a service, or the
// connections of a TCP port or of a TLS server name. The longest match wins: an
// exact host, then the longest wildcard, then none; then the longest path.
type Route struct {
	// Host is a host name without a port; empty matches every host, and
	// "*.example.com" every name below example.com.
	Host string
	// Path is a prefix that ends at a slash or at the end of the request's path.
	// Empty where the route is one of connections (TCP or Passthrough).
	Path string
	// Service is the key of the table's Services.
	Service string
	// TCP is the router's port whose connections go to the service; 0 where the
	// route is one of requests, or of a server name on the TLS listener.
	TCP int
	// TLS is what becomes of the TLS of a client's connection.
	TLS TLSMode
	// Strip removes Path before the request goes on.
	Strip bool
	// HoldTimeout is the longest time that a request waits for a first
	// target; 0 is the router's default.
	HoldTimeout time.Duration
	// Upstream is how the service's targets are spoken to.
	Upstream Upstream
	// Timeout bounds the time from the end of the request to the head of the
	// answer; 0 is Options.ResponseTimeout, under 0 there is no bound. Idle
	// bounds the silence within an answer; 0 is no bound.
	Timeout, Idle time.Duration
	// Weight is the route's share of the requests, where routes of other
	// services are at the same host and path; 0 is none of them.
	Weight  int
	Balance Balance
	Check   Check
	Access  Access
	Limits  Limits
	Mirror  Mirror
	// Compress compresses answers for clients that take them so.
	Compress bool
	// Log writes the route's requests to Options.Access.
	Log bool
	// Pages are the bodies (HTML) of the router's own answers, by status.
	Pages map[int]string
}

// TLSMode is what becomes of the TLS of a client's connection.
type TLSMode string

// The modes. A route of requests is reached with and without TLS, as the
// router's listeners are, and names none.
const (
	// TLSTerminate ends it here: the target gets the bytes within.
	TLSTerminate TLSMode = "terminate"
	// TLSPassthrough passes it on unread, by the server name that it begins
	// with, which is the route's Host.
	TLSPassthrough TLSMode = "passthrough"
)

// connections tells whether the route is one of whole connections, not of
// requests.
func (r Route) connections() bool { return r.TCP != 0 || r.TLS == TLSPassthrough }

// Protocol is what a target speaks.
type Protocol string

// The protocols of targets. Requests of gRPC go by HTTP/2 to a target of HTTP
// as well, since nothing else carries them.
const (
	HTTP  Protocol = ""      // HTTP/1.1
	H2C   Protocol = "h2c"   // HTTP/2 without TLS, by prior knowledge
	HTTPS Protocol = "https" // HTTP/1.1 over TLS
	H2    Protocol = "h2"    // HTTP/2 over TLS
)

// Upstream is how targets are spoken to. It is the same for all routes of a
// service: the first of them that names one counts.
type Upstream struct {
	Protocol Protocol
	// ServerName is what a target's certificate must be for; needed with TLS
	// unless Insecure, since targets are known by address.
	ServerName string
	// CAFile holds the certificates (PEM) that a target's must come from; empty
	// are the system's.
	CAFile string
	// Insecure takes any certificate of a target.
	Insecure bool
	// Proxy is the version of the PROXY protocol, ProxyV1 or ProxyV2, that tells
	// a target where a connection came from; empty is none. For connections
	// only: a connection to a target carries requests of many clients, and
	// X-Forwarded-For tells of each.
	Proxy string
}

// multiplexed tells whether it is spoken to by HTTP/2.
func (u Upstream) multiplexed() bool { return u.Protocol == H2C || u.Protocol == H2 }

func (u Upstream) secure() bool { return u.Protocol == HTTPS || u.Protocol == H2 }

func (u Upstream) check() error {
	switch u.Protocol {
	case HTTP, H2C, HTTPS, H2:
	default:
		return fmt.Errorf("protocol %q is unknown; allowed: none (HTTP/1.1), %q, %q, %q", u.Protocol, H2C, HTTPS, H2)
	}
	if u.Proxy != "" && u.Proxy != ProxyV1 && u.Proxy != ProxyV2 {
		return fmt.Errorf("version %q of the PROXY protocol is unknown; allowed: %q, %q", u.Proxy, ProxyV1, ProxyV2)
	}
	if u.secure() && u.ServerName == "" && !u.Insecure {
		return fmt.Errorf("protocol %q needs the server name of the targets' certificates", u.Protocol)
	}
	return nil
}

// check finds what is wrong with a route by itself.
func (r Route) check() error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("route of service %q: "+format, append([]any{r.Service}, args...)...)
	}
	if r.TCP < 0 || r.TCP > 65535 {
		return fault("TCP port %d is not one from 1 to 65535", r.TCP)
	}
	switch r.TLS {
	case "", TLSPassthrough:
	case TLSTerminate:
		if r.TCP == 0 {
			return fault("TLS %q is for a TCP port; requests come by the TLS listener without it", r.TLS)
		}
	default:
		return fault("TLS %q is unknown; allowed: none, %q, %q", r.TLS, TLSTerminate, TLSPassthrough)
	}
	if r.connections() {
		if r.Path != "" && r.Path != "/" || r.Strip {
			return fault("a route of connections has no path: nothing of them is read")
		}
		if r.Host != "" && r.TLS != TLSPassthrough {
			return fault("host %q: only TLS of pass-through is routed by its server name", r.Host)
		}
		if r.Host == "" && r.TCP == 0 {
			return fault("pass-through on the TLS listener needs a host, which is the server name")
		}
	} else if r.Upstream.Proxy != "" {
		return fault("the PROXY protocol is for routes of connections; a target of requests has X-Forwarded-For")
	} else if !strings.HasPrefix(r.Path, "/") {
		return fault("path %q does not begin with a slash", r.Path)
	}
	if strings.Contains(r.Path+"/", "/../") {
		return fault("path %q has a \"..\" in it; write the path that it leads to", r.Path)
	}
	name := strings.TrimPrefix(r.Host, "*.")
	if strings.ContainsAny(name, ":/ *") || (name == "" && r.Host != "") {
		return fault("host %q is not a host name without a port, nor one with \"*.\" before it", r.Host)
	}
	if r.Weight < 0 {
		return fault("weight %d is under 0", r.Weight)
	}
	if err := cmp.Or(r.Upstream.check(), r.Balance.check(), r.Check.check(), r.Access.check(), r.Limits.check()); err != nil {
		return fault("%w", err)
	}
	return nil
}

// settings are what the routes of a service say of its targets. They are a
// value: a new table brings new ones.
type settings struct {
	upstream Upstream
	balance  Balance
	check    Check
}

// settingsOf gathers them by service: of each, the first that any of the routes
// names.
func settingsOf(routes []Route) map[string]settings {
	all := map[string]settings{}
	for _, r := range routes {
		s := all[r.Service]
		s.balance = cmp.Or(s.balance, r.Balance)
		s.check = cmp.Or(s.check, r.Check)
		s.upstream = cmp.Or(s.upstream, r.Upstream)
		all[r.Service] = s
	}
	return all
}

// rare tells whether the route has a feature that net/http's handler alone
// carries out, and the settings whether the service has.
func (r Route) rare() bool {
	return r.Idle != 0 || r.Access.rare() || r.Limits != (Limits{}) || r.Mirror.Share > 0 || r.Compress || r.Log || len(r.Pages) > 0
}

func (s settings) rare() bool {
	return s.upstream.Protocol != HTTP || s.balance.Sticky != "" || s.check.EjectErrors != 0
}

// carrier is the protocol that a request goes on by.
func (s settings) carrier(r *http.Request) Upstream {
	u := s.upstream
	if isGRPC(r) {
		switch u.Protocol {
		case HTTP:
			u.Protocol = H2C
		case HTTPS:
			u.Protocol = H2
		}
	}
	return u
}
