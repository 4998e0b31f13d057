package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

var runs = flag.Int("runs", 200, "how often each start is measured")

const eager = `behavior: {scaleDown: {stabilizationWindow: 0s}, cooldown: 0s}`

// BenchmarkMessageToRunning: a message is sent to the queue of a service at
// zero; the time until its task is RUNNING, by the task's own startedAt.
func BenchmarkMessageToRunning(b *testing.B) {
	p := up(b, `
name: bench
services:
  worker:
    command: `+trapper+`
    x-plimsoll:
      priority: 1
      min: 0
      max: 1
      `+eager+`
      triggers: [{type: aws-sqs-queue, queue: jobs, queueLength: 1, interval: 100ms}]
`)
	ctx := context.Background()
	queue, err := p.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: new("jobs")})
	if err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for range *runs {
		p.await("an empty service", func() bool { return len(p.tasks("worker")) == 0 })
		sent := time.Now()
		if _, err := p.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: new("job")}); err != nil {
			b.Fatal(err)
		}
		var running []task
		p.await("a running task", func() bool { running = p.running("worker"); return len(running) == 1 })
		times = append(times, running[0].StartedAt.Sub(sent))
		got, err := p.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl})
		if err != nil || len(got.Messages) != 1 {
			b.Fatalf("received %d messages: %v", len(got.Messages), err)
		}
		if _, err := p.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: got.Messages[0].ReceiptHandle}); err != nil {
			b.Fatal(err)
		}
	}
	report(b, times, "")
}

// BenchmarkRequestAtZeroToRunning: a request comes for a service at zero; the
// time until its task is RUNNING, and until the request is answered. Several
// services take turns, because each needs a while to be at zero again.
func BenchmarkRequestAtZeroToRunning(b *testing.B) {
	const services = 10
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	file := "name: bench\nservices:\n"
	for i := range services {
		file += fmt.Sprintf(`
  web-%[1]d:
    command: [%[2]q]
    environment: {BENCH_ROLE: web}
    ports: ["8080"]
    x-plimsoll:
      priority: 1
      min: 0
      max: 1
      route: {host: web-%[1]d.localhost, path: /}
      %[3]s
      triggers: [{type: router, concurrency: 1}]
`, i, self, eager)
	}
	p := up(b, file)
	var times, answers []time.Duration
	for i := range *runs {
		service := fmt.Sprintf("web-%d", i%services)
		p.await("an empty service", func() bool { return len(p.tasks(service)) == 0 })
		seen := make(chan time.Time, 1)
		go func() { // the task may be gone again soon after the answer
			p.await("a running task", func() bool {
				running := p.running(service)
				if len(running) == 1 {
					seen <- running[0].StartedAt
				}
				return len(running) == 1
			})
		}()
		sent := time.Now()
		p.get(service + ".localhost")
		answers = append(answers, time.Since(sent))
		times = append(times, (<-seen).Sub(sent))
	}
	report(b, times, "")
	report(b, answers, "answer-")
}

// BenchmarkFiftyTasksMove: on a full cluster 50 tasks of priority 3 make place
// for 50 of priority 1: stop, see it free, start.
func BenchmarkFiftyTasksMove(b *testing.B) {
	p := up(b, `
name: bench
x-plimsoll: {hosts: {count: 5, zones: 5, cpu: 1000, memory: 1000M}, eviction: {quiet: 0s}}
services:
  first:
    command: `+trapper+`
    deploy: {resources: {reservations: {cpus: "0.09765625", memory: 100M}}}
    x-plimsoll: {priority: 1, min: 0, max: 50, `+eager+`, triggers: [{type: cron, start: "0 0 29 2 *", end: "1 0 29 2 *", desiredReplicas: 1}]}
  last:
    command: `+trapper+`
    deploy: {resources: {reservations: {cpus: "0.09765625", memory: 100M}}}
    x-plimsoll: {priority: 3, min: 0, max: 50, remainder: true}
`)
	var times []time.Duration
	for range max(*runs/20, 1) {
		p.await("a full cluster", func() bool { return len(p.running("last")) == 50 && len(p.tasks("first")) == 0 })
		asked := time.Now()
		p.floor("first", 50)
		var running []task
		p.await("the move", func() bool { running = p.running("first"); return len(running) == 50 })
		end := asked
		for _, t := range running {
			if t.StartedAt.After(end) {
				end = t.StartedAt
			}
		}
		times = append(times, end.Sub(asked))
		p.floor("first", 0)
	}
	report(b, times, "")
}

// startTimes waits until all tasks run and gives the time from each call to
// its task's startedAt.
func startTimes(b *testing.B, p *program, arns []string, sentAt []time.Time) []time.Duration {
	b.Helper()
	var times []time.Duration
	for len(arns) > 0 {
		n := min(len(arns), 100)
		var out *ecs.DescribeTasksOutput
		p.await("running tasks", func() bool {
			var err error
			if out, err = p.ecs.DescribeTasks(context.Background(), &ecs.DescribeTasksInput{Tasks: arns[:n]}); err != nil {
				b.Fatal(err)
			}
			for _, t := range out.Tasks {
				if t.StartedAt == nil {
					return false
				}
			}
			return true
		})
		started := map[string]time.Time{}
		for _, t := range out.Tasks {
			started[*t.TaskArn] = *t.StartedAt
		}
		for i, arn := range arns[:n] {
			times = append(times, started[arn].Sub(sentAt[i]))
		}
		arns, sentAt = arns[n:], sentAt[n:]
	}
	return times
}

// each calls f so many times from so many clients.
func each(b *testing.B, clients, times int, f func() error) {
	b.Helper()
	calls := make(chan struct{}, times)
	for range times {
		calls <- struct{}{}
	}
	close(calls)
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for range calls {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
}
