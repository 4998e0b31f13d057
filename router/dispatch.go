package router

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"plimsoll/router/h1"
)

// statusClientGone is what is counted, never sent, where the client went away
// before its answer. A target may answer with any status.
const statusClientGone = -1

// refusal is why a request is answered by the router itself.
type refusal struct {
	why    cause // noCause where no route is to count it
	code   int
	reason string
	// last tells that what follows on the connection cannot be trusted.
	last bool
}

// arrival is what a request is judged and routed by, whichever way it came in.
// Its strings may lie in a buffer: nobody keeps them.
type arrival struct {
	method, host string
	path         string // decoded
	query        string // raw
	token        string // of TokenField
}

// admit finds the route of a request, or says why there is none for it, and
// counts that.
func (r *Router) admit(a *arrival) (*route, *refusal) {
	if reason := a.objection(); reason != "" {
		r.refused.Add(1)
		return nil, &refusal{noCause, http.StatusBadRequest, reason, true}
	}
	if token := r.options.Token; token != "" && subtle.ConstantTimeCompare([]byte(a.token), []byte(token)) != 1 {
		r.refused.Add(1)
		return nil, &refusal{noCause, http.StatusUnauthorized, fmt.Sprintf("this router asks for its token in the field %q", TokenField), true}
	}
	table := r.table.Load()
	route := table.match(a.host, a.path)
	if route == nil {
		r.unrouted.Add(1)
		return nil, &refusal{noCause, http.StatusNotFound, fmt.Sprintf("no service is routed at host %q and path %q", a.host, a.path), false}
	}
	if leaves(a.path, route.Path) {
		r.refused.Add(1)
		return nil, &refusal{noCause, http.StatusBadRequest, fmt.Sprintf("the path leaves %q by \"..\"", route.Path), true}
	}
	if mistakable(a.path) {
		if other := table.match(a.host, cleaned(a.path)); other != nil && other != route {
			r.refused.Add(1)
			return nil, &refusal{noCause, http.StatusBadRequest, fmt.Sprintf("the path %q is one of route %q, or of %q, by how it is read", a.path, route.Path, other.Path), true}
		}
	}
	return route, nil
}

// dispatch is what one request has come to on its way to a target: the one
// place where targets are chosen, waited for, and tried again.
type dispatch struct {
	router    *Router
	service   *service
	route     *route
	status    int    // of the answer; 0 while there is none
	tunnel    bool   // it has become a WebSocket
	sent      int    // attempts
	clings    string // the digest of the target that a cookie names
	resent    int
	insist    bool          // the last target may be tried again, if there is no other
	unreached time.Duration // when first a target took no connection, on the router's clock; 0: all did
	last      error         // why the last one did not
	insecure  int           // of those tried, with which there was no TLS

	figures *figures // of the route
	cause   cause    // why there was no answer of a target's
	// answering is the target whose answer it is, as long as nothing is wrong with
	// that; nil without one.
	answering *target
	began     time.Duration // on the router's clock
	attemptAt time.Duration // when the last attempt began
	span      *Span         // nil where none is made
}

// begin counts an arrival.
func (d *dispatch) begin(now time.Duration) {
	d.began, d.attemptAt = now, now
	d.figures = d.router.routeFigures.of(d.route.gate)
	d.figures.begin()
	d.service.meter.begin(now)
}

// turnedAway counts one that never was the service's to serve, and so no demand on
// it.
func (d *dispatch) turnedAway(now time.Duration) {
	f := d.router.routeFigures.of(d.route.gate)
	f.begin()
	f.end(d.status, d.cause, 0, false)
	d.tell(now - d.began)
}

// end counts what became of it. measured tells whether the time that it took says
// something of the service.
func (d *dispatch) end(now time.Duration, measured bool) {
	d.service.meter.end(d.began, now, d.status >= 500, measured)
	d.figures.end(d.status, d.cause, now-d.began, measured)
	if d.answering != nil {
		d.answering.figures.end(d.status, noCause, now-d.attemptAt, measured)
	}
	d.tell(now - d.began)
}

