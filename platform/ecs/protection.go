package ecs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"

	"plimsoll"
	"plimsoll/platform"
)

// maxProtection is the longest time that ECS protects a task for.
const maxProtection = 2880 * time.Minute

// protection is what was read about the protection of tasks. Replaced has the
// tasks that turned out to be on their way out when that was read: their later
// description, nil if they are gone.
type protection struct {
	until    map[string]time.Time
	replaced map[string]*types.Task
}

// readProtection reads the protection of the tasks for which it is in question:
// those of services, and not yet told to stop.
func (c *Cluster) readProtection(ctx context.Context, tasks map[string]types.Task) (protection, error) {
	var arns []string
	for _, arn := range sortedKeys(tasks) {
		t := tasks[arn]
		if name := serviceOf(&t); name != "" && !isLeaving(&t) && c.protected(name) {
			arns = append(arns, arn)
		}
	}
	until, unsure, err := c.protectedUntil(ctx, arns)
	if err != nil {
		return protection{}, err
	}
	result := protection{until: until}
	result.replaced, err = c.leftMeanwhile(ctx, unsure)
	return result, err
}

// ProtectedUntil reads the protection of tasks of a service.
func (c *Cluster) ProtectedUntil(ctx context.Context, service string, arns []string) (map[string]time.Time, error) {
	until, unsure, err := c.protectedUntil(ctx, arns)
	if err == nil {
		_, err = c.leftMeanwhile(ctx, unsure)
	}
	if err != nil {
		return nil, c.problem(fmt.Sprintf("read the protection of tasks of service %q", service), err)
	}
	return until, nil
}

// protectedUntil gives until when tasks are protected, and those that ECS does not
// tell it of.
func (c *Cluster) protectedUntil(ctx context.Context, arns []string) (map[string]time.Time, []types.Failure, error) {
	g, groupCtx := errgroup.WithContext(ctx)
	var protected gathered[types.ProtectedTask]
	var unsure gathered[types.Failure]
	for chunk := range slices.Chunk(arns, protectionsPerCall) {
		g.Go(func() error {
			out, err := call(groupCtx, c, c.api.GetTaskProtection, &awsecs.GetTaskProtectionInput{
				Cluster: &c.name, Tasks: chunk,
			})
			if err != nil {
				return err
			}
			protected.add(out.ProtectedTasks...)
			unsure.add(out.Failures...)
			if got := len(out.ProtectedTasks) + len(out.Failures); got < len(chunk) {
				return fmt.Errorf("the protection of %d tasks was asked for, that of %d answered", len(chunk), got)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	until := map[string]time.Time{}
	for _, p := range protected.all {
		if p.ProtectionEnabled {
			until[aws.ToString(p.TaskArn)] = aws.ToTime(p.ExpirationDate)
		}
	}
	return until, unsure.all, nil
}

// leftMeanwhile looks again at tasks whose protection could not be read. One
// that has left, or is leaving, needs none; any other fails the snapshot, for
// unknown is not unprotected.
func (c *Cluster) leftMeanwhile(ctx context.Context, failures []types.Failure) (map[string]*types.Task, error) {
	result := map[string]*types.Task{}
	for chunk := range slices.Chunk(failures, tasksPerCall) {
		var arns []string
		for _, f := range chunk {
			arns = append(arns, aws.ToString(f.Arn))
			result[aws.ToString(f.Arn)] = nil
		}
		tasks, err := c.describeTasks(ctx, arns)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if !isLeaving(&t) {
				at := slices.Index(arns, aws.ToString(t.TaskArn))
				if at < 0 {
					at = 0
				}
				return nil, fmt.Errorf("protection of task %q: %s %s", aws.ToString(t.TaskArn),
					aws.ToString(chunk[at].Reason), aws.ToString(chunk[at].Detail))
			}
			result[aws.ToString(t.TaskArn)] = &t
		}
	}
	return result, nil
}

func isLeaving(t *types.Task) bool {
	return aws.ToString(t.DesiredStatus) == string(plimsoll.StatusStopped) ||
		aws.ToString(t.LastStatus) == string(plimsoll.StatusStopped)
}

// Protect protects tasks of a service from scale-in, or ends that. Expires is
// rounded up to whole minutes and at most 48 h; 0 is ECS's default of two hours.
// The error wraps platform.ErrNotFound if a task is unknown; the other tasks
// are done all the same.
func (c *Cluster) Protect(ctx context.Context, service string, arns []string, protecting bool, expires time.Duration) error {
	var minutes *int32
	if protecting && expires != 0 {
		if expires < 0 || expires > maxProtection {
			return fmt.Errorf("service %q: protection for %s: it lasts over 0 and at most %s", service, expires, maxProtection)
		}
		minutes = aws.Int32(int32((expires + time.Minute - 1) / time.Minute))
	}
	var g errgroup.Group
	var problems gathered[error]
	for chunk := range slices.Chunk(arns, protectPerCall) {
		g.Go(func() error {
			out, err := call(ctx, c, c.api.UpdateTaskProtection, &awsecs.UpdateTaskProtectionInput{
				Cluster: &c.name, Tasks: chunk, ProtectionEnabled: protecting, ExpiresInMinutes: minutes,
			})
			if err != nil {
				problems.add(err)
				return nil
			}
			for _, f := range out.Failures {
				problems.add(protectFailure(f))
			}
			return nil
		})
	}
	_ = g.Wait() // all that went wrong is in problems
	if len(problems.all) > 0 {
		return c.problem(fmt.Sprintf("protect tasks of service %q", service), errors.Join(problems.all...))
	}
	return nil
}

func protectFailure(f types.Failure) error {
	arn, reason := aws.ToString(f.Arn), aws.ToString(f.Reason)
	if reason == "MISSING" {
		return fmt.Errorf("task %q: %w", arn, platform.ErrNotFound)
	}
	return fmt.Errorf("task %q: %s %s", arn, reason, aws.ToString(f.Detail))
}
