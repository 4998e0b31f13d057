package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	api "github.com/hashicorp/consul/api"

	"plimsoll/discovery"
	"plimsoll/discovery/consul"
)

// agent is what the tests ask of a Consul agent, real or not.
type agent struct {
	url    string
	client *api.Client
	// down has it answer nothing but errors; nil where it cannot be had.
	down func(bool)
}

// agents runs a test against the fake, and against the real one where it is
// installed.
func agents(t *testing.T, test func(t *testing.T, a agent)) {
	t.Run("fake", func(t *testing.T) { test(t, fakeAgent(t)) })
	t.Run("consul", func(t *testing.T) { test(t, realAgent(t)) })
}

func connect(t *testing.T, url string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = url
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func realAgent(t *testing.T) agent {
	t.Helper()
	path, err := exec.LookPath("consul")
	if err != nil {
		t.Skip("no consul on the PATH: the same test ran against the fake agent only")
	}
	var ports []int
	for range 6 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		_ = l.Close()
	}
	config := fmt.Sprintf(`ports { http = %d dns = -1 grpc = -1 grpc_tls = -1 serf_lan = %d serf_wan = %d server = %d }`, ports[0], ports[1], ports[2], ports[3])
	cmd := exec.Command(path, "agent", "-dev", "-bind", "127.0.0.1", "-hcl", config, "-log-level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	a := agent{url: fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
	a.client = connect(t, a.url)
	for range 300 {
		if leader, err := a.client.Status().Leader(); err == nil && leader != "" {
			return a
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the consul agent did not come up")
	return a
}

// entries is what a fake agent keeps, as a real one does: by id, the last
// registration wins, and the filter selects by the metadata.
type entries struct {
	mu     sync.Mutex
	byID   map[string]*api.AgentServiceRegistration
	down   bool // it answers nothing but errors
	writes []string
	mux    *http.ServeMux
}

func newEntries() *entries {
	e := &entries{byID: map[string]*api.AgentServiceRegistration{}, mux: http.NewServeMux()}
	e.mux.HandleFunc("PUT /v1/agent/service/register", func(w http.ResponseWriter, r *http.Request) {
		var entry api.AgentServiceRegistration
		if err := json.NewDecoder(r.Body).Decode(&entry); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.byID[entry.ID] = &entry
	})
	e.mux.HandleFunc("PUT /v1/agent/service/deregister/{id}", func(w http.ResponseWriter, r *http.Request) {
		if e.byID[r.PathValue("id")] == nil {
			http.Error(w, "unknown service ID", http.StatusNotFound)
			return
		}
		delete(e.byID, r.PathValue("id"))
	})
	e.mux.HandleFunc("GET /v1/agent/services", func(w http.ResponseWriter, r *http.Request) {
		out := map[string]*api.AgentService{}
		for id, entry := range e.byID {
			if key, value, ok := strings.Cut(r.FormValue("filter"), " == "); ok {
				key, value = strings.Trim(key, `Meta[]"`), strings.Trim(value, `"`)
				if entry.Meta[key] != value {
					continue
				}
			}
			out[id] = &api.AgentService{ID: id, Service: entry.Name, Address: entry.Address, Port: entry.Port, Tags: entry.Tags, Meta: entry.Meta}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	return e
}

func (e *entries) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	if r.Method == http.MethodPut {
		e.writes = append(e.writes, strings.TrimPrefix(r.URL.Path, "/v1/agent/service/"))
	}
	e.mux.ServeHTTP(w, r)
}

// written are the changes since the last call.
func (e *entries) written() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.writes
	e.writes = nil
	return out
}

// RoundTrip reaches the agent without a socket.
func (e *entries) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result(), nil
}

func fakeAgent(t *testing.T) agent {
	t.Helper()
	e := newEntries()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return agent{url: server.URL, client: connect(t, server.URL), down: func(is bool) { e.mu.Lock(); e.down = is; e.mu.Unlock() }}
}

func registrar(t *testing.T, a agent) *discovery.Keeper {
	t.Helper()
	r, err := consul.New(consul.Options{Address: a.url})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func instance(n int, ports ...discovery.Port) discovery.Instance {
	return discovery.Instance{
		ID: fmt.Sprintf("task%d", n), Zone: "us-east-1a", Healthy: true, Ports: ports,
		Address: netip.AddrFrom4([4]byte{127, 64, 1, byte(n)}),
	}
}

func directory(cluster string, web ...discovery.Instance) discovery.Directory {
	return discovery.Directory{
		Cluster: cluster, At: time.Now(), Services: map[string][]discovery.Instance{"web": web},
		Tags: map[string][]string{"web": {"urlprefix-web.localhost/"}},
	}
}

func sync1(t *testing.T, r *discovery.Keeper, cluster string, web ...discovery.Instance) {
	t.Helper()
	if err := r.SetDirectory(directory(cluster, web...)); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func ids(t *testing.T, a agent) []string {
	t.Helper()
	services, err := a.client.Agent().Services()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(services))
}

func wantIDs(t *testing.T, a agent, want ...string) {
	t.Helper()
	if got := ids(t, a); !slices.Equal(got, want) {
		t.Errorf("the agent has %q, want %q", got, want)
	}
}

func TestEachPortOfAHealthyTaskIsRegisteredWithItsTags(t *testing.T) {
	agents(t, func(t *testing.T, a agent) {
		r := registrar(t, a)
		sick := instance(2, discovery.Port{Container: 8080, Host: 32770})
		sick.Healthy = false
		sync1(t, r, "shop", instance(1, discovery.Port{Container: 8080, Host: 32768}, discovery.Port{Container: 9090, Host: 32769}), sick)
		wantIDs(t, a, "plimsoll:shop:web-9090:task1:9090", "plimsoll:shop:web:task1:8080")
		services, err := a.client.Agent().Services()
		if err != nil {
			t.Fatal(err)
		}
		e := services["plimsoll:shop:web:task1:8080"]
		if e.Service != "web" || e.Address != "127.64.1.1" || e.Port != 32768 || !slices.Equal(e.Tags, []string{"urlprefix-web.localhost/"}) || e.Meta[consul.MetaTask] != "task1" {
			t.Errorf("the entry is %+v", e)
		}
	})
}

func TestWhatIsGoneIsDeregisteredAndNothingElse(t *testing.T) {
	agents(t, func(t *testing.T, a agent) {
		for _, foreign := range []*api.AgentServiceRegistration{
			{ID: "foreign", Name: "web"}, {ID: "plimsoll:bank:web:task1:1", Name: "web", Meta: map[string]string{consul.MetaCluster: "bank"}},
		} {
			if err := a.client.Agent().ServiceRegister(foreign); err != nil {
				t.Fatal(err)
			}
		}
		// Left behind by a run that was killed: one task is shown as stopped, the other no more.
		port := discovery.Port{Container: 80, Host: 32768}
		sync1(t, registrar(t, a), "shop", instance(1, port), instance(3, port))
		r, d := registrar(t, a), directory("shop", instance(2, port))
		d.Gone = map[string]bool{"task1": true}
		for _, at := range []time.Duration{0, 6 * time.Second} {
			d.At = time.Now().Add(at)
			if err := r.SetDirectory(d); err != nil {
				t.Fatal(err)
			}
			if err := r.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := []string{"foreign", "plimsoll:bank:web:task1:1", "plimsoll:shop:web:task2:80"}
			if at == 0 {
				want = append(want, "plimsoll:shop:web:task3:80") // it may be younger than the snapshot
			}
			wantIDs(t, a, want...)
		}
	})
}

func TestADrainedTaskIsOutWhenTheDrainReturnsAndStaysOut(t *testing.T) {
	agents(t, func(t *testing.T, a agent) {
		r := registrar(t, a)
		both := []discovery.Instance{instance(1, discovery.Port{Container: 80, Host: 32768}), instance(2, discovery.Port{Container: 80, Host: 32769})}
		sync1(t, r, "shop", both...)
		if err := r.Drain(t.Context(), "task1"); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, a, "plimsoll:shop:web:task2:80")
		sync1(t, r, "shop", both...) // from an older snapshot
		wantIDs(t, a, "plimsoll:shop:web:task2:80")
	})
}

func TestAnEntryThatSomebodyRemovedComesBack(t *testing.T) {
	agents(t, func(t *testing.T, a agent) {
		r := registrar(t, a)
		one := instance(1, discovery.Port{Container: 80, Host: 32768})
		sync1(t, r, "shop", one)
		if err := a.client.Agent().ServiceDeregister("plimsoll:shop:web:task1:80"); err != nil {
			t.Fatal(err)
		}
		sync1(t, r, "shop", one)
		wantIDs(t, a, "plimsoll:shop:web:task1:80")
	})
}

func TestBeforeThereIsADirectoryNothingIsRemoved(t *testing.T) {
	agents(t, func(t *testing.T, a agent) {
		sync1(t, registrar(t, a), "shop", instance(1, discovery.Port{Container: 80, Host: 32768}))
		if err := registrar(t, a).Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, a, "plimsoll:shop:web:task1:80")
	})
}

func TestAnAgentThatWasAwayIsCaughtUpWith(t *testing.T) {
	a := fakeAgent(t)
	a.down(true)
	r := registrar(t, a)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer stop()
	if err := r.SetDirectory(discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{"web": {instance(1, discovery.Port{Container: 80, Host: 32768})}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(t.Context()); err == nil {
		t.Error("an agent that answers 500 gave no error")
	}
	a.down(false)
	for range 100 {
		if services, err := a.client.Agent().Services(); err == nil && len(services) == 1 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the entry was not registered after the agent came back")
}

// Between two changes of the directory nothing but the clock tells that others
// have been at the agent.
func TestWhatOthersDidToItsEntriesIsUndoneEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntries()
		a, r := overPipe(t, e)
		tell := func() {
			if err := r.SetDirectory(directory("shop",
				instance(1, discovery.Port{Container: 80, Host: 32768}), instance(2, discovery.Port{Container: 80, Host: 32769}))); err != nil {
				t.Error(err)
			}
		}
		tell()
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go r.Run(ctx)
		synctest.Wait()
		own := []string{"plimsoll:shop:web:task1:80", "plimsoll:shop:web:task2:80"}
		wantIDs(t, a, own...)
		for n := range 3 {
			stray := fmt.Sprintf("plimsoll:shop:web:task%d:80", 7+n)
			if err := a.client.Agent().ServiceDeregister(own[0]); err != nil {
				t.Fatal(err)
			}
			for id, cluster := range map[string]string{stray: "shop", "foreign": "bank"} {
				if err := a.client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "web", Meta: map[string]string{consul.MetaCluster: cluster}}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(59 * time.Second)
			wantIDs(t, a, "foreign", own[1], stray)
			time.Sleep(time.Second)
			synctest.Wait()
			// Of a task of the cluster that is not known one must see that it is over.
			wantIDs(t, a, "foreign", own[0], own[1], stray)
			time.Sleep(5500 * time.Millisecond)
			tell()
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			wantIDs(t, a, "foreign", own[0], own[1])
		}
	})
}

// Two routers, or a router and a scaler, keep the same cluster's tasks in one agent.
// Each sees the cluster at times of its own, and finds its own targets well.
func TestTwoThatKeepOneAgentAreQuietWhateverEachSees(t *testing.T) {
	port := func(n int) discovery.Port { return discovery.Port{Container: 80, Host: 32768 + n} }
	one, two, three := instance(1, port(1)), instance(2, port(2)), instance(3, port(3))
	sick := two
	sick.Healthy = false
	id := func(n int) string { return fmt.Sprintf("plimsoll:shop:web:task%d:80", n) }
	both := []string{id(1), id(2)}
	retag := func(d discovery.Directory) discovery.Directory {
		d.Tags = map[string][]string{"web": {"urlprefix-/other"}}
		return d
	}
	unsure := directory("shop", one)
	unsure.Unsure = map[string]bool{"task2": true}
	narrow := directory("shop")
	narrow.Services, narrow.Others = map[string][]discovery.Instance{"mailer": nil}, map[string]bool{"task1": true, "task2": true}
	stopped := directory("shop", one)
	stopped.Gone = map[string]bool{"task2": true}
	for what, c := range map[string]struct {
		a, b  discovery.Directory
		first []string // what is changed at first, by b
		has   []string // by the agent, for good
	}{
		"they see the same":                         {directory("shop", one, two), directory("shop", one, two), nil, both},
		"b sees a new task later":                   {directory("shop", one, two), directory("shop", one), nil, both},
		"b cannot tell whether a task is well":      {directory("shop", one, two), unsure, nil, both},
		"b has services of its own":                 {directory("shop", one, two), narrow, nil, both},
		"b sees a new task first":                   {directory("shop", one, two), directory("shop", one, two, three), []string{"register"}, append(both, id(3))},
		"b finds a task sick that is well for a":    {directory("shop", one, two), directory("shop", one, sick), []string{"deregister/" + id(2)}, both},
		"both find it sick":                         {directory("shop", one, sick), directory("shop", one, sick), nil, both[:1]},
		"b has other routes":                        {directory("shop", one, two), retag(directory("shop", one, two)), []string{"register", "register"}, both},
		"b sees first that a task has been stopped": {stopped, stopped, nil, both[:1]},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEntries()
				agent, a := overPipe(t, e)
				_, b := overPipe(t, e)
				ctx, stop := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer stop()
				tell := func(k *discovery.Keeper, d discovery.Directory) {
					d.At = time.Now()
					if err := k.SetDirectory(d); err != nil {
						t.Error(err)
					}
				}
				tell(a, c.a)
				go a.Run(ctx)
				synctest.Wait()
				e.written()
				time.Sleep(10 * time.Second)
				tell(b, c.b)
				go b.Run(ctx)
				synctest.Wait()
				if got := e.written(); !slices.Equal(got, c.first) {
					t.Errorf("b begins with %q, want %q", got, c.first)
				}
				// b's snapshots are older than the first sight of what it does not know.
				for range 30 {
					time.Sleep(10 * time.Second)
					tell(a, c.a)
				}
				settling := e.written()
				for range 60 {
					time.Sleep(10 * time.Second)
					tell(a, c.a)
				}
				if got := e.written(); len(settling) > 2 || len(got) > 0 {
					t.Errorf("in five minutes %q was written, and in the ten after %q", settling, got)
				}
				wantIDs(t, agent, c.has...)
			})
		})
	}
}