// sender sends one request; an HTTP/1.1 client's own connection is one, and an
// exchange of net/http's server is the other.
type sender interface {
	// attempt sends the request to the target, which it releases. True: the
	// exchange is over; false: another target may be tried.
	attempt(t *target) (over bool)
	// fail answers with a page of the router's own.
	fail(why cause, code int, reason string)
	// watch gives a context that ends when the client goes away; done ends the
	// watch.
	watch() (ctx context.Context, done func())
}

// run finds a target, waits for one if there is none, and goes on to the next
// where that is safe.
func (d *dispatch) run(s sender) {
	var holding *holding
	var tried []*target
	for {
		var t *target
		if d.clings != "" && d.sent == 0 {
			t = d.service.acquireKnown(d.clings)
		}
		if t == nil {
			t = d.service.acquire(tried)
		}
		if t == nil && d.insist {
			t = d.service.acquire(nil)
		}
		d.insist = false
		if t == nil && len(tried) > 0 && d.insecure == len(tried) && d.service.usable.Load().spent(tried) {
			// A certificate does not become right in a moment.
			s.fail(causeConnect, http.StatusBadGateway, d.noAnswer(tried[len(tried)-1], d.last))
			return
		}
		if t == nil {
			if holding == nil {
				holding = d.holding()
				defer holding.end()
			}
			var over bool
			if t, tried, over = d.await(s, holding, tried); over {
				return
			}
			if t == nil {
				continue
			}
		}
		if d.sent++; d.sent > 1 {
			d.service.meter.retries.Add(1)
		}
		if d.sent > 1 || holding != nil {
			d.attemptAt = d.router.now()
		}
		if s.attempt(t) {
			return
		}
		tried = append(tried, t)
	}
}

// await waits until a target may be had; it gives one if that is so already. left
// are those of tried that are not to be tried again yet. over: the exchange is.
func (d *dispatch) await(s sender, h *holding, tried []*target) (t *target, left []*target, over bool) {
	// Both before the look that counts, so that no change is missed.
	changed := d.service.change()
	d.service.waiting.Add(1)
	t, left = d.service.acquire(tried), tried
	if t == nil {
		freed, again := d.service.awaited(tried)
		var verdict verdict
		if verdict, over = d.hold(s, h, changed, freed, again); verdict == goOn {
			left, d.insecure = nil, 0
		}
		if !over {
			t = d.service.acquire(left)
		}
	}
	d.service.waiting.Add(-1)
	if t != nil || over {
		// The notice may have been for several releases: hand it on.
		d.service.room()
	}
	return t, left, over
}

// tryAgainAfter is the pause after all targets were tried in vain.
const tryAgainAfter = 250 * time.Millisecond

// awaited gives what a request waits for, beside a change, that could have none of
// the targets but those of tried, which took no connection: room at one that was
// full; else, if they are still thought to be well, some time. It must not hear of
// the room that other requests make there, or they would try in turn for ever.
func (s *service) awaited(tried []*target) (freed <-chan struct{}, again <-chan time.Time) {
	p := s.usable.Load()
	switch {
	case !p.spent(tried):
		return s.freed, nil
	case !p.blind && len(tried) > 0:
		return nil, time.After(tryAgainAfter)
	}
	return nil, nil
}

// patience is how long the head of an answer is waited for; 0 is for ever.
func (d *dispatch) patience() time.Duration {
	limit := d.router.options.ResponseTimeout
	if d.route.Timeout != 0 {
		limit = d.route.Timeout
	}
	return max(0, limit)
}

// holding begins a wait; what was spent on targets that took no connection was
// waiting already.
func (d *dispatch) holding() *holding {
	h := &holding{
		service: d.service,
		limit:   cmp.Or(d.service.settings.Load().balance.MaxQueued, d.router.options.HoldMax),
		timeout: d.holdTimeout(),
	}
	if d.unreached != 0 {
		h.timeout = max(0, h.timeout-(d.router.now()-d.unreached))
	}
	return h
}

// holdTimeout is how long a request waits for a target that takes it.
func (d *dispatch) holdTimeout() time.Duration {
	if d.route.HoldTimeout > 0 {
		return d.route.HoldTimeout
	}
	return d.router.options.HoldTimeout
}

