package router

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// Access says who may use a route.
type Access struct {
	// Allow and Deny are networks of clients. Deny wins; with an Allow, nobody
	// else may.
	Allow, Deny []netip.Prefix
	// Users are names and the bcrypt hashes of their passwords, asked for by
	// HTTP's basic authentication.
	Users map[string]string
	// Forward is a URL that each request's head is sent to: with an answer of
	// 2xx the request goes on, with any other that is the client's answer.
	Forward string
	// ForwardFields are the fields of that answer that the target gets.
	ForwardFields []string
}

// Limits bound what a route takes. 0 is no bound.
type Limits struct {
	// Rate is requests (or connections) per second, after a Burst at once
	// (default: Rate, at least 1).
	Rate  float64
	Burst int
	// ClientRate is the same for each client's address.
	ClientRate float64
	// InFlight is the greatest number of requests or connections at a time.
	InFlight int
}

func (a Access) check() error {
	if a.Forward == "" {
		return nil
	}
	if u, err := url.Parse(a.Forward); err != nil || u.Host == "" {
		return fmt.Errorf("forward authentication %q is no URL such as http://host/path", a.Forward)
	}
	return nil
}

func (l Limits) check() error {
	if l.Rate < 0 || l.Burst < 0 || l.ClientRate < 0 || l.InFlight < 0 {
		return fmt.Errorf("limits %+v: none may be under 0", l)
	}
	return nil
}

func (a Access) rare() bool {
	return len(a.Allow)+len(a.Deny)+len(a.Users) > 0 || a.Forward != ""
}

// gate is the live state of a route's access and limits. It outlives tables
// that leave both as they are.
type gate struct {
	limits   Limits
	all      *rate.Limiter // nil without a rate
	inflight atomic.Int64
	used     atomic.Bool             // by the present table; guarded by Router.mu
	figures  atomic.Pointer[figures] // nil before the first request

	mu      sync.Mutex
	clients map[netip.Addr]*rate.Limiter
	known   map[[sha256.Size]byte]bool // credentials that have passed
}

// Bounds of what a gate remembers; past them it begins anew.
const (
	maxClients     = 10_000
	maxCredentials = 1_000
)

func newGate(l Limits) *gate {
	g := &gate{limits: l, clients: map[netip.Addr]*rate.Limiter{}, known: map[[sha256.Size]byte]bool{}}
	if l.Rate > 0 {
		g.all = limiter(l.Rate, l.Burst)
	}
	return g
}

