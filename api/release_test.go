package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"plimsoll/api"
	"plimsoll/control"
)

const taskARN = "arn:aws:ecs:us-east-1:123456789012:task/shop/aaaa1111"

func owns(task, token string) bool { return strings.HasSuffix(task, "aaaa1111") && token == "mine" }

func TestATaskIsReleasedByItsARNOrItsID(t *testing.T) {
	for name, path := range map[string]string{
		"id": "aaaa1111", "ARN": taskARN, "escaped ARN": url.PathEscape(taskARN),
	} {
		l := newLoop()
		h := handler(t, api.Options{Loop: l})
		w := ask(h, http.MethodPost, "/v1/tasks/"+path+"/release", "")
		want := "release aaaa1111"
		if name != "id" {
			want = "release " + taskARN
		}
		if w.Code != http.StatusOK || !slices.Equal(l.asked, []string{want}) {
			t.Errorf("%s: status %d, %s; asked %q", name, w.Code, w.Body, l.asked)
		}
	}
}

func TestARefusedReleaseSaysWhy(t *testing.T) {
	for status, refusal := range map[int]error{
		http.StatusServiceUnavailable: fmt.Errorf("%w: starting", control.ErrNotYet),
		http.StatusConflict:           fmt.Errorf("%w: at its minimum", control.ErrKept),
		http.StatusNotFound:           fmt.Errorf("task: %w", control.ErrUnknownTask),
	} {
		l := newLoop()
		l.refusal = refusal
		if w := ask(handler(t, api.Options{Loop: l}), http.MethodPost, "/v1/tasks/x/release", ""); w.Code != status || !strings.Contains(w.Body.String(), refusal.Error()) {
			t.Errorf("status %d, %s; want %d", w.Code, w.Body, status)
		}
	}
	if w := ask(handler(t, api.Options{Loop: newLoop()}), http.MethodPost, "/v1/tasks/x/delete", ""); w.Code != http.StatusNotFound {
		t.Errorf("another verb: status %d", w.Code)
	}
}

func TestATasksTokenReleasesThatTaskAndNothingElse(t *testing.T) {
	l := newLoop()
	h := handler(t, api.Options{Loop: l, Token: "secret", TaskToken: owns})
	own := api.ReleaseHandler(l, owns)
	for _, c := range []struct {
		handler             http.Handler
		method, path, token string
		want                int
	}{
		{h, http.MethodPost, "/v1/tasks/aaaa1111/release", "mine", http.StatusOK},
		{h, http.MethodPost, "/v1/tasks/bbbb2222/release", "mine", http.StatusUnauthorized},
		{h, http.MethodPost, "/v1/tasks/bbbb2222/release", "secret", http.StatusOK},
		{h, http.MethodPost, "/v1/services/web/pause", "mine", http.StatusUnauthorized},
		{h, http.MethodGet, "/v1/tasks/aaaa1111/release", "mine", http.StatusOK},
		{h, http.MethodGet, "/v1/tasks/bbbb2222/release", "mine", http.StatusUnauthorized},
		{h, http.MethodDelete, "/v1/tasks/aaaa1111/release", "mine", http.StatusUnauthorized},
		{own, http.MethodGet, "/v1/tasks/bbbb2222/release", "mine", http.StatusUnauthorized},
		{own, http.MethodPost, "/v1/tasks/aaaa1111/release", "mine", http.StatusOK},
		{own, http.MethodPost, "/v1/tasks/aaaa1111/release", "", http.StatusUnauthorized},
		{own, http.MethodPost, "/v1/tasks/bbbb2222/release", "mine", http.StatusUnauthorized},
		{own, http.MethodPost, "/v1/services/web/pause", "mine", http.StatusNotFound},
	} {
		r := httptest.NewRequest(c.method, "http://127.0.0.1"+c.path, nil)
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s with %q: status %d, want %d", c.method, c.path, c.token, w.Code, c.want)
		}
	}
	if len(l.asked) != 4 {
		t.Errorf("asked %q", l.asked)
	}
}

func TestATaskAsksWhetherItsPlaceIsNeededAndLeavesIfItIs(t *testing.T) {
	kept := fmt.Errorf("%w: nobody needs it", control.ErrKept)
	for _, c := range []struct {
		method, query string
		refusal       error
		status        int
		asked, body   string
	}{
		{http.MethodGet, "", nil, http.StatusOK, "yield x false", `"needed": true`},
		{http.MethodGet, "", kept, http.StatusOK, "yield x false", `"needed": false`},
		{http.MethodPost, "?if=needed", nil, http.StatusOK, "yield x true", `"released": true`},
		{http.MethodPost, "?if=needed", kept, http.StatusConflict, "yield x true", "nobody needs it"},
		{http.MethodPost, "?if=wished", nil, http.StatusBadRequest, "", `\"wished\"`},
	} {
		l := newLoop()
		l.refusal = c.refusal
		w := ask(handler(t, api.Options{Loop: l}), c.method, "/v1/tasks/x/release"+c.query, "")
		if w.Code != c.status || strings.Join(l.asked, ",") != c.asked || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: status %d, %s; asked %q; want %+v", c.method, c.query, w.Code, w.Body, l.asked, c)
		}
	}
}
