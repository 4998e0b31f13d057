package app_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	consul "github.com/hashicorp/consul/api"

	"plimsoll/app"
)

// directories are a Cloud Map with one service, srv-1, and a Consul agent.
type directories struct {
	url   string
	calls atomic.Int64

	mu        sync.Mutex
	instances map[string]map[string]string    // Cloud Map's, by id
	left      map[string]time.Time            // those that were taken out
	entries   map[string]*consul.AgentService // Consul's, by id
}

func newDirectories(t *testing.T) *directories {
	t.Helper()
	d := &directories{instances: map[string]map[string]string{}, left: map[string]time.Time{}, entries: map[string]*consul.AgentService{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d *directories) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.calls.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	var in struct {
		InstanceID string `json:"InstanceId"`
		Attributes map[string]string
		consul.AgentServiceRegistration
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	type object = map[string]any
	out := object{"OperationId": "op"}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case operation == "GetService":
		out = object{"Service": object{"Id": "srv-1", "Arn": "arn:srv-1"}}
	case operation == "GetOperation":
		out = object{"Operation": object{"Id": "op", "Status": "SUCCESS"}}
	case operation == "ListInstances":
		list := []object{}
		for id, attributes := range d.instances {
			list = append(list, object{"Id": id, "Attributes": attributes})
		}
		out = object{"Instances": list}
	case operation == "RegisterInstance":
		d.instances[in.InstanceID] = in.Attributes
	case operation == "DeregisterInstance":
		delete(d.instances, in.InstanceID)
		d.left[in.InstanceID] = time.Now()
	case strings.HasSuffix(r.URL.Path, "/service/register"):
		d.entries[in.ID] = &consul.AgentService{ID: in.ID, Service: in.Name, Address: in.Address, Port: in.Port, Tags: in.Tags, Meta: in.Meta}
	case strings.Contains(r.URL.Path, "/service/deregister/"):
		delete(d.entries, filepath.Base(r.URL.Path))
	default:
		_ = json.NewEncoder(w).Encode(d.entries)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

// ids are the instances that Cloud Map has.
func (d *directories) ids() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.instances))
}

func (d *directories) inConsul(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[id] != nil
}

func (d *directories) leftAt(id string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left[id]
}

const registeredShop = `
name: default
services:
  web:
    command: [sleep, "9"]
    ports: ["8080"]
    x-plimsoll: {min: 1, max: 1, register: {cloudMap: srv-1}}
`

// registeredRun is a run of registeredShop.
type registeredRun struct {
	*telling
	out  *output
	stop func() // and wait for the end
}

func runRegistered(t *testing.T, dry bool) *registeredRun {
	t.Helper()
	r := &registeredRun{telling: newTelling(t), out: &output{}}
	r.service("web", 1, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	file := r.file(registeredShop)
	go func() {
		ended <- app.Run(ctx, app.RunOptions{
			Platform: "ecs", Cluster: "default", File: file, Out: r.out, Log: slog.New(slog.DiscardHandler), DryRun: dry,
			Discovery: app.DiscoveryOptions{DNS: "127.0.0.1:0", Consul: r.told.url},
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func TestARunTellsDNSConsulAndCloudMapWhereTheTasksAre(t *testing.T) {
	r := runRegistered(t, false)
	id := r.listen("web", 1)[0]
	r.await("the task is in Cloud Map", func() bool { return len(r.told.ids()) == 1 })
	first := r.told.ids()[0]
	if first != "plimsoll-"+id+"-8080" {
		t.Errorf("Cloud Map has %q", first)
	}
	r.await("the task is in Consul", func() bool { return r.told.inConsul("plimsoll:default:web:" + id + ":8080") })
	address := r.dnsOf(r.out)
	r.names(address, "web", id)
	_, err := r.api.StopTask(t.Context(), &awsecs.StopTaskInput{Task: &id})
	r.must(err)
	r.must(r.tasks[id].Close()) // the next one may have its place
	r.names(address, "web")     // the next one does not answer yet
	next := r.listen("web", 1)
	r.names(address, "web", next...)
	r.await("the stopped task is out of Cloud Map", func() bool { return !r.told.leftAt(first).IsZero() })
	r.await("the next one is in", func() bool { return len(r.told.ids()) == 1 && r.told.ids()[0] != first })
}

func TestADryRunRegistersNothing(t *testing.T) {
	r := runRegistered(t, true)
	r.names(r.dnsOf(r.out), "web", r.listen("web", 1)...)
	r.stop()
	if n := r.told.calls.Load(); n > 0 {
		t.Errorf("Consul and Cloud Map got %d calls", n)
	}
}
