package ecsapi

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

var runTaskKnown = set("cluster", "taskDefinition", "count", "group", "startedBy", "launchType", "tags", "clientToken",
	"placementStrategy", "placementConstraints", "capacityProviderStrategy", "propagateTags", "enableECSManagedTags",
	"overrides.containerOverrides.name", "overrides.containerOverrides.command",
	"overrides.containerOverrides.environment", "overrides.containerOverrides.cpu",
	"overrides.containerOverrides.memory")

var startTaskKnown = set("cluster", "taskDefinition", "containerInstances", "group", "startedBy", "tags", "propagateTags",
	"enableECSManagedTags", "overrides.containerOverrides.name", "overrides.containerOverrides.command",
	"overrides.containerOverrides.environment", "overrides.containerOverrides.cpu",
	"overrides.containerOverrides.memory")

func (a *api) runTask(ctx context.Context, _ *awsapi.Call, in *ecs.RunTaskInput) (*ecs.RunTaskOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, runTaskKnown); err != nil {
		return nil, err
	}
	if err := checkLaunchType(in.LaunchType); err != nil {
		return nil, err
	}
	if err := noFargate(nil, in.CapacityProviderStrategy); err != nil {
		return nil, err
	}
	propagate, err := propagateIn(in.PropagateTags, types.PropagateTagsTaskDefinition)
	if err != nil {
		return nil, err
	}
	if in.Count != nil && (*in.Count < 1 || *in.Count > 10) {
		return nil, awsapi.Refuse(codeInvalid, "Count must be between 1 and 10, got %d.", *in.Count)
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	overrides, err := overridesIn(in.Overrides)
	if err != nil {
		return nil, err
	}
	result, err := do[*engine.RunTaskResult](ctx, a.engine, engine.RunTask{
		Cluster: value(in.Cluster), TaskDefinition: value(in.TaskDefinition), Count: int(value(in.Count)),
		Group: value(in.Group), StartedBy: value(in.StartedBy), LaunchType: string(in.LaunchType),
		Tags: tags, Overrides: overrides, ClientToken: value(in.ClientToken),
		Strategies: strategiesIn(in.PlacementStrategy), Constraints: constraintsIn(in.PlacementConstraints),
		ProviderStrategy: sharesIn(in.CapacityProviderStrategy), PropagateTags: propagate, ManagedTags: in.EnableECSManagedTags,
	})
	if err != nil {
		return nil, err
	}
	out := &ecs.RunTaskOutput{Tasks: []types.Task{}, Failures: failures(result.Failures)}
	a.engine.Read(func(v engine.View) {
		for _, t := range result.Tasks {
			out.Tasks = append(out.Tasks, taskOut(v, t, true))
		}
	})
	return out, nil
}

func overridesIn(o *types.TaskOverride) ([]engine.ContainerOverride, error) {
	if o == nil {
		return nil, nil
	}
	var out []engine.ContainerOverride
	for i, c := range o.ContainerOverrides {
		if value(c.Name) == "" {
			return nil, awsapi.Refuse(codeInvalid, "overrides.containerOverrides[%d].name is required.", i)
		}
		over := engine.ContainerOverride{
			Name: *c.Name, Command: c.Command, CPU: int64(value(c.Cpu)), Memory: int64(value(c.Memory)),
		}
		for _, e := range c.Environment {
			if over.Environment == nil {
				over.Environment = map[string]string{}
			}
			over.Environment[value(e.Name)] = value(e.Value)
		}
		out = append(out, over)
	}
	return out, nil
}

func overridesOut(overrides []engine.ContainerOverride) *types.TaskOverride {
	out := &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{}}
	for _, o := range overrides {
		over := types.ContainerOverride{Name: of(o.Name), Command: o.Command}
		if o.CPU > 0 {
			over.Cpu = of(int32(o.CPU))
		}
		if o.Memory > 0 {
			over.Memory = of(int32(o.Memory))
		}
		for _, name := range slices.Sorted(maps.Keys(o.Environment)) {
			over.Environment = append(over.Environment, types.KeyValuePair{Name: of(name), Value: of(o.Environment[name])})
		}
		out.ContainerOverrides = append(out.ContainerOverrides, over)
	}
	return out
}

func (a *api) stopTask(ctx context.Context, _ *awsapi.Call, in *ecs.StopTaskInput) (*ecs.StopTaskOutput, error) {
	if value(in.Task) == "" {
		return nil, awsapi.Refuse(codeInvalid, "Task can not be blank.")
	}
	if len(value(in.Reason)) > 1024 {
		return nil, awsapi.Refuse(codeInvalid, "reason has %d characters: at most 1024 are allowed.", len(*in.Reason))
	}
	t, err := do[*engine.Task](ctx, a.engine, engine.StopTask{
		Cluster: value(in.Cluster), Task: *in.Task, Reason: value(in.Reason),
	})
	if err != nil {
		return nil, err
	}
	out := &ecs.StopTaskOutput{}
	a.engine.Read(func(v engine.View) { out.Task = of(taskOut(v, t, true)) })
	return out, nil
}
