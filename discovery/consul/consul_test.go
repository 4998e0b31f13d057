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
	mu   sync.Mutex
	byID map[string]*api.AgentServiceRegistration
	down bool // it answers nothing but errors
	mux  *http.ServeMux
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
	e.mux.ServeHTTP(w, r)
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
	r, err := consul.New(consul.Options{Address: a.url, Tags: func(service string) []string { return []string{"urlprefix-" + service + ".localhost/"} }})
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

func sync1(t *testing.T, r *discovery.Keeper, cluster string, web ...discovery.Instance) {
	t.Helper()
	if err := r.SetDirectory(discovery.Directory{Cluster: cluster, Services: map[string][]discovery.Instance{"web": web}}); err != nil {
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
		// Left behind by a run that was killed.
		sync1(t, registrar(t, a), "shop", instance(1, discovery.Port{Container: 80, Host: 32768}))
		sync1(t, registrar(t, a), "shop", instance(2, discovery.Port{Container: 80, Host: 32768}))
		wantIDs(t, a, "foreign", "plimsoll:bank:web:task1:1", "plimsoll:shop:web:task2:80")
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
		overHTTP := &http.Client{Transport: e}
		config := api.DefaultConfig()
		config.HttpClient = overHTTP
		client, err := api.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		a := agent{client: client}
		r, err := consul.New(consul.Options{HTTP: overHTTP})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.SetDirectory(discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{
			"web": {instance(1, discovery.Port{Container: 80, Host: 32768}), instance(2, discovery.Port{Container: 80, Host: 32769})},
		}}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go r.Run(ctx)
		synctest.Wait()
		own := []string{"plimsoll:shop:web:task1:80", "plimsoll:shop:web:task2:80"}
		wantIDs(t, a, own...)
		for range 3 {
			if err := client.Agent().ServiceDeregister(own[0]); err != nil {
				t.Fatal(err)
			}
			for id, cluster := range map[string]string{"plimsoll:shop:web:task9:80": "shop", "foreign": "bank"} {
				if err := client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "web", Meta: map[string]string{consul.MetaCluster: cluster}}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(59 * time.Second)
			wantIDs(t, a, "foreign", own[1], "plimsoll:shop:web:task9:80")
			time.Sleep(time.Second)
			synctest.Wait()
			wantIDs(t, a, "foreign", own[0], own[1])
		}
	})
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
