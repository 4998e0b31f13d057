package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestADrainWaitsForTheRequestsInFlightAndTakesNoMore(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := backend(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "slow")
	})
	other := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "other") })
	s := serve(t, Options{})
	s.set(t, one(targetOf("slow", slow)))
	answer := make(chan string, 1)
	go func() { _, text := s.get(t, "/"); answer <- text }()
	<-entered
	table := one(targetOf("slow", slow), targetOf("other", other))
	s.set(t, table)

	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(short, "slow"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("a drain that may not wait: %v", err)
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context(), "slow") }()
	s.set(t, table) // an older snapshot still has it
	for range 20 {
		if _, text := s.get(t, "/"); text != "other" {
			t.Fatalf("%q answered, which drains", text)
		}
	}
	select {
	case err := <-drained:
		t.Fatalf("the drain ended (%v) with a request in flight", err)
	default:
	}
	if state := s.Targets("web")[1]; !state.Draining || state.Healthy || state.InFlight != 1 {
		t.Errorf("while it drains: %+v", state)
	}
	close(release)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if text := <-answer; text != "slow" {
		t.Errorf("the request in flight got %q", text)
	}
}

func TestATargetDrainedBeforeItsTableCameNeverGetsIn(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { t.Error("it was asked") })
	s := serve(t, Options{HoldTimeout: 50 * time.Millisecond})
	if err := s.Drain(t.Context(), "early"); err != nil {
		t.Fatal(err)
	}
	s.set(t, one(targetOf("early", b)))
	if code, _ := s.get(t, "/"); code != 503 {
		t.Errorf("%d, want 503", code)
	}
}

// echo is a WebSocket server that sends back what it gets, and counts the
// closes of clients by their code.
func echo(t *testing.T, closes *sync.Map) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, data, err := c.Read(context.Background())
			if err != nil {
				closes.Store(websocket.CloseStatus(err), true)
				return
			}
			if err := c.Write(context.Background(), kind, data); err != nil {
				return
			}
		}
	}
}

func dialEcho(t *testing.T, s *served) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.address+"/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(1 << 20)
	return c
}

func exchangeMessage(t *testing.T, c *websocket.Conn, message string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != message {
		t.Fatalf("%d bytes came back (%v), want %d", len(got), err, len(message))
	}
}

func TestAWebSocketPassesMessagesOfEverySize(t *testing.T) {
	var closes sync.Map
	b := backend(t, echo(t, &closes))
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	c := dialEcho(t, s)
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 300_000} {
		exchangeMessage(t, c, strings.Repeat("x", size))
	}
	if got := s.Stats("web"); got.WebSockets != 1 || got.InFlight != 1 {
		t.Errorf("while it is open: %+v", got)
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
	eventually(t, "it is forgotten", func() bool { st := s.Stats("web"); return st.WebSockets == 0 && st.InFlight == 0 })
	eventually(t, "the target saw the client's close", func() bool { _, ok := closes.Load(websocket.StatusNormalClosure); return ok })
}

func TestADrainClosesWebSocketsAfterTheRequestsHaveEnded(t *testing.T) {
	var closes sync.Map
	release, entered := make(chan struct{}), make(chan struct{})
	sockets := echo(t, &closes)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chat" {
			sockets(w, r)
			return
		}
		entered <- struct{}{}
		<-release
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	c := dialEcho(t, s)
	exchangeMessage(t, c, "before")
	go s.get(t, "/slow")
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context(), "1") }()
	eventually(t, "it drains", func() bool { return s.Targets("web")[0].Draining })
	exchangeMessage(t, c, "a request is still in flight")
	close(release)
	_, _, err := c.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the client got %v, want a close 1001", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	eventually(t, "the target got a close 1001 too", func() bool { _, ok := closes.Load(websocket.StatusGoingAway); return ok })
}

func TestAWebSocketThatTheTargetRefusesIsAnOrdinaryAnswer(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chat" {
			http.Error(w, "no chat", http.StatusForbidden)
		}
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	_, answer, err := websocket.Dial(t.Context(), "ws://"+s.address+"/chat", nil)
	if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
		t.Fatalf("%v %v", answer, err)
	}
	if code, _ := s.get(t, "/"); code != 200 {
		t.Errorf("the next request: %d", code)
	}
}

// TestTargetsComeAndGoAndNoRequestFails is the point of the router: targets are
// added and drained and stopped all the while, and clients see none of it.
func TestTargetsComeAndGoAndNoRequestFails(t *testing.T) {
	var delivered sync.Map // id → *atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			id, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("body at the target: %v", err)
			}
			n, _ := delivered.LoadOrStore(string(id), new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			_, _ = w.Write(id)
		}
	}
	s := serve(t, Options{})
	live := map[string]*httptest.Server{}
	table := func() Table {
		var targets []Target
		for id, b := range live {
			targets = append(targets, targetOf(id, b))
		}
		return one(targets...)
	}
	for i := range 3 {
		live[fmt.Sprint("start-", i)] = httptest.NewServer(http.HandlerFunc(handler))
	}
	s.set(t, table())

	var clients sync.WaitGroup
	var posts atomic.Int64
	stop := make(chan struct{})
	for c := range 6 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i%2 == 0 {
					if code, text := s.get(t, "/"); code != 200 {
						t.Errorf("GET: %d %s", code, text)
					}
					continue
				}
				id := fmt.Sprintf("%d-%d", c, i)
				posts.Add(1)
				if code, text := s.do(t, "POST", "/", strings.NewReader(id), nil); code != 200 || text != id {
					t.Errorf("POST %s: %d %q", id, code, text)
				}
			}
		})
	}
	for round := range 60 {
		id := fmt.Sprint("new-", round)
		live[id] = httptest.NewServer(http.HandlerFunc(handler))
		s.set(t, table())
		for old, b := range live {
			if old == id {
				continue
			}
			if err := s.Drain(t.Context(), old); err != nil {
				t.Error(err)
			}
			b.CloseClientConnections() // it stops without a word
			b.Close()
			delete(live, old)
			break
		}
		s.set(t, table())
	}
	close(stop)
	clients.Wait()
	for _, b := range live {
		b.Close()
	}
	count := int64(0)
	delivered.Range(func(id, n any) bool {
		count++
		if times := n.(*atomic.Int64).Load(); times != 1 {
			t.Errorf("POST %s was delivered %d times", id, times)
		}
		return true
	})
	if count != posts.Load() || count == 0 {
		t.Errorf("%d of %d POSTs were delivered", count, posts.Load())
	}
	// A request is counted out after its client has the answer.
	eventually(t, "all are counted out", func() bool { return s.Stats("web").InFlight == 0 })
	if got := s.Stats("web"); got.Errors != 0 {
		t.Errorf("stats %+v", got)
	}
}
