package router

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProxy sends kept-alive GETs with a 128-byte answer straight to a
// backend, through a bare httputil.ReverseProxy, and through the router; the
// ratios between the three are what it is for.
func BenchmarkProxy(b *testing.B) {
	answer := []byte(strings.Repeat("x", 128))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) }))
	defer backend.Close()
	to, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() },
		// Its default of two kept connections would measure dialling.
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	})
	defer bare.Close()
	r := New(Options{})
	defer r.Close()
	if err := r.SetTable(one(Target{ID: "1", Address: backend.Listener.Addr().String()})); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = r.Serve(l) }()
	for _, way := range []struct{ name, url string }{
		{"direct", backend.URL}, {"reverseproxy", bare.URL}, {"router", "http://" + l.Addr().String()},
	} {
		b.Run(way.name, func(b *testing.B) { get(b, way.url) })
	}
}

func get(b *testing.B, url string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	b.ReportAllocs()
	b.SetParallelism(8)
	var failed atomic.Int64
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			answer, err := client.Get(url)
			if err != nil {
				failed.Add(1)
				continue
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode != 200 {
				failed.Add(1)
			}
		}
	})
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d requests failed", n)
	}
}

// cpuTime is what this process has used of the processors: client, proxy and
// backend together. Unlike the time taken, it holds on a shared machine too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMeter is what counting one request costs.
func BenchmarkMeter(b *testing.B) {
	r := New(Options{})
	defer r.Close()
	var m meter
	m.init(r.now())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			began := r.now()
			m.begin(began)
			m.end(began, r.now(), false, true)
		}
	})
}
