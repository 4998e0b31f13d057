// Package consul keeps the tasks of a directory registered in a Consul agent.
// It touches only the entries that are its own.
package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"

	"plimsoll/discovery"
)

// Keys of the metadata of an entry.
const (
	// MetaCluster is the cluster that the entry is of: whose it is.
	MetaCluster = "plimsoll-cluster"
	MetaTask    = "plimsoll-task"
	MetaZone    = "zone"
)

const (
	callTimeout = 5 * time.Second
	// criticalFor is how long the agent keeps an entry whose check fails.
	criticalFor = time.Minute
)

// Options make the keeper of an agent's entries.
type Options struct {
	// Address is the agent's: "http://127.0.0.1:8500". Empty: what the
	// environment says (CONSUL_HTTP_ADDR and the rest), as every client of Consul
	// has it.
	Address string
	// Tags gives the tags of a service's entries; nil: none.
	Tags func(service string) []string
	// CheckInterval is how often the agent opens a connection to each entry's
	// port. Default 10 s. CheckTimeout bounds one. Default 2 s.
	CheckInterval, CheckTimeout time.Duration
	// HTTP reaches the agent; nil: as the environment says (CONSUL_CACERT and the
	// rest).
	HTTP *http.Client
	Log  *slog.Logger
}

// registry is the agent as a Keeper sees it.
type registry struct {
	options Options
	agent   *consul.Agent
	told    map[string]bool // the entries that have been registered before
}

// New gives the keeper of an agent's entries. The agent need not answer yet.
func New(o Options) (*discovery.Keeper, error) {
	if o.CheckInterval <= 0 {
		o.CheckInterval = 10 * time.Second
	}
	if o.CheckTimeout <= 0 {
		o.CheckTimeout = 2 * time.Second
	}
	config := consul.DefaultConfig()
	if o.Address != "" {
		config.Address = o.Address
	}
	config.HttpClient = o.HTTP
	client, err := consul.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("consul at %q: %w", config.Address, err)
	}
	return discovery.NewKeeper("consul", &registry{options: o, agent: client.Agent(), told: map[string]bool{}}, o.Log), nil
}

// Sync makes the agent's entries be what the directory says.
func (r *registry) Sync(ctx context.Context, d discovery.Directory) (settled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := (&consul.QueryOptions{}).WithContext(ctx)
	have, err := r.agent.ServicesWithFilterOpts(fmt.Sprintf("Meta[%q] == %q", MetaCluster, d.Cluster), options)
	if err != nil {
		return false, fmt.Errorf("reading the agent's services: %w", err)
	}
	want := r.entries(d)
	var problems []error
	// Out before in: a port that a new task has got must not have two entries.
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if want[id] == nil && !d.Unlocated[have[id].Meta[MetaTask]] {
			if err := r.agent.ServiceDeregisterOpts(id, options); err != nil {
				problems = append(problems, fmt.Errorf("removing %q: %w", id, err))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if have[id] != nil && same(have[id], want[id]) {
			continue
		}
		if !r.told[id] {
			// The task is RUNNING: it is in use until the check says otherwise.
			// One that the agent has dropped has to pass its check first.
			want[id].Check.Status = consul.HealthPassing
		}
		if err := r.agent.ServiceRegisterOpts(want[id], consul.ServiceRegisterOpts{}.WithContext(ctx)); err != nil {
			problems = append(problems, fmt.Errorf("registering %q: %w", id, err))
			continue
		}
		r.told[id] = true
	}
	maps.DeleteFunc(r.told, func(id string, _ bool) bool { return want[id] == nil })
	return true, errors.Join(problems...)
}

// entries are what is to be registered, by id: one for each port of each task. The service's own port has its name, another one the name and
// the container port.
func (r *registry) entries(d discovery.Directory) map[string]*consul.AgentServiceRegistration {
	out := map[string]*consul.AgentServiceRegistration{}
	for service, instances := range d.Services {
		var tags []string
		if r.options.Tags != nil {
			tags = r.options.Tags(service)
		}
		for _, i := range instances {
			for n, p := range i.Ports {
				name, own := service, tags
				if n > 0 {
					name, own = service+"-"+strconv.Itoa(p.Container), nil
				}
				e := r.entry(d.Cluster, name, i, p, own)
				out[e.ID] = e
			}
		}
	}
	return out
}

func (r *registry) entry(cluster, name string, i discovery.Instance, p discovery.Port, tags []string) *consul.AgentServiceRegistration {
	return &consul.AgentServiceRegistration{
		ID:      strings.Join([]string{"plimsoll", cluster, name, i.ID, strconv.Itoa(p.Container)}, ":"),
		Name:    name,
		Address: i.Address.String(), Port: p.Host, Tags: tags,
		Meta: map[string]string{MetaCluster: cluster, MetaTask: i.ID, MetaZone: i.Zone},
		Check: &consul.AgentServiceCheck{
			Name: "the port is open", TCP: netip.AddrPortFrom(i.Address, uint16(p.Host)).String(),
			Interval: r.options.CheckInterval.String(), Timeout: r.options.CheckTimeout.String(),
			DeregisterCriticalServiceAfter: criticalFor.String(),
		},
	}
}

// same tells whether an entry is what it should be; the agent does not give
// its check back.
func same(have *consul.AgentService, want *consul.AgentServiceRegistration) bool {
	return have.Service == want.Name && have.Address == want.Address && have.Port == want.Port &&
		slices.Equal(have.Tags, want.Tags) && maps.Equal(have.Meta, want.Meta)
}
