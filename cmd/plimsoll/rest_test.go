package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/api"
	"plimsoll/control"
	"plimsoll/router"
	"plimsoll/scale"
)

// loop is a control loop that has stopped at noon.
type loop struct {
	mu       sync.Mutex
	ceilings []string
	floors   map[string]int
	until    time.Time
	paused   []string
	events   []control.Event
}

func (l *loop) Subscribe() (<-chan struct{}, func()) { return make(chan struct{}), func() {} }

func (l *loop) Decisions(since uint64) []control.Decision {
	return []control.Decision{{
		Seq: 1, At: noon().Add(-3 * time.Second), Service: "web", From: 2, To: 3, Want: 3, Grant: 3,
		Reason: "12 requests in flight / 4 per task = 3", Outcome: "done",
	}}
}

func (l *loop) Events(since uint64) []control.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.events), func(e control.Event) bool { return e.Seq <= since })
}

func (l *loop) History(string) []control.Point { return nil }

func (l *loop) SetFloor(service string, n int, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floors[service], l.until = n, until
	return nil
}

func (l *loop) SetCeiling(service string, n int, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ceilings = append(l.ceilings, fmt.Sprintf("%s %d %s", service, n, until.UTC().Format(time.TimeOnly)))
	return nil
}

func (l *loop) Pause(service string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = append(l.paused, service)
	return nil
}

func (l *loop) Release(context.Context, string) error     { return nil }
func (l *loop) Yield(context.Context, string, bool) error { return nil }

func (l *loop) Resume(service string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = slices.DeleteFunc(l.paused, func(s string) bool { return s == service })
	return nil
}

func arn(kind, id string) string {
	return "arn:aws:ecs:us-east-1:123456789012:" + kind + "/default/" + id
}

// State is a small cluster with something of everything.
func (l *loop) State() control.State {
	demand, code := 12.0, 137
	host := func(i int, zone string, free int64) plimsoll.ContainerInstance {
		return plimsoll.ContainerInstance{
			ARN: arn("container-instance", fmt.Sprint("c", i)), InstanceID: fmt.Sprintf("i-%017d", i), Address: fmt.Sprintf("127.64.%d.1", i),
			Zone: zone, Status: plimsoll.InstanceActive, Connected: true, Running: 2 - i%2,
			Registered: plimsoll.Resources{CPU: 1024, Memory: 1024}, Remaining: plimsoll.Resources{CPU: free, Memory: 896},
		}
	}
	task := func(id, service string, status plimsoll.Status) plimsoll.Task {
		return plimsoll.Task{
			ARN: arn("task", id), Service: service, ContainerInstance: arn("container-instance", "c1"), Zone: "us-east-1a",
			LastStatus: status, DesiredStatus: plimsoll.StatusRunning, CreatedAt: noon().Add(-90 * time.Second),
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 20001}},
		}
	}
	busy := task("1c0ffee0123456789abcdef012345678", "mailer", plimsoll.StatusRunning)
	busy.Protected, busy.Endpoints = true, nil
	waiting := task("2c0ffee0123456789abcdef012345678", "filler", plimsoll.StatusProvisioning)
	waiting.ContainerInstance, waiting.Zone, waiting.Endpoints = "", "", nil
	gone := task("3c0ffee0123456789abcdef012345678", "filler", plimsoll.StatusStopped)
	gone.ExitCode, gone.StoppedReason, gone.DesiredStatus = &code, "Scaling activity initiated by deployment", plimsoll.StatusStopped
	return control.State{
		Step: 7, At: noon(),
		Cluster: plimsoll.Cluster{
			Name: "default", At: noon(),
			Services: []plimsoll.Service{
				{Name: "web", Desired: 3, Running: 3}, {Name: "mailer", Desired: 1, Running: 1}, {Name: "filler", Desired: 4, Running: 3, Pending: 1},
			},
			Tasks:     []plimsoll.Task{task("0c0ffee0123456789abcdef012345678", "web", plimsoll.StatusRunning), busy, waiting, gone},
			Instances: []plimsoll.ContainerInstance{host(1, "us-east-1a", 512), host(2, "us-east-1b", 1024)},
		},
		Plan: scale.Plan{At: noon(), Verdicts: []scale.Verdict{
			{
				Service: "web", Priority: 1, Min: 1, Max: 20, Demand: &demand, Want: 3, Grant: 3, Desired: 3, Running: 3, Reason: "12 requests in flight / 4 per task = 3",
				Triggers: []scale.TriggerVerdict{
					{Name: "router concurrency", Known: true, Value: 12, Want: 3, Active: true, Reason: "12 requests in flight / 4 per task = 3"},
					{Name: "script ./count", Reason: "exit status 1"},
				},
			},
			{
				Service: "mailer", Priority: 2, Max: 10, Want: 1, Grant: 1, Desired: 1, Running: 1, Protected: 1, Reason: "the reading is unknown: the count is held",
				Triggers: []scale.TriggerVerdict{{Name: "aws-sqs-queue jobs", Reason: "connection refused"}},
			},
			{Service: "filler", Priority: 3, Max: 30, Want: 30, Grant: 4, Desired: 4, Running: 3, Pending: 1, Reason: "takes what is left: 4 of 30"},
		}},
		Overrides: map[string]scale.Override{"web": {Floor: 2, Until: noon().Add(10 * time.Minute)}, "filler": {Paused: true}},
	}
}

