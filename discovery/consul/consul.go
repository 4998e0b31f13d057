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
	// strangerFor is how much younger than the first sight of an entry a snapshot must
	// be, so that a task that it does not show has ended: another process may have
	// registered one that has just been started, and ECS's lists lag by a moment.
	strangerFor = 5 * time.Second
	// removedFor is how long an entry that was taken out is remembered. Others look
	// every minute.
	removedFor = 5 * time.Minute
)

// Options make the keeper of an agent's entries.
type Options struct {
	// Address is the agent's: "http://127.0.0.1:8500". Empty: what the
	// environment says (CONSUL_HTTP_ADDR and the rest), as every client of Consul
	// has it.
	Address string
	// CheckInterval is how often the agent opens a connection to each entry's
	// port. Default 10 s. CheckTimeout bounds one. Default 2 s.
	CheckInterval, CheckTimeout time.Duration
	// HTTP reaches the agent; nil: as the environment says (CONSUL_CACERT and the
	// rest).
	HTTP *http.Client
	Log  *slog.Logger
}

// registry is the agent as a Keeper sees it. Other processes may keep entries of the
// same cluster in the same agent, of the same tasks or of others.
type registry struct {
	options Options
	agent   *consul.Agent
	log     *slog.Logger
	// told are the entries of the last comparison, as they were wanted.
	told map[string]*consul.AgentServiceRegistration
	// removed are entries that have been taken out, and when they were last of account.
	// One that is back is another process's word.
	removed map[string]time.Time
	// strangers are entries of tasks that no snapshot has shown, and their first sight.
	strangers map[string]time.Time
	retold    bool // it has been said that others change tags
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return discovery.NewKeeper("consul", &registry{
		options: o, agent: client.Agent(), log: o.Log,
		told: map[string]*consul.AgentServiceRegistration{}, removed: map[string]time.Time{}, strangers: map[string]time.Time{},
	}, o.Log), nil
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
	for _, id := range r.leaving(d, have, want) {
		if err := r.agent.ServiceDeregisterOpts(id, options); err != nil {
			problems = append(problems, fmt.Errorf("removing %q: %w", id, err))
			continue
		}
		r.removed[id] = time.Now()
		delete(r.told, id)
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		before := r.told[id]
		if have[id] != nil && (same(have[id], want[id]) || r.retagged(have[id], before, want[id])) {
			r.told[id] = want[id]
			continue
		}
		if before == nil {
			// The task is RUNNING: it is in use until the check says otherwise.
			// One that the agent has dropped has to pass its check first.
			want[id].Check.Status = consul.HealthPassing
		}
		if err := r.agent.ServiceRegisterOpts(want[id], consul.ServiceRegisterOpts{}.WithContext(ctx)); err != nil {
			problems = append(problems, fmt.Errorf("registering %q: %w", id, err))
			continue
		}
		r.told[id] = want[id]
	}
	maps.DeleteFunc(r.told, func(id string, _ *consul.AgentServiceRegistration) bool { return want[id] == nil && have[id] == nil })
	return len(r.strangers) == 0, errors.Join(problems...)
}

// leaving are the entries that are to go, sorted. What nobody may want is: those of
// tasks that have been asked to stop or have ended, and those that the comparison
// before has left here. Else an entry may be another process's, whose snapshot is
// newer or which finds a task well that this one does not: it is taken out once, and
// if it comes back it is left to the agent's own check.
func (r *registry) leaving(d discovery.Directory, have map[string]*consul.AgentService, want map[string]*consul.AgentServiceRegistration) (ids []string) {
	here := map[string]bool{}
	for _, instances := range d.Services {
		for _, i := range instances {
			here[i.ID] = true
		}
	}
	maps.Copy(here, d.Sick)
	maps.DeleteFunc(r.removed, func(id string, at time.Time) bool { return want[id] != nil || time.Since(at) > removedFor })
	maps.DeleteFunc(r.strangers, func(id string, _ time.Time) bool { return have[id] == nil || want[id] != nil })
	for _, id := range slices.Sorted(maps.Keys(have)) {
		task := have[id].Meta[MetaTask]
		known := d.Gone[task] || d.Unsure[task] || d.Others[task] || here[task]
		if known {
			delete(r.strangers, id)
		}
		switch _, again := r.removed[id]; {
		case want[id] != nil, d.Unsure[task], d.Others[task]:
			continue
		case d.Gone[task], r.told[id] != nil:
		case again:
			r.removed[id] = time.Now()
			continue
		case !known && !r.isOver(id, d.At):
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// isOver tells whether a task that a snapshot does not show has ended.
func (r *registry) isOver(id string, snapshot time.Time) bool {
	seen, before := r.strangers[id]
	if !before {
		r.strangers[id] = time.Now()
		return false
	}
	if snapshot.Sub(seen) < strangerFor {
		return false
	}
	delete(r.strangers, id)
	return true
}

// retagged tells whether an entry is what it should be but for tags that somebody has
// changed since they were told: another process with other routes, which would
// change them again.
func (r *registry) retagged(have *consul.AgentService, before, want *consul.AgentServiceRegistration) bool {
	if before == nil || !slices.Equal(before.Tags, want.Tags) || slices.Equal(have.Tags, want.Tags) {
		return false
	}
	but := *have
	but.Tags = want.Tags
	if !same(&but, want) {
		return false
	}
	if !r.retold {
		r.retold = true
		r.log.Warn("consul: somebody else gives entries other tags, which stay: do all that register this cluster know the same routes?",
			"entry", want.ID, "tags", have.Tags, "instead of", want.Tags)
	}
	return true
}

// entries are what is to be registered, by id: one for each port of each task. The
// service's own port has its name, another one the name and the container port.
func (r *registry) entries(d discovery.Directory) map[string]*consul.AgentServiceRegistration {
	out := map[string]*consul.AgentServiceRegistration{}
	for service, instances := range d.Services {
		for _, i := range instances {
			for n, p := range i.Ports {
				name, own := service, d.Tags[service]
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
