package api_test

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll/api"
	"plimsoll/control"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./api -update writes it anew:\n%s", path, diff)
	}
}

func TestWhatIsReadHasTheFormThatIsDocumented(t *testing.T) {
	l := newLoop()
	l.decide("7.5 / 4 = 2")
	l.see("task aaaa1111 of web is running")
	l.step(func(s *control.State) { *s = snapshot() })
	demand := 3.0
	l.points["web"] = []control.Point{{At: noon, Demand: &demand, Want: 1, Grant: 1, Desired: 1, Running: 1}, {At: noon.Add(time.Second), Want: 1}}
	h := handler(t, options(l))
	for name, path := range map[string]string{
		"status.json": "/v1/status", "services.json": "/v1/services", "service.json": "/v1/services/web",
		"hosts.json": "/v1/hosts", "tasks.json": "/v1/tasks", "tasks-all.json": "/v1/tasks?all=1&service=web",
		"events.json": "/v1/events", "decisions.json": "/v1/decisions?service=web", "history.json": "/v1/history/web",
	} {
		w := ask(h, http.MethodGet, path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: status %d, %s: %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
			continue
		}
		golden(t, name, w.Body.String())
	}
}

func TestListsAreEmptyAndNeverNullBeforeTheFirstStep(t *testing.T) {
	l := newLoop()
	l.state = control.State{}
	o := options(l)
	o.Services = nil
	h := handler(t, o)
	for _, name := range []string{"services", "hosts", "tasks", "events", "decisions"} {
		want := "{\n  \"" + name + "\": []\n}\n"
		if got := ask(h, http.MethodGet, "/v1/"+name, "").Body.String(); got != want {
			t.Errorf("GET /v1/%s gives %q, want %q", name, got, want)
		}
	}
}

func TestAServiceOfTheFileIsShownBeforeItIsDecidedOn(t *testing.T) {
	l := newLoop()
	l.state = control.State{Problem: "the cluster cannot be read"}
	got := ask(handler(t, options(l)), http.MethodGet, "/v1/services/web", "").Body.String()
	for _, want := range []string{`"demand": null`, `"want": null`, `"max": 20`, `"problem": "the cluster cannot be read"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestSinceAndLimitGiveTheNewestOfTheRest(t *testing.T) {
	l := newLoop()
	for _, reason := range []string{"first", "second", "third", "fourth"} {
		l.decide(reason)
	}
	got := ask(handler(t, options(l)), http.MethodGet, "/v1/decisions?since=1&limit=2", "").Body.String()
	if strings.Contains(got, "first") || strings.Contains(got, "second") || !strings.Contains(got, "third") || !strings.Contains(got, "fourth") {
		t.Errorf("since=1&limit=2 gives %s", got)
	}
}

func TestWhatCannotBeAnsweredSaysWhatCan(t *testing.T) {
	h := handler(t, options(newLoop()))
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/v1/services/wed", 404, `no service \"wed\"; the services are \"web\", \"mailer\", \"filler\", \"stranger\"`},
		{"GET", "/v1/tasks?service=wed", 404, `\"web\"`},
		{"GET", "/v1/decisions?service=wed", 404, `\"web\"`},
		{"GET", "/v1/history/wed", 404, `\"web\"`},
		{"GET", "/v1/logs/wed", 404, `\"web\"`},
		{"GET", "/v1/nothing", 404, "/v1/services"},
		{"GET", "/v1/", 404, "/v1/services"},
		{"POST", "/v1/services", 405, "use GET"},
		{"DELETE", "/v1/services/web", 405, "use GET"},
		{"GET", "/v1/services/web/pause", 405, "use POST"},
		{"GET", "/v1/events?since=-1", 400, `\"-1\"`},
		{"GET", "/v1/events?limit=0", 400, "1 to 1000"},
		{"GET", "/v1/tasks?all=maybe", 400, "1 or 0"},
		{"GET", "/v1/logs/web?tail=x", 400, "0 to 10000"},
		{"POST", "/v1/services/wed/pause", 404, `\"web\"`},
		{"POST", "/v1/services/stranger/pause", 409, "web, mailer, filler"},
		{"POST", "/v1/shutdown", 501, "SIGTERM"},
	} {
		w := ask(h, c.method, c.path, "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || !strings.HasPrefix(w.Body.String(), "{\n  \"error\": ") {
			t.Errorf("%s %s: status %d, %s; want %d and %q", c.method, c.path, w.Code, w.Body, c.status, c.says)
		}
		if c.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
	}
}

func TestWithoutALoopThereIsNoHandler(t *testing.T) {
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("New made a handler without a loop")
	}
}
