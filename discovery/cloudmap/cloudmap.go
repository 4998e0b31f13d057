// Package cloudmap keeps the tasks of a directory registered in services of AWS
// Cloud Map. It touches only instances that carry its mark: the cluster and the
// service that they are of.
package cloudmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"
	"golang.org/x/sync/errgroup"

	"plimsoll/discovery"
)

// Attributes of an instance: whose it is.
const (
	AttributeCluster = "plimsoll-cluster"
	AttributeService = "plimsoll-service"
	AttributeTask    = "plimsoll-task"
)

const (
	// syncTimeout bounds one comparison of all services.
	syncTimeout = 30 * time.Second
	// atOnce is how many calls are under way at the same time.
	atOnce = 8
)

// Options make the keeper of the instances.
type Options struct {
	Places []discovery.Place
	// Config is how AWS is reached; it is asked for at the first comparison.
	Config func(context.Context) (aws.Config, error)
	Log    *slog.Logger
}

// registry is Cloud Map as a Keeper sees it.
type registry struct {
	config func(context.Context) (aws.Config, error)
	places map[string][]discovery.Place // by In

	mu       sync.Mutex
	client   *servicediscovery.Client
	services map[string]service      // by Place.In
	pending  map[instance]*operation // what has been asked for and is not known to be done
	leaving  map[string][]*operation // by task: how it was taken out
}

// instance names one of Cloud Map's.
type instance struct{ in, id string }

// New gives the keeper of the instances. It makes no call.
func New(o Options) *discovery.Keeper {
	r := &registry{
		config: o.Config, places: map[string][]discovery.Place{}, services: map[string]service{},
		pending: map[instance]*operation{}, leaving: map[string][]*operation{},
	}
	for _, p := range o.Places {
		r.places[p.In] = append(r.places[p.In], p)
	}
	return discovery.NewKeeper("Cloud Map", r, o.Log)
}

// api is the client, made when it is first needed.
func (r *registry) api(ctx context.Context) (*servicediscovery.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		cfg, err := r.config(ctx)
		if err != nil {
			return nil, err
		}
		r.client = servicediscovery.NewFromConfig(cfg)
	}
	return r.client, nil
}

