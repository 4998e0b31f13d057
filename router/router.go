// Package router balances HTTP and WebSocket traffic straight to the tasks: by
// host name and path to a service, by the least loaded of two choices to one of
// its targets. It is given its table as a value and swaps it whole. It must not
// know of the engine, the platform or the decisions.
package router

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Table is all that the router serves: routes to services, services to targets.
type Table struct {
	Routes []Route
	// Services are by name. One that is named NAME:PORT is a further port of the
	// service NAME, and demand on it is demand on that.
	Services map[string][]Target
}

// Target is one task.
type Target struct {
	// ID is the task's id; a drain names it.
	ID   string
	Zone string
	// Address is host:port.
	Address string
	// Weight is the target's share where the service is balanced by weights;
	// 0 counts as 1.
	Weight int
	// Host names the machine that a Checker's target is on; empty: not known.
	Host string
}

// Stats are a service's figures, as demand reads them.
type Stats struct {
	// InFlight are the requests that have arrived and have no answer yet, those
	// that wait for a target included, and the open WebSockets.
	InFlight int
	// Held are those of them that wait for a target.
	Held int
	// WebSockets are those of them that have become a WebSocket.
	WebSockets int
	// Concurrency is the mean of InFlight over the window.
	Concurrency float64
	// Recent is the mean of InFlight over the last second or so: what a burst
	// shows in before it moves Concurrency.
	Recent float64
	// RequestsPerSecond is the rate of arrivals over the window.
	RequestsPerSecond float64
	// LatencyP50 and LatencyP99 are of the answers in the window, from the
	// arrival to the last byte; zero without answers.
	LatencyP50, LatencyP99 time.Duration
	// Requests and Errors count since the start; errors are 5xx answers of the
	// router's own making and of targets.
	Requests, Errors uint64
	// Retries counts the attempts after the first, Waited the requests that
	// have had to wait for a target, both since the start.
	Retries, Waited uint64
	// Window is the time that the rates and quantiles are over.
	Window time.Duration
}

// TargetState is what is shown of a target.
type TargetState struct {
	ID      string `json:"id"`
	Zone    string `json:"zone,omitempty"`
	Address string `json:"address"`
	// Healthy tells that requests are sent to the target by choice; without
	// it the Reason says why not.
	Healthy  bool   `json:"healthy"`
	Draining bool   `json:"draining"`
	Reason   string `json:"reason,omitempty"`
	// WebSockets are the open ones.
	WebSockets int `json:"webSockets"`
	// Figures count since the target was added. A request that is tried again is
	// one at each of its targets; failures are attempts without a whole answer.
	Figures
}

// TokenField is the header field that carries Options.Token.
const TokenField = "X-Plimsoll-Token"

// Options make a Router. The zero value is usable.
type Options struct {
	Log *slog.Logger
	// Rand is the source of the two choices. It must be safe for concurrent
	// use. nil is a generator of the router's own with a random seed.
	Rand   func() uint64
	Health Health
	// HoldMax is the greatest number of requests of one service that wait for
	// a target. Default 1,000.
	HoldMax int
	// HoldTimeout is the longest time that a request waits for a target.
	// Default 30 s.
	HoldTimeout time.Duration
	// DialTimeout bounds one connection to a target, and the time in which the
	// target's host must acknowledge what it is sent. Default 2 s.
	DialTimeout time.Duration
	// Token, if any, is asked of every request in the field TokenField; it does
	// not go on to the target. It guards a router that others can reach.
	Token string
	// ResponseTimeout bounds the time from the end of the request to the head
	// of the target's answer. Default 60 s; under 0 there is no bound.
	ResponseTimeout time.Duration
	// HeadTimeout bounds the time from the first byte of a request to the end
	// of its head. Default 10 s.
	HeadTimeout time.Duration
	// HandshakeTimeout bounds a TLS handshake, with a client or with a target.
	// Default 10 s.
	HandshakeTimeout time.Duration
	// BodyTimeout bounds the time in which a piece of a body, up to 128 KiB,
	// must come from a client or be taken by one. Default 60 s.
	BodyTimeout time.Duration
	// MaxBody is the greatest size of a request's body in bytes. Default 16
	// GiB; under 0 there is no bound.
	MaxBody int64
	// Access is where routes with Log are logged; nil is nowhere.
	Access *AccessLog
	// Trace gives requests without a traceparent one of their own.
	Trace bool
	// Spans, if any, gets a span of each request that is sampled, and each request
	// has a trace, as with Trace: one that others sampled is, one that begins here
	// is by SampleShare, from 0 to 1. The targets get the span's id as their parent.
	Spans       Spans
	SampleShare float64
	// Zone is the router's own availability zone, whose targets come first.
	// Empty: zones make no difference.
	Zone string
	// Trusted are the networks whose peers may say, in X-Forwarded-* and
	// Forwarded, where a request came from. What anybody else says of it is
	// dropped. Default none.
	Trusted []netip.Prefix
	// ProxyFrom are the networks whose peers begin each connection with the
	// PROXY protocol. Default none.
	ProxyFrom []netip.Prefix
	// TLS is how ServeTLS, and TCP routes that end TLS here, answer clients.
	TLS *tls.Config
	// Challenge answers the requests below /.well-known/acme-challenge/, before
	// any route; false leaves one to the routes. nil: all go to the routes.
	Challenge func(http.ResponseWriter, *http.Request) bool
	// HTTPS, if not 0, is the port that requests without TLS are sent on to
	// (308), but for those that Challenge answers.
	HTTPS int
	// Listen opens a TCP port of the table. Default: on the loopback interface.
	Listen func(port int) (net.Listener, error)

	unheard func(syscall.RawConn, time.Duration) bool // unheard, but in tests
}

