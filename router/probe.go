package router

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Check is how the targets of a service are checked. It is the same for all of
// its routes: the first that names one counts.
type Check struct {
	// Kind is CheckTCP, CheckHTTP or CheckGRPC; empty is CheckHTTP with a Path
	// and CheckTCP without.
	Kind string
	// Path is asked for by CheckHTTP.
	Path string
	// Codes are the least and the greatest status that passes. Default 200 and
	// 399.
	Codes [2]int
	// Service is asked for by CheckGRPC; empty is the server as a whole.
	Service string
	// Interval, Timeout, UnhealthyAfter and HealthyAfter are Health's, where
	// they are not 0.
	Interval, Timeout            time.Duration
	UnhealthyAfter, HealthyAfter int
	// EjectErrors is the number of answers with 5xx in a row after which a
	// target is left out, as for no answer; 0 is never: an error is often the
	// request's, and the same everywhere.
	EjectErrors int
}

// Kinds of active checks.
const (
	CheckTCP  = "tcp"  // a connection
	CheckHTTP = "http" // a GET
	CheckGRPC = "grpc" // grpc.health.v1
)

func (c Check) kind() string {
	if c.Kind == "" && c.Path != "" {
		return CheckHTTP
	}
	return cmp.Or(c.Kind, CheckTCP)
}

func (c Check) check() error {
	switch c.kind() {
	case CheckTCP, CheckGRPC:
		if c.Path != "" {
			return fmt.Errorf("a health check by %s asks for no path", c.Kind)
		}
	case CheckHTTP:
		if c.Path == "" || c.Path[0] != '/' {
			return fmt.Errorf("the health check's path %q does not begin with a slash", c.Path)
		}
	default:
		return fmt.Errorf("health check %q is unknown; allowed: %q, %q, %q", c.Kind, CheckTCP, CheckHTTP, CheckGRPC)
	}
	return nil
}

// over gives the router's own settings with what the check says instead.
func (c Check) over(h Health) Health {
	h.Interval = cmp.Or(c.Interval, h.Interval)
	h.Timeout = cmp.Or(c.Timeout, h.Timeout)
	h.UnhealthyAfter = cmp.Or(c.UnhealthyAfter, h.UnhealthyAfter)
	h.HealthyAfter = cmp.Or(c.HealthyAfter, h.HealthyAfter)
	return h
}

// probe makes one active check.
func (t *target) probe(ctx context.Context, o Health) error {
	settings := t.service.settings.Load()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	var err error
	switch settings.check.kind() {
	case CheckHTTP:
		err = t.probeHTTP(ctx, settings)
	case CheckGRPC:
		err = t.probeGRPC(ctx, settings)
	default:
		var conn net.Conn
		if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", t.Address); err == nil {
			err = conn.Close()
		} else {
			err = notTaken{err}
		}
	}
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	return nil
}

// notTaken is the error of a check that got no connection.
type notTaken struct{ error }

func (e notTaken) Unwrap() error { return e.error }

func noConnection(err error) bool { return errors.As(err, new(notTaken)) }

// ask sends a check's request on a connection of its own, so that a check also
// sees that connections are taken.
func (t *target) ask(ctx context.Context, u Upstream, method, path string, header http.Header, body io.Reader) (*http.Response, func(), error) {
	var taken atomic.Bool
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		taken.Store(err == nil)
		return conn, err
	}
	transport, err := newTransport(u, dial, t.service.router.options.HandshakeTimeout)
	if err != nil {
		return nil, nil, err
	}
	transport.DisableKeepAlives = u.Protocol == HTTP || u.Protocol == HTTPS
	scheme := "http://"
	if u.secure() {
		scheme = "https://"
	}
	request, err := http.NewRequestWithContext(ctx, method, scheme+t.Address+path, body)
	if err != nil {
		return nil, nil, err
	}
	request.Header = header
	request.Header.Set("User-Agent", "plimsoll-health")
	answer, err := transport.RoundTrip(request)
	if err != nil {
		transport.CloseIdleConnections()
		if !taken.Load() {
			err = notTaken{err}
		}
		return nil, nil, err
	}
	return answer, func() { answer.Body.Close(); transport.CloseIdleConnections() }, nil
}

func (t *target) probeHTTP(ctx context.Context, s *settings) error {
	answer, done, err := t.ask(ctx, s.upstream, http.MethodGet, s.check.Path, http.Header{}, nil)
	if err != nil {
		return err
	}
	defer done()
	low, high := cmp.Or(s.check.Codes[0], 200), cmp.Or(s.check.Codes[1], 399)
	if answer.StatusCode < low || answer.StatusCode > high {
		return fmt.Errorf("GET %s was answered with %d, not %d to %d", s.check.Path, answer.StatusCode, low, high)
	}
	return nil
}

// maxHealthAnswer is more than any answer of a health check has.
const maxHealthAnswer = 1 << 10

// probeGRPC calls grpc.health.v1.Health/Check (grpc/grpc, doc/health-checking.md):
// one message there and one back, each behind a head of five bytes.
func (t *target) probeGRPC(ctx context.Context, s *settings) error {
	u := s.upstream
	u.Protocol = H2C
	if s.upstream.secure() {
		u.Protocol = H2
	}
	message := protowire.AppendTag(nil, 1, protowire.BytesType)
	message = protowire.AppendString(message, s.check.Service)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	header := http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	answer, done, err := t.ask(ctx, u, http.MethodPost, "/grpc.health.v1.Health/Check", header, bytes.NewReader(append(frame, message...)))
	if err != nil {
		return err
	}
	defer done()
	back, err := io.ReadAll(io.LimitReader(answer.Body, maxHealthAnswer))
	if err != nil {
		return err
	}
	if code := cmp.Or(answer.Trailer.Get("Grpc-Status"), answer.Header.Get("Grpc-Status")); code != "0" {
		return fmt.Errorf("grpc.health.v1 was answered with status %q: %s", code, cmp.Or(answer.Trailer.Get("Grpc-Message"), answer.Header.Get("Grpc-Message")))
	}
	const serving = 1
	status, err := healthStatus(back)
	if err == nil && status != serving {
		err = fmt.Errorf("grpc.health.v1 says that service %q is in state %d, not 1 (SERVING)", s.check.Service, status)
	}
	return err
}

// healthStatus reads the status (field 1) of a HealthCheckResponse in its frame.
func healthStatus(frame []byte) (uint64, error) {
	errForm := errors.New("the answer is not one of grpc.health.v1")
	if len(frame) < 5 || frame[0] != 0 {
		return 0, errForm
	}
	status := uint64(0)
	for message := frame[5:]; len(message) > 0; {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0, errForm
		}
		message = message[n:]
		if number == 1 && kind == protowire.VarintType {
			if status, n = protowire.ConsumeVarint(message); n < 0 {
				return 0, errForm
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return 0, errForm
		}
		message = message[n:]
	}
	return status, nil
}
