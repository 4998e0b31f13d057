package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll/control"
)

// client is a reader of a stream in memory: it takes all that is written.
type client struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
}

func (c *client) Header() http.Header { return c.header }
func (c *client) WriteHeader(int)     {}
func (c *client) Flush()              {}
func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

// take gives what came since the last time, by the name of the event.
func (c *client) take() map[string][]event {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := parse(c.text.String())
	c.text.Reset()
	return got
}

type event struct{ id, data string }

// parse reads server-sent events; comments are under ":".
func parse(text string) map[string][]event {
	got := map[string][]event{}
	for _, block := range strings.Split(text, "\n\n") {
		var name string
		var e event
		for _, line := range strings.Split(block, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "":
				if value != "" {
					name = ":"
				}
			case "event":
				name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			}
		}
		if name != "" {
			got[name] = append(got[name], e)
		}
	}
	return got
}

// open starts a stream in memory, and gives what ends it.
func open(h http.Handler, lastID string) (*client, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/v1/stream", nil)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	c := &client{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(c, r)
	}()
	return c, func() { cancel(); <-done }
}

// reasons are those of the decisions among the events.
func reasons(t *testing.T, got map[string][]event) []string {
	t.Helper()
	var out []string
	for _, e := range got["decision"] {
		var d control.Decision
		if err := json.Unmarshal([]byte(e.data), &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d.Reason)
	}
	return out
}

func TestAStreamBeginsWithTheWholeStateAndThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		l.decide("first")
		l.see("web runs")
		c, end := open(handler(t, options(l)), "")
		defer end()
		got := c.take()
		if len(got["state"]) != 1 || len(got["decision"]) != 1 || len(got["event"]) != 1 {
			t.Fatalf("got %v", got)
		}
		var state struct {
			Run, Cluster string
			Step         uint64
			Services     []struct{ Name string }
			Hosts        []struct{ ID string }
			Tasks        []struct{ ID string }
		}
		if err := json.Unmarshal([]byte(got["state"][0].data), &state); err != nil {
			t.Fatal(err)
		}
		if state.Run != "run" || state.Cluster != "shop" || state.Step != 43 || len(state.Services) != 4 || len(state.Hosts) != 3 || len(state.Tasks) != 3 {
			t.Errorf("state %+v", state)
		}
		if got["event"][0].id != "run-1-1" {
			t.Errorf("the last id is %q", got["event"][0].id)
		}
	})
}

func TestAStateIsSentOnlyWhenSomethingInItChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		c, end := open(handler(t, options(l)), "")
		defer end()
		c.take()
		for range 5 {
			l.step(func(*control.State) {})
			time.Sleep(time.Second)
		}
		if got := c.take(); len(got["state"]) != 0 {
			t.Errorf("steps that changed nothing sent %d states", len(got["state"]))
		}
		l.step(func(s *control.State) { s.Problem = "throttled" })
		if got := c.take(); len(got["state"]) != 1 || !strings.Contains(got["state"][0].data, "throttled") {
			t.Errorf("a change sent %v", got)
		}
	})
}

func TestABurstOfChangesIsSentAtMostTenTimesASecondAndEndsUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		c, end := open(handler(t, options(l)), "")
		defer end()
		c.take()
		for i := range 1000 {
			l.step(func(s *control.State) { s.Problem = fmt.Sprint("problem ", i) })
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		got := c.take()["state"]
		if len(got) == 0 || len(got) > 11 || !strings.Contains(got[len(got)-1].data, "problem 999") {
			t.Errorf("%d states for 1,000 changes in a second", len(got))
		}
	})
}

func TestAClientThatComesBackMissesNothingAndGetsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		h := handler(t, options(l))
		c, end := open(h, "")
		l.decide("before")
		time.Sleep(time.Second)
		first := c.take()
		end()
		l.decide("while away")
		l.see("seen while away")
		l.decide("still away")
		last := first["decision"][len(first["decision"])-1].id
		c, end = open(h, last)
		defer end()
		got := c.take()
		if diff := cmp.Diff([]string{"while away", "still away"}, reasons(t, got)); diff != "" || len(got["event"]) != 1 {
			t.Errorf("decisions (-want +got):\n%s\nevents %v", diff, got["event"])
		}
		l.decide("back")
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"back"}, reasons(t, c.take())); diff != "" {
			t.Errorf("then (-want +got):\n%s", diff)
		}
	})
}

func TestAnIDOfAnotherRunOrNoIDAtAllBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		for i := range 300 {
			l.decide(fmt.Sprint("decision ", i+1))
		}
		h := handler(t, options(l))
		for _, id := range []string{"other-290-0", "nonsense", "run-x-y", "run-1"} {
			c, end := open(h, id)
			got := reasons(t, c.take())
			if len(got) != 200 || got[0] != "decision 101" || got[199] != "decision 300" {
				t.Errorf("after id %q: %d decisions", id, len(got))
			}
			end()
		}
	})
}

func TestAQuietStreamSaysThatItIsStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := open(handler(t, options(newLoop())), "")
		defer end()
		c.take()
		time.Sleep(time.Minute + time.Second)
		if got := c.take(); len(got[":"]) != 4 || len(got) != 1 {
			t.Errorf("a minute of silence sent %v, want four comments", got)
		}
	})
}

func TestAStreamEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		_, end := open(handler(t, options(l)), "")
		synctest.Wait()
		if l.subscribers() != 1 {
			t.Fatal("no stream began")
		}
		end()
		synctest.Wait()
		if l.subscribers() != 0 {
			t.Error("the stream outlives its request")
		}
	})
}

// gone tells, by a notice, when a handler has returned.
func gone(h http.Handler) (http.Handler, <-chan struct{}) {
	c := make(chan struct{}, 8)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		c <- struct{}{}
	}), c
}

func TestAClientThatReadsNothingIsGivenUpAndHoldsUpNobody(t *testing.T) {
	l := newLoop()
	o := options(l)
	o.WriteTimeout = 2 * time.Second
	h, returned := gone(handler(t, o))
	server := httptest.NewServer(h)
	defer server.Close()

	slow, err := http.Get(server.URL + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Body.Close() }()
	quick, err := http.Get(server.URL + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = quick.Body.Close() }()
	lines := make(chan string)
	go func() {
		in := bufio.NewReader(quick.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				close(lines)
				return
			}
			lines <- line
		}
	}()

	// States are made larger than what the network holds, until the slow
	// client is given up; each is seen by the quick one all the same.
	for i := 1; ; i++ {
		mark := fmt.Sprintf("problem %d %s", i, strings.Repeat("x", 4<<20))
		l.step(func(s *control.State) { s.Problem = mark })
		for line := range lines {
			if strings.Contains(line, mark[:12]) {
				break
			}
		}
		select {
		case <-returned:
			if l.subscribers() != 1 {
				t.Errorf("%d streams go on, want one", l.subscribers())
			}
			return
		default:
		}
	}
}

// timed is a client that notes the deadlines of its connection.
type timed struct {
	client
	deadlines []time.Time
}

func (c *timed) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

func TestADeadlineDoesNotOutliveTheAnswer(t *testing.T) {
	h := handler(t, options(newLoop()))
	c := &timed{client: client{header: http.Header{}}}
	h.ServeHTTP(c, httptest.NewRequest(http.MethodGet, "http://localhost/v1/logs/aaaa1111", nil))
	if n := len(c.deadlines); n < 2 || c.deadlines[0].IsZero() || !c.deadlines[n-1].IsZero() {
		t.Errorf("deadlines %v; want one for each write, and at last none", c.deadlines)
	}
}