// Router is the http.Handler that sends requests to targets. Make it with New,
// give it a table with SetTable, and serve it with Serve, which also refuses
// what net/http would let through.
type Router struct {
	options    Options
	log        *slog.Logger
	rand       func() uint64
	transports transports
	dialer     net.Dialer
	buffers    sync.Pool
	epoch      time.Time

	table      atomic.Pointer[table]
	refused    atomic.Uint64
	unrouted   atomic.Uint64
	handshakes atomic.Uint64 // of TLS that failed

	ctx    context.Context // ends with Close; checks and tunnels live in it
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	stopping chan struct{} // closed by Shutdown: nothing is held any more
	stopOnce sync.Once

	mu           sync.Mutex // held by whatever changes the fields below
	services     map[string]*service
	drained      map[string]time.Time // target ids that must not come back
	server       *http.Server
	listeners    []net.Listener
	ports        map[int]*port
	streams      streams
	gates        map[gateKey]*gate
	routeFigures routeFigures
	asking       *http.Client // of authorities
	mirrors      mirrors
	compress     func(http.Handler) http.HandlerFunc
	pace         *checkPace // of a Checker; nil: checks are not bounded

	full     *handoff     // to the server above
	fullOpen atomic.Int64 // its connections

	halting   atomic.Bool // Shutdown or Close: no more connections and requests
	closed    atomic.Bool
	evicting  atomic.Bool // connections without a request are closed
	accepting sync.WaitGroup
	empty     chan struct{} // closed when, halting, the last client has ended
	emptyOnce sync.Once

	socketsMu sync.Mutex // guards what follows
	live      int        // connections that were accepted, and are not net/http's
	sockets   map[*socket]struct{}
	clients   map[*client]struct{}
}

// ErrClosed is what SetTable returns after Close.
var ErrClosed = errors.New("the router is closed")

// New makes a router with an empty table: every request is answered with 404
// until SetTable.
func New(o Options) *Router {
	r := &Router{
		options:  o.withDefaults(),
		epoch:    time.Now(),
		services: map[string]*service{},
		drained:  map[string]time.Time{},
		ports:    map[int]*port{},
		gates:    map[gateKey]*gate{},
		stopping: make(chan struct{}),
		empty:    make(chan struct{}),
		sockets:  map[*socket]struct{}{},
		clients:  map[*client]struct{}{},
	}
	r.log, r.rand = r.options.Log, r.options.Rand
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.dialer = net.Dialer{Timeout: r.options.DialTimeout, KeepAliveConfig: heartbeat(r.options.DialTimeout)}
	r.transports = transports{dial: r.dialer.DialContext, handshake: r.options.HandshakeTimeout, made: map[Upstream]*http.Transport{}, tls: map[Upstream]*tls.Config{}}
	r.asking = newAsking(r.dialer.DialContext)
	r.compress = compressing()
	r.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	r.table.Store(&table{})
	return r
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = newRand()
	}
	o.Health = o.Health.withDefaults()
	if o.HoldMax <= 0 {
		o.HoldMax = 1000
	}
	if o.HoldTimeout <= 0 {
		o.HoldTimeout = 30 * time.Second
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 2 * time.Second
	}
	if o.ResponseTimeout == 0 {
		o.ResponseTimeout = time.Minute
	}
	if o.unheard == nil {
		o.unheard = unheard
	}
	if o.Listen == nil {
		o.Listen = func(port int) (net.Listener, error) {
			return Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		}
	}
	if o.HeadTimeout <= 0 {
		o.HeadTimeout = 10 * time.Second
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = time.Minute
	}
	if o.MaxBody == 0 {
		o.MaxBody = 16 << 30
	}
	return o
}

