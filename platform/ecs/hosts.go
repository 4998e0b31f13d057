package ecs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plimsoll"
)

// drainedAttribute is the container instance attribute that says when Plimsoll had
// it drain: a restart knows by it which draining hosts are its own.
const drainedAttribute = "plimsoll.drained-at"

// agentMemory is the share of an instance's memory that is there for tasks, where
// nothing but the instance type tells: the agent and the system keep the rest.
const agentMemory = 0.94

const (
	groupsPerCall         = 50
	scaledInstancesPerCal = 50
)

// knowHosts keeps what the hosts of a snapshot have.
func (c *Cluster) knowHosts(list []plimsoll.ContainerInstance) {
	registered := make(map[string]plimsoll.Resources, len(list))
	for _, i := range list {
		registered[i.InstanceID] = i.Registered
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registered = registered
}

// HostGroups reads the Auto Scaling groups of the cluster, as far as the last
// snapshot knows its hosts: every page of every list, or an error.
func (c *Cluster) HostGroups(ctx context.Context) ([]plimsoll.HostGroup, error) {
	names, err := c.groupNames(ctx)
	if err != nil {
		return nil, c.problem("find the groups of its hosts", err)
	}
	var result []plimsoll.HostGroup
	for part := range slices.Chunk(names, groupsPerCall) {
		in := &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: part}
		for {
			out, err := call(ctx, c, c.scaling.DescribeAutoScalingGroups, in)
			if err != nil {
				return nil, c.problem("read the groups of its hosts", err)
			}
			for i := range out.AutoScalingGroups {
				g, err := c.hostGroup(ctx, &out.AutoScalingGroups[i])
				if err != nil {
					return nil, c.problem("read the groups of its hosts", err)
				}
				result = append(result, g)
			}
			if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
				break
			}
		}
	}
	for _, name := range c.hostGroups {
		if !slices.ContainsFunc(result, func(g plimsoll.HostGroup) bool { return g.Name == name }) {
			return nil, c.problem("read the groups of its hosts", fmt.Errorf("there is no Auto Scaling group %q", name))
		}
	}
	slices.SortFunc(result, func(a, b plimsoll.HostGroup) int { return strings.Compare(a.Name, b.Name) })
	return result, nil
}

// groupNames are the groups named in the options, or those of the cluster's
// capacity providers and container instances.
func (c *Cluster) groupNames(ctx context.Context) ([]string, error) {
	if len(c.hostGroups) > 0 {
		return c.hostGroups, nil
	}
	names, err := c.providerGroups(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	ids := sortedKeys(c.registered)
	c.mu.Unlock()
	ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, "i-") })
	for part := range slices.Chunk(ids, scaledInstancesPerCal) {
		in := &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: part}
		for {
			out, err := call(ctx, c, c.scaling.DescribeAutoScalingInstances, in)
			if err != nil {
				return nil, err
			}
			for _, i := range out.AutoScalingInstances {
				names = append(names, aws.ToString(i.AutoScalingGroupName))
			}
			if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
				break
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// providerGroups are the groups of the cluster's capacity providers.
func (c *Cluster) providerGroups(ctx context.Context) ([]string, error) {
	out, err := call(ctx, c, c.api.DescribeClusters, &awsecs.DescribeClustersInput{Clusters: []string{c.name}})
	if err != nil {
		return nil, err
	}
	var providers, names []string
	for _, found := range out.Clusters {
		providers = append(providers, found.CapacityProviders...)
	}
	for part := range slices.Chunk(providers, 100) {
		in := &awsecs.DescribeCapacityProvidersInput{CapacityProviders: part}
		for {
			out, err := call(ctx, c, c.api.DescribeCapacityProviders, in)
			if err != nil {
				return nil, err
			}
			for _, p := range out.CapacityProviders {
				if p.AutoScalingGroupProvider != nil {
					// It is a name, or an ARN that ends in one.
					names = append(names, plimsoll.ARNName(aws.ToString(p.AutoScalingGroupProvider.AutoScalingGroupArn)))
				}
			}
			if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
				break
			}
		}
	}
	return names, nil
}

