package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll/control"
)

func TestWhatPeopleAskForReachesTheLoop(t *testing.T) {
	l := newLoop()
	h := handler(t, options(l))
	for _, c := range []struct{ path, body, want string }{
		{"/v1/services/web/scale", `{"floor": 5, "for": "10m"}`, `"until": "2026-05-04T12:10:00Z"`},
		{"/v1/services/web/scale", `{"floor": 0}`, `"floor": 0`},
		{"/v1/services/web/scale", `{"ceiling": 3, "for": "10m"}`, `"ceiling": 3`},
		{"/v1/services/web/scale", `{"ceiling": 20}`, `"ceiling": 20`},
		{"/v1/services/mailer/pause", ``, `"paused": true`},
		{"/v1/services/mailer/resume", `{}`, `"paused": false`},
	} {
		w := ask(h, http.MethodPost, c.path, c.body)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("POST %s %s: status %d, %s; want %s", c.path, c.body, w.Code, w.Body, c.want)
		}
	}
	want := []string{"floor web 5 2026-05-04T12:10:00Z", "floor web 0 0001-01-01T00:00:00Z",
		"ceiling web 3 2026-05-04T12:10:00Z", "ceiling web 20 0001-01-01T00:00:00Z", "pause mailer", "resume mailer"}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Errorf("the loop was asked (-want +got):\n%s", diff)
	}
}

func TestAFloorThatMakesNoSenseIsRefused(t *testing.T) {
	l := newLoop()
	h := handler(t, options(l))
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{``, 400, "0 (none) to 20"},
		{`{"for": "10m"}`, 400, "0 (none) to 20"},
		{`{"floor": 21, "for": "10m"}`, 400, "0 (none) to 20"},
		{`{"floor": -1, "for": "10m"}`, 400, "0 (none) to 20"},
		{`{"floor": 2}`, 400, "how long"},
		{`{"floor": 2, "for": "-1m"}`, 400, "how long"},
		{`{"floor": 2, "for": "9000h"}`, 400, "168h"},
		{`{"floor": "2", "for": "10m"}`, 400, "floor"},
		{`{"ceiling": 2}`, 400, "how long"},
		{`{"ceiling": 21, "for": "1m"}`, 400, "its max, which is none"},
		{`{"ceiling": -1, "for": "1m"}`, 400, "its max, which is none"},
		{`{"floor": 2, "ceiling": 3, "for": "1m"}`, 400, "both given"},
		{`{"flor": 2}`, 400, `flor`},
		{`{"floor": 1.5}`, 400, "floor"},
		{`{"floor": 2} {}`, 400, "more than one"},
		{`[1]`, 400, "array"},
		{`{"for": "` + strings.Repeat("m", 70<<10) + `"}`, 413, "65536 bytes"},
	} {
		w := ask(h, http.MethodPost, "/v1/services/web/scale", c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%.60s: status %d, %s; want %d and %q", c.body, w.Code, w.Body, c.status, c.says)
		}
	}
	if len(l.asked) > 0 {
		t.Errorf("the loop was asked %q", l.asked)
	}
}

func TestTheLoopsRefusalIsPassedOn(t *testing.T) {
	l := newLoop()
	h := handler(t, options(l))
	for _, c := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("%w %q", control.ErrUnknownService, "web"), http.StatusNotFound},
		{errors.New("the state folder is full"), http.StatusInternalServerError},
	} {
		l.refusal = c.err
		w := ask(h, http.MethodPost, "/v1/services/web/pause", "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), strings.Split(c.err.Error(), `"`)[0]) {
			t.Errorf("%v: status %d, %s; want %d", c.err, w.Code, w.Body, c.status)
		}
	}
}

func TestShutdownIsAnsweredAndThenBegun(t *testing.T) {
	o := options(newLoop())
	begun := 0
	o.Shutdown = func() { begun++ }
	if w := ask(handler(t, o), http.MethodPost, "/v1/shutdown", ""); w.Code != http.StatusAccepted || begun != 1 {
		t.Errorf("status %d, begun %d times; want 202 and once", w.Code, begun)
	}
}
