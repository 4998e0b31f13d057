package ecsapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/place/query"
)

// systemPorts are those that ECS keeps on every container instance: ssh,
// Docker's and the agent's.
var systemPorts = []string{"22", "2375", "2376", "51678", "51679"}

func (a *api) listContainerInstances(_ context.Context, _ *awsapi.Call, in *ecs.ListContainerInstancesInput) (*ecs.ListContainerInstancesOutput, error) {
	filter, err := query.Parse(value(in.Filter))
	if err != nil {
		return nil, awsapi.Refuse(codeInvalid, "Invalid filter %q: %v.", value(in.Filter), err)
	}
	if in.Status != "" && !slices.Contains(in.Status.Values(), in.Status) {
		return nil, awsapi.Refuse(codeInvalid, "status %q is invalid: %v are allowed.", in.Status, in.Status.Values())
	}
	var list []*engine.ContainerInstance
	listing := ""
	err = a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		listing = fmt.Sprintf("ListContainerInstances %q %s %q", c.Name, in.Status, value(in.Filter))
		for _, i := range v.Matching(c.Name, filter) {
			if in.Status == "" || i.Status == string(in.Status) {
				list = append(list, i)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	got, next, err := page(list, func(i *engine.ContainerInstance) string { return fmt.Sprintf("%020d", i.Seq) },
		awsapi.Paging{List: listing}, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListContainerInstancesOutput{ContainerInstanceArns: []string{}, NextToken: next}
	for _, i := range got {
		out.ContainerInstanceArns = append(out.ContainerInstanceArns, i.ARN)
	}
	return out, nil
}

func (a *api) describeContainerInstances(_ context.Context, _ *awsapi.Call, in *ecs.DescribeContainerInstancesInput) (*ecs.DescribeContainerInstancesOutput, error) {
	if err := count("Container instances", in.ContainerInstances, 100); err != nil {
		return nil, err
	}
	out := &ecs.DescribeContainerInstancesOutput{ContainerInstances: []types.ContainerInstance{}, Failures: []types.Failure{}}
	withTags := slices.Contains(in.Include, types.ContainerInstanceFieldTags)
	withHealth := slices.Contains(in.Include, types.ContainerInstanceFieldContainerInstanceHealth)
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		ports := usedPorts(v, c.Name)
		for _, name := range in.ContainerInstances {
			i, ok := v.Instance(c.Name, name)
			if !ok {
				out.Failures = append(out.Failures, missing(arnOf(v, "container-instance", c.Name, name)))
				continue
			}
			described := a.instanceOut(v, i, ports[i.ARN], withTags)
			if withHealth {
				described.HealthStatus = a.health()
			}
			out.ContainerInstances = append(out.ContainerInstances, described)
		}
		return nil
	})
	return out, err
}

// health is what is known of how well the runtime of a host is: nothing that the
// engine measures, which ECS has a word for.
func (a *api) health() *types.ContainerInstanceHealthStatus {
	return &types.ContainerInstanceHealthStatus{
		OverallStatus: types.InstanceHealthCheckStateInsufficientData,
		Details: []types.InstanceHealthCheckResult{{
			Type: types.InstanceHealthCheckTypeContainerRuntime, Status: types.InstanceHealthCheckStateInsufficientData, LastUpdated: of(a.now()),
		}},
	}
}

func (a *api) updateContainerInstancesState(ctx context.Context, _ *awsapi.Call, in *ecs.UpdateContainerInstancesStateInput) (*ecs.UpdateContainerInstancesStateOutput, error) {
	result, err := do[*engine.InstancesResult](ctx, a.engine, engine.UpdateContainerInstancesState{
		Cluster: value(in.Cluster), Instances: in.ContainerInstances, Status: string(in.Status),
	})
	if err != nil {
		return nil, err
	}
	out := &ecs.UpdateContainerInstancesStateOutput{
		ContainerInstances: []types.ContainerInstance{}, Failures: failures(result.Failures),
	}
	a.engine.Read(func(v engine.View) {
		for _, i := range result.Instances {
			out.ContainerInstances = append(out.ContainerInstances, a.instanceOut(v, i, usedPorts(v, i.Cluster)[i.ARN], false))
		}
	})
	return out, nil
}

// hostPorts are the host ports in use on an instance, by protocol.
type hostPorts struct{ tcp, udp []string }

// usedPorts are the ports in use, by the instance's ARN.
func usedPorts(v engine.View, cluster string) map[string]hostPorts {
	ports := map[string]hostPorts{}
	for _, t := range v.Tasks(cluster) {
		if t.ContainerInstance == "" || !live(t) {
			continue
		}
		used := ports[t.ContainerInstance]
		for _, c := range t.Containers {
			for _, b := range c.Bindings {
				if b.Protocol == string(types.TransportProtocolUdp) {
					used.udp = append(used.udp, strconv.Itoa(b.HostPort))
				} else {
					used.tcp = append(used.tcp, strconv.Itoa(b.HostPort))
				}
			}
		}
		ports[t.ContainerInstance] = used
	}
	return ports
}

func (a *api) instanceOut(v engine.View, i *engine.ContainerInstance, used hostPorts, withTags bool) types.ContainerInstance {
	running, pending := v.InstanceCounts(i.ARN)
	out := types.ContainerInstance{
		ContainerInstanceArn: &i.ARN, Ec2InstanceId: optional(i.EC2InstanceID), Status: &i.Status,
		AgentConnected: true, RunningTasksCount: int32(running), PendingTasksCount: int32(pending),
		RegisteredAt:        &i.RegisteredAt,
		RegisteredResources: resources(i.Registered, hostPorts{}),
		RemainingResources:  resources(v.Remaining(i.ARN), used),
		VersionInfo:         &types.VersionInfo{AgentVersion: of(a.version), AgentHash: of("plimsoll")},
		Attachments:         []types.Attachment{}, Tags: []types.Tag{},
	}
	attributes := maps.Clone(i.Attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["plimsoll.address"] = i.Address // what EC2 would tell of the instance
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		attribute := types.Attribute{Name: of(name), Value: optional(attributes[name])}
		out.Attributes = append(out.Attributes, attribute)
	}
	if i.AgentVersion != "" {
		out.VersionInfo = &types.VersionInfo{
			AgentVersion: &i.AgentVersion, AgentHash: optional(i.AgentHash), DockerVersion: optional(i.DockerVersion),
		}
	}
	out.CapacityProviderName = providerOf(v, i)
	if withTags {
		out.Tags = tagsOut(i.Tags)
	}
	return out
}

// providerOf is the name of the capacity provider that an instance is of: the
// first, by name, for its Auto Scaling group; nil if it says of no group.
func providerOf(v engine.View, i *engine.ContainerInstance) *string {
	group, ok := i.Attributes[engine.AttributeGroup]
	if !ok {
		return nil
	}
	for _, p := range v.CapacityProviders() {
		if p.Group == group {
			return &p.Name
		}
	}
	return nil
}

// resources are CPU, memory and the ports in use, as ECS lists them. What is
// overdrawn is negative.
func resources(r plimsoll.Resources, used hostPorts) []types.Resource {
	return []types.Resource{
		{Name: of("CPU"), Type: of("INTEGER"), IntegerValue: int32(r.CPU)},
		{Name: of("MEMORY"), Type: of("INTEGER"), IntegerValue: int32(r.Memory)},
		{Name: of("PORTS"), Type: of("STRINGSET"), StringSetValue: slices.Concat(systemPorts, used.tcp)},
		{Name: of("PORTS_UDP"), Type: of("STRINGSET"), StringSetValue: orEmpty(used.udp)},
	}
}
