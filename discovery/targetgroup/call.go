package targetgroup

import (
	"context"
	"errors"
	"fmt"
	"plimsoll/discovery"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

const (
	targetsPerCall = 100
	// The time between two looks at a target that drains grows from the first to the
	// last: a delay may be of minutes, and tasks may be many.
	firstPoll = time.Second
	lastPoll  = 10 * time.Second
	// remembered is how long it is known that a task was taken out.
	remembered = 10 * time.Minute
)

// group is a target group.
type group struct {
	arn  string
	kind types.TargetTypeEnum
}

// departure is a task's leaving a group.
type departure struct {
	arn    string
	target target
	at     time.Time
}

// find reads a group by its ARN or name, once.
func (r *registry) find(ctx context.Context, api *elb.Client, in string) (group, error) {
	r.mu.Lock()
	known := r.groups[in]
	r.mu.Unlock()
	if known.arn != "" {
		return known, nil
	}
	ask := &elb.DescribeTargetGroupsInput{Names: []string{in}}
	if strings.HasPrefix(in, "arn:") {
		ask = &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{in}}
	}
	out, err := api.DescribeTargetGroups(ctx, ask)
	if err != nil {
		return group{}, fmt.Errorf("read it (elasticloadbalancing:DescribeTargetGroups): %w", err)
	}
	if len(out.TargetGroups) != 1 {
		return group{}, errors.New("there is no such target group in this account and region; allowed: its ARN or its name")
	}
	found := group{aws.ToString(out.TargetGroups[0].TargetGroupArn), out.TargetGroups[0].TargetType}
	if found.kind != types.TargetTypeEnumInstance && found.kind != types.TargetTypeEnumIp {
		return group{}, fmt.Errorf("it is of target type %q; tasks can be in one of type %q or %q", found.kind, types.TargetTypeEnumIp, types.TargetTypeEnumInstance)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups[in] = found
	return found, nil
}

// forget has a group that is gone looked for anew.
func (r *registry) forget(arn string, places []discovery.Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range places {
		if r.groups[p.In].arn == arn {
			delete(r.groups, p.In)
		}
	}
}

func register(ctx context.Context, api *elb.Client, arn string, targets []target) error {
	return eachPart(targets, func(part []target) error {
		_, err := api.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &arn, Targets: descriptions(part)})
		if err != nil {
			return fmt.Errorf("register %s: %w", part, err)
		}
		return nil
	})
}

// deregister takes targets out, and notes that their tasks are on their way.
func (r *registry) deregister(ctx context.Context, api *elb.Client, arn string, targets []target, tasks map[target]string) error {
	return eachPart(targets, func(part []target) error {
		_, err := api.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &arn, Targets: descriptions(part)})
		if err != nil {
			return fmt.Errorf("deregister %s: %w", part, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for task, list := range r.leaving {
			if time.Since(list[len(list)-1].at) > remembered {
				delete(r.leaving, task)
			}
		}
		for _, t := range part {
			r.leaving[tasks[t]] = append(r.leaving[tasks[t]], departure{arn, t, time.Now()})
		}
		return nil
	})
}

// eachPart makes calls of so many targets. A call is refused whole for one target
// that cannot be: then each has a call of its own.
func eachPart(targets []target, call func([]target) error) error {
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	var problems []error
	for part := range slices.Chunk(targets, targetsPerCall) {
		err := call(part)
		var invalid *types.InvalidTargetException
		if !errors.As(err, &invalid) || len(part) == 1 {
			problems = append(problems, err)
			continue
		}
		for one := range slices.Chunk(part, 1) {
			problems = append(problems, call(one))
		}
	}
	return errors.Join(problems...)
}

func descriptions(targets []target) []types.TargetDescription {
	list := make([]types.TargetDescription, len(targets))
	for i, t := range targets {
		list[i] = t.description()
	}
	return list
}

// Wait returns when the load balancers have ended what they had under way with a
// task that was taken out: their deregistration delay is over.
func (r *registry) Wait(ctx context.Context, task string) error {
	r.mu.Lock()
	departures := slices.Clone(r.leaving[task])
	r.mu.Unlock()
	if len(departures) == 0 {
		return nil
	}
	api, err := r.api(ctx)
	if err != nil {
		return err
	}
	for _, d := range departures {
		for poll := firstPoll; ; poll = min(poll*3/2, lastPoll) {
			draining, err := drains(ctx, api, d)
			if err != nil {
				return fmt.Errorf("task %q: target group %q: %w", task, d.arn, err)
			}
			if !draining {
				break
			}
			timer := time.NewTimer(poll)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return fmt.Errorf("task %q: target group %q still drains %s; its deregistration delay is longer than x-plimsoll.deregistrationDelay: %w", task, d.arn, d.target, context.Cause(ctx))
			}
		}
	}
	return nil
}

// drains tells whether a target is on its way out of its group.
func drains(ctx context.Context, api *elb.Client, d departure) (bool, error) {
	out, err := api.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &d.arn, Targets: descriptions([]target{d.target})})
	var unknown *types.InvalidTargetException
	if errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the state of %s: %w", d.target, err)
	}
	return slices.ContainsFunc(out.TargetHealthDescriptions, func(h types.TargetHealthDescription) bool {
		return h.TargetHealth != nil && h.TargetHealth.State == types.TargetHealthStateEnumDraining
	}), nil
}
