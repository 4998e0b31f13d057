package router

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Mirror sends copies of a share of a route's requests to another service, and
// throws the answers away. A request with a body of more than 64 KiB, or of
// unknown length, has no copy.
type Mirror struct {
	Service string  // a key of the table's Services
	Share   float64 // from 0 to 1
}

const (
	mirrorBody    = 64 << 10
	mirrorTimeout = 10 * time.Second
	mirrorMax     = 100 // copies under way at a time; those beyond are not sent
)

// mirrors counts the copies.
type mirrors struct{ open, sent, lost atomic.Int64 }

// mirror sends a copy of the request on its way, if it is its turn.
func (x *exchange) mirror() {
	m, r := x.route.Mirror, x.router
	if m.Share <= 0 || x.route.mirrored == nil || x.request.ContentLength < 0 || x.request.ContentLength > mirrorBody || isWebSocket(x.request) {
		return
	}
	if float64(r.rand()>>11)/(1<<53) >= m.Share {
		return
	}
	if r.mirrors.open.Add(1) > mirrorMax {
		r.mirrors.open.Add(-1)
		r.mirrors.lost.Add(1)
		return
	}
	body, err := io.ReadAll(x.request.Body)
	x.request.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	service := x.route.mirrored
	t := service.acquire(nil)
	if err != nil || t == nil {
		r.mirrors.open.Add(-1)
		r.mirrors.lost.Add(1)
		if t != nil {
			t.release()
		}
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, mirrorTimeout)
	out := x.out.Clone(ctx)
	out.URL.Host = t.Address
	upstream := service.settings.Load().carrier(x.request)
	if upstream.secure() {
		out.URL.Scheme = "https"
	}
	out.Body = io.NopCloser(bytes.NewReader(body))
	began := r.now()
	r.tasks.Go(func() {
		defer cancel()
		defer r.mirrors.open.Add(-1)
		defer t.release()
		answer, err := r.transports.of(upstream).RoundTrip(out)
		if err != nil {
			r.mirrors.lost.Add(1)
			t.figures.failed(classify(ctx, err, nil).cause(err))
			return
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body) // nobody wants it
		t.figures.end(answer.StatusCode, noCause, r.now()-began, true)
		r.mirrors.sent.Add(1)
	})
}

// failing ends a body with the error that its reading ended in; nil is none.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}
