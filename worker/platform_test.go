package worker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"plimsoll/worker"
)

// agent answers as the ECS agent does, and as the release endpoint.
type agent struct {
	status   int
	body     string
	metadata string
	got      []string
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/meta/task" {
		_, _ = io.WriteString(w, a.metadata)
		return
	}
	body, _ := io.ReadAll(r.Body)
	a.got = append(a.got, r.Method+" "+r.URL.RequestURI()+" "+string(body)+r.Header.Get("Authorization"))
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (a *agent) start(t *testing.T, release string) worker.Platform {
	t.Helper()
	return a.startWith(t, release, nil)
}

func (a *agent) startWith(t *testing.T, release string, releases worker.Outbox) worker.Platform {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	env := map[string]string{
		"ECS_AGENT_URI": server.URL + "/agent", "ECS_CONTAINER_METADATA_URI_V4": server.URL + "/meta", "PLIMSOLL_RELEASE_TOKEN": "mine",
	}
	switch {
	case strings.HasPrefix(release, "http:"):
		env["PLIMSOLL_RELEASE_URI"] = release
	case release != "":
		env["PLIMSOLL_RELEASE_URI"] = server.URL + release
	}
	return worker.FromEnv(func(name string) string { return env[name] }, releases)
}

const member = `{"TaskARN":"arn:task/c/1","ServiceName":"work","DesiredStatus":"RUNNING"}`

