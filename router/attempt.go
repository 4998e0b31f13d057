package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// attempt is one try of a request at one target, with its time-outs: that for
// the head of the answer runs from the end of the request, that for silence
// from the last byte.
type attempt struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	patience time.Duration // for the head; 0 is none
	idle     time.Duration // for silence; 0 is none
	watch    func() bool   // ends the watch over the target's drain
	silence  *time.Timer
	vigil    vigil

	mu    sync.Mutex // the transport tells the request's end in its own time
	head  *time.Timer
	ended bool // the head has come, or the attempt is over
}

var (
	errNoAnswer = &timeoutError{"the target did not answer in time"}
	errSilent   = &timeoutError{"the target fell silent"}
	// errCut ends a call of gRPC whose target may be kept no longer.
	errCut = errors.New("the task stops")
)

// timeoutError is a net.Error, as the network's own time-outs are.
type timeoutError struct{ text string }

var _ net.Error = (*timeoutError)(nil)

func (e *timeoutError) Error() string   { return e.text }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return false }

// await begins an attempt.
func (x *exchange) await(t *target) *attempt {
	a := &attempt{patience: x.patience(), idle: x.route.Idle}
	a.ctx, a.cancel = context.WithCancelCause(x.request.Context())
	a.vigil.router, a.vigil.every, a.vigil.end = x.router, x.router.options.DialTimeout, a.cancel
	if x.grpc {
		// A stream may go on for ever: it ends with the drain's time, as a call
		// that the client may make again elsewhere.
		a.watch = context.AfterFunc(t.cut, func() { a.cancel(errCut) })
	}
	return a
}

// sent starts the wait for the answer: the request is at its end.
func (a *attempt) sent() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.patience > 0 && !a.ended && a.head == nil {
		a.head = time.AfterFunc(a.patience, func() { a.cancel(errNoAnswer) })
	}
}

// answered ends it: the head has come.
func (a *attempt) answered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.head != nil {
		a.head.Stop()
	}
}

// hinted gives the context in which the target's answers before the last are passed
// on, as long as the last has not come.
func (a *attempt) hinted(x *exchange, ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.ended {
			x.hint(code, http.Header(header))
		}
		return nil
	}})
}

// listen starts the wait for the next piece of the answer, and heard ends it.
func (a *attempt) listen() {
	switch {
	case a.idle <= 0:
	case a.silence == nil:
		a.silence = time.AfterFunc(a.idle, func() { a.cancel(errSilent) })
	default:
		a.silence.Reset(a.idle)
	}
}

func (a *attempt) heard() {
	if a.idle > 0 {
		a.silence.Stop()
	}
}

// reason is why the attempt ended, where its own end is behind the error.
func (a *attempt) reason(err error) error {
	switch cause := context.Cause(a.ctx); cause {
	case errNoAnswer, errSilent, errCut, errLost:
		return cause
	}
	if a.vigil.sentNothing() {
		return unsent{err}
	}
	return err
}

func (a *attempt) end() {
	if a.watch != nil {
		a.watch()
	}
	a.answered()
	a.vigil.stop()
	if a.silence != nil {
		a.silence.Stop()
	}
	a.cancel(context.Canceled)
}
