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
	"sync"
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
	// fullEvery is how often the agent's entries are compared although nothing
	// is known to have changed: somebody may have removed one.
	fullEvery  = time.Minute
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// drainMemory is how long a drained task is remembered.
	drainMemory = 5 * time.Minute
	callTimeout = 5 * time.Second
)

// Options make a Registrar.
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

// Registrar makes the agent's entries be what the directory says. Run does the
// work; the other methods may be called at any time, from any goroutine.
type Registrar struct {
	options Options
	agent   *consul.Agent
	changed chan struct{}

	mu        sync.Mutex
	directory *discovery.Directory
	drained   map[string]time.Time

	// syncing has one comparison at a time; told are the entries that it has
	// registered before.
	syncing sync.Mutex
	told    map[string]bool
}

// New gives a registrar. The agent need not answer yet.
func New(o Options) (*Registrar, error) {
	if o.CheckInterval <= 0 {
		o.CheckInterval = 10 * time.Second
	}
	if o.CheckTimeout <= 0 {
		o.CheckTimeout = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
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
	return &Registrar{options: o, agent: client.Agent(), changed: make(chan struct{}, 1), drained: map[string]time.Time{}, told: map[string]bool{}}, nil
}

// SetDirectory replaces what is to be registered.
func (r *Registrar) SetDirectory(d discovery.Directory) error {
	if err := d.Check(); err != nil {
		return err
	}
	r.mu.Lock()
	r.directory = &d
	maps.DeleteFunc(r.drained, func(_ string, at time.Time) bool { return time.Since(at) > drainMemory })
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

// Drain takes a task's entries out of the agent, and returns when they are
// out.
func (r *Registrar) Drain(ctx context.Context, id string) error {
	r.mu.Lock()
	r.drained[id] = time.Now()
	r.mu.Unlock()
	return r.Sync(ctx)
}

// Run compares the agent's entries with the directory at its start, after each
// change and every minute, until ctx ends. An agent that does not answer is
// tried again, ever more slowly.
func (r *Registrar) Run(ctx context.Context) {
	retry, wait := firstRetry, time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.changed:
			timer.Stop()
		}
		if err := r.Sync(ctx); err != nil && ctx.Err() == nil {
			r.options.Log.Warn("consul: the entries are not up to date", "retry", retry, "err", err)
			wait = retry
			retry = min(2*retry, lastRetry)
			continue
		}
		retry, wait = firstRetry, fullEvery
	}
}

// Sync makes the agent's entries be what the directory says, once. Before there
// is a directory it does nothing: unknown is not empty.
func (r *Registrar) Sync(ctx context.Context) error {
	r.syncing.Lock()
	defer r.syncing.Unlock()
	r.mu.Lock()
	directory, drained := r.directory, maps.Clone(r.drained)
	r.mu.Unlock()
	if directory == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := (&consul.QueryOptions{}).WithContext(ctx)
	have, err := r.agent.ServicesWithFilterOpts(fmt.Sprintf("Meta[%q] == %q", MetaCluster, directory.Cluster), options)
	if err != nil {
		return fmt.Errorf("reading the agent's services: %w", err)
	}
	want := r.entries(*directory, drained)
	var problems []error
	// Out before in: a port that a new task has got must not have two entries.
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if want[id] == nil {
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
	return errors.Join(problems...)
}

// entries are what is to be registered, by id: one for each port of each
// healthy task. The service's own port has its name, another one the name and
// the container port.
func (r *Registrar) entries(d discovery.Directory, drained map[string]time.Time) map[string]*consul.AgentServiceRegistration {
	out := map[string]*consul.AgentServiceRegistration{}
	for service, instances := range d.Services {
		var tags []string
		if r.options.Tags != nil {
			tags = r.options.Tags(service)
		}
		for _, i := range instances {
			if _, gone := drained[i.ID]; gone || !i.Healthy {
				continue
			}
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

func (r *Registrar) entry(cluster, name string, i discovery.Instance, p discovery.Port, tags []string) *consul.AgentServiceRegistration {
	return &consul.AgentServiceRegistration{
		ID:      strings.Join([]string{"plimsoll", cluster, name, i.ID, strconv.Itoa(p.Container)}, ":"),
		Name:    name,
		Address: i.Address.String(), Port: p.Host, Tags: tags,
		Meta: map[string]string{MetaCluster: cluster, MetaTask: i.ID, MetaZone: i.Zone},
		Check: &consul.AgentServiceCheck{
			Name: "the port is open", TCP: netip.AddrPortFrom(i.Address, uint16(p.Host)).String(),
			Interval: r.options.CheckInterval.String(), Timeout: r.options.CheckTimeout.String(),
			DeregisterCriticalServiceAfter: fullEvery.String(),
		},
	}
}

// same tells whether an entry is what it should be; the agent does not give
// its check back.
func same(have *consul.AgentService, want *consul.AgentServiceRegistration) bool {
	return have.Service == want.Name && have.Address == want.Address && have.Port == want.Port &&
		slices.Equal(have.Tags, want.Tags) && maps.Equal(have.Meta, want.Meta)
}
