package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// settleTime is how long the engine has to come to where it has to be.
const settleTime = 60 * time.Second

// verifier compares a started engine with what the oracle knows.
type verifier struct {
	t   *testing.T
	e   *engine
	o   *oracle
	l   ledger
	ecs *ecs.Client
	sqs *sqs.Client
}

func newVerifier(t *testing.T, e *engine, o *oracle, l ledger) *verifier {
	v := &verifier{t: t, e: e, o: o, l: l}
	v.ecs, v.sqs = e.clients(patient)
	return v
}

// check looks at all that was answered. It waits for tasks that have to end, and
// if whole is set for all services too.
func (v *verifier) check(whole bool) error {
	if err := v.resolve(); err != nil {
		return err
	}
	if err := errors.Join(v.families(), v.services(), v.queues()); err != nil {
		return err
	}
	if err := v.settled(); err != nil {
		return err
	}
	if whole {
		if err := v.servicesRun(); err != nil {
			return err
		}
	}
	return v.startedOnce()
}

// resolve finds out what became of the calls that were not answered.
func (v *verifier) resolve() error {
	ctx, cancel := within(v.t)
	defer cancel()
	for token := range v.o.asked {
		for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
			out, err := v.ecs.ListTasks(ctx, &ecs.ListTasksInput{StartedBy: &token, DesiredStatus: status})
			if err != nil {
				return err
			}
			for _, arn := range out.TaskArns {
				v.o.tasks[arn] = &task{arn: arn}
			}
		}
		delete(v.o.asked, token)
	}
	// A StopTask without an answer is asked for again.
	for _, t := range v.o.tasks {
		if t.stop {
			if _, err := v.ecs.StopTask(ctx, &ecs.StopTaskInput{Task: &t.arn}); err != nil {
				return fmt.Errorf("StopTask of %s, again: %w", t.arn, err)
			}
		}
	}
	return nil
}

// families checks that registered revisions are there.
func (v *verifier) families() error {
	ctx, cancel := within(v.t)
	defer cancel()
	for family, revision := range v.o.families {
		name := fmt.Sprint(family, ":", revision)
		if _, err := v.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &name}); err != nil {
			return fmt.Errorf("lost: the answered task definition %s: %w", name, err)
		}
	}
	return nil
}

// services checks the desired counts.
func (v *verifier) services() error {
	ctx, cancel := within(v.t)
	defer cancel()
	for name, d := range v.o.services {
		out, err := v.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Services: []string{name}})
		if err != nil {
			return err
		}
		count := int32(-1)
		if len(out.Services) == 1 {
			count = out.Services[0].DesiredCount
		}
		if !slices.Contains(d.counts, count) {
			return fmt.Errorf("service %s: the desired count is %d; the last answered and those without an answer are %v (-1: it is not there)", name, count, d.counts)
		}
		if d.counts = []int32{count}; count == -1 {
			delete(v.o.services, name)
		}
	}
	return nil
}

// queues checks how many messages there are.
func (v *verifier) queues() error {
	ctx, cancel := within(v.t)
	defer cancel()
	for name, q := range v.o.queues {
		out, err := v.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
		if err != nil {
			return fmt.Errorf("lost: the answered queue %s: %w", name, err)
		}
		n := 0
		for _, which := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
			part, err := strconv.Atoi(out.Attributes[which])
			if err != nil {
				return err
			}
			n += part
		}
		if err := q.counted(n); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// settled waits until each task is where it has to be.
func (v *verifier) settled() error {
	var waits error
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		waits = nil
		arns := v.o.arns()
		for part := range slices.Chunk(arns, 100) {
			ctx, cancel := within(v.t)
			out, err := v.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: part})
			cancel()
			if err != nil {
				return err
			}
			if len(out.Failures) > 0 {
				return fmt.Errorf("lost: an answered task: %s %s", *out.Failures[0].Arn, *out.Failures[0].Reason)
			}
			for _, t := range out.Tasks {
				wait, err := v.judge(t)
				if err != nil {
					return err
				}
				if waits == nil {
					waits = wait
				}
			}
		}
		if waits == nil {
			return nil
		}
	}
	return fmt.Errorf("after %s: %w", settleTime, waits)
}

// judge compares a task with what is known of it. The first error says what is
// still to come, the second what cannot be.
func (v *verifier) judge(t types.Task) (wait, wrong error) {
	known := v.o.tasks[*t.TaskArn]
	status := aws.ToString(t.LastStatus)
	switch {
	case status == "RUNNING" && !known.ends():
		known.seen = true
		return nil, nil
	case status != "STOPPED":
		return fmt.Errorf("task %s is %s; stop asked for: %v, told to end with: %v", id(known.arn), status, known.stop, known.codes), nil
	case !known.ends():
		return nil, fmt.Errorf("lost: task %s is STOPPED (%s), and nobody asked for that", id(known.arn), aws.ToString(t.StoppedReason))
	}
	code := t.Containers[0].ExitCode
	switch {
	case len(known.codes) > 0 && !known.stop && (code == nil || !slices.Contains(known.codes, *code)):
		return nil, fmt.Errorf("task %s ended by itself with one of %v, and the engine says %s (%s)", id(known.arn), known.codes, number(code), aws.ToString(t.StoppedReason))
	case code != nil && *code != 0 && *code != 143 && *code != 137 && !slices.Contains(known.codes, *code):
		return nil, fmt.Errorf("task %s was stopped, told to end with one of %v, and the engine says %s", id(known.arn), known.codes, number(code))
	case code == nil && known.seen:
		return nil, fmt.Errorf("exit code unknown: task %s had been running (%s)", id(known.arn), aws.ToString(t.StoppedReason))
	}
	delete(v.o.tasks, known.arn)
	return nil, nil
}