// overPipe is a fake agent without a socket, and a keeper of it.
func overPipe(t *testing.T, e *entries) (agent, *discovery.Keeper) {
	t.Helper()
	overHTTP := &http.Client{Transport: e}
	config := api.DefaultConfig()
	config.HttpClient = overHTTP
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := consul.New(consul.Options{HTTP: overHTTP})
	if err != nil {
		t.Fatal(err)
	}
	return agent{client: client}, r
}

func TestAnAgentThatDoesNotAnswerIsTriedEverMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		refuse := roundTrip(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(began).Round(time.Millisecond))
			return nil, errors.New("no agent")
		})
		r, err := consul.New(consul.Options{HTTP: &http.Client{Transport: refuse}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.SetDirectory(discovery.Directory{Cluster: "shop"}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
		defer stop()
		r.Run(ctx)
		// The change that came before the start may be taken first, or with it.
		at = slices.Compact(at)
		if len(at) < 6 || at[len(at)-1] < 80*time.Second {
			t.Fatalf("in 100 s it tried at %v", at)
		}
		gap := time.Duration(0)
		for i := range at[1:] {
			next := at[i+1] - at[i]
			if next != min(2*gap, 30*time.Second) && gap > 0 || next > 2*time.Second && gap == 0 {
				t.Errorf("tried at %v: after %s came %s", at, gap, next)
			}
			gap = next
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