func (c *Cluster) hostGroup(ctx context.Context, g *scalingtypes.AutoScalingGroup) (plimsoll.HostGroup, error) {
	result := plimsoll.HostGroup{
		Name: aws.ToString(g.AutoScalingGroupName), Zones: g.AvailabilityZones,
		Min: int(aws.ToInt32(g.MinSize)), Max: int(aws.ToInt32(g.MaxSize)), Desired: int(aws.ToInt32(g.DesiredCapacity)),
	}
	for _, i := range g.Instances {
		state := string(i.LifecycleState)
		result.Hosts = append(result.Hosts, plimsoll.GroupHost{
			InstanceID: aws.ToString(i.InstanceId), Zone: aws.ToString(i.AvailabilityZone), Protected: aws.ToBool(i.ProtectedFromScaleIn),
			// An unhealthy instance, and one that waits for the end of its
			// termination, is about to be taken away by the group itself; a spot
			// instance by EC2, which sends a notice.
			Interrupted: c.noticed(aws.ToString(i.InstanceId)) || strings.HasPrefix(state, "Terminating:") || strings.EqualFold(aws.ToString(i.HealthStatus), "Unhealthy"),
			Leaving:     state == string(scalingtypes.LifecycleStateTerminating) || state == string(scalingtypes.LifecycleStateTerminated),
		})
	}
	var err error
	result.Types, err = c.hostTypes(ctx, g)
	return result, err
}

// hostTypes are the kinds of host that a group launches: what its tags say, or a
// host of it that is there registers, or EC2 says of the instance type; none where
// nothing tells.
func (c *Cluster) hostTypes(ctx context.Context, g *scalingtypes.AutoScalingGroup) ([]plimsoll.HostType, error) {
	named := map[string]string{}
	for _, t := range g.Tags {
		named[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	price, _ := strconv.ParseFloat(named[plimsoll.TagHostPrice], 64)
	cpu, _ := strconv.ParseInt(named[plimsoll.TagHostCPU], 10, 64)
	memory, _ := strconv.ParseInt(named[plimsoll.TagHostMemory], 10, 64)
	if cpu > 0 && memory > 0 {
		return []plimsoll.HostType{{Name: aws.ToString(g.AutoScalingGroupName), Resources: plimsoll.Resources{CPU: cpu, Memory: memory}, Price: price}}, nil
	}
	kinds, err := c.typesOf(ctx, g)
	if err != nil {
		return nil, err
	}
	seen := map[string]plimsoll.Resources{}
	c.mu.Lock()
	for _, i := range g.Instances {
		if r, known := c.registered[aws.ToString(i.InstanceId)]; known {
			seen[aws.ToString(i.InstanceType)] = r
		}
	}
	c.mu.Unlock()
	var result []plimsoll.HostType
	for _, name := range kinds {
		r, known := seen[name]
		if !known {
			if r, err = c.typeResources(ctx, name); err != nil {
				return nil, err
			}
		}
		result = append(result, plimsoll.HostType{Name: name, Resources: r, Price: price})
	}
	return result, nil
}

// typesOf are the instance types of a group: those that its policy, its launch
// template or its launch configuration names, and those of its instances.
func (c *Cluster) typesOf(ctx context.Context, g *scalingtypes.AutoScalingGroup) ([]string, error) {
	var kinds []string
	template := g.LaunchTemplate
	if p := g.MixedInstancesPolicy; p != nil && p.LaunchTemplate != nil {
		template = p.LaunchTemplate.LaunchTemplateSpecification
		for _, o := range p.LaunchTemplate.Overrides {
			kinds = append(kinds, aws.ToString(o.InstanceType))
		}
	}
	for _, i := range g.Instances {
		kinds = append(kinds, aws.ToString(i.InstanceType))
	}
	kinds = slices.DeleteFunc(kinds, func(name string) bool { return name == "" })
	// What a group launches from is asked only where nothing else tells: a group at
	// zero that names one type.
	if len(kinds) == 0 && template != nil {
		kind, err := c.ec2.templateType(ctx, *template, c.timeout)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, kind)
	}
	if name := aws.ToString(g.LaunchConfigurationName); len(kinds) == 0 && name != "" {
		out, err := call(ctx, c, c.scaling.DescribeLaunchConfigurations, &autoscaling.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: []string{name}})
		if err != nil {
			return nil, err
		}
		for _, l := range out.LaunchConfigurations {
			kinds = append(kinds, aws.ToString(l.InstanceType))
		}
	}
	slices.Sort(kinds)
	return slices.DeleteFunc(slices.Compact(kinds), func(name string) bool { return name == "" }), nil
}