func TestTheAgentsAnswersAreUnderstood(t *testing.T) {
	for name, c := range map[string]struct {
		status         int
		body, metadata string
		length         time.Duration
		ok, leaving    bool
	}{
		"protected":              {200, `{"protection":{"ExpirationDate":"2026-01-01T00:00:00Z","ProtectionEnabled":true,"TaskArn":"a"}}`, member, time.Hour, true, false},
		"unprotected":            {200, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"a"}}`, member, 0, true, false},
		"not what was asked for": {200, `{"protection":{"ProtectionEnabled":false,"TaskArn":"a"}}`, member, time.Hour, false, false},
		"blocked":                {200, `{"failure":{"Arn":"a","Detail":null,"Reason":"DEPLOYMENT_BLOCKED"}}`, member, time.Hour, false, true},
		"stopping":               {200, `{"failure":{"Arn":"a","Detail":"The task is stopping.","Reason":"TASK_NOT_VALID"}}`, member, time.Hour, false, true},
		"a task of no service":   {200, `{"failure":{"Arn":"a","Detail":"…","Reason":"TASK_NOT_VALID"}}`, `{"DesiredStatus":"RUNNING"}`, time.Hour, true, false},
		"a failing API":          {500, `{"requestID":"x","error":{"Arn":"a","Code":"ServerException","Message":"m"}}`, member, time.Hour, false, false},
		"too many requests":      {429, `"slow down"`, member, time.Hour, false, false},
		"no JSON":                {502, `<html>`, member, time.Hour, false, false},
	} {
		a := &agent{status: c.status, body: c.body, metadata: c.metadata}
		err := a.start(t, "").Protect(t.Context(), c.length)
		if (err == nil) != c.ok || errors.Is(err, worker.ErrLeaving) != c.leaving {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProtectionIsAskedForInMinutesRoundedUp(t *testing.T) {
	a := &agent{status: 200, body: `{"protection":{"ProtectionEnabled":true}}`}
	if err := a.start(t, "").Protect(t.Context(), 90*time.Second); err != nil {
		t.Fatal(err)
	}
	if want := `PUT /agent/task-protection/v1/state {"ExpiresInMinutes":2,"ProtectionEnabled":true}`; a.got[0] != want {
		t.Errorf("%s, want %s", a.got[0], want)
	}
}

func TestATaskReleasesItselfWithItsOwnToken(t *testing.T) {
	a := &agent{status: 200, metadata: member}
	if err := a.start(t, "/v1/tasks/{arn}/release").Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "POST /v1/tasks/arn:task%2Fc%2F1/release Bearer mine"; a.got[0] != want {
		t.Errorf("%q, want %q", a.got[0], want)
	}
}

func TestARefusedReleaseKeepsTheTask(t *testing.T) {
	for status, kept := range map[int]bool{409: true, 401: true, 404: true, 429: false, 500: false, 503: false} {
		a := &agent{status: status, metadata: member}
		if err := a.start(t, "/release").Release(t.Context()); err == nil || errors.Is(err, worker.ErrKept) != kept {
			t.Errorf("status %d: %v", status, err)
		}
	}
	a := &agent{status: 200, metadata: member}
	if err := a.start(t, "").Release(t.Context()); !errors.Is(err, worker.ErrKept) {
		t.Errorf("without a place to release itself at: %v", err)
	}
	a.metadata = `{"DesiredStatus":"RUNNING"}`
	if err := a.start(t, "").Release(t.Context()); err != nil {
		t.Errorf("a task of no service: %v", err)
	}
}

func TestATaskAsksWhetherItsPlaceIsNeeded(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		leave  bool
		want   string // "": needed
	}{
		{200, `{"task":"1","needed":true}`, false, ""},
		{200, `{"task":"1","needed":false,"reason":"…"}`, false, "kept"},
		{200, `{"task":"1","released":true}`, true, ""},
		{409, `{"error":"kept"}`, true, "kept"},
		{404, `{}`, true, "status 404"}, // a loop of before
		{500, `{}`, false, "status 500"},
		{200, `what`, true, "what"},
	} {
		a := &agent{status: c.status, body: c.body, metadata: member}
		err := a.start(t, "/v1/tasks/{arn}/release").Yield(t.Context(), c.leave)
		switch {
		case c.want == "" && err != nil, c.want == "kept" && !errors.Is(err, worker.ErrKept),
			c.want != "" && c.want != "kept" && (err == nil || errors.Is(err, worker.ErrKept) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: %v", c, err)
		}
		want := "GET /v1/tasks/arn:task%2Fc%2F1/release Bearer mine"
		if c.leave {
			want = "POST /v1/tasks/arn:task%2Fc%2F1/release?if=needed Bearer mine"
		}
		if !slices.Contains(a.got, want) {
			t.Errorf("%q, want %q", a.got, want)
		}
	}
	a := &agent{status: 200, metadata: member}
	if err := a.start(t, "").Yield(t.Context(), true); !errors.Is(err, worker.ErrKept) {
		t.Errorf("without anybody to ask: %v", err)
	}
}

// outbox keeps what is sent; it fails as it is told to.
type outbox struct {
	sent []string
	err  error
}

func (o *outbox) Send(_ context.Context, body string) error {
	o.sent = append(o.sent, body)
	return o.err
}

func TestATaskThatCannotReachTheAPIReleasesItselfByTheQueue(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, uri := range map[string]string{"no URI": "", "one that nobody answers at": gone.URL + "/release"} {
		box := &outbox{}
		if err := (&agent{metadata: member}).startWith(t, uri, box).Release(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := `{"release":"arn:task/c/1"}`; len(box.sent) != 1 || box.sent[0] != want {
			t.Errorf("%s: sent %q, want %q once", name, box.sent, want)
		}
	}
	for name, a := range map[string]*agent{"the API has taken it": {status: 200, metadata: member}, "the API refuses": {status: 409, metadata: member}} {
		box := &outbox{}
		if err := a.startWith(t, "/release", box).Release(t.Context()); errors.Is(err, worker.ErrKept) != (a.status == 409) || len(box.sent) != 0 {
			t.Errorf("%s: %v, and sent %q", name, err, box.sent)
		}
	}
	// Without an answer of the queue it is said again, as to the API.
	box := &outbox{err: errors.New("no queue")}
	if err := (&agent{metadata: member}).startWith(t, "", box).Release(t.Context()); !errors.Is(err, box.err) || errors.Is(err, worker.ErrKept) {
		t.Errorf("a queue that fails: %v", err)
	}
	box = &outbox{}
	if err := (&agent{metadata: `{"DesiredStatus":"RUNNING"}`}).startWith(t, "", box).Release(t.Context()); err != nil || len(box.sent) != 0 {
		t.Errorf("a task of no service: %v, and sent %q", err, box.sent)
	}
}

func TestAProgramThatIsNoTaskMayDoAsItLikes(t *testing.T) {
	p := worker.FromEnv(func(string) string { return "" }, nil)
	if err := errors.Join(p.Protect(t.Context(), time.Hour), p.Release(t.Context())); err != nil {
		t.Error(err)
	}
}
