package router

import (
	"errors"
	"net/http"
)

// aside tells whether a request goes by another version of HTTP than the service's
// targets are said to speak: a call of gRPC by HTTP/2, or a WebSocket by HTTP/1.1.
func (s settings) aside(r *http.Request) bool {
	if isWebSocket(r) {
		return s.upstream.multiplexed()
	}
	return s.carrier(r) != s.upstream
}

// aside is the error of a request that went so, to a service that has never answered
// one: it says more of the client's choice than of the target, which nobody must be
// able to have left out by asking for what it does not speak.
type aside struct {
	error
	version string
}

func (e aside) Unwrap() error { return e.error }

func (e aside) Error() string {
	return "it may not speak " + e.version + ", by which the request was sent: " + e.error.Error()
}

// fairly marks such an error. That of a connection that was not to be had, and that
// of a host that is gone, are held against a target whatever the request was.
func (x *exchange) fairly(err error) error {
	if !x.service.settings.Load().aside(x.request) || x.service.versed.Load() || dialing(err) || hostGone(err) {
		return err
	}
	version := "HTTP/1.1"
	if x.grpc {
		version = "HTTP/2"
	}
	return aside{err, version}
}

// answered records that the target answered, and whether that was such a request.
func (x *exchange) answered(t *target) {
	t.answered()
	if !x.service.versed.Load() && x.service.settings.Load().aside(x.request) {
		x.service.versed.Store(true)
	}
}

// speaksAside tells whether what failed says nothing against its target.
func speaksAside(err error) bool { return errors.As(err, new(aside)) }
