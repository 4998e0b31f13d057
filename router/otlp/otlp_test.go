package otlp_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"plimsoll/router"
	"plimsoll/router/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a collector: it decodes what it gets by OpenTelemetry's own types.
type receiver struct {
	*httptest.Server
	// answer, if any, answers instead of a plain success.
	answer func(w http.ResponseWriter, spans int) (took bool)

	mu       sync.Mutex
	requests []*http.Request
	got      []*collector.ExportTraceServiceRequest
	problem  error
}

func receive(t *testing.T, answer func(http.ResponseWriter, int) bool) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(func() {
		r.Close()
		if r.problem != nil {
			t.Error(r.problem)
		}
	})
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := unpacked(request)
	var message collector.ExportTraceServiceRequest
	if err = errors.Join(err, proto.Unmarshal(body, &message)); err != nil {
		r.problem = err
	}
	n := 0
	for _, s := range spansOf(&message) {
		if len(s.TraceId) != 16 || len(s.SpanId) != 8 || s.EndTimeUnixNano < s.StartTimeUnixNano {
			r.problem = errors.New("no span: " + s.String())
		}
		n++
	}
	r.requests = append(r.requests, request)
	if r.answer != nil && !r.answer(w, n) {
		return
	}
	r.got = append(r.got, &message)
}

func unpacked(request *http.Request) ([]byte, error) {
	if request.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(request.Body)
	}
	z, err := gzip.NewReader(request.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func spansOf(m *collector.ExportTraceServiceRequest) (all []*tracepb.Span) {
	for _, r := range m.ResourceSpans {
		for _, s := range r.ScopeSpans {
			all = append(all, s.Spans...)
		}
	}
	return all
}

func (r *receiver) spans() (all []*tracepb.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		all = append(all, spansOf(m)...)
	}
	return all
}

func (r *receiver) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

