package consul_test

import (
	"context"
	"encoding/json"
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

// fakeAgent keeps entries as an agent does: by id, the last registration wins,
// and the filter selects by the metadata.
func fakeAgent(t *testing.T) agent {
	t.Helper()
	var mu sync.Mutex
	entries := map[string]*api.AgentServiceRegistration{}
	down := false
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/agent/service/register", func(w http.ResponseWriter, r *http.Request) {
		var e api.AgentServiceRegistration
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		entries[e.ID] = &e
	})
	mux.HandleFunc("PUT /v1/agent/service/deregister/{id}", func(w http.ResponseWriter, r *http.Request) {
		if entries[r.PathValue("id")] == nil {
			http.Error(w, "unknown service ID", http.StatusNotFound)
			return
		}
		delete(entries, r.PathValue("id"))
	})
	mux.HandleFunc("GET /v1/agent/services", func(w http.ResponseWriter, r *http.Request) {
		out := map[string]*api.AgentService{}
		for id, e := range entries {
			if key, value, ok := strings.Cut(r.FormValue("filter"), " == "); ok {
				key, value = strings.Trim(key, `Meta[]"`), strings.Trim(value, `"`)
				if e.Meta[key] != value {
					continue
				}
			}
			out[id] = &api.AgentService{ID: id, Service: e.Name, Address: e.Address, Port: e.Port, Tags: e.Tags, Meta: e.Meta}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return agent{url: server.URL, client: connect(t, server.URL), down: func(is bool) { mu.Lock(); down = is; mu.Unlock() }}
}

func registrar(t *testing.T, a agent) *consul.Registrar {
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

func sync1(t *testing.T, r *consul.Registrar, cluster string, web ...discovery.Instance) {
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
