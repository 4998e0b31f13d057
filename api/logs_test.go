package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll"
	"plimsoll/control"
)

func TestLogsAreFoundByServiceTaskOrTheStartOfAnID(t *testing.T) {
	h := handler(t, options(newLoop()))
	for path, want := range map[string]string{
		"web":                         "aaaa1111 | one\naaaa1111 | two\naaaa1111 | three\n",
		"web?tail=1":                  "aaaa1111 | three\n",
		"web?tail=0":                  "",
		"aaaa1111":                    "one\ntwo\nthree\n",
		"aaaa1?tail=2":                "two\nthree\n",
		"aaaa9":                       "killed\n", // stopped, and kept
		"aaaa1111?container=main":     "one\ntwo\nthree\n",
		"aaaa1111?follow=1&tail=1":    "three\n",
		"bbbb2222?tail=5":             "sent\n",
		"filler":                      "", // its task waits
		"mailer?tail=10&follow=false": "bbbb2222 | sent\n",
	} {
		w := ask(h, http.MethodGet, "/v1/logs/"+path, "")
		if w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("logs of %s: status %d, %q; want %q", path, w.Code, w.Body, want)
		}
	}
}

func TestLogsThatAreNotThereAreAnError(t *testing.T) {
	h := handler(t, options(newLoop()))
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"aaaa":                    {400, "2 tasks begin"},
		"dddd":                    {404, `no task begins with \"dddd\"`},
		"cccc3333":                {404, "nothing is kept"},
		"aaaa1111?container=side": {404, "nothing is kept"},
	} {
		w := ask(h, http.MethodGet, "/v1/logs/"+path, "")
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.says) {
			t.Errorf("logs of %s: status %d, %s; want %d and %q", path, w.Code, w.Body, want.status, want.says)
		}
	}
	o := options(newLoop())
	o.Logs = nil
	if w := ask(handler(t, o), http.MethodGet, "/v1/logs/web", ""); w.Code != http.StatusNotImplemented {
		t.Errorf("without logs: status %d, %s", w.Code, w.Body)
	}
}

func TestAServiceWithoutLiveTasksShowsItsLastOne(t *testing.T) {
	l := newLoop()
	l.step(func(s *control.State) {
		var stopped []plimsoll.Task
		for _, task := range s.Cluster.Tasks {
			if !task.Live() {
				stopped = append(stopped, task)
			}
		}
		s.Cluster.Tasks = stopped
	})
	if got := ask(handler(t, options(l)), http.MethodGet, "/v1/logs/web", "").Body.String(); got != "aaaa9999 | killed\n" {
		t.Errorf("logs are %q", got)
	}
}

// pipes are tasks that print when a test says so.
type pipes struct {
	mu  sync.Mutex
	out map[string]*io.PipeWriter
}

func (p *pipes) Logs(ctx context.Context, id, _ string, _ bool) (io.ReadCloser, error) {
	r, w := io.Pipe()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out[id] = w
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	return r, nil
}

func (p *pipes) print(id, text string) {
	synctest.Wait()
	p.mu.Lock()
	w := p.out[id]
	p.mu.Unlock()
	_, _ = io.WriteString(w, text)
	synctest.Wait()
}

func TestAFollowedServiceTakesInItsNewTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop()
		o := options(l)
		tasks := &pipes{out: map[string]*io.PipeWriter{}}
		o.Logs = tasks
		ctx, leave := context.WithCancel(t.Context())
		h := handler(t, o)
		c := &client{header: http.Header{}}
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/v1/logs/web?follow=1", nil)
			if err != nil {
				t.Error(err)
				return
			}
			h.ServeHTTP(c, r)
		}()
		tasks.print("aaaa1111", "half a ")
		tasks.print("aaaa1111", "line\n")
		l.step(func(s *control.State) {
			s.Cluster.Tasks = append(s.Cluster.Tasks[:len(s.Cluster.Tasks):len(s.Cluster.Tasks)],
				task("eeee5555", "web", "arn:x/one", plimsoll.StatusRunning, 0), task("ffff6666", "web", "", plimsoll.StatusProvisioning, 0))
		})
		tasks.print("eeee5555", "new\n")
		tasks.print("aaaa1111", "more\n")
		leave()
		time.Sleep(time.Second)
		<-returned
		want := "aaaa1111 | half a line\neeee5555 | new\naaaa1111 | more\n"
		if got := c.text.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
