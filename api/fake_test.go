package api_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/api"
	"plimsoll/control"
	"plimsoll/router"
	"plimsoll/scale"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// loop is a control loop that publishes what a test tells it to.
type loop struct {
	mu        sync.Mutex
	state     control.State
	decisions []control.Decision
	events    []control.Event
	points    map[string][]control.Point
	waiters   map[chan struct{}]bool
	asked     []string // what the operator was asked for
	refusal   error
}

func newLoop() *loop {
	return &loop{state: snapshot(), points: map[string][]control.Point{}, waiters: map[chan struct{}]bool{}}
}

func (l *loop) State() control.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *loop) Subscribe() (<-chan struct{}, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{}, 1)
	l.waiters[c] = true
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiters, c)
	}
}

// subscribers is how many streams listen.
func (l *loop) subscribers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiters)
}

func (l *loop) Decisions(since uint64) []control.Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]control.Decision{}, l.decisions[min(since, uint64(len(l.decisions))):]...)
}

func (l *loop) Events(since uint64) []control.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]control.Event{}, l.events[min(since, uint64(len(l.events))):]...)
}

func (l *loop) History(service string) []control.Point { return l.points[service] }

func (l *loop) ask(format string, args ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, fmt.Sprintf(format, args...))
	return l.refusal
}

func (l *loop) SetFloor(service string, n int, until time.Time) error {
	return l.ask("floor %s %d %s", service, n, until.Format(time.RFC3339))
}

func (l *loop) SetCeiling(service string, n int, until time.Time) error {
	return l.ask("ceiling %s %d %s", service, n, until.Format(time.RFC3339))
}
func (l *loop) Pause(service string) error                   { return l.ask("pause %s", service) }
func (l *loop) Release(_ context.Context, task string) error { return l.ask("release %s", task) }
func (l *loop) Yield(_ context.Context, task string, leave bool) error {
	return l.ask("yield %s %t", task, leave)
}
func (l *loop) Resume(service string) error { return l.ask("resume %s", service) }

// step publishes a new state, as a step of the loop does.
func (l *loop) step(change func(*control.State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Step++
	l.state.At = l.state.At.Add(time.Second)
	change(&l.state)
	for c := range l.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// decide adds to the journal and steps.
func (l *loop) decide(reason string) {
	l.mu.Lock()
	l.decisions = append(l.decisions, control.Decision{
		Seq: uint64(len(l.decisions) + 1), At: noon, Service: "web", From: 1, To: 2, Want: 2, Grant: 2, Reason: reason, Outcome: "done",
	})
	l.mu.Unlock()
	l.step(func(*control.State) {})
}

func (l *loop) see(message string) {
	l.mu.Lock()
	l.events = append(l.events, control.Event{
		Seq: uint64(len(l.events) + 1), At: noon, Kind: control.EventTaskRunning, Service: "web", Task: "aaaa1111", Host: "i-1", Message: message,
	})
	l.mu.Unlock()
	l.step(func(*control.State) {})
}

func task(id, service, host string, status plimsoll.Status, age time.Duration) plimsoll.Task {
	return plimsoll.Task{
		ARN: "arn:aws:ecs:us-east-1:123456789012:task/shop/" + id, Service: service, ContainerInstance: host, Zone: "us-east-1a",
		LastStatus: status, DesiredStatus: plimsoll.StatusRunning,
		Reserved: plimsoll.Resources{CPU: 256, Memory: 64}, CreatedAt: noon.Add(-age),
	}
}

// snapshot is a cluster with a bit of everything, as the loop publishes it.
func snapshot() control.State {
	demand, exit := 7.5, 137
	const arn = "arn:aws:ecs:us-east-1:123456789012:container-instance/shop/"
	running := task("aaaa1111", "web", arn+"one", plimsoll.StatusRunning, time.Hour)
	running.StartedAt = noon.Add(-59 * time.Minute)
	running.Endpoints = []plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 20001}}
	busy := task("bbbb2222", "mailer", arn+"two", plimsoll.StatusRunning, time.Minute)
	busy.Protected, busy.ProtectedUntil = true, noon.Add(time.Hour)
	stopped := task("aaaa9999", "web", arn+"one", plimsoll.StatusStopped, 2*time.Hour)
	stopped.DesiredStatus, stopped.StopCode, stopped.StoppedReason = plimsoll.StatusStopped, "EssentialContainerExited", "Essential container in task exited"
	stopped.StoppedAt, stopped.ExitCode = noon.Add(-time.Hour), &exit
	waiting := task("cccc3333", "filler", "", plimsoll.StatusProvisioning, time.Second)
	waiting.Zone = ""
	host := func(name, id, zone, address string, free int64) plimsoll.ContainerInstance {
		return plimsoll.ContainerInstance{
			ARN: arn + name, InstanceID: id, Zone: zone, Address: address, Status: plimsoll.InstanceActive, Connected: true,
			Registered: plimsoll.Resources{CPU: 1024, Memory: 1024}, Remaining: plimsoll.Resources{CPU: free, Memory: 960}, Running: 1,
		}
	}
	return control.State{
		Step: 41, At: noon, Took: 2500 * time.Microsecond,
		Cluster: plimsoll.Cluster{
			Name: "shop", At: noon,
			Tasks:     []plimsoll.Task{waiting, busy, running, stopped},
			Instances: []plimsoll.ContainerInstance{host("two", "i-2", "us-east-1b", "127.64.2.1", 768), host("ten", "", "us-east-1a", "127.64.1.10", 1024), host("one", "i-1", "us-east-1a", "127.64.1.1", 768)},
			Services: []plimsoll.Service{
				{Name: "stranger", Desired: 2, Running: 1},
				{Name: "web", Desired: 1, Running: 1, Reserved: plimsoll.Resources{CPU: 256, Memory: 64}},
				{Name: "mailer", Desired: 1, Running: 1},
				{Name: "filler", Desired: 1, Pending: 1},
			},
		},
		Plan: scale.Plan{At: noon, Verdicts: []scale.Verdict{
			{Service: "filler", Priority: 3, Max: 30, Want: 30, Grant: 4, Desired: 1, Pending: 1, Reason: "takes what is left"},
			{Service: "web", Priority: 1, Min: 1, Max: 20, Demand: &demand, Want: 2, Grant: 2, Desired: 2, Running: 1, Reason: "7.5 requests in flight / 4 per task = 2",
				Triggers: []scale.TriggerVerdict{
					{Name: "router", Known: true, Value: 7.5, Want: 2, Active: true, Reason: "7.5 / 4 = 2"},
					{Name: "cron", Reason: "no reading yet"},
				}, Forecast: &scale.Outlook{
					Forecast: scale.Forecast{Lead: 5 * time.Minute, Quantile: 0.9}, Known: true, Tasks: 41.5,
					Season: 24 * time.Hour, Measured: true, Error: 0.31,
				}},
			{Service: "mailer", Priority: 2, Max: 10, Want: 1, Grant: 1, Desired: 1, Running: 1, Protected: 1, Reason: "the queue cannot be read: the count is held"},
		}},
		Overrides: map[string]scale.Override{"mailer": {Paused: true}, "filler": {Floor: 2, Until: noon.Add(10 * time.Minute)}},
	}
}

