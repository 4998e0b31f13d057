package ecsapi

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// registerKnown has the document's signature too, which is not verified: the
// request itself is signed by the account's key.
var registerKnown = set("cluster", "instanceIdentityDocument", "instanceIdentityDocumentSignature", "totalResources",
	"versionInfo", "containerInstanceArn", "attributes.name", "attributes.value", "tags")

func (a *api) registerContainerInstance(ctx context.Context, _ *awsapi.Call, in *ecs.RegisterContainerInstanceInput) (*ecs.RegisterContainerInstanceOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, registerKnown); err != nil {
		return nil, err
	}
	c := engine.RegisterInstance{Cluster: value(in.Cluster), ARN: value(in.ContainerInstanceArn)}
	var err error
	if c.Resources, c.Ports, err = resourcesIn(in.TotalResources); err != nil {
		return nil, err
	}
	if c.Tags, err = tagsIn(in.Tags); err != nil {
		return nil, err
	}
	for i, t := range in.Attributes {
		if value(t.Name) == "" {
			return nil, awsapi.Refuse(codeInvalid, "attributes[%d].name is required.", i)
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		c.Attributes[*t.Name] = value(t.Value)
	}
	if in.VersionInfo != nil {
		c.AgentVersion, c.AgentHash = value(in.VersionInfo.AgentVersion), value(in.VersionInfo.AgentHash)
		c.DockerVersion = value(in.VersionInfo.DockerVersion)
	}
	c.Zone = c.Attributes["ecs.availability-zone"]
	if err := readIdentity(value(in.InstanceIdentityDocument), &c); err != nil {
		return nil, err
	}
	i, err := do[*engine.ContainerInstance](ctx, a.engine, c)
	if err != nil {
		return nil, err
	}
	return &ecs.RegisterContainerInstanceOutput{ContainerInstance: a.oneInstance(i)}, nil
}

// readIdentity takes the instance's id and zone from its identity document, if
// there is one.
func readIdentity(document string, c *engine.RegisterInstance) error {
	if document == "" {
		return nil
	}
	var identity struct{ InstanceID, AvailabilityZone string }
	if err := json.Unmarshal([]byte(document), &identity); err != nil {
		return awsapi.Refuse(codeClient, "instanceIdentityDocument is not JSON: %v.", err)
	}
	c.EC2InstanceID = identity.InstanceID
	if identity.AvailabilityZone != "" {
		c.Zone = identity.AvailabilityZone
	}
	return nil
}

// resourcesIn reads CPU, MEMORY and the ports in use.
func resourcesIn(list []types.Resource) (r plimsoll.Resources, ports []int, err error) {
	for i, t := range list {
		switch name := value(t.Name); name {
		case "CPU":
			r.CPU = quantity(t)
		case "MEMORY":
			r.Memory = quantity(t)
		case "PORTS", "PORTS_UDP":
			for _, text := range t.StringSetValue {
				port, err := strconv.Atoi(text)
				if err != nil || port < 1 || port > 65535 {
					return r, nil, awsapi.Refuse(codeInvalid, "totalResources[%d]: the port %q is invalid: 1 to 65535 is allowed.", i, text)
				}
				ports = append(ports, port)
			}
		default:
			return r, nil, awsapi.Refuse(codeInvalid, "totalResources[%d]: the resource %q is not supported by this engine: CPU, MEMORY, PORTS and PORTS_UDP are.", i, name)
		}
	}
	return r, ports, nil
}

// quantity is a resource's number, in whichever of the three it is.
func quantity(r types.Resource) int64 {
	switch {
	case r.IntegerValue != 0:
		return int64(r.IntegerValue)
	case r.LongValue != 0:
		return r.LongValue
	}
	return int64(r.DoubleValue)
}

func (a *api) deregisterContainerInstance(ctx context.Context, _ *awsapi.Call, in *ecs.DeregisterContainerInstanceInput) (*ecs.DeregisterContainerInstanceOutput, error) {
	i, err := do[*engine.ContainerInstance](ctx, a.engine, engine.DeregisterInstance{
		Cluster: value(in.Cluster), Instance: value(in.ContainerInstance), Force: value(in.Force),
	})
	if err != nil {
		return nil, err
	}
	return &ecs.DeregisterContainerInstanceOutput{ContainerInstance: a.oneInstance(i)}, nil
}

func (a *api) oneInstance(i *engine.ContainerInstance) *types.ContainerInstance {
	var out types.ContainerInstance
	a.engine.Read(func(v engine.View) { out = a.instanceOut(v, i, usedPorts(v, i.Cluster)[i.ARN], true) })
	return &out
}

// discoverPollEndpoint tells agents where to go: here. There is no other agent
// than the engine itself.
func (a *api) discoverPollEndpoint(_ context.Context, call *awsapi.Call, in *ecs.DiscoverPollEndpointInput) (*ecs.DiscoverPollEndpointOutput, error) {
	if value(in.Cluster) != "" {
		if err := a.withCluster(in.Cluster, func(engine.View, *engine.Cluster) error { return nil }); err != nil {
			return nil, err
		}
	}
	return &ecs.DiscoverPollEndpointOutput{Endpoint: &call.Endpoint, TelemetryEndpoint: &call.Endpoint}, nil
}

func (a *api) startTask(ctx context.Context, _ *awsapi.Call, in *ecs.StartTaskInput) (*ecs.StartTaskOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, startTaskKnown); err != nil {
		return nil, err
	}
	propagate, err := propagateIn(in.PropagateTags, types.PropagateTagsTaskDefinition)
	if err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	override, err := a.overrideIn(in.Overrides)
	if err != nil {
		return nil, err
	}
	result, err := do[*engine.RunTaskResult](ctx, a.engine, engine.StartTask{
		Cluster: value(in.Cluster), TaskDefinition: value(in.TaskDefinition), Instances: in.ContainerInstances,
		Group: value(in.Group), StartedBy: value(in.StartedBy), Tags: tags, Override: override,
		PropagateTags: propagate, ManagedTags: in.EnableECSManagedTags,
	})
	if err != nil {
		return nil, err
	}
	out := &ecs.StartTaskOutput{Tasks: []types.Task{}, Failures: failures(result.Failures)}
	a.engine.Read(func(v engine.View) {
		for _, t := range result.Tasks {
			out.Tasks = append(out.Tasks, taskOut(v, t, true))
		}
	})
	return out, nil
}

// propagateIn reads whose tags tasks get: one of those allowed, or none.
func propagateIn(p types.PropagateTags, allowed ...types.PropagateTags) (string, error) {
	switch {
	case p == "" || p == types.PropagateTagsNone:
		return "", nil
	case slices.Contains(allowed, p):
		return string(p), nil
	}
	return "", awsapi.Refuse(codeInvalid, "propagateTags %q is invalid here: NONE and %v are allowed.", p, allowed)
}

func (a *api) deleteTaskDefinitions(ctx context.Context, _ *awsapi.Call, in *ecs.DeleteTaskDefinitionsInput) (*ecs.DeleteTaskDefinitionsOutput, error) {
	result, err := do[*engine.DefinitionsResult](ctx, a.engine, engine.DeleteTaskDefinitions{TaskDefinitions: in.TaskDefinitions})
	if err != nil {
		return nil, err
	}
	out := &ecs.DeleteTaskDefinitionsOutput{TaskDefinitions: []types.TaskDefinition{}, Failures: failures(result.Failures)}
	for _, d := range result.Definitions {
		described, err := a.definitionOut(d)
		if err != nil {
			return nil, err
		}
		out.TaskDefinitions = append(out.TaskDefinitions, *described)
	}
	return out, nil
}
