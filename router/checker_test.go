package router

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestACheckerFindsWhatARouterWouldWithoutARequest(t *testing.T) {
	var sick atomic.Bool
	asked := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			t.Errorf("the targets were asked for %s", r.URL.Path)
		}
	}
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if asked(w, r); sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := NewChecker(Health{Interval: 10 * time.Millisecond}, nil)
	web := Checked{Check: Check{Path: "/health"}, Targets: []Target{targetOf("a", backend(t, asked)), targetOf("b", b), targetOf("c", backend(t, asked))}}
	db := Checked{Targets: []Target{targetOf("d", backend(t, nil)), {ID: "e", Address: deadAddress(t)}}}
	set := func(services map[string]Checked) {
		t.Helper()
		if err := c.Set(services); err != nil {
			t.Fatal(err)
		}
	}
	finds := func(service string, want map[string]Standing) {
		t.Helper()
		eventually(t, service, func() bool { return maps.Equal(c.Standings(service), want) })
	}
	set(map[string]Checked{"web": web, "db": db})
	finds("web", map[string]Standing{"a": Used, "b": Used, "c": Used})
	finds("db", map[string]Standing{"d": Used, "e": LeftOut})
	sick.Store(true)
	finds("web", map[string]Standing{"a": Used, "b": LeftOut, "c": Used})
	set(map[string]Checked{"web": web})
	if got := c.Standings("web"); got["b"] != LeftOut {
		t.Errorf("after a new list that is the same for b: %v", got)
	}
	finds("db", nil)
	if err := c.Set(map[string]Checked{"web": {Upstream: Upstream{Protocol: H2, ServerName: "x", CAFile: "/none.pem"}}}); err == nil || !strings.Contains(err.Error(), `service "web"`) {
		t.Errorf("with a file that is not there: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(nil); err != ErrClosed {
		t.Errorf("after its end: %v", err)
	}
}
