package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"plimsoll/router/h1"
)

// resends is how often one request is sent anew after it was sent in vain.
const resends = 2

// failure is why a request got no answer from a target.
type failure int

const (
	notConnected failure = iota // no connection, or no TLS on it: nothing was sent
	clientGone                  // the client went away
	badBody                     // the client sent a body that cannot be read
	timedOut                    // sent, and no answer in time
	unreadable                  // sent, and the answer is not HTTP as it should be
	broken                      // sent, and the connection ended before the answer
)

// cause is what such a failure is counted as.
func (f failure) cause(err error) cause {
	switch f {
	case notConnected:
		if connectionRefused(err) {
			return causeRefused
		}
		return causeConnect
	case badBody:
		return causeMalformed
	case timedOut:
		return causeTimeout
	case unreadable:
		return causeUnreadable
	case broken:
		return causeBroken
	}
	return noCause
}

// brokenOff is what an answer that ends too early is counted as.
func brokenOff(err error) cause {
	var e *h1.Error
	switch {
	case errors.As(err, &e):
		return causeUnreadable
	case ranOut(err):
		return causeTimeout
	}
	return causeBroken
}

// unsent marks an error that came before anything of the request was sent.
type unsent struct{ error }

func (e unsent) Unwrap() error { return e.error }

// classify tells what an error of a round trip means. bodyErr is the error, if
// any, of reading the client's body.
func classify(ctx context.Context, err, bodyErr error) failure {
	switch {
	case ctx.Err() != nil:
		return clientGone
	case bodyErr != nil:
		return badBody
	case errors.As(err, new(unsent)), dialing(err):
		return notConnected
	case ranOut(err):
		return timedOut
	default:
		return broken
	}
}

// dialing tells whether no connection was made.
func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// ranOut tells whether a time-out of the router's own has passed. That of the
// kernel is for hosts that are gone, and breaks the connection.
func ranOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

// connectionRefused tells whether the target's host said that nothing listens
// there.
func connectionRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// repeatable tells whether a request that may have reached a target can be sent
// again: its method is idempotent (RFC 9110, section 9.2.2), and it has no body
// that would have to be read twice.
func repeatable(method string, body bool) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return !body
	}
	return false
}

const (
	budgetShare = 0.2 // of the requests may be sent again,
	budgetRate  = 10  // and so many a second in any case,
	budgetMax   = 100 // saved up to this many
)

// budget bounds how many requests of a service are sent again, so that retries
// cannot multiply the load on targets that are failing from load.
type budget struct {
	mu       sync.Mutex
	tokens   float64
	requests uint64
	at       time.Duration
	opened   bool
}

// take tells whether one more request may be sent again. requests is the number
// that the service has had up to now.
func (b *budget) take(now time.Duration, requests uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.opened {
		b.opened, b.tokens = true, budgetRate
	} else {
		b.tokens += budgetRate * (now - b.at).Seconds()
	}
	b.tokens = min(budgetMax, b.tokens+budgetShare*float64(requests-b.requests))
	b.at, b.requests = now, requests
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