// typeResources asks EC2, once, what an instance type has.
func (c *Cluster) typeResources(ctx context.Context, name string) (plimsoll.Resources, error) {
	c.mu.Lock()
	r, known := c.kinds[name]
	c.mu.Unlock()
	if known {
		return r, nil
	}
	r, err := c.ec2.typeResources(ctx, name, c.timeout)
	if err != nil {
		return r, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[name] = r
	return r, nil
}

// SetCapacity sets the desired capacity of a group.
func (c *Cluster) SetCapacity(ctx context.Context, group string, desired int) error {
	_, err := call(ctx, c, c.scaling.SetDesiredCapacity, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: &group, DesiredCapacity: aws.Int32(int32(desired)), HonorCooldown: aws.Bool(false),
	})
	if err != nil {
		return c.problem(fmt.Sprintf("set the capacity of group %q to %d", group, desired), err)
	}
	return nil
}

// Drain sets a container instance to DRAINING, or back to ACTIVE. The mark that it
// is Plimsoll's goes first and comes off last, so that no host is left draining
// for ever by a call that was cut off.
func (c *Cluster) Drain(ctx context.Context, host string, draining bool) error {
	doing, status := fmt.Sprintf("drain host %q", host), types.ContainerInstanceStatusDraining
	mark := types.Attribute{Name: aws.String(drainedAttribute), TargetId: aws.String(host)}
	if draining {
		mark.Value = aws.String(c.now().UTC().Format(time.RFC3339))
		if _, err := call(ctx, c, c.api.PutAttributes, &awsecs.PutAttributesInput{Cluster: &c.name, Attributes: []types.Attribute{mark}}); err != nil {
			return c.problem(doing, err)
		}
	} else {
		doing, status = fmt.Sprintf("end the draining of host %q", host), types.ContainerInstanceStatusActive
	}
	out, err := call(ctx, c, c.api.UpdateContainerInstancesState, &awsecs.UpdateContainerInstancesStateInput{
		Cluster: &c.name, ContainerInstances: []string{host}, Status: status,
	})
	if err != nil {
		return c.problem(doing, err)
	}
	for _, f := range out.Failures {
		return c.problem(doing, fmt.Errorf("%s %s", aws.ToString(f.Reason), aws.ToString(f.Detail)))
	}
	if !draining {
		_, err := call(ctx, c, c.api.DeleteAttributes, &awsecs.DeleteAttributesInput{Cluster: &c.name, Attributes: []types.Attribute{mark}})
		var unmarked *types.TargetNotFoundException
		if err != nil && !errors.As(err, &unmarked) {
			return c.problem(doing, err)
		}
	}
	return nil
}

// Terminate terminates an instance in its group, with the decrement. One that is
// being terminated already is no error.
func (c *Cluster) Terminate(ctx context.Context, instanceID string) error {
	_, err := call(ctx, c, c.scaling.TerminateInstanceInAutoScalingGroup, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: &instanceID, ShouldDecrementDesiredCapacity: aws.Bool(true),
	})
	var refusal smithy.APIError
	if errors.As(err, &refusal) && strings.HasPrefix(refusal.ErrorCode(), "ScalingActivityInProgress") {
		return nil
	}
	if err != nil {
		return c.problem(fmt.Sprintf("terminate instance %q", instanceID), err)
	}
	return nil
}
