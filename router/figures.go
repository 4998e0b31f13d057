package router

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// figures count what the requests of one route, or those sent to one target,
// have come to. They have no lock: a request costs a few additions, and no
// allocation.
type figures struct {
	arrived  atomic.Uint64
	answers  [classes]atomic.Uint64
	failures [causes]atomic.Uint64
	took     [bounds + 1]atomic.Uint64
	sum      atomic.Int64
}

// class is what an answer is counted as, by its status.
type class uint8

const (
	classEnded class = iota // a connection of a TCP route, which has no status
	// 1 to 5: the first digit of the status; 101 is a WebSocket.
	classGone class = iota + 5 // the client left before its answer was whole
	classes
)

var classNames = [classes]string{"ended", "1xx", "2xx", "3xx", "4xx", "5xx", "client_gone"}

func classOf(status int) class {
	switch {
	case status == statusClientGone:
		return classGone
	case status >= 100 && status < 600:
		return class(status / 100)
	}
	return classEnded
}

// cause is why a request did not get what it had come for.
type cause uint8

const (
	noCause cause = iota
	// The route's rules.
	causeForbidden
	causeUnauthorized
	causeInFlight
	causeRate
	causeAuthority
	// The request itself.
	causeMalformed
	causeTooLarge
	// No target to send it to.
	causeQueueFull
	causeHeld
	causeShutdown
	// The target that it was sent to.
	causeRefused
	causeConnect
	causeTimeout
	causeUnreadable
	causeBroken
	// The router.
	causeInternal
	causes
)

var causeNames = [causes]string{
	"", "forbidden", "unauthorized", "in_flight_limit", "rate_limit", "authority", "malformed", "too_large",
	"queue_full", "hold_timeout", "shutdown", "refused", "connect", "timeout", "unreadable", "broken", "internal",
}

// bounds is the number of those of Latencies: powers of two from 512 us to 34 s.
const bounds = boundLast - boundFirst + 1

func (f *figures) begin() { f.arrived.Add(1) }

// end counts the end of a request, took after its begin. measured tells whether
// that time says something: that of a WebSocket, or of a client that went away,
// does not.
func (f *figures) end(status int, why cause, took time.Duration, measured bool) {
	f.answers[classOf(status)].Add(1)
	f.failed(why)
	if measured {
		f.took[bound(took)].Add(1)
		f.sum.Add(int64(took))
	}
}

func (f *figures) failed(why cause) {
	if why != noCause {
		f.failures[why].Add(1)
	}
}

// bound is the index of the first of the bounds that is over d.
func bound(d time.Duration) int {
	return min(bits.Len64(uint64(max(d, 0)/time.Microsecond)>>boundFirst), bounds)
}

// Figures are what a route's requests, or those sent to a target, have come to.
// All but InFlight count since the route or the target was there.
type Figures struct {
	Requests uint64 `json:"requests"`
	// InFlight are the requests without an end yet, open WebSockets and
	// connections included.
	InFlight int `json:"inFlight"`
	// Answers are by the first digit of their status ("2xx"; "1xx" are
	// WebSockets). "client_gone" are requests whose client left before the
	// answer was whole, "ended" connections of TCP routes. What never came is
	// not in the map.
	Answers map[string]uint64 `json:"answers"`
	// Failures are by their cause: why the router gave the answer itself, or why
	// a target's did not come, or not to its end.
	Failures map[string]uint64 `json:"failures"`
	// Latencies are those of whole answers.
	Latencies Latencies `json:"-"`
}

// Failed is the sum of the failures.
func (f Figures) Failed() uint64 {
	n := uint64(0)
	for _, of := range f.Failures {
		n += of
	}
	return n
}

// snapshot reads the figures. Each is exact, and what they say together is true
// to a request or so.
func (f *figures) snapshot() Figures {
	s := Figures{Answers: map[string]uint64{}, Failures: map[string]uint64{}}
	done := uint64(0)
	for i := range f.answers {
		if n := f.answers[i].Load(); n > 0 {
			s.Answers[classNames[i]] = n
			done += n
		}
	}
	for i := range f.failures {
		if n := f.failures[i].Load(); n > 0 {
			s.Failures[causeNames[i]] = n
		}
	}
	l := &s.Latencies
	l.Sum = time.Duration(f.sum.Load())
	for i := range f.took {
		l.Count += f.took[i].Load()
		if i < bounds {
			l.Bounds = append(l.Bounds, time.Microsecond<<(boundFirst+i))
			l.Counts = append(l.Counts, l.Count)
		}
	}
	// Last: what has ended has begun.
	s.Requests = f.arrived.Load()
	s.InFlight = int(s.Requests - done)
	return s
}

// maxRouteFigures is the number of routes with figures of their own; a table may
// have many more. The first to get a request have them, for as long as they are in
// the table, and all others share one set.
const maxRouteFigures = 1000

// routeFigures hands the figures of routes out.
type routeFigures struct {
	mu     sync.Mutex
	own    int // sets that are handed out
	others figures
}

// of gives the figures of a route, by its gate.
func (rf *routeFigures) of(g *gate) *figures {
	if f := g.figures.Load(); f != nil {
		return f
	}
	rf.mu.Lock()
	defer rf.mu.Unlock()
	f := g.figures.Load()
	if f == nil {
		if f = &rf.others; rf.own < maxRouteFigures {
			f = &figures{}
			rf.own++
		}
		g.figures.Store(f)
	}
	return f
}

// forget takes back what the gate of a route that is no more has had.
func (rf *routeFigures) forget(g *gate) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	if f := g.figures.Load(); f != nil && f != &rf.others {
		rf.own--
	}
}

// RouteState is what is shown of a route: the figures of its own requests.
type RouteState struct {
	// Service is empty, and Route OtherRoutes, for all those routes together that
	// have no figures of their own.
	Service string `json:"service"`
	// Route is host/path, /path for every host, tcp:PORT, or tls:NAME for
	// pass-through on the TLS listener.
	Route string `json:"route"`
	Figures
}

// OtherRoutes is the name of what routes past the first 1,000 share.
const OtherRoutes = "others"

func (k gateKey) String() string {
	switch {
	case k.port != 0 && k.host != "":
		return "tcp:" + strconv.Itoa(k.port) + "/" + k.host
	case k.port != 0:
		return "tcp:" + strconv.Itoa(k.port)
	case k.path == "":
		return "tls:" + k.host
	}
	return k.host + k.path
}

// Routes are the routes of the table that have had a request, sorted by service
// and name; at the end, if there is need, the others together.
func (r *Router) Routes() []RouteState {
	list := []RouteState{}
	others := false
	r.mu.Lock()
	for key, g := range r.gates {
		switch f := g.figures.Load(); f {
		case nil:
		case &r.routeFigures.others:
			others = true
		default:
			list = append(list, RouteState{key.service, key.String(), f.snapshot()})
		}
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b RouteState) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Route, b.Route))
	})
	if others {
		list = append(list, RouteState{"", OtherRoutes, r.routeFigures.others.snapshot()})
	}
	return list
}
