package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// exchange is one request on its way to a target and the answer on its way
// back, by net/http: what needs HTTP/2, TLS, an upgrade or a feature of its route
// that is rare. A plain request on a plain connection goes another way (client).
type exchange struct {
	dispatch
	w       http.ResponseWriter
	bare    http.ResponseWriter // w without the compression; nil where there is none
	request *http.Request
	out     *http.Request // as the target is to see it, but for its address
	body    *original     // the client's; nil where there is none
	bodyErr error         // of reading it
	from    origin
	grpc    bool
	entered bool        // the route's gate
	granted http.Header // what the route's authority says of the request
	// challenge asks the client for a name and a password.
	challenge bool
	task      string // the target's that was tried last
	pace      *pace
}

// ServeHTTP sends the request to a target of the service that its host and path
// belong to.
func (r *Router) ServeHTTP(w http.ResponseWriter, request *http.Request) { r.exchange(w, request) }

// serveFull is the handler of the router's own server.
func (r *Router) serveFull(w http.ResponseWriter, request *http.Request) {
	if r.halting.Load() {
		w.Header().Set("Connection", "close") // GOAWAY in HTTP/2
	}
	if r.elsewhere(w, request) {
		return
	}
	if r.exchange(w, request) == statusClientGone {
		// Or net/http would answer with 200 for a handler that says nothing.
		panic(http.ErrAbortHandler)
	}
}

// exchange answers a request, and gives the status that is counted.
func (r *Router) exchange(w http.ResponseWriter, request *http.Request) (status int) {
	x := &exchange{dispatch: dispatch{router: r}, w: w, request: request, grpc: isGRPC(request)}
	if err := misread(request); err != nil {
		r.refused.Add(1)
		x.refuse(err.Status, err.Reason, true)
		return err.Status
	}
	route, no := r.admit(&arrival{
		method: request.Method, host: request.Host, path: request.URL.Path, query: request.URL.RawQuery,
		token: request.Header.Get(TokenField),
	})
	if no != nil {
		x.refuse(no.code, no.reason, no.last)
		return no.code
	}
	route = route.choose(request, r.rand)
	x.service, x.route = route.service, route
	x.clings = route.service.clings(request)
	x.from = originOf(parsedAddress(request.RemoteAddr), isHTTPS(request), r.options.Trusted).told(request.Header, r.options.Trusted)
	x.began = r.now()
	x.pace = x.pacing(w)
	recorded := x.record(w)
	served := false
	// Deferred, because a broken answer ends in a panic of net/http's own.
	defer func() {
		if x.entered {
			route.gate.leave()
		}
		if served {
			x.end(r.now(), x.status != statusClientGone && !x.tunnel)
		} else {
			x.turnedAway(r.now())
		}
		recorded()
	}()
	x.follow()
	if served = x.passes(w); !served {
		return x.status
	}
	x.begin(r.now())
	x.mirror()
	x.runCompressed()
	return x.status
}

// passes lets the request through to its service. False: it has been answered, and
// never was the service's to serve.
func (x *exchange) passes(w http.ResponseWriter) bool {
	if !x.enter() {
		return false
	}
	if x.out = x.outgoing(); x.out == nil {
		x.router.refused.Add(1)
		x.fail(causeMalformed, http.StatusBadRequest, unstrippable(x.route))
		return false
	}
	if limit := x.router.options.MaxBody; limit > 0 {
		if x.request.ContentLength > limit {
			x.fail(causeTooLarge, http.StatusRequestEntityTooLarge, tooLarge(limit))
			return false
		}
		x.request.Body = http.MaxBytesReader(w, x.request.Body, limit)
	}
	return true
}

// watch gives the request's own context, which net/http ends.
func (x *exchange) watch() (context.Context, func()) { return x.request.Context(), func() {} }

