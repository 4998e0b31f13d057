package router

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// statusClientGone is what is counted, never sent, where the client went away
// before its answer.
const statusClientGone = 499

// exchange is one request on its way to a target and the answer on its way
// back. It is where the table, the balancing, the retries and the transport
// meet; another transport takes the place of send.
type exchange struct {
	router  *Router
	service *service
	route   *route
	w       http.ResponseWriter
	request *http.Request
	out     *http.Request // as the target is to see it, but for its address
	status  int           // of the answer; 0 while there is none
	tunnel  bool          // it has become a WebSocket
	sent    int           // attempts
	resent  int
	bodyErr error // of reading the client's body
}

// ServeHTTP sends the request to a target of the service that its host and path
// belong to.
func (r *Router) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if reason := objection(request); reason != "" {
		r.refused.Add(1)
		refuse(w, http.StatusBadRequest, reason, true)
		return
	}
	if !r.admits(request) {
		r.refused.Add(1)
		refuse(w, http.StatusUnauthorized, fmt.Sprintf("this router asks for its token in the field %q", TokenField), true)
		return
	}
	route := r.table.Load().match(request.Host, request.URL.Path)
	if route == nil {
		r.unrouted.Add(1)
		refuse(w, http.StatusNotFound, fmt.Sprintf("no service is routed at host %q and path %q", request.Host, request.URL.Path), false)
		return
	}
	if leaves(request.URL.Path, route.Path) {
		r.refused.Add(1)
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the path leaves %q by \"..\"", route.Path), true)
		return
	}
	x := &exchange{router: r, service: route.service, route: route, w: w, request: request}
	meter := &route.service.meter
	began := r.now()
	meter.begin(began)
	// Deferred, because a broken answer ends in a panic of net/http's own.
	defer func() {
		meter.end(began, r.now(), x.status >= 500, x.status != statusClientGone && !x.tunnel)
	}()
	x.run()
}

// admits tells whether a request carries the token, if there is one.
func (r *Router) admits(request *http.Request) bool {
	token := r.options.Token
	return token == "" || subtle.ConstantTimeCompare([]byte(request.Header.Get(TokenField)), []byte(token)) == 1
}

// run finds a target, waits for one if there is none, and goes on to the next
// where that is safe.
func (x *exchange) run() {
	if x.out = x.outgoing(); x.out == nil {
		x.router.refused.Add(1)
		x.fail(http.StatusBadRequest, fmt.Sprintf("the path spells %q in another way, so that it cannot be stripped", x.route.Path))
		return
	}
	holding := holding{
		service: x.service,
		limit:   x.router.options.HoldMax,
		timeout: x.router.options.HoldTimeout,
	}
	if x.route.HoldTimeout > 0 {
		holding.timeout = x.route.HoldTimeout
	}
	defer holding.end()
	var tried []*target
	for {
		t := x.service.acquire(tried)
		if t == nil {
			// Taken before the look that counts, so that no change is missed.
			changed := x.service.change()
			if t = x.service.acquire(tried); t == nil {
				if !x.hold(&holding, changed, len(tried)) {
					return
				}
				tried = nil
				continue
			}
		}
		if x.attempt(t) {
			return
		}
		tried = append(tried, t)
	}
}

// hold waits for the targets to change. False: the exchange is over.
func (x *exchange) hold(h *holding, changed <-chan struct{}, tried int) bool {
	var reason string
	switch h.wait(x.request.Context(), changed) {
	case goOn:
		return true
	case leftHold:
		x.status = statusClientGone
		return false
	case stopping:
		reason = "the router shuts down"
	case tooMany:
		reason = fmt.Sprintf("service %q has no target that answers, and %d requests wait for one already", x.service.name, h.limit)
	case tooLong:
		reason = fmt.Sprintf("service %q had no target to send the request to within %s", x.service.name, h.timeout)
		if tried > 0 {
			reason = fmt.Sprintf("no target of service %q took the connection within %s", x.service.name, h.timeout)
		}
	}
	x.fail(http.StatusServiceUnavailable, reason)
	return false
}

