// Package targetgroup keeps the tasks of a directory registered in target groups of
// Elastic Load Balancing. A target carries no mark, so that what was registered is
// written down (Ledger), and nothing else is ever taken out.
package targetgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"plimsoll/discovery"
)

// syncTimeout bounds one comparison of all groups.
const syncTimeout = 30 * time.Second

// Options make the keeper of the targets.
type Options struct {
	Places []discovery.Place
	// Config is how AWS is reached; it is asked for at the first comparison.
	Config func(context.Context) (aws.Config, error)
	// Ledger keeps what was registered over a restart; nil: nothing does.
	Ledger Ledger
	Log    *slog.Logger
}

// registry is the target groups as a Keeper sees them.
type registry struct {
	config func(context.Context) (aws.Config, error)
	places []discovery.Place
	ledger Ledger

	mu      sync.Mutex
	client  *elb.Client
	groups  map[string]group // by Place.In
	own     own              // what was registered; nil before it is read
	leaving map[string][]departure
}

// target is one of a group's: an address or an EC2 instance, and a port.
type target struct {
	id   string
	port int32
}

func (t target) String() string { return fmt.Sprintf("%s:%d", t.id, t.port) }

func (t target) description() types.TargetDescription {
	return types.TargetDescription{Id: &t.id, Port: &t.port}
}

// New gives the keeper of the targets. It makes no call.
func New(o Options) *discovery.Keeper {
	return discovery.NewKeeper("target groups", &registry{
		config: o.Config, places: o.Places, ledger: o.Ledger, groups: map[string]group{}, leaving: map[string][]departure{},
	}, o.Log)
}

// api is the client, made when it is first needed.
func (r *registry) api(ctx context.Context) (*elb.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		cfg, err := r.config(ctx)
		if err != nil {
			return nil, err
		}
		r.client = elb.NewFromConfig(cfg)
	}
	return r.client, nil
}

// Sync makes the targets be what the directory says, in each group by itself: one
// that cannot be read stops no other.
func (r *registry) Sync(ctx context.Context, d discovery.Directory) (settled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	api, err := r.api(ctx)
	if err != nil {
		return false, err
	}
	if err := r.remember(); err != nil {
		return false, err
	}
	var problems []error
	named := map[string][]discovery.Place{} // by the group's ARN
	for _, p := range r.places {
		g, err := r.find(ctx, api, p.In)
		if err != nil {
			problems = append(problems, fmt.Errorf("target group %q: %w", p.In, err))
			continue
		}
		named[g.arn] = append(named[g.arn], p)
	}
	if len(problems) == 0 {
		// Groups that the file names no more. One that could not be found might be
		// any of them.
		for _, arn := range r.groupsOwned() {
			if named[arn] == nil {
				named[arn] = []discovery.Place{}
			}
		}
	}
	for _, arn := range slices.Sorted(maps.Keys(named)) {
		if err := r.syncOne(ctx, api, arn, named[arn], d); err != nil {
			problems = append(problems, fmt.Errorf("target group %q: %w", arn, err))
		}
	}
	return true, errors.Join(problems...)
}

// syncOne makes the targets of one group be what they should be.
func (r *registry) syncOne(ctx context.Context, api *elb.Client, arn string, places []discovery.Place, d discovery.Directory) error {
	for _, p := range places {
		if slices.Contains(d.Kept[p.Service], arn) {
			return fmt.Errorf("ECS registers the tasks of service %q there itself (loadBalancers); take targetGroup out of the file, or the load balancer out of the ECS service", p.Service)
		}
	}
	have, err := states(ctx, api, arn)
	var gone *types.TargetGroupNotFoundException
	if errors.As(err, &gone) {
		r.forget(arn, places)
		if len(places) == 0 {
			return r.write(arn, nil)
		}
	}
	if err != nil {
		return err
	}
	want, problem := r.targets(places, d)
	mine := r.owned(arn)
	var out, in []target
	for t, task := range mine {
		if _, wanted := want[t]; wanted || d.Unsure[task] {
			continue
		}
		if state, there := have[t]; there && state != types.TargetHealthStateEnumDraining {
			out = append(out, t)
		} else if !there {
			delete(mine, t)
		}
	}
	for t, task := range want {
		if state, there := have[t]; !there || state == types.TargetHealthStateEnumDraining {
			in = append(in, t)
		}
		mine[t] = task // also where somebody else has registered it: it is the task's address
	}
	// What is about to be registered is written down first, so that a crash in
	// between leaves nothing that nobody knows of.
	if err := r.write(arn, mine); err != nil {
		return err
	}
	// Out before in: a port that a new task has got must not have two tasks.
	return errors.Join(problem, r.deregister(ctx, api, arn, out, mine), register(ctx, api, arn, in))
}

// targets are those that there should be in a group, with their tasks.
func (r *registry) targets(places []discovery.Place, d discovery.Directory) (map[target]string, error) {
	out := map[target]string{}
	var problem error
	for _, p := range places {
		r.mu.Lock()
		kind := r.groups[p.In].kind
		r.mu.Unlock()
		for _, i := range d.Services[p.Service] {
			port, ok := i.Port(p.Port)
			id := i.Address.String()
			if kind == types.TargetTypeEnumInstance {
				id = i.Host
			}
			switch {
			case !ok:
				problem = fmt.Errorf("task %q of service %q has no container port %d to be registered with", i.ID, p.Service, p.Port)
			case id == "":
				problem = fmt.Errorf("it takes EC2 instances, and task %q of service %q has an address of its own (awsvpc, Fargate) or runs on a host that is none; name a group of target type ip", i.ID, p.Service)
			default:
				out[target{id, int32(port.Host)}] = i.ID
			}
		}
	}
	return out, problem
}

// states are the targets of a group. One that drains is on its way out.
func states(ctx context.Context, api *elb.Client, arn string) (map[target]types.TargetHealthStateEnum, error) {
	out, err := api.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
	if err != nil {
		return nil, fmt.Errorf("read its targets: %w", err)
	}
	found := map[target]types.TargetHealthStateEnum{}
	for _, h := range out.TargetHealthDescriptions {
		if h.Target != nil && h.TargetHealth != nil {
			found[target{aws.ToString(h.Target.Id), aws.ToInt32(h.Target.Port)}] = h.TargetHealth.State
		}
	}
	return found, nil
}
