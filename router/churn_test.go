package router

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soak tells whether the long forms of the tests are asked for (make soak).
func soak() bool { return os.Getenv("PLIMSOLL_SOAK") != "" }

// skipUnlessSoak leaves a test to make soak.
func skipUnlessSoak(t *testing.T) {
	t.Helper()
	if !soak() {
		t.Skip("it takes minutes: make soak runs it")
	}
}

// churning is a router whose targets are replaced all the while, and which is
// itself replaced.
type churning struct {
	t         *testing.T
	router    *Router
	socket    *net.TCPListener // kept open: the routers serve copies of it
	ended     chan error
	live      []string
	servers   map[string]*httptest.Server
	delivered sync.Map // id → *atomic.Int64
}

func (c *churning) handle(w http.ResponseWriter, r *http.Request) {
	id, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Errorf("body at the target: %v", err)
	}
	n, _ := c.delivered.LoadOrStore(string(id), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	_, _ = w.Write(id)
}

// serve starts a new router on the socket.
func (c *churning) serve() {
	c.router, c.ended = New(Options{}), make(chan error, 1)
	c.setTable()
	file, err := c.socket.File()
	if err != nil {
		c.t.Fatal(err)
	}
	l, err := Inherit(file)
	file.Close()
	if err != nil {
		c.t.Fatal(err)
	}
	r, ended := c.router, c.ended
	go func() { ended <- r.Serve(l) }()
}

// reload puts a new router beside the one that serves, and ends that.
func (c *churning) reload() {
	old, ended := c.router, c.ended
	c.serve()
	eventually(c.t, "the new router has a healthy target", func() bool {
		return slices.ContainsFunc(c.router.Targets("web"), func(t TargetState) bool { return t.Healthy })
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := old.Shutdown(ctx); err != nil {
		c.t.Errorf("shutdown: %v", err)
	}
	if err := <-ended; err != nil {
		c.t.Errorf("serve: %v", err)
	}
}

func (c *churning) setTable() {
	var targets []Target
	for _, id := range c.live {
		targets = append(targets, targetOf(id, c.servers[id]))
	}
	if err := c.router.SetTable(one(targets...)); err != nil {
		c.t.Error(err)
	}
}

func (c *churning) add(id string) {
	c.servers[id] = httptest.NewServer(http.HandlerFunc(c.handle))
	c.live = append(c.live, id)
}

// replace adds a target, and drains and stops the oldest.
func (c *churning) replace(id string) {
	c.add(id)
	c.setTable()
	old := c.live[0]
	if err := c.router.Drain(c.t.Context(), old); err != nil {
		c.t.Error(err)
	}
	c.servers[old].CloseClientConnections() // it stops without a word
	c.servers[old].Close()
	delete(c.servers, old)
	c.live = c.live[1:]
	c.setTable()
}

// TestFiveTargetsASecondAreReplacedAndNoRequestFails is the promise of the
// router: POSTs with ids of their own, targets that come and go, and two
// reloads; every id is delivered exactly once. make soak runs it for ten minutes
// at 1,000 requests a second; here it is twenty seconds, and as many of the 1,000
// as the race detector lets through.
func TestFiveTargetsASecondAreReplacedAndNoRequestFails(t *testing.T) {
	length, rate := 20*time.Second, 1000
	if soak() {
		length, rate = 10*time.Minute, 1000
	}
	socket, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	c := &churning{t: t, socket: socket, servers: map[string]*httptest.Server{}}
	for i := range 4 {
		c.add(fmt.Sprint("start-", i))
	}
	c.serve()
	posts, wait := sendPosts(t, "http://"+socket.Addr().String()+"/", rate, length)
	began := time.Now()
	reloads := 0
	for round := 0; time.Since(began) < length; round++ {
		c.replace(fmt.Sprint("new-", round))
		if reloads < 2 && time.Since(began) > time.Duration(reloads+1)*length/3 {
			c.reload()
			reloads++
		}
		time.Sleep(time.Until(began.Add(time.Duration(round+1) * time.Second / 5)))
	}
	wait()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.router.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for _, b := range c.servers {
		b.Close()
	}
	count := int64(0)
	c.delivered.Range(func(id, n any) bool {
		count++
		if times := n.(*atomic.Int64).Load(); times != 1 {
			t.Errorf("POST %s was delivered %d times", id, times)
		}
		return true
	})
	t.Logf("%d POSTs, %d delivered, %d reloads", posts.Load(), count, reloads)
	if count != posts.Load() || reloads != 2 {
		t.Errorf("%d of %d POSTs were delivered; %d reloads", count, posts.Load(), reloads)
	}
}

// sendPosts sends POSTs with unique ids at a rate over kept connections, some of a
// large body; wait returns when the last has been answered.
func sendPosts(t *testing.T, url string, rate int, length time.Duration) (posts *atomic.Int64, wait func()) {
	posts = new(atomic.Int64)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	tickets := make(chan int, 1000)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range tickets {
				id := fmt.Sprintf("id-%d-", i)
				if i%10 == 0 {
					id += strings.Repeat("x", 100_000)
				}
				posts.Add(1)
				answer, err := client.Post(url, "text/plain", strings.NewReader(id))
				if err != nil {
					t.Errorf("POST %d: %v", i, err)
					continue
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || string(text) != id {
					t.Errorf("POST %d: %d, %d bytes (%v)", i, answer.StatusCode, len(text), err)
				}
			}
		})
	}
	workers.Go(func() {
		defer close(tickets)
		began := time.Now()
		for i := 0; time.Since(began) < length; {
			for due := int(time.Since(began).Seconds() * float64(rate)); i < due; i++ {
				tickets <- i
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	return posts, func() { workers.Wait(); transport.CloseIdleConnections() }
}