// attempt sends the request to the target, which it releases.
func (x *exchange) attempt(t *target) (over bool) {
	x.task = t.ID
	if isWebSocket(x.request) {
		return x.upgrade(t)
	}
	defer t.release()
	attempt := x.await(t)
	defer attempt.end()
	carrier := x.service.settings.Load().carrier(x.request)
	out := x.addressed(t).WithContext(attempt.hinted(x, attempt.vigil.over(attempt.ctx)))
	if x.request.ContentLength == 0 {
		attempt.sent()
	} else {
		if x.body == nil {
			x.body = newOriginal(x.request.Body, carrier.multiplexed())
		}
		body := &sharedBody{of: x.body, ended: attempt.sent}
		defer body.Close()
		out.Body = body
		if carrier.multiplexed() {
			// The transport asks for it where a target ends its connection in order,
			// or has too much to do, and says that it has not begun on the request.
			out.GetBody = func() (io.ReadCloser, error) { return x.body.again(attempt.sent) }
		}
		// Without it, net/http's server reads on in the body, and throws away
		// what it reads, as soon as an answer begins that did not wait for the
		// body's end: the target would miss a piece and never know.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	answer, err := x.router.transports.of(carrier).RoundTrip(out)
	attempt.answered() // or it is over: hints that are still to come are too late
	if err != nil {
		if x.body != nil {
			x.bodyErr = x.body.failure()
		}
		return x.unanswered(t, attempt.reason(err))
	}
	if x.body != nil {
		x.body.settle()
	}
	x.answered(t)
	x.answering = t
	t.erred(answer.StatusCode)
	x.relay(t, answer, attempt)
	return true
}

// unanswered decides what becomes of a request that got no answer.
func (x *exchange) unanswered(t *target, err error) (over bool) {
	why := classify(x.request.Context(), err, x.bodyErr)
	if x.pace.late() {
		why, x.bodyErr = badBody, os.ErrDeadlineExceeded
	}
	if why == badBody {
		err = x.bodyErr
	} else {
		err = x.fairly(err)
	}
	return x.dispatch.unanswered(x, t, why, err, repeatable(x.request.Method, x.request.ContentLength != 0))
}

func (x *exchange) fail(why cause, code int, reason string) {
	x.status, x.cause = code, why
	x.logFailure(code, x.request.Method, x.request.URL.Path, reason)
	x.refuse(code, reason, code == http.StatusBadRequest || code == http.StatusRequestTimeout)
}

// refuse answers in the client's own terms.
func (x *exchange) refuse(code int, reason string, last bool) {
	if x.grpc {
		refuseGRPC(x.w, code, reason)
		return
	}
	if x.challenge {
		x.w.Header().Set("Www-Authenticate", `Basic realm="plimsoll", charset="UTF-8"`)
	}
	last = last && x.request.ProtoMajor < 2
	if x.route != nil && x.route.Pages[code] != "" {
		sendPage(x.w, code, x.route.Pages[code], last)
		return
	}
	refuse(x.w, code, reason, last)
}

// outgoing is the request as the target is to see it, without its address; nil
// if the route's prefix cannot be stripped.
func (x *exchange) outgoing() *http.Request {
	in := x.request
	url := url.URL{Scheme: "http", Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery}
	if x.route.Strip {
		var ok bool
		if url.Path, url.RawPath, ok = stripped(in.URL.Path, in.URL.RawPath, x.route.Path); !ok {
			return nil
		}
	}
	out := &http.Request{
		Method: in.Method, URL: &url, Host: in.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        x.outHeader(),
		ContentLength: in.ContentLength,
	}
	return out.WithContext(in.Context())
}

// outHeader is the header that the target gets: what the route's authority says
// takes the place of what the client says, however that is spelled, and whatever
// its Connection names.
func (x *exchange) outHeader() http.Header {
	h := outHeader(x.request, x.from)
	for name, values := range x.granted {
		lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		for other := range h {
			if spelled(other, lower) {
				delete(h, other)
			}
		}
		if len(values) > 0 {
			h[name] = values
		}
	}
	return h
}

// addressed is the outgoing request for one target. The header is shared by all
// attempts: nobody changes it.
func (x *exchange) addressed(t *target) *http.Request {
	out := x.out.WithContext(x.out.Context()) // a shallow copy
	url := *x.out.URL
	url.Host = t.Address
	if x.service.settings.Load().upstream.secure() {
		url.Scheme = "https"
	}
	out.URL = &url
	out.Trailer = x.request.Trailer
	return out
}

// relay sends the target's answer to the client.
func (x *exchange) relay(t *target, answer *http.Response, attempt *attempt) {
	defer func() {
		// Ended first: an answer may come before its request's end, and the
		// closing would wait for that.
		attempt.end()
		answer.Body.Close()
	}()
	if answer.ProtoMajor == 2 {
		// While a request's body is still read, HTTP/2's transport does not
		// see that its context ends.
		defer context.AfterFunc(attempt.ctx, func() { answer.Body.Close() })()
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		x.fail(causeUnreadable, http.StatusBadGateway, fmt.Sprintf("task %s of service %q switched protocols unasked", t.ID, x.service.name))
		return
	}
	x.status = answer.StatusCode
	h := x.w.Header()
	copyEndToEnd(h, answer.Header, nil)
	x.recode(h)
	x.cling(t, h)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess one
	}
	announced := make(map[string]bool, len(answer.Trailer))
	for name := range answer.Trailer {
		h.Add("Trailer", name)
		announced[name] = true
	}
	x.w.WriteHeader(answer.StatusCode)
	if err := x.stream(answer, attempt); err != nil {
		if errors.Is(err, errTarget) && x.request.Context().Err() == nil {
			x.cause = brokenOff(err)
			t.failed(err, x.cause)
			x.status, x.answering = http.StatusBadGateway, nil
			if x.grpc {
				endGRPC(x.w, fmt.Sprintf("task %s of service %q: %v", t.ID, x.service.name, err))
				return
			}
		} else {
			x.status = statusClientGone
		}
		// The head has gone out: only a cut connection tells the client that
		// this is not the whole answer.
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// hint passes on an answer that is not the last. A 100 is net/http's own to say, when
// the body is read; one to HTTP/1.0, which knows none of them, would be taken for
// the last.
func (x *exchange) hint(code int, header http.Header) {
	if code == http.StatusContinue || !x.request.ProtoAtLeast(1, 1) {
		return
	}
	h := x.w.Header()
	kept := maps.Clone(h)
	clear(h)
	copyEndToEnd(h, header, nil)
	x.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, kept)
}

// errTarget marks an error on the target's side of a stream.
var errTarget = errors.New("the answer of the target broke off")

// stream copies the answer's body. What comes without a length, or as events,
// is passed on as it comes.
func (x *exchange) stream(answer *http.Response, attempt *attempt) error {
	// No flush for no body: with HTTP/2 the head is then the end as well.
	flush := answer.ContentLength < 0 ||
		answer.ContentLength > 0 && (x.grpc || strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream"))
	controller := http.NewResponseController(x.w)
	if flush {
		_ = controller.Flush() // the head first
	}
	buffer := x.router.buffers.Get().(*[]byte)
	defer x.router.buffers.Put(buffer)
	for {
		attempt.listen()
		n, err := answer.Body.Read(*buffer)
		if n > 0 {
			attempt.heard()
			x.pace.writing()
			if _, err := x.w.Write((*buffer)[:n]); err != nil {
				return err
			}
			if flush {
				if err := controller.Flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			x.pace.written()
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errTarget, attempt.reason(err))
		}
	}
}
