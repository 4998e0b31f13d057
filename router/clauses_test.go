package router

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestAnHTTPCheckPassesByItsStatusAlone(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusServiceUnavailable)
	asked := make(chan string, 1000)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/up" {
			select {
			case asked <- r.Method + " " + r.UserAgent():
			default:
			}
			w.WriteHeader(int(status.Load()))
		}
	})
	s := serve(t, Options{HoldTimeout: time.Millisecond})
	table := one(targetOf("1", b))
	table.Routes[0].Check = Check{Path: "/up", Interval: 5 * time.Millisecond, UnhealthyAfter: 2}
	s.set(t, table)
	if got := <-asked; got != "GET plimsoll-health" {
		t.Errorf("asked with %q", got)
	}
	eventually(t, "a reason", func() bool { return strings.Contains(s.Targets("web")[0].Reason, "503") })
	if code, _ := s.get(t, "/"); code != http.StatusServiceUnavailable {
		t.Errorf("a target that has never passed answers with %d", code)
	}
	status.Store(http.StatusNoContent)
	s.healthy(t, "web", 1)
	if code, _ := s.get(t, "/"); code != http.StatusOK {
		t.Errorf("a target that passes answers with %d", code)
	}
	status.Store(http.StatusNotFound)
	eventually(t, "it fails", func() bool { return !s.Targets("web")[0].Healthy })
}

func TestTwoRoutersKeepAClientAtOneTargetWithoutKnowingOfEachOther(t *testing.T) {
	table := one(targetOf("a", naming(t, "a")), targetOf("b", naming(t, "b")), targetOf("c", naming(t, "c")))
	table.Routes[0].Balance.Sticky = "at"
	one, other := serve(t, Options{}), serve(t, Options{})
	one.set(t, table)
	other.set(t, table)
	one.healthy(t, "web", 3)
	other.healthy(t, "web", 3)
	for range 10 {
		answer, err := one.client.Get("http://" + one.address)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		cookies := answer.Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies", len(cookies))
		}
		for range 5 {
			if _, text := other.do(t, "GET", "/", nil, http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}}); text != string(first) {
				t.Fatalf("one router sends the client to %q, the other to %q", first, text)
			}
		}
	}
}

func TestATargetThatTakesNoConnectionInTimeIsPassedOver(t *testing.T) {
	good := targetOf("good", naming(t, "good"))
	for _, c := range []struct {
		name  string
		route Route
	}{{"plain", Route{}}, {"rare", Route{Compress: true}}} {
		s := serve(t, Options{DialTimeout: 30 * time.Millisecond, Health: Health{Interval: time.Hour, EjectFor: time.Hour}})
		c.route.Path, c.route.Service = "/", "web"
		c.route.Balance.Policy = RoundRobin
		// A target that took connections, and whose host went away.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		was := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		was.Listener.Close()
		was.Listener = l
		was.Start()
		s.set(t, Table{Routes: []Route{c.route}, Services: map[string][]Target{"web": {good, {ID: "deaf", Address: l.Addr().String()}}}})
		s.healthy(t, "web", 2)
		was.Close()
		deafAt(t, l.Addr().(*net.TCPAddr).Port)
		for range 20 {
			if code, text := s.get(t, "/"); code != http.StatusOK {
				t.Errorf("%s: %d %s", c.name, code, text)
			}
		}
		for _, target := range s.Targets("web") {
			if n := target.Failures["connect"]; (n == 3) != (target.ID == "deaf") || target.Failed() != n {
				t.Errorf("%s: %s failed %v, want the deaf one left out after 3", c.name, target.ID, target.Failures)
			}
		}
	}
}

// deafAt makes a port, free a moment ago, take no connection and refuse none: its
// queue is full.
func deafAt(t *testing.T, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestAPathThatLeavesItsRouteIsRefusedInHTTP2Too(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, Table{
		Routes:   []Route{{Path: "/in/", Service: "web"}},
		Services: map[string][]Target{"web": {targetOf("1", naming(t, "in"))}},
	})
	for path, want := range map[string]string{
		"/in/x": "200", "/in/../secret": "400", "/in/%2e%2e/secret": "400", "/in/..%2fsecret": "400", "/in/a/../b": "200",
		"/in/\x00": "reset", "no-slash": "reset",
	} {
		f := s.dialHTTP2(t)
		stream, err := f.askFor(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.status(stream); got != want && !(want == "reset" && got == "400") {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}

func TestAnAccessLogMayBeStandardOutput(t *testing.T) {
	was := os.Stdout
	defer func() { os.Stdout = was }()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = write
	log, err := OpenAccessLog("-", FormatCommon)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = was
	log.Write(Record{Client: "192.0.2.1", Method: "GET", URI: "/", Proto: "HTTP/1.1", Status: 499})
	write.Close()
	if text, err := io.ReadAll(read); err != nil || !strings.Contains(string(text), `"GET / HTTP/1.1" 499 0`) {
		t.Errorf("%q, %v", text, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestEventsArePassedOnAsTheyComeWhereAnswersAreCompressed(t *testing.T) {
	next := make(chan string)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range next {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			w.(http.Flusher).Flush()
		}
	})
	s := serve(t, Options{})
	table := one(targetOf("1", b))
	table.Routes[0].Compress = true
	s.set(t, table)
	answers := make(chan *http.Response, 1)
	go func() {
		answer, err := s.client.Get("http://" + s.address) // which takes gzip, and unpacks it
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	next <- "1"
	answer := <-answers
	defer answer.Body.Close()
	buffer := make([]byte, len("data: 1\n\n"))
	for _, event := range []string{"1", "2", "3"} {
		if event != "1" {
			next <- event // only after the one before has come
		}
		if _, err := io.ReadFull(answer.Body, buffer); err != nil || string(buffer) != "data: "+event+"\n\n" {
			t.Fatalf("%q, %v; want the event %s", buffer, err, event)
		}
	}
	close(next)
}
