package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/discovery"
	"plimsoll/router"
)

// facing is a router and a DNS server before the hosts of a network, and clients
// of both.
type facing struct {
	*network
	services []string // those that are there
	router   *router.Router
	url      string
	finder   *finder
	routes   *routed
	now      *changing
	kinds    []*kind
	ids      atomic.Int64 // of requests
}

// kind is one kind of request, and what has become of those that were sent.
type kind struct {
	name, method, path string
	rate               int  // a second
	loss               bool // one that has reached a target cannot be sent again

	mu      sync.Mutex
	sent    int
	failed  []string
	slowest time.Duration
	hosts   map[string]int
}

// facedProject has what the router's own loop serves, what goes by net/http, and
// connections of which nothing is read.
const facedProject = `
name: shop
services:
  plain: {command: [x], ports: ['8080'], x-plimsoll: {route: {path: /plain, check: {interval: INTERVAL, timeout: INTERVAL}}}}
  rare: {command: [x], ports: ['8080'], x-plimsoll: {route: {path: /rare, compress: true, check: {interval: INTERVAL, timeout: INTERVAL}}}}
  db: {command: [x], ports: ['8080'], x-plimsoll: {route: {tcp: ` + tunnelPort + `, check: {interval: INTERVAL, timeout: INTERVAL}}}}
`

func face(t *testing.T, n *network, interval time.Duration, services ...string) *facing {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	file := project(t, strings.ReplaceAll(facedProject, "INTERVAL", interval.String()))
	routes, err := newRouted(file, log, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &facing{network: n, services: services, router: router.New(router.Options{Log: log, DialTimeout: interval}), url: "http://" + l.Addr().String()}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.router.Serve(l) })
	f.routes, f.now = routes, &changing{}
	f.tell()
	told, err := newTelling(file, true, log)
	if err != nil {
		t.Fatal(err)
	}
	told.standings = f.router.Standings
	f.finder = &finder{telling: told, dns: discovery.NewServer(discovery.Options{}), settled: make(chan struct{}), log: log}
	running.Go(func() { f.finder.follow(ctx, f.now.snapshot, nil) })
	t.Cleanup(func() {
		stop()
		if err := f.router.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	for _, path := range []string{"plain", "rare"} {
		f.kinds = append(f.kinds,
			&kind{name: path + " GET", method: http.MethodGet, path: path, rate: 100},
			&kind{name: path + " GET of 1 s", method: http.MethodGet, path: path + "?length=1s", rate: 10},
			&kind{name: path + " POST", method: http.MethodPost, path: path, rate: 20, loss: true},
		)
	}
	return f
}

// tell has the router and the DNS server know of the hosts that are there.
func (f *facing) tell() {
	cluster := f.cluster(f.services...)
	f.routes.set(f.router, cluster)
	f.now.become(cluster.Tasks, map[string]bool{})
}

// load sends requests of all kinds until ctx ends, and returns when all are
// answered.
func (f *facing) load(ctx context.Context) {
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for _, k := range f.kinds {
		all.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(k.rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				id := fmt.Sprintf("%s-%d", k.path, f.ids.Add(1))
				all.Go(func() { k.send(client, f.url, id) })
			}
		})
	}
	all.Wait()
}

func (k *kind) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent, k.failed, k.slowest, k.hosts = 0, nil, 0, map[string]int{}
}

func (k *kind) send(client *http.Client, url, id string) {
	url += "/" + k.path
	if k.method == http.MethodPost {
		url += "?post=" + id
	}
	request, err := http.NewRequest(k.method, url, nil)
	if err != nil {
		panic(err)
	}
	began := time.Now()
	text, status := []byte(nil), 0
	answer, err := client.Do(request)
	if err == nil {
		text, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		status = answer.StatusCode
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent++
	k.slowest = max(k.slowest, time.Since(began))
	if err != nil || status != http.StatusOK {
		k.failed = append(k.failed, fmt.Sprintf("%d after %s: %s %v", status, time.Since(began).Round(time.Millisecond), text, err))
		return
	}
	k.hosts[string(text)]++
}

// until waits for something, however long it takes up to a minute.
func (f *facing) until(what string, so func() bool) time.Duration {
	f.t.Helper()
	began := time.Now()
	for ; time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if so() {
			return time.Since(began)
		}
	}
	f.t.Fatalf("not within a minute: %s", what)
	return 0
}

// healthy counts the targets of the hosts that the router sends requests to.
func (f *facing) healthy(hosts ...*aHost) (n int) {
	for _, service := range f.services {
		for _, target := range f.router.Targets(service) {
			for _, h := range hosts {
				if target.Healthy && strings.HasPrefix(target.Address, h.address+":") {
					n++
				}
			}
		}
	}
	return n
}

// told tells whether DNS names one of the hosts.
func (f *facing) told(hosts ...*aHost) bool {
	client := &asker{server: f.finder.dns, name: "plain.shop." + discovery.DefaultSuffix + "."}
	named := client.addresses()
	for _, h := range hosts {
		if named[h.address] {
			return true
		}
	}
	return false
}