// hold waits for what is given. over: the exchange is.
func (d *dispatch) hold(s sender, h *holding, changed, freed <-chan struct{}, again <-chan time.Time) (v verdict, over bool) {
	ctx, done := s.watch()
	v = h.wait(ctx, changed, freed, again)
	done()
	var why cause
	var reason string
	switch v {
	case goOn, roomMade:
		return v, false
	case leftHold:
		d.status = statusClientGone
		return v, true
	case stopping:
		why, reason = causeShutdown, "the router shuts down"
	case tooMany:
		why, reason = causeQueueFull, fmt.Sprintf("service %q has no target that answers and has room, and %d requests wait for one already", d.service.name, h.limit)
	case tooLong:
		why, reason = causeHeld, fmt.Sprintf("service %q had no target to send the request to within %s", d.service.name, d.holdTimeout())
		if d.unreached != 0 {
			reason = d.notTaken()
		}
	}
	s.fail(why, http.StatusServiceUnavailable, reason)
	return v, true
}

// unanswered decides what becomes of a request that got no answer from a target,
// by why that was. repeatable tells whether it may be sent twice. True: the
// exchange is over.
func (d *dispatch) unanswered(s sender, t *target, why failure, err error, repeatable bool) (over bool) {
	of := why.cause(err)
	switch why {
	case clientGone:
		d.status = statusClientGone
		return true
	case badBody:
		code := http.StatusBadRequest
		if e := (*h1.Error)(nil); errors.As(err, &e) {
			code, err = e.Status, e
		} else if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			code = http.StatusRequestEntityTooLarge
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			code, err = http.StatusRequestTimeout, errSlowBody
		}
		if code == http.StatusRequestEntityTooLarge {
			of = causeTooLarge
		}
		s.fail(of, code, "the request's body cannot be read: "+err.Error())
		return true
	case timedOut:
		t.failed(err, of)
		s.fail(of, http.StatusGatewayTimeout, fmt.Sprintf("task %s of service %q did not answer within %s", t.ID, d.service.name, d.patience()))
		return true
	case notConnected:
		t.failed(err, of)
		return d.passOver(s, err)
	case unreadable:
		t.failed(err, of)
	case broken:
		t.failed(err, of)
		if repeatable && d.resent < resends && (hostGone(err) || d.mayResend()) {
			d.resent++
			d.insist = true
			return false
		}
	}
	s.fail(of, http.StatusBadGateway, d.noAnswer(t, err))
	return true
}

func (d *dispatch) noAnswer(t *target, err error) string {
	return fmt.Sprintf("task %s of service %q gave no answer: %v", t.ID, d.service.name, err)
}

// passOver goes on to another target where one took no connection. Nothing was sent,
// so that no target has more to do for it, whatever the budget: each is tried once
// before the request waits (run), one at a time, for no longer than it may wait. True:
// the exchange is over.
func (d *dispatch) passOver(s sender, err error) (over bool) {
	if d.last = err; !dialing(err) && errors.As(err, new(unsent)) {
		d.insecure++
	}
	now := d.router.now()
	if d.unreached == 0 {
		d.unreached = now
	}
	if now-d.unreached < d.holdTimeout() {
		return false
	}
	s.fail(causeHeld, http.StatusServiceUnavailable, d.notTaken())
	return true
}

func (d *dispatch) notTaken() string {
	return fmt.Sprintf("no target of service %q took the connection within %s; the last error: %v", d.service.name, d.holdTimeout(), d.last)
}

// errSlowBody is what a client is told whose body stops.
var errSlowBody = errors.New("its next piece took too long")

// mayResend bounds what is sent again, which a target may have to work for twice.
func (d *dispatch) mayResend() bool {
	return d.service.budget.take(d.router.now(), d.service.meter.total())
}

// logFailure reports an answer of the router's own that is its fault or a
// target's.
func (d *dispatch) logFailure(code int, method, path, reason string) {
	if code >= 500 {
		d.router.log.Warn("router: request failed", "service", d.service.name, "status", code,
			"method", method, "path", path, "attempts", d.sent, "reason", reason)
	}
}
