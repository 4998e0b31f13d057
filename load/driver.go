package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Sender puts messages into a queue. It is called with at most 10 at a time.
type Sender interface {
	Send(ctx context.Context, queue string, bodies []string) error
}

// Options make a Driver. Curve is required, and at least one of Targets and
// Queues.
type Options struct {
	Curve   Curve
	Targets []Target
	Queues  []Queue
	// Sender takes the messages; required with Queues.
	Sender Sender
	// For ends the run after this time; 0 repeats the curve until the context
	// ends.
	For time.Duration
	// MaxWorkers bounds the requests in flight. Default 128. While all wait
	// for answers, what falls due is missed, and counted as such.
	MaxWorkers int
	// Timeout bounds one request. Default 35 s: past the time for which a
	// router holds a request.
	Timeout time.Duration
	// Seed is that of {random:A-B}; the same seed gives the same paths.
	Seed uint64
	Log  *slog.Logger
}

// Driver sends what a curve asks for. Its Summary can be read while it runs.
type Driver struct {
	o        Options
	requests *turn
	messages *turn
	pacer    *pacer
	tally    tally

	mu    sync.Mutex
	began time.Time
	ended time.Time
}

// New checks the options.
func New(o Options) (*Driver, error) {
	if o.Curve.Length() <= 0 {
		return nil, errors.New("the load has no curve: make one with NewCurve, Builtin or ReadTrace")
	}
	if len(o.Targets)+len(o.Queues) == 0 {
		return nil, errors.New("the load has neither targets nor queues: there is nothing to send to")
	}
	if len(o.Queues) > 0 && o.Sender == nil {
		return nil, errors.New("the load has queues and no sender")
	}
	if o.MaxWorkers <= 0 {
		o.MaxWorkers = 128
	}
	if o.Timeout <= 0 {
		o.Timeout = 35 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	requests, err := targets(o.Targets, rand.New(rand.NewPCG(o.Seed, 1)))
	if err != nil {
		return nil, err
	}
	messages, err := queues(o.Queues, rand.New(rand.NewPCG(o.Seed, 2)))
	if err != nil {
		return nil, err
	}
	return &Driver{o: o, requests: requests, messages: messages}, nil
}

// Run sends until Options.For is over, and then waits for the answers, or until
// ctx ends, and then breaks off what is in flight. Failed requests and messages
// are counted, and no error. A Driver runs once.
func (d *Driver) Run(ctx context.Context) (Summary, error) {
	d.mu.Lock()
	if !d.began.IsZero() {
		d.mu.Unlock()
		return Summary{}, errors.New("this load has been run already: make another driver")
	}
	d.began = time.Now()
	d.pacer = &pacer{ctx: ctx, curve: d.o.Curve, until: d.o.For}
	d.mu.Unlock()
	var parts sync.WaitGroup
	if len(d.o.Targets) > 0 {
		parts.Go(func() { d.attack(ctx) })
	}
	if len(d.o.Queues) > 0 {
		parts.Go(func() { d.send(ctx) })
	}
	parts.Wait()
	d.mu.Lock()
	d.ended = time.Now()
	d.mu.Unlock()
	return d.Summary(), nil
}

// Summary is what has been sent and got so far.
func (d *Driver) Summary() Summary {
	d.mu.Lock()
	began, now, pacer := d.began, d.ended, d.pacer
	d.mu.Unlock()
	if now.IsZero() {
		now = time.Now()
	}
	s := d.tally.summary(now)
	if began.IsZero() {
		return s
	}
	s.Elapsed = now.Sub(began)
	s.Round = int(s.Elapsed/d.o.Curve.Length()) + 1
	s.Position = s.Elapsed % d.o.Curve.Length()
	s.RequestRate, s.MessageRate = d.o.Curve.At(s.Elapsed)
	s.Missed = pacer.missed.Load()
	return s
}

// attack sends the requests and takes in their results.
func (d *Driver) attack(ctx context.Context) {
	transport := &http.Transport{
		MaxIdleConns:        d.o.MaxWorkers,
		MaxIdleConnsPerHost: d.o.MaxWorkers,
		MaxConnsPerHost:     d.o.MaxWorkers,
		DisableCompression:  true,
	}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{
			Timeout:   d.o.Timeout,
			Transport: until{ctx, transport},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		}),
		vegeta.Workers(4),
		vegeta.MaxWorkers(uint64(d.o.MaxWorkers)),
		vegeta.MaxBody(0), // read to the end, and kept nowhere
	)
	stop := context.AfterFunc(ctx, func() { attacker.Stop() })
	defer stop()
	for result := range attacker.Attack(d.target, d.pacer, 0, "") {
		d.tally.result(result, ctx.Err() != nil, time.Now())
	}
}

// target is vegeta's Targeter: the next request.
func (d *Driver) target(t *vegeta.Target) error {
	source, path := d.requests.next()
	t.Method = http.MethodGet
	t.URL = source.url + path
	t.Header = http.Header{"User-Agent": {"plimsoll-load"}}
	maps.Copy(t.Header, source.more)
	if source.host != "" {
		t.Header["Host"] = []string{source.host}
	}
	d.tally.sent()
	return nil
}

const (
	sendStep    = 100 * time.Millisecond // between two looks at what is due
	sendBatch   = 10                     // SQS takes no more at a time
	sendTimeout = 5 * time.Second
	sendBehind  = 1000 // messages due and not sent are left out from here on
)

// send sends the messages as they fall due.
func (d *Driver) send(ctx context.Context) {
	ticker := time.NewTicker(sendStep)
	defer ticker.Stop()
	sent := 0.0
	for {
		elapsed := time.Since(d.began)
		over := d.o.For > 0 && elapsed >= d.o.For
		if over {
			elapsed = d.o.For
		}
		_, due := d.o.Curve.Sum(elapsed)
		sent = max(sent, due-sendBehind)
		for ctx.Err() == nil && due-sent >= 1 {
			n := min(int(due-sent), sendBatch)
			d.batch(ctx, n)
			sent += float64(n)
		}
		if over {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// batch sends n messages, each to the queue whose turn it is.
func (d *Driver) batch(ctx context.Context, n int) {
	bodies := map[string][]string{}
	var names []string
	for range n {
		source, body := d.messages.next()
		if bodies[source.name] == nil {
			names = append(names, source.name)
		}
		bodies[source.name] = append(bodies[source.name], body)
	}
	for _, name := range names {
		limited, cancel := context.WithTimeout(ctx, sendTimeout)
		err := d.o.Sender.Send(limited, name, bodies[name])
		cancel()
		if ctx.Err() != nil && err != nil {
			return // broken off by the run's end
		}
		if err != nil {
			err = fmt.Errorf("%d messages to queue %q: %w", len(bodies[name]), name, err)
			d.o.Log.Warn("load: messages were not taken", "error", err)
		}
		d.tally.messages(len(bodies[name]), err)
	}
}

// until breaks off what is in flight when ctx ends; vegeta's requests have no
// context of their own.
type until struct {
	ctx  context.Context
	next http.RoundTripper
}

func (u until) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(u.ctx, cancel)
	end := func() { stop(); cancel() }
	answer, err := u.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	answer.Body = &endingBody{answer.Body, end}
	return answer, nil
}

type endingBody struct {
	io.ReadCloser
	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
