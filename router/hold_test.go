package router

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestARequestToAServiceAtZeroIsHeldUntilItsFirstTargetIsHealthy(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("up")) })
	s := serve(t, Options{})
	s.set(t, one())
	pressure := s.Pressure("web")
	var answers sync.WaitGroup
	for range 5 {
		answers.Go(func() {
			if code, text := s.do(t, "POST", "/", strings.NewReader("body"), nil); code != 200 || text != "up" {
				t.Errorf("%d %q", code, text)
			}
		})
	}
	<-pressure
	eventually(t, "all five wait", func() bool { return s.Stats("web").Held == 5 })
	if got := s.Stats("web").InFlight; got != 5 {
		t.Errorf("in flight = %d, want 5", got)
	}
	s.set(t, one(targetOf("1", b)))
	answers.Wait()
	if got := s.Stats("web"); got.Held != 0 || got.Waited != 5 || got.Errors != 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestATargetThatDoesNotListenYetIsUsedOnceItDoes(t *testing.T) {
	address := deadAddress(t)
	s := serve(t, Options{})
	s.set(t, one(Target{ID: "1", Address: address}))
	done := make(chan int, 1)
	go func() {
		code, _ := s.get(t, "/")
		done <- code
	}()
	eventually(t, "it waits", func() bool { return s.Stats("web").Held == 1 })
	b := listenAt(t, address, func(w http.ResponseWriter, r *http.Request) {})
	defer b.Close()
	if code := <-done; code != 200 {
		t.Errorf("%d", code)
	}
}

func TestAHeldRequestIsAnsweredWith503WhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{HoldTimeout: time.Minute})
		defer r.Close()
		table := one()
		table.Routes[0].HoldTimeout = 7 * time.Second
		if err := r.SetTable(table); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"web"`) {
			t.Errorf("%d %q %q", w.Code, w.Header(), w.Body)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("held for %s, want the route's 7 s", took)
		}
	})
}

func TestNoMoreRequestsAreHeldThanMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{HoldMax: 3})
		defer r.Close()
		if err := r.SetTable(one()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var held sync.WaitGroup
		for range 3 {
			held.Go(func() {
				r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
			})
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 503 || !strings.Contains(w.Body.String(), "3 requests wait") {
			t.Errorf("the fourth: %d %q", w.Code, w.Body)
		}
		cancel()
		held.Wait()
	})
}

// unread is a body that must not be read.
type unread struct{ reads atomic.Int64 }

func (u *unread) Read([]byte) (int, error) { u.reads.Add(1); return 0, http.ErrBodyNotAllowed }

func TestTheBodyOfAHeldRequestIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		defer r.Close()
		if err := r.SetTable(one()); err != nil {
			t.Fatal(err)
		}
		body := &unread{}
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", body))
		if n := body.reads.Load(); n != 0 {
			t.Errorf("it was read %d times", n)
		}
	})
}

func TestAShutdownDoesNotWaitForHeldRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		if err := r.SetTable(one()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		var held sync.WaitGroup
		held.Go(func() { r.ServeHTTP(w, httptest.NewRequest("GET", "/", nil)) })
		synctest.Wait()
		began := time.Now()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		held.Wait()
		if w.Code != 503 || time.Since(began) != 0 {
			t.Errorf("%d after %s", w.Code, time.Since(began))
		}
		if err := r.SetTable(one()); err != ErrClosed {
			t.Errorf("a table after the shutdown: %v", err)
		}
	})
}