// attempt sends the request to the target, which it releases. True: the
// exchange is over; false: another target may be tried.
func (x *exchange) attempt(t *target) (over bool) {
	if x.sent++; x.sent > 1 {
		x.service.meter.retries.Add(1)
	}
	if isWebSocket(x.request) {
		return x.upgrade(t)
	}
	defer t.release()
	body := &sharedBody{from: x.request.Body}
	defer body.Close()
	out := x.addressed(t)
	if x.request.ContentLength != 0 {
		out.Body = body
		// Without it, net/http's server reads on in the body, and throws away
		// what it reads, as soon as an answer begins that did not wait for the
		// body's end: the target would miss a piece and never know.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	answer, err := x.router.transport.RoundTrip(out)
	if err != nil {
		x.bodyErr = body.failed()
		return x.unanswered(t, err)
	}
	t.answered()
	x.relay(t, answer)
	return true
}

// unanswered decides what becomes of a request that got no answer. True: the
// exchange is over.
func (x *exchange) unanswered(t *target, err error) (over bool) {
	switch classify(x.request.Context(), err, x.bodyErr) {
	case clientGone:
		if x.request.Context().Err() != nil {
			x.status = statusClientGone
			return true
		}
		x.fail(http.StatusBadRequest, "the request's body cannot be read: "+x.bodyErr.Error())
		return true
	case timedOut:
		t.failed(err, false)
		x.fail(http.StatusGatewayTimeout, fmt.Sprintf("task %s of service %q did not answer within %s", t.ID, x.service.name, x.router.options.ResponseTimeout))
		return true
	case notConnected:
		t.failed(err, refusal(err))
		// A refused connection costs nobody anything; any other was waited for.
		if refusal(err) || x.service.budget.take(x.router.now(), x.service.meter.total()) {
			return false
		}
	case broken:
		t.failed(err, false)
		if repeatable(x.request) && x.resent < resends && x.service.budget.take(x.router.now(), x.service.meter.total()) {
			x.resent++
			return false
		}
	}
	x.fail(http.StatusBadGateway, fmt.Sprintf("task %s of service %q gave no answer: %v", t.ID, x.service.name, err))
	return true
}

func (x *exchange) fail(code int, reason string) {
	x.status = code
	if code >= 500 {
		x.router.log.Warn("router: request failed", "service", x.service.name, "status", code,
			"method", x.request.Method, "path", x.request.URL.Path, "attempts", x.sent, "reason", reason)
	}
	refuse(x.w, code, reason, code == http.StatusBadRequest)
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
		Header:        outHeader(in),
		ContentLength: in.ContentLength,
	}
	return out.WithContext(in.Context())
}

// addressed is the outgoing request for one target. The header is shared by all
// attempts: nobody changes it.
func (x *exchange) addressed(t *target) *http.Request {
	out := x.out.WithContext(x.out.Context()) // a shallow copy
	url := *x.out.URL
	url.Host = t.Address
	out.URL = &url
	out.Trailer = x.request.Trailer
	return out
}

// relay sends the target's answer to the client.
func (x *exchange) relay(t *target, answer *http.Response) {
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		x.fail(http.StatusBadGateway, fmt.Sprintf("task %s of service %q switched protocols unasked", t.ID, x.service.name))
		return
	}
	x.status = answer.StatusCode
	h := x.w.Header()
	copyEndToEnd(h, answer.Header, nil)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess one
	}
	for name := range answer.Trailer {
		h.Add("Trailer", name)
	}
	x.w.WriteHeader(answer.StatusCode)
	if err := x.stream(answer); err != nil {
		if errors.Is(err, errTarget) && x.request.Context().Err() == nil {
			t.failed(err, false)
			x.status = http.StatusBadGateway
		} else {
			x.status = statusClientGone
		}
		// The head has gone out: only a cut connection tells the client that
		// this is not the whole answer.
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Trailer {
		h[name] = values
	}
}

// errTarget marks an error on the target's side of a stream.
var errTarget = errors.New("the answer of the target broke off")

// stream copies the answer's body. What comes without a length, or as events,
// is passed on as it comes.
func (x *exchange) stream(answer *http.Response) error {
	flush := answer.ContentLength < 0 || strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream")
	controller := http.NewResponseController(x.w)
	if flush {
		_ = controller.Flush() // the head first
	}
	buffer := x.router.buffers.Get().(*[]byte)
	defer x.router.buffers.Put(buffer)
	for {
		n, err := answer.Body.Read(*buffer)
		if n > 0 {
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
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errTarget, err)
		}
	}
}

func newTransport(o Options, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext:         dial,
		DisableCompression:  true, // bodies pass as they are
		MaxIdleConnsPerHost: 256,
		MaxIdleConns:        0,
		// Shorter than the keep-alive time-outs of common servers (2 s and 5 s
		// are usual): a kept connection that the target is just closing must
		// not be handed a request that cannot be sent twice.
		IdleConnTimeout:        1500 * time.Millisecond,
		ResponseHeaderTimeout:  max(0, o.ResponseTimeout),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
	}
}