// newRand is a splitmix64 generator over an atomic counter: safe for concurrent
// use without a lock on the way of every request.
func newRand() func() uint64 {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // crypto/rand does not fail
	var state atomic.Uint64
	state.Store(binary.LittleEndian.Uint64(seed[:]))
	return func() uint64 {
		z := state.Add(0x9e3779b97f4a7c15)
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
}

// Services are the names of the services in the table, sorted.
func (r *Router) Services() []string {
	names := make([]string, 0, len(r.table.Load().services))
	for name := range r.table.Load().services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Targets are the targets of a service, those that drain included, sorted by
// id; none for an unknown service.
func (r *Router) Targets(service string) []TargetState {
	r.mu.Lock()
	s := r.services[service]
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.states()
}

// Stats are the figures of a service, without its further ports; all zero but the
// window for one that has never been in a table.
func (r *Router) Stats(service string) Stats {
	r.mu.Lock()
	s := r.services[service]
	r.mu.Unlock()
	if s == nil {
		return Stats{Window: window}
	}
	return statsOf(r.now(), &s.meter)
}

// Demand are the figures of a service and its further ports together.
func (r *Router) Demand(service string) Stats {
	r.mu.Lock()
	var all []*meter
	if s := r.services[service]; s != nil {
		all = append(all, &s.meter)
		for _, further := range s.further {
			all = append(all, &further.meter)
		}
	}
	r.mu.Unlock()
	return statsOf(r.now(), all...)
}

// Latencies are those of a service's answers; none for one that has never been
// in a table.
func (r *Router) Latencies(service string) Latencies {
	r.mu.Lock()
	s := r.services[service]
	r.mu.Unlock()
	if s == nil {
		return Latencies{}
	}
	return s.meter.latencies()
}

// Pressure gives a notice when a request of the service has to wait for a
// target, and when its requests in flight rise past a power of two, at any of its
// ports. The channel
// is never closed, is the same at each call, and holds at most one notice. The
// service need not be in the table yet.
func (r *Router) Pressure(service string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.named(service)
	s.watched = true
	return s.meter.pressure
}

// Totals count since the start what belongs to no route.
type Totals struct {
	// Refused are the requests that were not routed for their form.
	Refused uint64
	// Unrouted are the requests and connections that no route was found for.
	Unrouted uint64
	// Handshakes are those of TLS with clients that came to nothing.
	Handshakes uint64
	// Mirrored are the copies of requests that were answered, MirrorsLost those
	// that were not, or not sent.
	Mirrored, MirrorsLost uint64
	// Spans were delivered, SpansLost were not.
	Spans, SpansLost uint64
}

// Totals gives the counts.
func (r *Router) Totals() Totals {
	t := Totals{
		Refused: r.refused.Load(), Unrouted: r.unrouted.Load(), Handshakes: r.handshakes.Load(),
		Mirrored: uint64(r.mirrors.sent.Load()), MirrorsLost: uint64(r.mirrors.lost.Load()),
	}
	if r.options.Spans != nil {
		t.Spans, t.SpansLost = r.options.Spans.Counts()
	}
	return t
}

// now is the time since the router was made, on the monotonic clock.
func (r *Router) now() time.Duration { return time.Since(r.epoch) }

// Close ends health checks, WebSockets and all connections, at once; Shutdown
// waits for the requests under way.
func (r *Router) Close() error {
	r.stopOnce.Do(func() { close(r.stopping) })
	r.closed.Store(true)
	r.cancel()
	r.mu.Lock()
	r.closePorts(nil)
	for _, s := range r.services {
		s.close()
	}
	server, full, listeners := r.server, r.full, r.listeners
	r.mu.Unlock()
	if server != nil {
		r.socketsMu.Lock()
		r.halting.Store(true)
		r.evicting.Store(true)
		r.socketsMu.Unlock()
		for _, l := range listeners {
			l.Close()
		}
		full.Close()
		r.closeClients()
		server.Close()
	}
	r.tasks.Wait()
	r.transports.closeIdle()
	r.asking.CloseIdleConnections()
	// The streams have been cut: this is their goroutines' own end.
	return r.streams.wait(context.Background())
}
