package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func flat(t testing.TB, length time.Duration, requests, messages float64) Curve {
	t.Helper()
	c, err := NewCurve([]Point{{0, requests, messages}, {length, requests, messages}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheNthRequestIsDueWhenTheCurveHasAskedForN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := []Point{{}}
		at := 0.0
		for range rapid.IntRange(2, 8).Draw(t, "points") {
			at += rapid.SampledFrom([]float64{0, 0.5, 1, 7, 30}).Draw(t, "step")
			points = append(points, Point{At: time.Duration(at * float64(time.Second)), Requests: rapid.SampledFrom([]float64{0, 0.1, 3, 50}).Draw(t, "rate")})
		}
		c, err := NewCurve(points)
		if err != nil {
			return
		}
		n := float64(rapid.IntRange(1, 400).Draw(t, "n"))
		due, ok := c.Due(n)
		if total, _ := c.Sum(c.Length() - 1); !ok {
			if total > 1e-6 {
				t.Fatalf("never due, though a round has %v", total)
			}
			return
		}
		before, _ := c.Sum(due - time.Microsecond)
		after, _ := c.Sum(due + time.Microsecond)
		if before > n+1e-3 || after < n-1e-3 {
			t.Fatalf("request %v is due at %s, where %v to %v have been asked for", n, due, before, after)
		}
	})
}

func TestACurveBeginsAnewAfterItsEnd(t *testing.T) {
	c, err := NewCurve([]Point{{0, 0, 1}, {10 * time.Second, 10, 1}, {10 * time.Second, 2, 0}, {20 * time.Second, 2, 0}})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration][4]float64{
		0:                {0, 1, 0, 0},
		5 * time.Second:  {5, 1, 12.5, 5},
		10 * time.Second: {2, 0, 50, 10}, // a step belongs to what follows
		15 * time.Second: {2, 0, 60, 10},
		45 * time.Second: {5, 1, 152.5, 25},
	} {
		r, m := c.At(at)
		rs, ms := c.Sum(at)
		if got := [4]float64{r, m, rs, ms}; got != want {
			t.Errorf("at %s: %v, want %v", at, got, want)
		}
	}
}

func TestTheBuiltInCurveReachesItsHeightAndHasBursts(t *testing.T) {
	c, err := Builtin(60, 5)
	if err != nil {
		t.Fatal(err)
	}
	if l := c.Length(); l < 2*time.Minute || l > 3*time.Minute {
		t.Errorf("a round is %s", l)
	}
	most, bursts, in := 0.0, 0, false
	for at := time.Duration(0); at < c.Length(); at += 100 * time.Millisecond {
		r, m := c.At(at)
		most = max(most, r)
		if m > 0 && !in {
			bursts++
		}
		in = m > 0
	}
	if math.Abs(most-60) > 1e-9 || bursts != 4 {
		t.Errorf("at most %v requests/s, %d bursts", most, bursts)
	}
	if _, m := c.Sum(c.Length() - 1); math.Abs(m-40) > 1e-6 {
		t.Errorf("%v messages in a round, want 4 bursts of 2 s at 5/s", m)
	}
}

func TestATraceIsReadWithItsStepsAndComments(t *testing.T) {
	c, err := ReadTrace(strings.NewReader("# of a Monday\nseconds,requests_per_second,messages_per_second\n0,10,0\n60, 10 ,0\n60,50.5,3\n90,50.5,3\n"), "monday.csv")
	if err != nil {
		t.Fatal(err)
	}
	if r, m := c.At(30 * time.Second); r != 10 || m != 0 {
		t.Errorf("at 30 s: %v and %v", r, m)
	}
	if r, m := c.At(60 * time.Second); r != 50.5 || m != 3 {
		t.Errorf("at 60 s: %v and %v", r, m)
	}
	if _, err := ReadTrace(strings.NewReader("seconds,requests_per_second\n0,1\n1,1\n"), "x"); err != nil {
		t.Errorf("without messages: %v", err)
	}
}