func number(code *int32) string {
	if code == nil {
		return "nothing"
	}
	return fmt.Sprint(*code)
}

// servicesRun waits until every service has as many tasks as are desired.
func (v *verifier) servicesRun() error {
	names := slices.Collect(func(yield func(string) bool) {
		for name := range v.o.services {
			if !yield(name) {
				return
			}
		}
	})
	if len(names) == 0 {
		return nil
	}
	var waits error
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := within(v.t)
		out, err := v.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Services: names})
		cancel()
		if err != nil {
			return err
		}
		waits = nil
		for _, s := range out.Services {
			if s.RunningCount != s.DesiredCount || s.PendingCount != 0 {
				waits = fmt.Errorf("service %s has %d running and %d pending tasks of %d", *s.ServiceName, s.RunningCount, s.PendingCount, s.DesiredCount)
			}
		}
		if waits == nil {
			return nil
		}
	}
	return fmt.Errorf("after %s: %w", settleTime, waits)
}

// startedOnce checks that no task was started twice, that those that the engine takes for
// RUNNING run as the one process they were started as, and that no other does.
func (v *verifier) startedOnce() error {
	var odd error
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		pids, err := v.l.started()
		if err != nil {
			return err
		}
		running, live, err := v.listed()
		if err != nil {
			return err
		}
		odd = nil
		for id, its := range pids {
			if len(its) > 1 {
				return fmt.Errorf("started twice: task %s as %v", id, its)
			}
			if v.l.alive(id, its[0]) && !live[id] {
				odd = fmt.Errorf("process %d of task %s runs, which the engine takes for stopped or does not know", its[0], id)
			}
		}
		for id := range running {
			// A task is RUNNING before its shell has written itself down.
			if its := pids[id]; len(its) != 1 || !v.l.alive(id, its[0]) {
				odd = fmt.Errorf("task %s is RUNNING and its processes are %v, of which none is alive", id, its)
			}
		}
		if odd == nil {
			return nil
		}
	}
	return odd
}

// listed gives the ids of the tasks that are RUNNING, and of those not STOPPED.
func (v *verifier) listed() (running, live map[string]bool, err error) {
	running, live = map[string]bool{}, map[string]bool{}
	var arns []string
	ctx, cancel := within(v.t)
	defer cancel()
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		pages := ecs.NewListTasksPaginator(v.ecs, &ecs.ListTasksInput{DesiredStatus: status})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, nil, err
			}
			arns = append(arns, page.TaskArns...)
		}
	}
	for part := range slices.Chunk(arns, 100) {
		out, err := v.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: part})
		if err != nil {
			return nil, nil, err
		}
		for _, t := range out.Tasks {
			status := aws.ToString(t.LastStatus)
			live[id(*t.TaskArn)] = status != "STOPPED"
			if status == "RUNNING" && aws.ToString(t.DesiredStatus) == "RUNNING" {
				running[id(*t.TaskArn)] = true
			}
		}
	}
	return running, live, nil
}

// drain receives all messages and compares them one by one.
func (v *verifier) drain() error {
	for name, q := range v.o.queues {
		ctx, cancel := within(v.t)
		got := map[string]bool{}
		for {
			out, err := v.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.url, MaxNumberOfMessages: 10, VisibilityTimeout: 600, WaitTimeSeconds: 2})
			if err != nil {
				cancel()
				return err
			}
			if len(out.Messages) == 0 {
				break
			}
			for _, m := range out.Messages {
				got[*m.Body] = true
			}
		}
		cancel()
		for body := range q.sent {
			if _, gone := q.deleted[body]; !gone && !got[body] {
				return fmt.Errorf("lost: an answered message of %s: %s", name, body)
			}
		}
		for body := range got {
			if q.deleted[body] || !q.sent[body] && !q.maybe[body] {
				return fmt.Errorf("%s has a message that was deleted or never sent: %s", name, body)
			}
		}
	}
	return nil
}

// nothingLeft checks that no process of any task is left, once all have been told
// to stop, and no parent process either.
func nothingLeft(e *engine, l ledger) error {
	pids, err := l.started()
	if err != nil {
		return err
	}
	for id, its := range pids {
		if slices.ContainsFunc(its, func(pid int) bool { return l.alive(id, pid) }) {
			return fmt.Errorf("process %v of task %s is left", its, id)
		}
	}
	if shims := processesNaming(e.state); len(shims) > 0 {
		return fmt.Errorf("processes are left over: %v", shims)
	}
	return nil
}
