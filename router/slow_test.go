package router

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A route with a rare feature, and HTTP/2, go by net/http's server, which bounds
// nothing of a body by itself.
func TestASlowBodyTimesOutOnTheOtherPathToo(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	s := serve(t, Options{BodyTimeout: 50 * time.Millisecond})
	table := one(targetOf("1", b))
	table.Routes[0].Compress = true
	s.set(t, table)
	for what, sent := range map[string]string{
		"a body":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
		"no body":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
		"its chunk": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
		"HTTP/1.0":  "POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
	} {
		a := s.dial(t)
		a.say(t, sent)
		if code, _ := a.answer(t); code != http.StatusRequestTimeout {
			t.Errorf("%s: %d, want 408", what, code)
		}
		if n, err := a.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection goes on: %d, %v", what, n, err)
		}
	}
	// One body that stops does not hold up the streams beside it.
	transport := plainHTTP2()
	defer transport.CloseIdleConnections()
	stopped, client := io.Pipe()
	defer client.Close()
	go func() { _, _ = io.WriteString(client, "abc") }()
	request, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/", stopped)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestTimeout {
		t.Errorf("HTTP/2: %d, want 408", answer.StatusCode)
	}
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
	if got := s.routeNamed(t, "/", 5); got.Answers["4xx"] != 5 || got.Failures["malformed"] != 5 {
		t.Errorf("%+v", got)
	}
}

// slowly gives a piece now and then, in time.
type slowly struct {
	pieces int
	every  time.Duration
}

func (r *slowly) Read(p []byte) (int, error) {
	if r.pieces--; r.pieces < 0 {
		return 0, io.EOF
	}
	time.Sleep(r.every)
	return copy(p, "piece"), nil
}

func TestABodyThatGoesOnIsNotCutOffHoweverLongItTakes(t *testing.T) {
	got := make(chan int64, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- n
		time.Sleep(300 * time.Millisecond) // an answer has a time-out of its own
		_, _ = io.WriteString(w, "thanks")
	})
	s := serve(t, Options{BodyTimeout: 200 * time.Millisecond})
	table := one(targetOf("1", b))
	table.Routes[0].Compress = true
	s.set(t, table)
	for range 2 { // the second on the same connection
		code, text := s.do(t, http.MethodPost, "/", &slowly{pieces: 10, every: 50 * time.Millisecond}, nil)
		if n := <-got; code != 200 || text != "thanks" || n != 50 {
			t.Errorf("%d %q after %d bytes", code, text, n)
		}
	}
}

func TestAClientThatDoesNotTakeItsAnswerTimesOut(t *testing.T) {
	ended := make(chan error, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1073741824")
		_, err := io.CopyN(w, &numbers{}, 1<<30)
		ended <- err
	})
	s := serve(t, Options{BodyTimeout: 100 * time.Millisecond})
	s.set(t, Table{
		Routes:   []Route{{Path: "/plain", Service: "web"}, {Path: "/rare", Service: "web", Idle: time.Hour}},
		Services: map[string][]Target{"web": {targetOf("1", b)}},
	})
	for _, path := range []string{"/plain", "/rare"} {
		a := s.dial(t)
		a.say(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := <-ended; err == nil {
			t.Errorf("%s: the target could send it all", path)
		}
		if got := s.routeNamed(t, path, 1); got.Answers["client_gone"] != 1 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	f := s.dialHTTP2(t)
	if _, err := f.askFor("/rare", true); err != nil {
		t.Fatal(err)
	}
	go f.read() // of frames; it opens no window
	if err := <-ended; err == nil {
		t.Error("HTTP/2: the target could send it all")
	}
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
}

// plainHTTP2 speaks HTTP/2 without TLS.
func plainHTTP2() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: &protocols}
}
