package ecsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// maxProtection is the longest protection, in minutes.
const maxProtection = 2880

func (a *api) updateTaskProtection(ctx context.Context, call *awsapi.Call, in *ecs.UpdateTaskProtectionInput) (*ecs.UpdateTaskProtectionOutput, error) {
	if !call.Given("protectionEnabled") {
		return nil, awsapi.Refuse(codeInvalid, "protectionEnabled is required.")
	}
	result, err := protect(ctx, a.engine, value(in.Cluster), in.Tasks, in.ProtectionEnabled, in.ExpiresInMinutes)
	if err != nil {
		return nil, err
	}
	out := &ecs.UpdateTaskProtectionOutput{ProtectedTasks: []types.ProtectedTask{}, Failures: failures(result.Failures)}
	for _, t := range result.Tasks {
		out.ProtectedTasks = append(out.ProtectedTasks, protectedOut(t, in.ProtectionEnabled))
	}
	return out, nil
}

// protect is what UpdateTaskProtection and the tasks' own endpoint have in
// common. Minutes is nil for the default.
func protect(ctx context.Context, e Engine, cluster string, tasks []string, enabled bool, minutes *int32) (*engine.ProtectionResult, error) {
	c := engine.UpdateTaskProtection{Cluster: cluster, Tasks: tasks, Enabled: enabled}
	if enabled && minutes != nil {
		if *minutes < 1 || *minutes > maxProtection {
			return nil, awsapi.Refuse(codeInvalid, "expiresInMinutes %d is invalid: 1 to %d is allowed.", *minutes, maxProtection)
		}
		c.Expires = time.Duration(*minutes) * time.Minute
	}
	return do[*engine.ProtectionResult](ctx, e, c)
}

// protectedOut tells of a task's protection.
func protectedOut(t *engine.Task, enabled bool) types.ProtectedTask {
	out := types.ProtectedTask{TaskArn: &t.ARN, ProtectionEnabled: enabled}
	if enabled {
		out.ExpirationDate = moment(t.ProtectedUntil)
	}
	return out
}

func (a *api) getTaskProtection(_ context.Context, _ *awsapi.Call, in *ecs.GetTaskProtectionInput) (*ecs.GetTaskProtectionOutput, error) {
	if err := count("Tasks", in.Tasks, 100); err != nil {
		return nil, err
	}
	out := &ecs.GetTaskProtectionOutput{ProtectedTasks: []types.ProtectedTask{}, Failures: []types.Failure{}}
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		for _, name := range in.Tasks {
			t, ok := v.Task(c.Name, name)
			if !ok {
				out.Failures = append(out.Failures, missing(arnOf(v, "task", c.Name, name)))
				continue
			}
			if failure := unprotectable(t); failure != nil {
				out.Failures = append(out.Failures, *failure)
				continue
			}
			out.ProtectedTasks = append(out.ProtectedTasks, protectedOut(t, t.Protected(a.now())))
		}
		return nil
	})
	return out, err
}

// unprotectable is the failure for a task that cannot have a protection.
func unprotectable(t *engine.Task) *types.Failure {
	detail := ""
	switch {
	case t.Service == "":
		detail = "The task is not part of a service."
	case !live(t):
		detail = "The task has stopped."
	default:
		return nil
	}
	return &types.Failure{Arn: &t.ARN, Reason: of("TASK_NOT_VALID"), Detail: &detail}
}
