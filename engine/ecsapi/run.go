package ecsapi

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// startKnown are the members that RunTask and StartTask have in common.
var startKnown = []string{"cluster", "taskDefinition", "group", "startedBy", "tags", "propagateTags", "enableECSManagedTags",
	"referenceId", "overrides.cpu", "overrides.memory", "overrides.taskRoleArn", "overrides.executionRoleArn",
	"overrides.containerOverrides.name", "overrides.containerOverrides.command", "overrides.containerOverrides.environment",
	"overrides.containerOverrides.cpu", "overrides.containerOverrides.memory", "overrides.containerOverrides.memoryReservation"}

var runTaskKnown = set(append(slices.Clip(startKnown), "count", "launchType", "clientToken", "placementStrategy",
	"placementConstraints", "capacityProviderStrategy")...)

var startTaskKnown = set(append(slices.Clip(startKnown), "containerInstances")...)

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
	override, err := a.overrideIn(in.Overrides)
	if err != nil {
		return nil, err
	}
	result, err := do[*engine.RunTaskResult](ctx, a.engine, engine.RunTask{
		Cluster: value(in.Cluster), TaskDefinition: value(in.TaskDefinition), Count: int(value(in.Count)),
		Group: value(in.Group), StartedBy: value(in.StartedBy), LaunchType: string(in.LaunchType),
		Tags: tags, Override: override, ClientToken: value(in.ClientToken), ReferenceID: value(in.ReferenceId),
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