// logs has the output of tasks by their id.
type logs map[string]string

func (l logs) Logs(_ context.Context, id, container string, _ bool) (io.ReadCloser, error) {
	text, ok := l[id]
	if !ok || (container != "" && container != "main") {
		return nil, fmt.Errorf("logs of task %q: %w", id, fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

type stats struct{}

func (stats) Services() []string { return []string{"web", "web:9000"} }

func (stats) Stats(string) router.Stats {
	return router.Stats{InFlight: 7, Held: 1, Concurrency: 7.5, RequestsPerSecond: 120, LatencyP50: 4 * time.Millisecond, LatencyP99: 90 * time.Millisecond, Requests: 1000, Errors: 3}
}

func (s stats) Demand(service string) router.Stats { return s.Stats(service) }

func (stats) Latencies(string) router.Latencies {
	return router.Latencies{
		Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{400, 990}, Count: 1000, Sum: 20 * time.Second,
	}
}

func (stats) Targets(string) []router.TargetState {
	return []router.TargetState{{ID: "aaaa1111", Address: "127.64.1.1:20001", Healthy: true, Figures: figures(7)}}
}

// figures are those of a thousand requests, three of which did not end well.
func figures(inFlight int) router.Figures {
	return router.Figures{
		Requests: 1000, InFlight: inFlight,
		Answers:   map[string]uint64{"2xx": 990, "5xx": 2, "client_gone": 1},
		Failures:  map[string]uint64{"timeout": 1, "refused": 1},
		Latencies: stats{}.Latencies(""),
	}
}

func (stats) Routes() []router.RouteState {
	return []router.RouteState{
		{Service: "web", Route: "shop.localhost/", Figures: figures(7)},
		{Route: router.OtherRoutes, Figures: router.Figures{Requests: 3, Answers: map[string]uint64{"2xx": 3}}},
	}
}

func (stats) Totals() router.Totals {
	return router.Totals{Refused: 5, Unrouted: 4, Handshakes: 3, Mirrored: 2, MirrorsLost: 1}
}

// options are those of a whole API over the loop.
func options(l *loop) api.Options {
	return api.Options{
		Loop: l, Router: stats{}, Run: "run", Version: "1.2.3", Now: func() time.Time { return noon },
		Services: []api.Service{
			{Name: "web", Priority: 1, Min: 1, Max: 20, URL: "http://shop.localhost:8080/"},
			{Name: "mailer", Priority: 2, Max: 10, Cooperative: true},
			{Name: "filler", Priority: 3, Max: 30, Remainder: true},
		},
		Logs: logs{"aaaa1111": "one\ntwo\nthree\n", "bbbb2222": "sent\n", "aaaa9999": "killed\n"},
		URLs: map[string]string{"ui": "http://127.0.0.1:4500", "router": "http://127.0.0.1:8080"},
		Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") }),
	}
}

func handler(t *testing.T, o api.Options) http.Handler {
	t.Helper()
	h, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends one request to a handler in memory.
func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:4500"+path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