func limiter(perSecond float64, burst int) *rate.Limiter {
	if burst == 0 {
		burst = max(1, int(perSecond))
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// enter lets one request in, or says why not. leave must follow if it does.
func (g *gate) enter(a *Access, client netip.Addr) *refusal {
	if within(a.Deny, client) || len(a.Allow) > 0 && !within(a.Allow, client) {
		return &refusal{causeForbidden, http.StatusForbidden, fmt.Sprintf("the address %s may not use this route", client), false}
	}
	if g.inflight.Add(1) > int64(g.limits.InFlight) && g.limits.InFlight > 0 {
		g.leave()
		return &refusal{causeInFlight, http.StatusServiceUnavailable, fmt.Sprintf("the route has %d requests in flight, which is its limit", g.limits.InFlight), false}
	}
	if g.all != nil && !g.all.Allow() || !g.allows(client) {
		g.leave()
		return &refusal{causeRate, http.StatusTooManyRequests, "more requests than the route's rate allows", false}
	}
	return nil
}

func (g *gate) leave() { g.inflight.Add(-1) }

// allows counts a request on its client's own rate.
func (g *gate) allows(client netip.Addr) bool {
	if g.limits.ClientRate <= 0 {
		return true
	}
	g.mu.Lock()
	l := g.clients[client]
	if l == nil {
		if len(g.clients) >= maxClients {
			clear(g.clients)
		}
		l = limiter(g.limits.ClientRate, g.limits.Burst)
		g.clients[client] = l
	}
	g.mu.Unlock()
	return l.Allow()
}

// authentic tells whether a request has the password of one of the users. The
// hash is made slow on purpose: what has passed once is remembered, by digest.
func (g *gate) authentic(users map[string]string, request *http.Request) bool {
	name, password, ok := request.BasicAuth()
	if !ok {
		return false
	}
	hash, there := users[name]
	if !there {
		// As long as for a user who is there.
		for _, hash = range users {
			break
		}
	}
	key := sha256.Sum256([]byte(hash + "\x00" + name + "\x00" + password))
	g.mu.Lock()
	known := g.known[key]
	g.mu.Unlock()
	if known && there {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || !there {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxCredentials {
		clear(g.known)
	}
	g.known[key] = true
	return true
}

// gateOf is the gate of a route: the one that it had, if its limits are the
// same. r.mu is held.
func (r *Router) gateOf(route Route) *gate {
	key := gateKey{canonicalHost(route.Host), route.Path, route.Service, route.TCP}
	if route.connections() {
		key.path = ""
	}
	g := r.gates[key]
	if g == nil || g.limits != route.Limits {
		was := g
		g = newGate(route.Limits)
		if was != nil {
			// A request that comes by the old table at this moment and is the
			// route's first is lost to the count.
			g.figures.Store(was.figures.Load())
		}
		r.gates[key] = g
	}
	g.used.Store(true)
	return g
}

type gateKey struct {
	host, path, service string
	port                int
}

// forgetGates drops those that the table does not use. r.mu is held.
func (r *Router) forgetGates() {
	for key, g := range r.gates {
		if !g.used.Swap(false) {
			delete(r.gates, key)
			r.routeFigures.forget(g)
		}
	}
}

// enter lets the request through the route's gate. False: it has been answered.
func (x *exchange) enter() bool {
	a := &x.route.Access
	if no := x.route.gate.enter(a, x.from.client); no != nil {
		x.fail(no.why, no.code, no.reason)
		return false
	}
	x.entered = true
	if len(a.Users) > 0 && !x.route.gate.authentic(a.Users, x.request) {
		x.challenge = true
		x.fail(causeUnauthorized, http.StatusUnauthorized, "this route asks for a name and a password")
		return false
	}
	if len(a.Users) > 0 {
		x.request.Header.Del("Authorization") // it was the router's
	}
	return a.Forward == "" || x.forwardAuth(a)
}

const (
	forwardTimeout = 5 * time.Second
	forwardAnswer  = 64 << 10 // of the answer that a refused client gets
)

// ofThePage are the fields of a request that are about its body, or about which answer
// of the target's is wanted: an authority could take them for itself, and answer with
// 304, say.
var ofThePage = []string{
	"Content-Length", "Expect", "Range", "If-Range",
	"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
}

// forwardAuth asks the route's authority. False: the request has been answered.
func (x *exchange) forwardAuth(a *Access) bool {
	ctx, cancel := context.WithTimeout(x.request.Context(), forwardTimeout)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Forward, nil)
	if err == nil {
		ask.Header = outHeader(x.request, x.from)
		for _, name := range ofThePage {
			delete(ask.Header, name)
		}
		ask.Header.Set("X-Forwarded-Method", x.request.Method)
		ask.Header.Set("X-Forwarded-Uri", x.request.URL.RequestURI())
		var answer *http.Response
		if answer, err = x.router.asking.Do(ask); err == nil {
			defer answer.Body.Close()
			return x.authorised(a, answer)
		}
	}
	x.fail(causeAuthority, http.StatusBadGateway, fmt.Sprintf("the route's authority gave no answer: %v", err))
	return false
}

func (x *exchange) authorised(a *Access, answer *http.Response) bool {
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		x.granted = http.Header{}
		for _, name := range a.ForwardFields {
			name = http.CanonicalHeaderKey(name)
			x.granted[name] = answer.Header[name]
		}
		return true
	}
	x.status, x.cause = answer.StatusCode, causeUnauthorized
	if x.grpc {
		code := answer.StatusCode
		if code >= 300 && code < 400 {
			code = http.StatusUnauthorized // it sends to where one logs in, and a call cannot go there
		}
		x.refuse(code, "the route's authority refuses the call", false)
		return false
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, forwardAnswer))
	if err != nil {
		x.fail(causeAuthority, http.StatusBadGateway, fmt.Sprintf("the answer of the route's authority broke off: %v", err))
		return false
	}
	copyEndToEnd(x.w.Header(), answer.Header, func(name string) bool { return name == "Content-Length" })
	x.w.WriteHeader(answer.StatusCode)
	_, _ = x.w.Write(body) // the client may have gone
	return false
}

// enterStream lets a connection through the route's gate.
func (s *stream) enter() bool {
	client := addressOf(s.conn.RemoteAddr()).Unmap()
	if no := s.route.gate.enter(&s.route.Access, client); no != nil {
		s.status, s.cause = no.code, no.why
		s.router.log.Info("router: connection refused", "service", s.service.name, "port", s.route.TCP, "client", client, "reason", no.reason)
		return false
	}
	return true
}

// newAsking is the client that authorities are asked with. It follows no
// redirect: that is the client's. Names below localhost are this machine's (RFC 6761,
// section 6.3), which not all resolvers know: a file's own routes have such names.
func newAsking(dial dialFunc) *http.Client {
	here := func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(canonicalHost(host), ".localhost") {
			address = net.JoinHostPort("localhost", port)
		}
		return dial(ctx, network, address)
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: here, MaxIdleConnsPerHost: 64, IdleConnTimeout: idleTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
