package ecs

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"

	"plimsoll"
)

// endedTasks remembers the tasks that have stopped: they change no more, so none
// of them is described twice. Latest are those that a snapshot shows; Older
// those that are still listed and are not shown.
type endedTasks struct {
	latest map[string]types.Task
	older  map[string]bool
}

// readTasks gives every task of the cluster by ARN.
//
// The tasks that are to run are listed before those that are to stop: a task
// only ever goes from the first list to the second, so that in this order none
// that still holds capacity can slip between the two.
func (c *Cluster) readTasks(ctx context.Context) (map[string]types.Task, error) {
	g, ctx := errgroup.WithContext(ctx)
	var running, stopping gathered[types.Task]
	describe := func(arns []string, into *gathered[types.Task]) {
		for chunk := range slices.Chunk(arns, tasksPerCall) {
			g.Go(func() error {
				tasks, err := c.describeTasks(ctx, chunk)
				into.add(tasks...)
				return err
			})
		}
	}
	ended := c.endedTasks()
	var listed []string
	g.Go(func() error {
		err := c.listTasks(ctx, types.DesiredStatusRunning, func(arns []string) { describe(arns, &running) })
		if err != nil {
			return err
		}
		return c.listTasks(ctx, types.DesiredStatusStopped, func(arns []string) {
			listed = append(listed, arns...)
			describe(slices.DeleteFunc(slices.Clone(arns), ended.has), &stopping)
		})
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	result := map[string]types.Task{}
	for _, t := range running.all {
		result[aws.ToString(t.TaskArn)] = t
	}
	for _, t := range stopping.all { // read later: it overrides the first
		result[aws.ToString(t.TaskArn)] = t
	}
	c.rememberEnded(ended, listed, result)
	return result, nil
}

func (c *Cluster) listTasks(ctx context.Context, desired types.DesiredStatus, visit func(arns []string)) error {
	pages := awsecs.NewListTasksPaginator(c.api, &awsecs.ListTasksInput{
		Cluster: &c.name, DesiredStatus: desired, MaxResults: aws.Int32(listPageSize),
	})
	return eachPage(ctx, c, pages, func(page *awsecs.ListTasksOutput) { visit(page.TaskArns) })
}

func (c *Cluster) describeTasks(ctx context.Context, arns []string) ([]types.Task, error) {
	out, err := call(ctx, c, c.api.DescribeTasks, &awsecs.DescribeTasksInput{
		Cluster: &c.name, Tasks: arns, Include: []types.TaskField{types.TaskFieldTags},
	})
	if err != nil {
		return nil, err
	}
	return out.Tasks, missing("task", len(arns), len(out.Tasks), out.Failures)
}

func (c *Cluster) endedTasks() endedTasks {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (e endedTasks) has(arn string) bool {
	_, latest := e.latest[arn]
	return latest || e.older[arn]
}

// rememberEnded leaves the latest stopped tasks in tasks and drops the older,
// and keeps both in mind for as long as they are listed.
func (c *Cluster) rememberEnded(known endedTasks, listed []string, tasks map[string]types.Task) {
	var stopped []types.Task
	next := endedTasks{latest: map[string]types.Task{}, older: map[string]bool{}}
	for _, arn := range listed {
		if t, ok := known.latest[arn]; ok {
			tasks[arn] = t
		} else if known.older[arn] {
			next.older[arn] = true
		}
	}
	for t := range maps.Values(tasks) {
		if aws.ToString(t.LastStatus) == string(plimsoll.StatusStopped) {
			stopped = append(stopped, t)
		}
	}
	slices.SortFunc(stopped, func(a, b types.Task) int {
		// A task that asked to be counted out is shown for as long as it is listed.
		return cmp.Or(first(released(&a), released(&b)), aws.ToTime(b.StoppedAt).Compare(aws.ToTime(a.StoppedAt)),
			cmp.Compare(aws.ToString(a.TaskArn), aws.ToString(b.TaskArn)))
	})
	for i, t := range stopped {
		arn := aws.ToString(t.TaskArn)
		if i < c.stoppedMax || released(&t) {
			next.latest[arn] = t
			continue
		}
		next.older[arn] = true
		delete(tasks, arn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = next
}

// first orders what is so before what is not.
func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}
