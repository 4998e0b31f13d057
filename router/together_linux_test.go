package router

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

func TestNoConnectionOfALoopHoldsUpAnother(t *testing.T) {
	free := make(chan struct{})
	slow := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/silent":
			select {
			case <-free:
			case <-r.Context().Done():
			}
		case "/large":
			_, _ = w.Write(make([]byte, 64<<20))
		case "/upload":
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	deaf := listenAt(t, deadAddress(t), func(http.ResponseWriter, *http.Request) {})
	s := serve(t, Options{DialTimeout: time.Minute, Health: Health{Interval: time.Hour}})
	s.set(t, Table{
		Routes: []Route{
			{Path: "/", Service: "good"}, {Path: "/silent", Service: "slow"}, {Path: "/large", Service: "slow"},
			{Path: "/upload", Service: "slow"}, {Path: "/zero", Service: "zero"}, {Path: "/deaf", Service: "deaf"},
		},
		Services: map[string][]Target{
			"good": {targetOf("good", naming(t, "good"))}, "slow": {targetOf("slow", slow)}, "zero": nil,
			"deaf": {targetOf("deaf", deaf)},
		},
	})
	for _, service := range []string{"good", "slow", "deaf"} {
		s.healthy(t, service, 1)
	}
	deaf.Close()
	deafAt(t, deaf.Listener.Addr().(*net.TCPAddr).Port)
	n := 2*runtime.GOMAXPROCS(0) + 3
	for _, way := range []struct{ name, said string }{
		{"half a head", "GET / HTTP/1.1\r\nHo"},
		{"a request for a target that is silent", "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"an answer that nobody reads", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a body that does not come", "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"},
		{"a large body that does not come", "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"},
		{"chunks that do not come", "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"},
		{"a request that waits for a target", "GET /zero HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a target that takes no connection", "GET /deaf HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		for range n {
			s.dial(t).say(t, way.said)
		}
		for range n {
			a := s.dial(t)
			a.say(t, "GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
			if code, text := a.answer(t); code != http.StatusOK || text != "good" {
				t.Fatalf("beside %s: %d %q", way.name, code, text)
			}
		}
	}
	close(free)
	s.closeClients()
}

// stuck is where a log goes that nobody reads, until it is freed.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

func TestALogThatNobodyReadsHoldsUpNoRequestThatIsAnswered(t *testing.T) {
	log := make(stuck)
	failing := backend(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	warnings := &slog.HandlerOptions{Level: slog.LevelWarn}
	s := serve(t, Options{Log: slog.New(slog.NewTextHandler(log, warnings)), Health: Health{Interval: time.Hour}})
	t.Cleanup(func() { close(log) }) // before the router's end
	s.set(t, Table{
		Routes:   []Route{{Path: "/", Service: "good"}, {Path: "/failing", Service: "failing"}},
		Services: map[string][]Target{"good": {targetOf("good", naming(t, "good"))}, "failing": {targetOf("failing", failing)}},
	})
	s.healthy(t, "good", 1)
	s.healthy(t, "failing", 1)
	n := 2*runtime.GOMAXPROCS(0) + 3
	for range 5 { // until the target is left out, which is logged as well
		for range n {
			s.dial(t).say(t, "POST /failing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		}
		for range n {
			a := s.dial(t)
			a.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if code, text := a.answer(t); code != http.StatusOK || text != "good" {
				t.Fatalf("%d %q", code, text)
			}
		}
	}
}

func TestWhatATargetSaysUnaskedIsNoAnswer(t *testing.T) {
	say := make(chan struct{})
	to, said := excess(t, func() (string, string) {
		return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	}, say)
	s := serve(t, Options{})
	s.set(t, one(to))
	s.healthy(t, "web", 1)
	for range 20 {
		a := s.dial(t)
		for _, c := range []struct{ path, want string }{{"/excess", "first"}, {"/", "fine"}} {
			a.say(t, "GET "+c.path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if code, text := a.answer(t); code != http.StatusOK || text != c.want {
				t.Fatalf("%s is answered with %d %q", c.path, code, text)
			}
			if c.path == "/excess" {
				say <- struct{}{}
				<-said
			}
		}
	}
}