// Sync makes the instances be what the directory says, in each service by itself:
// one that cannot be read stops no other.
func (r *registry) Sync(ctx context.Context, d discovery.Directory) (settled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	api, err := r.api(ctx)
	if err != nil {
		return false, err
	}
	problems := []error{r.follow(ctx, api)}
	for _, in := range slices.Sorted(maps.Keys(r.places)) {
		if err := r.syncOne(ctx, api, in, d); err != nil {
			problems = append(problems, fmt.Errorf("service %q: %w", in, err))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending) == 0, errors.Join(problems...)
}

// syncOne makes the instances of one service be what they should be.
func (r *registry) syncOne(ctx context.Context, api *servicediscovery.Client, in string, d discovery.Directory) error {
	s, err := r.find(ctx, api, in)
	if err != nil {
		return err
	}
	for _, p := range r.places[in] {
		if slices.Contains(d.Kept[p.Service], s.arn) {
			return fmt.Errorf("ECS registers the tasks of service %q there itself (serviceRegistries); take cloudMap out of the file, or the registry out of the ECS service", p.Service)
		}
	}
	want, err := entries(in, r.places[in], d)
	have, readErr := r.own(ctx, api, s, in, d.Cluster)
	if readErr != nil {
		return r.forgotten(in, readErr)
	}
	var calls errgroup.Group
	calls.SetLimit(atOnce)
	problems := make(chan error, len(have)+len(want))
	// Out before in: a port that a new task has got must not have two entries.
	for id, attributes := range have {
		if want[id] == nil && !d.Unsure[attributes[AttributeTask]] && !r.underway(instance{in, id}, leaves) {
			calls.Go(func() error { problems <- r.deregister(ctx, api, s, instance{in, id}, attributes); return nil })
		}
	}
	_ = calls.Wait() // no call fails the others
	for id, attributes := range want {
		if !holds(have[id], attributes) && !r.underway(instance{in, id}, joins) {
			calls.Go(func() error { problems <- r.register(ctx, api, s, instance{in, id}, attributes); return nil })
		}
	}
	_ = calls.Wait()
	close(problems)
	all := []error{err}
	for problem := range problems {
		all = append(all, problem)
	}
	return errors.Join(all...)
}

// own are the instances of a service that carry the mark, by id: those that Cloud
// Map lists, and those that are on their way in.
func (r *registry) own(ctx context.Context, api *servicediscovery.Client, s service, in, cluster string) (map[string]map[string]string, error) {
	services := map[string]bool{}
	for _, p := range r.places[in] {
		services[p.Service] = true
	}
	found := map[string]map[string]string{}
	pages := servicediscovery.NewListInstancesPaginator(api, &servicediscovery.ListInstancesInput{ServiceId: &s.id, MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list its instances: %w", err)
		}
		for _, i := range page.Instances {
			if i.Attributes[AttributeCluster] == cluster && services[i.Attributes[AttributeService]] {
				found[aws.ToString(i.Id)] = i.Attributes
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, op := range r.pending {
		if i.in == in && op.kind == joins && found[i.id] == nil {
			found[i.id] = op.attributes
		}
	}
	return found, nil
}

// entries are the instances that there should be in a service of Cloud Map, by id,
// with their attributes.
func entries(in string, places []discovery.Place, d discovery.Directory) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	var problem error
	for _, p := range places {
		for _, i := range d.Services[p.Service] {
			port, ok := i.Port(p.Port)
			if !ok {
				problem = fmt.Errorf("task %q of service %q has no container port %d to be registered with", i.ID, p.Service, p.Port)
				continue
			}
			address := "AWS_INSTANCE_IPV4"
			if i.Address.Is6() {
				address = "AWS_INSTANCE_IPV6"
			}
			out[fmt.Sprintf("plimsoll-%s-%d", i.ID, port.Container)] = map[string]string{
				address: i.Address.String(), "AWS_INSTANCE_PORT": strconv.Itoa(port.Host),
				"AVAILABILITY_ZONE": i.Zone, AttributeCluster: d.Cluster, AttributeService: p.Service, AttributeTask: i.ID,
			}
		}
	}
	return out, problem
}

// holds tells whether an instance has these attributes; Cloud Map may have given it
// more.
func holds(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

func (r *registry) register(ctx context.Context, api *servicediscovery.Client, s service, i instance, attributes map[string]string) error {
	out, err := api.RegisterInstance(ctx, &servicediscovery.RegisterInstanceInput{ServiceId: &s.id, InstanceId: &i.id, Attributes: attributes})
	var twice *types.DuplicateRequest
	switch {
	case errors.As(err, &twice):
		r.begun(i, &operation{kind: joins, id: aws.ToString(twice.DuplicateOperationId), attributes: attributes})
		return nil
	case err != nil:
		return fmt.Errorf("register %q: %w", i.id, err)
	}
	r.begun(i, &operation{kind: joins, id: aws.ToString(out.OperationId), attributes: attributes})
	return nil
}

// deregister takes an instance out. One that is on its way in is waited for:
// Cloud Map does one thing at a time with an instance.
func (r *registry) deregister(ctx context.Context, api *servicediscovery.Client, s service, i instance, attributes map[string]string) error {
	for {
		out, err := api.DeregisterInstance(ctx, &servicediscovery.DeregisterInstanceInput{ServiceId: &s.id, InstanceId: &i.id})
		var twice *types.DuplicateRequest
		var busy *types.ResourceInUse
		var gone *types.InstanceNotFound
		switch {
		case err == nil:
			op := &operation{kind: leaves, id: aws.ToString(out.OperationId), ttl: s.ttl, begun: time.Now()}
			r.begun(i, op)
			r.left(attributes[AttributeTask], op)
			return nil
		case errors.As(err, &gone):
			return nil
		case !errors.As(err, &busy) && !errors.As(err, &twice):
			return fmt.Errorf("deregister %q: %w", i.id, err)
		}
		if pause(ctx) != nil {
			return fmt.Errorf("deregister %q: %w", i.id, err)
		}
	}
}