func export(t *testing.T, o otlp.Options) *otlp.Exporter {
	t.Helper()
	e, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

func finish(t *testing.T, e *otlp.Exporter) (sent, lost uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return e.Counts()
}

// serve is a router in front of a backend, on a port of the loopback.
func serve(t *testing.T, o router.Options, routes []router.Route, backend http.HandlerFunc) string {
	t.Helper()
	b := httptest.NewServer(backend)
	t.Cleanup(b.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(o)
	if err := r.SetTable(router.Table{Routes: routes, Services: map[string][]router.Target{"web": {{ID: "task1", Address: b.Listener.Addr().String()}}}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(r.Shutdown(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func TestARequestIsASpanBetweenTheClientsAndTheTargets(t *testing.T) {
	c := receive(t, nil)
	e := export(t, otlp.Options{Endpoint: c.URL + "/v1/traces", Version: "1.2.3", Resource: map[string]string{"service.name": "edge"}})
	seen := make(chan http.Header, 1)
	url := serve(t, router.Options{Spans: e, SampleShare: 0}, []router.Route{{Path: "/plain", Service: "web"}, {Path: "/rare", Service: "web", Compress: true}},
		func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	targets := map[string]string{} // by path: the span that the target got
	for _, path := range []string{"/plain", "/rare"} {
		request, err := http.NewRequest(http.MethodGet, url+path+"/a%20b?secret=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Traceparent", "00-"+trace+"-"+parent+"-01")
		request.Header.Set("Tracestate", "vendor=x")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		h := <-seen
		if got := h.Get("Traceparent"); len(got) != 55 || got[:36] != "00-"+trace+"-" || got[52:] != "-01" || got[36:52] == parent {
			t.Errorf("%s: the target got the traceparent %q: want the same trace, another parent", path, got)
		} else {
			targets[path] = got[36:52]
		}
		if got := h["Tracestate"]; len(got) != 1 || got[0] != "vendor=x" {
			t.Errorf("%s: the target got the tracestate %q", path, got)
		}
	}
	waitFor(t, func() bool { return len(c.spans()) == 2 })
	if sent, lost := finish(t, e); sent != 2 || lost != 0 {
		t.Errorf("%d sent, %d lost", sent, lost)
	}
	for _, s := range c.spans() {
		path := strings.TrimPrefix(s.Name, "GET ")
		if hexOf(s.TraceId) != trace || hexOf(s.ParentSpanId) != parent || hexOf(s.SpanId) != targets[path] || s.TraceState != "vendor=x" {
			t.Errorf("%s: %v, want the trace %s below %s, and the target's parent %s", path, s, trace, parent, targets[path])
		}
		if s.Kind != tracepb.Span_SPAN_KIND_SERVER || s.Status.Code != tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("%s: kind %v, status %v", path, s.Kind, s.Status)
		}
		got := map[string]string{}
		for _, a := range s.Attributes {
			if got[a.Key] = a.Value.GetStringValue(); got[a.Key] == "" {
				got[a.Key] = string(rune('0' + a.Value.GetIntValue()%10))
			}
		}
		for key, want := range map[string]string{
			"http.request.method": "GET", "url.scheme": "http", "url.path": path + "/a%20b", "http.route": path, "network.protocol.version": "1.1",
			"client.address": "127.0.0.1", "plimsoll.service": "web", "plimsoll.task": "task1", "plimsoll.attempts": "1", "http.response.status_code": "3",
			"user_agent.original": "Go-http-client/1.1",
		} {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got[key], want)
			}
		}
		if strings.Contains(s.String(), "secret") {
			t.Errorf("a query is in the span %v", s)
		}
	}
	if got := c.got[0].ResourceSpans[0].Resource.Attributes[0]; got.Key != "service.name" || got.Value.GetStringValue() != "edge" {
		t.Errorf("resource %v", got)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came true")
		}
	}
}

func TestABatchIsSentAgainUntilItIsTakenButNotWhereItIsRefused(t *testing.T) {
	tries := 0
	busy := receive(t, func(w http.ResponseWriter, _ int) bool {
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return tries >= 3
	})
	e := export(t, otlp.Options{Endpoint: busy.URL, Every: time.Millisecond, Gzip: true, Header: http.Header{"X-Key": {"secret"}}})
	e.Add(&router.Span{Trace: [16]byte{1}, ID: [8]byte{1}, Method: "GET"})
	if sent, lost := finish(t, e); sent != 1 || lost != 0 || busy.tries() != 3 {
		t.Errorf("%d sent, %d lost after %d tries", sent, lost, busy.tries())
	}
	if h := busy.requests[0].Header; h.Get("X-Key") != "secret" || h.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("header %v", h)
	}
	refusing := receive(t, func(w http.ResponseWriter, _ int) bool { w.WriteHeader(http.StatusBadRequest); return false })
	e = export(t, otlp.Options{Endpoint: refusing.URL, Every: time.Millisecond})
	e.Add(&router.Span{Trace: [16]byte{1}, ID: [8]byte{1}})
	if sent, lost := finish(t, e); sent != 0 || lost != 1 || refusing.tries() != 1 {
		t.Errorf("%d sent, %d lost after %d tries, want one try and one span lost", sent, lost, refusing.tries())
	}
}

func TestSpansThatTheCollectorRejectsAreCountedAsLost(t *testing.T) {
	c := receive(t, func(w http.ResponseWriter, _ int) bool {
		b, _ := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"}})
		_, _ = w.Write(b)
		return true
	})
	e := export(t, otlp.Options{Endpoint: c.URL, Every: time.Hour})
	for i := range 5 {
		e.Add(&router.Span{Trace: [16]byte{1}, ID: [8]byte{byte(i + 1)}})
	}
	if sent, lost := finish(t, e); sent != 3 || lost != 2 || c.tries() != 1 {
		t.Errorf("%d sent, %d lost in %d requests, want 3 and 2 in 1", sent, lost, c.tries())
	}
}

func TestACollectorThatHangsCostsRequestsNothingAndSpansAreDropped(t *testing.T) {
	var release atomic.Bool
	hang := make(chan struct{})
	c := receive(t, func(http.ResponseWriter, int) bool {
		if !release.Load() {
			<-hang
		}
		return true
	})
	e := export(t, otlp.Options{Endpoint: c.URL, Every: time.Millisecond, Timeout: time.Hour})
	const spans = 20_000
	for i := range spans { // would block for ever if one of them did
		e.Add(&router.Span{Trace: [16]byte{1}, ID: [8]byte{1, byte(i)}})
	}
	_, lost := e.Counts()
	if lost < spans/2 {
		t.Errorf("%d of %d spans lost while nobody takes them: the rest is in memory", lost, spans)
	}
	release.Store(true)
	close(hang)
	sent, lost := finish(t, e)
	if sent+lost != spans || sent != uint64(len(c.spans())) {
		t.Errorf("%d sent (%d came), %d lost, of %d", sent, len(c.spans()), lost, spans)
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	e := export(t, otlp.Options{Endpoint: "http://127.0.0.1:1/v1/traces", Every: time.Millisecond, Timeout: time.Hour})
	e.Add(&router.Span{Trace: [16]byte{1}, ID: [8]byte{1}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("closed with %v", err)
	}
	if sent, lost := e.Counts(); sent != 0 || lost != 1 {
		t.Errorf("%d sent, %d lost", sent, lost)
	}
}