type logStore struct{}

func (logStore) Logs(_ context.Context, task, container string, follow bool) (io.ReadCloser, error) {
	if !strings.HasPrefix(task, "0c0ffee") {
		return nil, fmt.Errorf("no logs of %q: %w", task, fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader("listening on 20001\nready\n")), nil
}

type figures struct{}

func (figures) Latencies(string) router.Latencies { return router.Latencies{} }

func (figures) Stats(string) router.Stats {
	return router.Stats{InFlight: 12, Held: 1, RequestsPerSecond: 30, LatencyP50: 3 * time.Millisecond, LatencyP99: 12 * time.Millisecond}
}

func (f figures) Demand(service string) router.Stats { return f.Stats(service) }

func (figures) Services() []string { return []string{"web"} }

func (figures) Routes() []router.RouteState { return nil }

func (figures) Totals() router.Totals { return router.Totals{} }

func (figures) Targets(service string) []router.TargetState {
	if service != "web" {
		return nil
	}
	return []router.TargetState{
		{ID: "0c0ffee0123456789abcdef012345678", Address: "127.64.1.1:20001", Healthy: true},
		{ID: "4c0ffee0123456789abcdef012345678", Address: "127.64.1.1:20002", Reason: "health check: GET /healthz was answered with 404, not 200 to 399"},
		{ID: "5c0ffee0123456789abcdef012345678", Address: "127.64.1.1:20003", Draining: true, Reason: "it drains"},
	}
}

// serve makes the real API over the loop, and the console of one who asks it.
func serve(t *testing.T, l *loop, token string) *console {
	t.Helper()
	l.floors = map[string]int{}
	if l.events == nil {
		l.events = []control.Event{
			{Seq: 1, At: noon().Add(-5 * time.Second), Kind: "host-joined", Host: "i-00000000000000001", Message: "host i-00000000000000001 joined in us-east-1a"},
			{Seq: 2, At: noon().Add(-time.Second), Kind: "task-running", Service: "web", Task: "0c0ffee0123456789abcdef012345678", Message: "web 0c0ffee0 runs on 127.64.1.1:20001"},
		}
	}
	handler, err := api.New(api.Options{
		Loop: l, Logs: logStore{}, Router: figures{}, Token: token, Now: noon, Run: "r1", Version: "v1.2.3",
		Services: []api.Service{
			{Name: "web", Priority: 1, Min: 1, Max: 20, URL: "http://shop.localhost:8080/"},
			{Name: "mailer", Priority: 2, Max: 10, Cooperative: true},
			{Name: "filler", Priority: 3, Max: 30, Remainder: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &console{environ: []string{"PLIMSOLL_UI=" + server.URL}}
}

func TestWhatListsIsATableOrTheAPIsJSON(t *testing.T) {
	c := serve(t, &loop{}, "")
	for name, args := range map[string][]string{
		"ps": {"ps"}, "ps-all": {"ps", "-a"}, "ps-service": {"ps", "mailer"}, "services": {"services"}, "hosts": {"hosts"},
		"events": {"events"}, "explain": {"explain", "web"}, "explain-unknown-reading": {"explain", "mailer"}, "logs": {"logs", "0c0ffee"},
	} {
		t.Run(name, func(t *testing.T) {
			got := typedOK(t, c, args...)
			golden(t, name+".txt", []byte(got.out))
		})
	}
	for path, args := range map[string][]string{
		"/v1/tasks": {"ps"}, "/v1/services": {"services"}, "/v1/hosts": {"hosts"}, "/v1/events": {"events"}, "/v1/services/web": {"explain", "web"},
	} {
		t.Run(args[0]+"-json", func(t *testing.T) {
			want, err := (&client{url: c.env("PLIMSOLL_UI")}).raw(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if got := typedOK(t, c, append(args, "-o", "json")...); got.out != string(want) || !json.Valid(want) {
				t.Errorf("printed %s, the API answers %s", got.out, want)
			}
		})
	}
}

func TestATableHasOneLineForEachRowWhateverIsInIt(t *testing.T) {
	list := newTable("A", "B").numbers("B")
	list.row("two\nlines\x1b[2J", "1")
	list.row("ü", "10")
	list.row("", "100")
	var b strings.Builder
	if err := list.write(&b); err != nil {
		t.Fatal(err)
	}
	const want = "A                B\ntwo lines [2J    1\nü               10\n-              100\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}

func TestScaleSetsAFloorForAStatedTime(t *testing.T) {
	l := &loop{}
	c := serve(t, l, "")
	got := typedOK(t, c, "scale", "web=5", "mailer=0", "--for", "10m")
	if want := "web: at least 5 until 12:10:00\nmailer: no floor\n"; got.out != want {
		t.Errorf("printed %q, want %q", got.out, want)
	}
	if l.floors["web"] != 5 || !slices.Contains([]time.Time{noon().Add(10 * time.Minute), {}}, l.until) {
		t.Errorf("floors %v until %v", l.floors, l.until)
	}
}

func TestScaleSetsACeilingForAStatedTime(t *testing.T) {
	l := &loop{}
	c := serve(t, l, "")
	got := typedOK(t, c, "scale", "web=5", "mailer=10", "--ceiling", "--for", "10m")
	if want := "web: at most 5 until 12:10:00\nmailer: no ceiling\n"; got.out != want {
		t.Errorf("printed %q, want %q", got.out, want)
	}
	if want := []string{"web 5 12:10:00", "mailer 10 00:00:00"}; !slices.Equal(l.ceilings, want) {
		t.Errorf("the loop was asked for %q, want %q", l.ceilings, want)
	}
}

func TestScaleSetsNothingIfOneOfTheFloorsCannotBe(t *testing.T) {
	for wish, want := range map[string]string{
		"mailer=11": "mailer=11 is over the max of 10",
		"wbe=1":     `no service "wbe"; the services are: web, mailer, filler`,
	} {
		l := &loop{}
		got := typed(t, serve(t, l, ""), "scale", "web=5", wish)
		if got.code != exitFailure || !strings.Contains(got.err, want) || len(l.floors) != 0 {
			t.Errorf("%s: exit %d, stderr %q, floors %v", wish, got.code, got.err, l.floors)
		}
	}
}

func TestPauseAndResumeNameTheServices(t *testing.T) {
	l := &loop{}
	c := serve(t, l, "")
	if got := typedOK(t, c, "pause", "web", "filler"); got.out != "web: paused\nfiller: paused\n" || !slices.Equal(l.paused, []string{"web", "filler"}) {
		t.Errorf("printed %q, paused %v", got.out, l.paused)
	}
	if got := typedOK(t, c, "resume", "web"); got.out != "web: resumed\n" || !slices.Equal(l.paused, []string{"filler"}) {
		t.Errorf("printed %q, paused %v", got.out, l.paused)
	}
}

func TestAnUnknownServiceIsAFailureThatNamesTheKnownOnes(t *testing.T) {
	c := serve(t, &loop{}, "")
	for _, args := range [][]string{{"explain", "wbe"}, {"pause", "wbe"}, {"resume", "wbe"}, {"ps", "wbe"}, {"logs", "wbe"}} {
		got := typed(t, c, args...)
		if got.code != exitFailure || !strings.HasPrefix(got.err, "plimsoll: ") || !strings.Contains(got.err, "mailer") || got.out != "" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, got.code, got.out, got.err)
		}
	}
}

func TestATokenIsAskedForAndGivenByTheEnvironment(t *testing.T) {
	c := serve(t, &loop{}, "secret")
	if got := typed(t, c, "services"); got.code != exitFailure || !strings.Contains(got.err, "$PLIMSOLL_TOKEN") {
		t.Errorf("without a token: exit %d, stderr %q", got.code, got.err)
	}
	typedOK(t, c, "services", "--token", "secret")
	c.environ = append(c.environ, "PLIMSOLL_TOKEN=secret")
	typedOK(t, c, "services")
}

func TestSomethingElseAtTheAddressIsSaidToBeSomethingElse(t *testing.T) {
	server := httptest.NewServer(nil) // answers 404 in plain text
	defer server.Close()
	got := typed(t, &console{}, "hosts", "--ui", server.URL)
	if got.code != exitFailure || !strings.Contains(got.err, "is this the address of a Plimsoll?") {
		t.Errorf("exit %d, stderr %q", got.code, got.err)
	}
}

func TestServiceNamesAreCompletedFromTheRunningPlimsoll(t *testing.T) {
	c := serve(t, &loop{}, "")
	if got := typedOK(t, c, "__complete", "explain", ""); !strings.HasPrefix(got.out, "web\nmailer\nfiller\n") {
		t.Errorf("completed %q", got.out)
	}
	if got := typedOK(t, c, "__complete", "scale", ""); !strings.HasPrefix(got.out, "web=\nmailer=\nfiller=\n") {
		t.Errorf("completed %q", got.out)
	}
}

// ending cancels the context after the text has been printed once.
type ending struct {
	strings.Builder
	after string
	end   func()
}

func (e *ending) Write(p []byte) (int, error) {
	n, err := e.Builder.Write(p)
	if strings.Contains(e.String(), e.after) {
		e.end()
	}
	return n, err
}

func TestFollowedEventsComeOnceEachUntilCtrlC(t *testing.T) {
	l := &loop{}
	c := serve(t, l, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := &ending{after: "task-running", end: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.events) == 2 {
			l.events = append(l.events, control.Event{Seq: 3, At: noon(), Kind: "task-stopped", Message: "the last"})
		}
	}}
	last := &ending{after: "the last", end: cancel}
	var told strings.Builder
	c.args, c.out, c.err, c.now = []string{"events", "-f"}, io.MultiWriter(first, last), &told, noon
	if code := c.run(ctx); code != exitOK || told.String() != "" {
		t.Fatalf("exit %d, stderr %q", code, told.String())
	}
	golden(t, "events-follow.txt", []byte(last.String()))
}

// sleeper is a process to be ended; what comes of it is sent once.
func sleeper(t *testing.T) (*exec.Cmd, <-chan error) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, ended
}

func endedBy(err error) syscall.Signal {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	return exit.Sys().(syscall.WaitStatus).Signal()
}
