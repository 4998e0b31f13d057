package router

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestTheChecksOfTenThousandTargetsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets, turns = 10_000, 2
		ctx, cancel := context.WithTimeout(t.Context(), turns*targets/checksPerSecond*time.Second)
		defer cancel()
		p := newCheckPace()
		var all sync.WaitGroup
		var checks atomic.Int64
		for range targets {
			all.Go(func() {
				own := 0
				for p.wait(ctx, true, nil) {
					own++
					checks.Add(1)
				}
				if own < turns-1 || own > turns+1 {
					t.Errorf("a target was checked %d times; want %d", own, turns)
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		doubt := make(chan struct{})
		close(doubt)
		if !p.wait(ctx, true, doubt) || !p.wait(ctx, false, nil) || time.Since(began) > 10*time.Millisecond {
			t.Errorf("a target in doubt and one that is not well had to wait for %s, as those that are well", time.Since(began))
		}
		all.Wait()
		if n := checks.Load(); n > turns*targets+1 {
			t.Errorf("%d checks in %d turns of %d targets", n, turns, targets)
		}
	})
}

func TestACheckThatGetsNoConnectionHasTheOthersOnItsHostChecked(t *testing.T) {
	c := NewChecker(Health{}, nil)
	defer c.Close()
	often, seldom := Check{Interval: 10 * time.Millisecond}, Check{Interval: time.Hour, UnhealthyAfter: 1}
	first, second, elsewhere := backend(t, nil), backend(t, nil), backend(t, nil)
	on := func(id, host string, b *httptest.Server) Target {
		target := targetOf(id, b)
		target.Host = host
		return target
	}
	if err := c.Set(map[string]Checked{
		"often":     {Check: often, Targets: []Target{on("1", "h", first)}},
		"seldom":    {Check: seldom, Targets: []Target{on("2", "h", second)}},
		"elsewhere": {Check: seldom, Targets: []Target{on("3", "i", elsewhere)}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are well", func() bool {
		return c.Standings("often")["1"] == Used && c.Standings("seldom")["2"] == Used && c.Standings("elsewhere")["3"] == Used
	})
	elsewhere.Close()
	second.Close()
	first.Close()
	eventually(t, "the host's other target is found lost too, an hour before its time", func() bool {
		return c.deaf("often") && c.deaf("seldom")
	})
	if c.deaf("elsewhere") {
		t.Error("a target on another host was checked, though nothing is known to have changed there")
	}
}

// deaf tells whether a service's target is known to take no connections; the standing
// of a single one is the same, for it is used where there is no other.
func (c *Checker) deaf(service string) bool {
	c.router.mu.Lock()
	s := c.router.services[service]
	c.router.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targets[0].health.deaf
}
