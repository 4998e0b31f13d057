package docker_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
)

// line is a way to the Docker Engine that can be cut.
type line struct {
	t      *testing.T
	target string
	path   string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

func newLine(t *testing.T, c *client.Client) *line {
	t.Helper()
	u, err := url.Parse(c.DaemonHost())
	if err != nil || u.Scheme != "unix" {
		t.Skipf("the docker engine is not on a unix socket but at %s", c.DaemonHost())
	}
	l := &line{t: t, target: u.Path, path: filepath.Join(t.TempDir(), "docker.sock")}
	l.restore()
	t.Cleanup(l.cut)
	return l
}

func (l *line) restore() {
	listener, err := net.Listen("unix", l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.l = listener
	l.mu.Unlock()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", l.target)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			go func() { io.Copy(far, near); far.Close() }()
			go func() { io.Copy(near, far); near.Close() }()
		}
	}()
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.l.Close()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func TestAnEndIsLearntThoughTheEventsHadBrokenOff(t *testing.T) {
	c := connect(t)
	l := newLine(t, c)
	t.Cleanup(func() { removeAll(t, c, t.Name()) })
	events := make(chan runtime.Event, 10)
	next := func(want runtime.Kind) runtime.Event {
		t.Helper()
		select {
		case e := <-events:
			if e.Kind != want {
				t.Fatalf("%s instead of %s: %+v", e.Kind, want, e)
			}
			return e
		case <-time.After(30 * time.Second):
			t.Fatalf("no %s within 30 s", want)
			return runtime.Event{}
		}
	}
	r := docker.New(docker.Options{Host: "unix://" + l.path, Owner: t.Name()}, func(e runtime.Event) { events <- e })
	defer r.Close()
	if err := r.Adopt(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r.Start(runtime.Spec{TaskID: "cut-off", Address: "127.64.8.1", Containers: []runtime.Container{
		{Name: "main", Image: testImage, Command: []string{"/program"}, Essential: true},
	}})
	next(runtime.Started)
	l.cut()
	if _, err := c.ContainerKill(context.Background(), "plimsoll-cut-off-main", client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		t.Fatal(err)
	}
	l.restore()
	if e := next(runtime.Exited); len(e.Exits) != 1 || e.Exits[0].Code != 137 {
		t.Errorf("got %+v", e)
	}
}
