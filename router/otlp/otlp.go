// Package otlp sends the spans of the router to a collector, by OpenTelemetry's
// protocol over HTTP in protobuf. What the collector does not take in time is
// dropped and counted: requests never wait for it.
package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll/router"
)

const (
	queueMax = 2048 // spans that wait
	batchMax = 512  // spans of one request to the collector
)

// Options make an Exporter. Endpoint is required.
type Options struct {
	// Endpoint is the whole URL that batches are posted to, such as
	// http://127.0.0.1:4318/v1/traces.
	Endpoint string
	// Header is sent with each batch.
	Header http.Header
	// Resource are the attributes of the router itself, such as service.name.
	Resource map[string]string
	Version  string
	// Timeout bounds one batch, all its attempts included. Default 10 s.
	Timeout time.Duration
	// Every is how long a span waits for others at the most. Default 1 s.
	Every time.Duration
	Gzip  bool
	// TLS is how the collector is asked for its certificate; nil is the usual.
	TLS *tls.Config
	Log *slog.Logger
}

// Exporter is a router.Spans.
type Exporter struct {
	o      Options
	client *http.Client
	queue  chan *router.Span
	sent   atomic.Uint64
	lost   atomic.Uint64
	quiet  bool // the last batch was lost, and the log says so

	ctx    context.Context // of what is under way
	cancel context.CancelFunc
	once   sync.Once
	ending chan struct{} // closed by Close: what waits is the last
	done   chan struct{} // closed when all has gone
}

var _ router.Spans = (*Exporter)(nil)

// New starts an exporter.
func New(o Options) (*Exporter, error) {
	if err := checkEndpoint(o.Endpoint); err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Exporter{
		o:      o,
		queue:  make(chan *router.Span, queueMax),
		ending: make(chan struct{}),
		done:   make(chan struct{}),
		client: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: o.TLS, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	go e.run()
	return e, nil
}

// Add takes a span; where too many wait it is dropped.
func (e *Exporter) Add(s *router.Span) {
	select {
	case e.queue <- s:
	default:
		e.lost.Add(1)
	}
}

// Counts tells how many spans the collector has taken, and how many were lost.
func (e *Exporter) Counts() (sent, lost uint64) { return e.sent.Load(), e.lost.Load() }

// Close sends what waits, until ctx ends. No span may be added after it.
func (e *Exporter) Close(ctx context.Context) error {
	e.once.Do(func() { close(e.ending) })
	var err error
	select {
	case <-e.done:
	case <-ctx.Done():
		err = fmt.Errorf("spans that wait for the collector: %w", context.Cause(ctx))
	}
	e.cancel()
	<-e.done
	e.client.CloseIdleConnections()
	return err
}

// run sends batches until the exporter is closed and nothing waits.
func (e *Exporter) run() {
	defer close(e.done)
	for {
		batch, last := e.gather()
		if len(batch) > 0 {
			e.deliver(batch)
		}
		if last {
			return
		}
	}
}

// gather waits for a batch: a first span, and those that come within Every. last
// tells that there will be none after it.
func (e *Exporter) gather() (batch []*router.Span, last bool) {
	select {
	case s := <-e.queue:
		batch = append(batch, s)
	case <-e.ending:
	}
	timer := time.NewTimer(e.o.Every)
	defer timer.Stop()
	for len(batch) < batchMax {
		select {
		case s := <-e.queue:
			batch = append(batch, s)
			continue
		default:
		}
		select {
		case s := <-e.queue:
			batch = append(batch, s)
		case <-timer.C:
			return batch, false
		case <-e.ending:
			return batch, len(e.queue) == 0
		}
	}
	return batch, false
}

// deliver sends one batch, and counts what became of it.
func (e *Exporter) deliver(batch []*router.Span) {
	ctx, cancel := context.WithTimeout(e.ctx, e.o.Timeout)
	defer cancel()
	rejected, err := e.send(ctx, batch)
	if err != nil {
		rejected = len(batch)
	}
	e.lost.Add(uint64(rejected))
	e.sent.Add(uint64(len(batch) - rejected))
	switch failed := err != nil; {
	case failed && !e.quiet && !errors.Is(err, context.Canceled):
		e.quiet = true
		e.o.Log.Warn("router: spans are lost until the collector takes them", "endpoint", e.o.Endpoint, "spans", len(batch), "error", err)
	case !failed && e.quiet:
		e.quiet = false
		e.o.Log.Info("router: the collector takes spans again", "endpoint", e.o.Endpoint)
	}
}
