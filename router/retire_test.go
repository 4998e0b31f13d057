package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A router that another one follows answers what its connections still bring,
// and tells the clients to come by another connection.
func TestARetiredRouterAnswersOneMoreRequestOfEachConnection(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for name, route := range map[string]Route{
		"plain HTTP/1.1": {Path: "/", Service: "web"},
		"by net/http":    {Path: "/", Service: "web", Compress: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{})
			s.set(t, Table{Routes: []Route{route}, Services: map[string][]Target{"web": {targetOf("a", b)}}})
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			read := bufio.NewReader(conn)
			post := func(body string) *http.Response {
				t.Helper()
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				answer, err := http.ReadResponse(read, nil)
				if err != nil {
					t.Fatalf("the answer to %q: %v", body, err)
				}
				text, _ := io.ReadAll(answer.Body)
				if string(text) != body {
					t.Errorf("%q was answered with %q", body, text)
				}
				return answer
			}
			if post("one").Close {
				t.Error("the router closes before it is retired")
			}
			s.Retire()
			if c, err := net.Dial("tcp", s.address); err == nil {
				c.Close()
				t.Error("a retired router takes connections")
			}
			if !post("two").Close {
				t.Error("the client is not told to leave")
			}
			if rest, err := io.ReadAll(read); err != nil || strings.TrimSpace(string(rest)) != "" {
				t.Errorf("after the last answer: %q %v", rest, err)
			}
		})
	}
}

func TestARequestThatIsOnItsWayAtTheEndIsAnswered(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := serve(t, Options{})
	s.set(t, Table{Routes: []Route{{Path: "/", Service: "web", Compress: true}}, Services: map[string][]Target{"web": {targetOf("a", b)}}})
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := bufio.NewReader(conn)
	for i, send := range []string{"one", "two"} {
		if i == 1 {
			ended := make(chan error, 1)
			go func() { ended <- s.Shutdown(t.Context()) }()
			for !s.halting.Load() {
				time.Sleep(time.Millisecond)
			}
			defer func() {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%s", send)
		answer, err := http.ReadResponse(read, nil)
		if err != nil {
			t.Fatalf("%s: %v", send, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}

func TestAClientWhoseAnswerOutlastsTheEndOfIdleConnectionsMayBringOneMoreRequest(t *testing.T) {
	begun, rest := make(chan struct{}), make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/long" {
			return
		}
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-rest
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	s.healthy(t, "web", 1)
	a := s.dial(t)
	a.say(t, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	if _, err := a.Peek(1); err != nil { // the head has come, which says nothing of an end
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	eventually(t, "idle connections are ended", s.evicting.Load)
	close(rest)
	if code, text := a.answer(t); code != http.StatusOK || text != "begin" {
		t.Errorf("%d %q", code, text)
	}
	a.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := http.ReadResponse(a.Reader, nil)
	if err != nil || answer.StatusCode != http.StatusOK || !answer.Close {
		t.Errorf("the next request: %v, %v; want an answer that is the last", answer, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