// lose has hosts lost by what is given, under load, and sees that no request fails
// that may be sent again.
func (f *facing) lose(what string, by func(), hosts ...*aHost) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	for _, k := range f.kinds {
		k.reset()
	}
	var loading sync.WaitGroup
	loading.Go(func() { f.load(ctx) })
	f.until("there are answers", func() bool { return f.kinds[1].count() > 0 })
	by()
	began := time.Now()
	f.until("the router has found them to be gone", func() bool { return f.healthy(hosts...) == 0 })
	found := time.Since(began)
	if 2*len(hosts) <= len(f.hosts) { // else all are told: the fault may be here
		f.until("DNS names them no more", func() bool { return !f.told(hosts...) })
	}
	untold := time.Since(began)
	time.Sleep(2 * time.Second) // of more load, without them
	stop()
	loading.Wait()
	f.t.Logf("%s: found by the router after %s, out of DNS after %s", what, found.Round(time.Millisecond), untold.Round(time.Millisecond))
	f.report(what)
}

func (k *kind) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sent
}

func (f *facing) report(what string) {
	f.t.Helper()
	for _, k := range f.kinds {
		f.t.Logf("%s: %-20s %4d sent, %d failed, the slowest took %s", what, k.name, k.sent, len(k.failed), k.slowest.Round(time.Millisecond))
		for i, why := range k.failed {
			if k.loss {
				f.t.Logf("%s: %s: %s", what, k.name, why)
			} else if i < 5 {
				f.t.Errorf("%s: %s: %s", what, k.name, why)
			}
		}
	}
	for _, h := range f.hosts {
		h.mu.Lock()
		for id, n := range h.posts {
			if n > 1 {
				f.t.Errorf("%s: POST %s reached %s %d times", what, id, h.name, n)
			}
		}
		h.mu.Unlock()
	}
}

func TestAHostThatDiesAndAZoneThatIsCutOffCostNoRequestThatCanBeSentAgain(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	interval, perZone := time.Second, 1
	if os.Getenv("PLIMSOLL_SOAK") != "" {
		interval, perZone = 2*time.Second, 3 // as they are by themselves
	}
	n := newNetwork(t, perZone)
	f := face(t, n, interval, "plain", "rare")
	f.until("all are healthy", func() bool { return f.healthy(n.hosts...) == 4*len(n.hosts) })
	b := n.in("b")
	f.lose("a zone is cut off", func() { n.cut(b...) }, b...)
	n.mend(b...)
	f.until("the zone is back", func() bool { return f.healthy(b...) == 4*len(b) && f.told(b...) })
	dead := n.in("a")[0]
	f.lose("a host dies", func() { n.cut(dead); dead.kill() }, dead)
	n.replace(dead)
	f.tell()
	f.until("its successor is healthy", func() bool { return f.healthy(n.hosts...) == 4*len(n.hosts) })
	gone := n.in("c")[0]
	f.lose("all of a host's tasks are killed", func() { gone.kill() }, gone)
}

// ECS says for minutes that the tasks of a lost host run; nothing routes to them here.
func TestWithoutARouterALostHostLeavesDNSToo(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t, 1)
	told, err := newTelling(project(t, `
name: shop
services:
  web: {command: [x], ports: ['8080'], x-plimsoll: {route: {path: /, health: /health, check: {interval: 1s, timeout: 1s}}}}
  plain: {command: [x], ports: ['8080']}
`), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := &facing{network: n, finder: &finder{telling: told, dns: discovery.NewServer(discovery.Options{}), settled: make(chan struct{}), log: slog.New(slog.DiscardHandler)}}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.finder.follow(ctx, func() plimsoll.Cluster { return n.cluster("web", "plain") }, nil) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := told.close(); err != nil {
			t.Error(err)
		}
	})
	names := func(what, service string, want ...*aHost) {
		t.Helper()
		took := f.until(what, func() bool {
			client := &asker{server: f.finder.dns, name: service + ".shop." + discovery.DefaultSuffix + "."}
			got := client.addresses()
			for _, h := range want {
				if !got[h.address] {
					return false
				}
			}
			return len(got) == len(want)
		})
		t.Logf("%s: %s after %s", what, service, took.Round(time.Millisecond))
	}
	signal := func(h *aHost, s syscall.Signal) {
		if err := h.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := n.hosts[0], n.hosts[1], n.hosts[2]
	for _, service := range []string{"web", "plain"} {
		names("all are told", service, a, b, c)
	}
	signal(b, syscall.SIGSTOP)
	names("its tasks take connections and answer none", "web", a, c)
	names("of which a check that only connects sees nothing", "plain", a, b, c)
	signal(b, syscall.SIGCONT)
	names("they answer again", "web", a, b, c)
	n.cut(a)
	for _, service := range []string{"web", "plain"} {
		names("a host is lost", service, b, c)
	}
	n.mend(a)
	for _, service := range []string{"web", "plain"} {
		names("it is back", service, a, b, c)
	}
}

func TestWhereMostHostsDieAtOnceNoRequestThatCanBeSentAgainFails(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t, 2)
	f := face(t, n, time.Second, "plain", "rare")
	f.until("all are healthy", func() bool { return f.healthy(n.hosts...) == 4*len(n.hosts) })
	dead := append(n.in("b"), n.in("c")...)
	f.lose("two of three zones die", func() {
		n.cut(dead...)
		for _, h := range dead {
			h.kill()
		}
	}, dead...)
}
