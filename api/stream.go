package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"plimsoll/control"
)

const (
	// coalesce is the shortest time between two states on one stream.
	coalesce = 100 * time.Millisecond
	// heartbeat is the longest silence on a stream.
	heartbeat = 15 * time.Second
	// backlog is how many decisions, and how many events, a client that comes
	// without Last-Event-ID is given of the past.
	backlog = 200
)

// board is what a `state` event shows: the live part of the cluster. What
// changes with every step and tells nothing (step, at) goes around it, so that
// a state is sent only if there is something new in it.
type board struct {
	Cluster  string        `json:"cluster"`
	Problem  string        `json:"problem"`
	Services []ServiceView `json:"services"`
	Hosts    []HostView    `json:"hosts"`
	Tasks    []TaskView    `json:"tasks"`
}

// boards keeps the board of the newest state, so that many clients cost one
// encoding. Its zero value is ready.
type boards struct {
	mu   sync.Mutex
	step uint64
	at   time.Time
	json []byte
}

// of gives the state's board as one line of JSON.
func (b *boards) of(st control.State, o Options) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.json != nil && b.step == st.Step && b.at.Equal(st.At) {
		return b.json, nil
	}
	tasks := live(taskViews(st.Cluster))
	encoded, err := json.Marshal(board{
		Cluster: st.Cluster.Name, Problem: st.Problem,
		Services: o.serviceViews(st), Hosts: o.hostViews(st.Cluster, tasks), Tasks: tasks,
	})
	if err != nil {
		return nil, err
	}
	// An old array is never written to again: streams compare with it.
	b.step, b.at, b.json = st.Step, st.At, encoded
	return encoded, nil
}

// cursor is how far a client has seen the journal. As an event's id it lets a
// client that reconnects go on where it was.
type cursor struct {
	run              string
	decision, events uint64
}

func (c cursor) String() string { return fmt.Sprintf("%s-%d-%d", c.run, c.decision, c.events) }

// parseCursor reads an id that String wrote.
func parseCursor(text string) (cursor, bool) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return cursor{}, false
	}
	decision, err1 := strconv.ParseUint(parts[1], 10, 64)
	events, err2 := strconv.ParseUint(parts[2], 10, 64)
	return cursor{run: parts[0], decision: decision, events: events}, err1 == nil && err2 == nil
}

// stream sends server-sent events: the whole state at first and whenever it
// changes, each decision and event once. A client reads at its own speed;
// one that does not take a write within the timeout is given up.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	changed, cancel := s.Loop.Subscribe()
	defer cancel()

	out := newSlowWriter(w, s.WriteTimeout)
	defer out.end()
	f := &feed{server: s, out: out, at: s.start(r)}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if _, err := fmt.Fprint(f.out, "retry: 1000\n\n"); err != nil {
		return
	}
	for {
		if err := f.send(); err != nil {
			s.Log.Debug("stream ended", "remote", r.RemoteAddr, "error", err)
			return
		}
		next := time.NewTimer(coalesce)
		select {
		case <-next.C:
		case <-r.Context().Done():
			next.Stop()
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-beat.C:
				if _, err := fmt.Fprint(f.out, ": still here\n\n"); err != nil {
					return
				}
			case <-r.Context().Done():
				return
			}
		}
	}
}

// start is where a client goes on: where its Last-Event-ID says, or a backlog
// before now.
func (s *server) start(r *http.Request) cursor {
	if c, ok := parseCursor(r.Header.Get("Last-Event-ID")); ok && c.run == s.Run {
		return c
	}
	c := cursor{run: s.Run}
	if d := lastOf(s.Loop.Decisions(0), backlog); len(d) > 0 {
		c.decision = d[0].Seq - 1
	}
	if e := lastOf(s.Loop.Events(0), backlog); len(e) > 0 {
		c.events = e[0].Seq - 1
	}
	return c
}

// feed is what one client has been sent.
type feed struct {
	*server
	out  *slowWriter
	at   cursor
	sent []byte // the board
}

// send writes what is new since the last time, as one write.
func (f *feed) send() error {
	var b bytes.Buffer
	st := f.Loop.State()
	current, err := f.boards.of(st, f.Options)
	if err != nil {
		return err
	}
	if !bytes.Equal(current, f.sent) {
		head, err := json.Marshal(struct {
			Run  string    `json:"run"`
			Step uint64    `json:"step"`
			At   time.Time `json:"at,omitzero"`
		}{f.Run, st.Step, st.At})
		if err != nil {
			return err
		}
		// Two objects become one: {head} and {board} as {head,board}.
		fmt.Fprintf(&b, "event: state\ndata: %s,%s\n\n", bytes.TrimSuffix(head, []byte("}")), bytes.TrimPrefix(current, []byte("{")))
		f.sent = current
	}
	for _, d := range f.Loop.Decisions(f.at.decision) {
		f.at.decision = d.Seq
		if err := line(&b, "decision", f.at, d); err != nil {
			return err
		}
	}
	for _, e := range f.Loop.Events(f.at.events) {
		f.at.events = e.Seq
		if err := line(&b, "event", f.at, e); err != nil {
			return err
		}
	}
	if b.Len() == 0 {
		return nil
	}
	_, err = f.out.Write(b.Bytes())
	return err
}

// line writes one event with its id.
func line(b *bytes.Buffer, name string, id cursor, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "id: %s\nevent: %s\ndata: %s\n\n", id, name, data)
	return nil
}

// slowWriter writes to a client at once, and fails when the client takes
// nothing for the timeout: a client that hangs holds up nobody but itself, and
// not for ever.
type slowWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func newSlowWriter(w http.ResponseWriter, timeout time.Duration) *slowWriter {
	return &slowWriter{w: w, control: http.NewResponseController(w), timeout: timeout}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	// A writer without deadlines (one in memory) cannot hang on a network.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
	n, err := w.w.Write(p)
	if err == nil {
		_ = w.control.Flush()
	}
	return n, err
}

// end takes the deadline off the connection, which may serve other requests.
func (w *slowWriter) end() { _ = w.control.SetWriteDeadline(time.Time{}) }
