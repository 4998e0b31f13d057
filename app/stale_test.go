package app

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"plimsoll"
	"plimsoll/discovery"
	"plimsoll/router"
)

// asker is a client of the DNS server, without a socket, that keeps an answer for
// its TTL and no longer.
type asker struct {
	dns.ResponseWriter
	server  *discovery.Server
	name    string
	got     *dns.Msg
	expires time.Time
}

func (a *asker) RemoteAddr() net.Addr { return &net.UDPAddr{} }

func (a *asker) WriteMsg(m *dns.Msg) error {
	a.got = m
	return nil
}

// addresses are those that the client would connect to now.
func (a *asker) addresses() map[string]bool {
	if time.Now().After(a.expires) {
		a.server.ServeDNS(a, new(dns.Msg).SetQuestion(a.name, dns.TypeA))
		ttl := uint32(0)
		for _, rr := range append(a.got.Answer, a.got.Ns...) {
			ttl = rr.Header().Ttl
		}
		a.expires = time.Now().Add(time.Duration(ttl) * time.Second)
	}
	out := map[string]bool{}
	for _, rr := range a.got.Answer {
		out[rr.(*dns.A).A.String()] = true
	}
	return out
}

// changing is what the loop and the router know.
type changing struct {
	mu     sync.Mutex
	tasks  []plimsoll.Task
	unwell map[string]bool
}

func (c *changing) become(tasks []plimsoll.Task, unwell map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks, c.unwell = tasks, unwell
}

func (c *changing) snapshot() plimsoll.Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return plimsoll.Cluster{Name: "shop", At: time.Now(), Tasks: c.tasks}
}

func (c *changing) standings(string) map[string]router.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]router.Standing{}
	for _, task := range c.tasks {
		if out[task.ID()] = router.Used; c.unwell[task.ID()] {
			out[task.ID()] = router.LeftOut
		}
	}
	return out
}

// A task that the router finds to be unwell is told by no step of the loop; one
// that has ended is.
func TestNoClientUsesAnAnswerThatIsStaleForMoreThanTheTTLAndASecond(t *testing.T) {
	task := func(id, host string) plimsoll.Task {
		return plimsoll.Task{
			ARN: "arn:aws:ecs:us-east-1:123456789012:task/shop/" + id, Service: "web", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning,
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 8080, Host: host, Port: 32768}},
		}
	}
	file := project(t, "name: shop\nservices: {web: {command: [x], ports: ['8080'], x-plimsoll: {route: {path: /}}}}\n")
	stays, goes := task("stays", "127.64.1.1"), task("goes", "127.64.1.2")
	for what, c := range map[string]struct {
		unwell map[string]bool
		tasks  []plimsoll.Task
		step   bool
	}{
		"the router finds its host gone": {map[string]bool{"goes": true}, []plimsoll.Task{stays, goes}, false},
		"the task has ended":             {nil, []plimsoll.Task{stays}, true},
	} {
		// At every phase of the clocks of the client and of the server.
		for n := range 30 * 5 {
			begins, phase := time.Duration(n%5)*200*time.Millisecond, time.Duration(n/5)*100*time.Millisecond
			synctest.Test(t, func(t *testing.T) {
				now := &changing{tasks: []plimsoll.Task{stays, goes}}
				told, err := newTelling(file, true, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				told.standings = now.standings
				f := &finder{telling: told, dns: discovery.NewServer(discovery.Options{}), settled: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
				stepped := make(chan struct{}, 1)
				ctx, stop := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer stop()
				go f.follow(ctx, now.snapshot, stepped)
				time.Sleep(time.Millisecond)
				client := &asker{server: f.dns, name: "web.shop." + discovery.DefaultSuffix + "."}
				time.Sleep(begins)
				for began := time.Now(); time.Since(began) < phase; time.Sleep(10 * time.Millisecond) {
					if got := client.addresses(); len(got) != 2 {
						t.Fatalf("%s: at the beginning: %v", what, got)
					}
				}
				now.become(c.tasks, c.unwell)
				if c.step {
					stepped <- struct{}{}
				}
				for gone := time.Now(); time.Since(gone) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
					got := client.addresses()
					if over := time.Since(gone) - 2*time.Second; got["127.64.1.2"] && over > 0 || !got["127.64.1.1"] {
						t.Fatalf("%s: %s after the TTL and a second the client has %v", what, over, got)
					}
				}
			})
		}
	}
}