func TestABadTraceIsRefusedWithLineColumnAndValue(t *testing.T) {
	const names = "seconds,requests_per_second\n"
	for text, want := range map[string]string{
		"":                                     `t.csv: the file is empty; it begins with the line "seconds,requests_per_second,messages_per_second"`,
		"seconds,rps\n0,1\n":                   `t.csv:1: column 2 is named "rps"; it must be "requests_per_second"`,
		"0,1\n1,1\n":                           `t.csv:1: column 1 is named "0"; it must be "seconds"`,
		"seconds\n0\n":                         `t.csv:1: 1 columns`,
		names + "0,1\n5,fast\n":                `t.csv:3: column 2 (requests_per_second): "fast" is not a number from 0 to 1e+06`,
		names + "0,1\n5,-2\n":                  `t.csv:3: column 2 (requests_per_second): "-2"`,
		names + "0,1\n5,NaN\n":                 `t.csv:3: column 2 (requests_per_second): "NaN"`,
		names + "0,1\n1e99,1\n":                `t.csv:3: column 1 (seconds): "1e99"`,
		names + "0,1\n# a comment\n5,1\n4,1\n": `t.csv:5: column 1 (seconds): "4" is before the row above, at 5`,
		names + "1,1\n2,1\n":                   `t.csv:2: column 1 (seconds): "1"; the first row must be at 0`,
		names + "0,1\n5,1,9\n":                 `t.csv:3: 3 values; the line of names has 2 columns`,
		names + "0,1\n":                        `t.csv: a curve of 1 points`,
		names + "0,1\n0,2\n":                   `t.csv: the curve ends where it begins`,
		names + "0,0\n9,0\n":                   `t.csv: all rates are 0`,
		names + "0,\"1\n":                      `t.csv:2: character 6:`,
	} {
		_, err := ReadTrace(strings.NewReader(text), "t.csv")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestATemplateFillsInNumbersAndLeavesOtherBracesAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	body, err := ParseTemplate(`{"id":"p-{n}","width":{random:5-7},"n":{},"x":"{seed}"}`)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := range uint64(100) {
		got := body.Expand(n, random)
		width := strings.TrimPrefix(got, fmt.Sprintf(`{"id":"p-%d","width":`, n))
		if !strings.HasSuffix(width, `,"n":{},"x":"{seed}"}`) {
			t.Fatal(got)
		}
		seen[width[:1]] = true
	}
	if len(seen) != 3 || !seen["5"] || !seen["6"] || !seen["7"] {
		t.Errorf("random numbers %v", seen)
	}
	for text, want := range map[string]string{
		"/{random:5}":   `"{random:5}"`,
		"/{random:9-5}": "the smaller number comes first",
		"/{random:a-b}": "two whole numbers",
	} {
		if _, err := ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEachTargetGetsItsShare(t *testing.T) {
	turns, err := targets([]Target{
		{URL: "http://a", Paths: []string{"/1", "/2"}, Share: 3},
		{URL: "http://b", Paths: []string{"/{n}"}},
	}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 8 {
		s, path := turns.next()
		got = append(got, s.url[7:]+path)
	}
	if text := strings.Join(got, " "); text != "a/1 a/2 b/1 a/1 a/2 a/1 b/2 a/2" {
		t.Errorf("turns %s", text)
	}
}

func TestARequestHasItsTargetsHostAndFields(t *testing.T) {
	d, err := New(Options{Curve: flat(t, time.Minute, 1, 0), Targets: []Target{
		{URL: "http://127.0.0.1:1", Host: "a.localhost", Header: http.Header{"X-Key": {"k"}}, Paths: []string{"/"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got vegeta.Target
		if err := d.target(&got); err != nil {
			t.Fatal(err)
		}
		if got.Header.Get("X-Key") != "k" || got.Header["Host"][0] != "a.localhost" || got.URL != "http://127.0.0.1:1/" {
			t.Errorf("the request is %+v", got)
		}
	}
}

type queueOf struct {
	mu     sync.Mutex
	bodies []string
	err    error
}

func (q *queueOf) Send(_ context.Context, queue string, bodies []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	for _, b := range bodies {
		q.bodies = append(q.bodies, queue+" "+b)
	}
	return nil
}

func run(ctx context.Context, o Options) (Summary, error) {
	d, err := New(o)
	if err != nil {
		return Summary{}, err
	}
	return d.Run(ctx)
}

func TestARunSendsWhatTheCurveAsksFor(t *testing.T) {
	var hosts sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts.Store(r.Host+r.URL.Path, true)
		if r.URL.Path == "/7" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	queue := &queueOf{}
	d, err := New(Options{
		Curve:   flat(t, time.Second, 40, 25),
		Targets: []Target{{URL: server.URL, Host: "shop.localhost", Paths: []string{"/{n}"}}},
		Queues:  []Queue{{Name: "jobs", Bodies: []string{`{"id":{n}}`}}},
		Sender:  queue,
		For:     time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What was too late on a slow machine is counted as missed, never lost.
	if s.Sent+s.Missed != 40 || s.OK+s.Errors != s.Sent || s.Errors != s.Codes[http.StatusTeapot] || s.InFlight() != 0 {
		t.Errorf("%+v", s)
	}
	if s.Messages != 25 || len(queue.bodies) != 25 || queue.bodies[24] != `jobs {"id":25}` {
		t.Errorf("%d messages, the queue has %q", s.Messages, queue.bodies)
	}
	if _, ok := hosts.Load("shop.localhost/1"); !ok || s.P99 <= 0 || s.P99 < s.P50 {
		t.Errorf("%+v", s)
	}
	if _, err := d.Run(t.Context()); err == nil {
		t.Error("it ran twice")
	}
}

func TestTheEndOfTheContextBreaksOffWhatIsInFlight(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var arrived atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == 3 {
			cancel()
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	s, err := run(ctx, Options{Curve: flat(t, time.Hour, 200, 0), Targets: []Target{{URL: server.URL, Paths: []string{"/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Cut < 3 || s.Errors != 0 || s.InFlight() != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWhatWorkersCannotSendIsMissedAndNotSentLater(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		<-r.Context().Done()
	}))
	defer server.Close()
	p := &pacer{ctx: ctx, curve: flat(t, time.Hour, 100, 0)}
	// Ten seconds in, with four sent: a thousand were due, and all but the last
	// second's are given up.
	if _, stop := p.Pace(10*time.Second, 4); stop {
		t.Fatal("it stopped")
	}
	if missed := p.missed.Load(); missed < 890 || missed > 900 {
		t.Errorf("%d missed, want about 896", missed)
	}
	d, err := New(Options{Curve: flat(t, time.Hour, 500, 0), MaxWorkers: 3, Targets: []Target{{URL: server.URL, Paths: []string{"/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan Summary)
	go func() { s, _ := d.Run(ctx); done <- s }()
	for running.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if n := d.Summary().InFlight(); n < 3 {
		t.Errorf("%d in flight while it runs", n)
	}
	cancel()
	<-done
	if n := running.Load(); n != 3 { // none of them ended before
		t.Errorf("%d requests at once, want 3", n)
	}
}

func TestMessagesThatAreNotTakenAreCounted(t *testing.T) {
	s, err := run(t.Context(), Options{
		Curve:  flat(t, time.Second, 0, 50),
		Queues: []Queue{{Name: "jobs", Bodies: []string{"x"}}},
		Sender: &queueOf{err: errors.New("no such queue")},
		For:    200 * time.Millisecond,
	})
	if err != nil || s.MessageErrors != 10 || s.Messages != 0 || !strings.Contains(s.LastError, `"jobs": no such queue`) {
		t.Errorf("%+v %v", s, err)
	}
}

func TestALoadThatCannotWorkIsRefused(t *testing.T) {
	curve := flat(t, time.Second, 1, 1)
	for want, o := range map[string]Options{
		"no curve":           {},
		"nothing to send to": {Curve: curve},
		"no sender":          {Curve: curve, Queues: []Queue{{Name: "q", Bodies: []string{"x"}}}},
		`"shop"`:             {Curve: curve, Targets: []Target{{URL: "shop", Paths: []string{"/"}}}},
		`path "x"`:           {Curve: curve, Targets: []Target{{URL: "http://shop", Paths: []string{"x"}}}},
		"nothing to send:":   {Curve: curve, Targets: []Target{{URL: "http://shop"}}},
		"share -1":           {Curve: curve, Targets: []Target{{URL: "http://shop", Paths: []string{"/"}, Share: -1}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
