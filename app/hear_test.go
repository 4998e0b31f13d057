package app_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll/app"
	platformecs "plimsoll/platform/ecs"
)

func TestThePlatformHearsOfItsClusterAlone(t *testing.T) {
	s := newEngine(t, t.TempDir())
	c := s.config("us-east-1")
	other := "other"
	_, err := ecs.NewFromConfig(c).CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: &other})
	s.must(err)
	heard, interrupted := make(chan struct{}, 100), make(chan string, 100)
	events := func(cluster string) *platformecs.Events {
		e, err := platformecs.NewEvents(t.Context(), platformecs.EventsOptions{
			Queue: "plimsoll-" + cluster, Cluster: cluster, Endpoint: s.url, Region: c.Region, Credentials: c.Credentials,
			Hear: func(event string) (keep bool) {
				if strings.Contains(event, "aws.ec2") {
					interrupted <- event
				}
				return false
			},
		})
		s.must(err)
		return e
	}
	mine, others := events("default"), events(other)
	for range 2 { // it can be said again
		s.must(mine.Ensure(t.Context()))
	}
	s.must(others.Ensure(t.Context()))
	s.must(events("default").Ensure(t.Context())) // and by the next process
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { mine.Listen(ctx, func() { heard <- struct{}{} }); close(done) }()
	s.run(ecs.NewFromConfig(c))
	select {
	case <-heard:
	case <-time.After(30 * time.Second):
		t.Error("nothing was heard of the task")
	}
	queues := sqs.NewFromConfig(c)
	url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("plimsoll-other")})
	s.must(err)
	got, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"}})
	s.must(err)
	if n := got.Attributes["ApproximateNumberOfMessages"]; n != "0" {
		t.Errorf("the other cluster was told of %s changes that are not its own", n)
	}
	s.takeAway("i-1")
	select {
	case event := <-interrupted:
		if !strings.Contains(event, `"instance-id":"i-1"`) {
			t.Errorf("heard %s, not of i-1", event)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing was heard of the spot instance's end")
	}
	cancel()
	<-done
	rules, err := eventbridge.NewFromConfig(c).ListRules(t.Context(), &eventbridge.ListRulesInput{NamePrefix: aws.String("plimsoll-")})
	s.must(err)
	if len(rules.Rules) != 2 {
		t.Errorf("rules %+v", rules.Rules)
	}
}

// takeAway says, as EC2 would two minutes before, that an instance is taken away.
func (s *engineStand) takeAway(instance string) {
	s.t.Helper()
	out, err := eventbridge.NewFromConfig(s.config("us-east-1")).PutEvents(s.t.Context(), &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		Source: aws.String("aws.ec2"), DetailType: aws.String("EC2 Spot Instance Interruption Warning"),
		Resources: []string{"arn:aws:ec2:us-east-1a:instance/" + instance},
		Detail:    aws.String(`{"instance-id":"` + instance + `","instance-action":"terminate"}`),
	}}})
	if err != nil || out.FailedEntryCount > 0 {
		s.t.Fatalf("the notice: %v %+v", err, out)
	}
}

// What the first process knows of a notice ends with it.
func TestANoticeOutlivesTheProcessThatHasReadIt(t *testing.T) {
	t.Parallel()
	s := newEngine(t, t.TempDir())
	c := s.config("us-east-1")
	queues := sqs.NewFromConfig(c)
	left := func() string { // messages in the queue, seen or not
		url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("plimsoll-events")})
		s.must(err)
		got, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"}})
		s.must(err)
		return got.Attributes["ApproximateNumberOfMessages"] + "+" + got.Attributes["ApproximateNumberOfMessagesNotVisible"]
	}
	// listen runs a process until it has heard of the notice, and the queue is as it is
	// to be then.
	listen := func(keep bool, then string, begun func()) {
		t.Helper()
		noted := make(chan struct{}, 100)
		e, err := platformecs.NewEvents(t.Context(), platformecs.EventsOptions{
			Queue: "plimsoll-events", Cluster: "default", Endpoint: s.url, Region: c.Region, Credentials: c.Credentials,
			Hear: func(string) bool { noted <- struct{}{}; return keep },
		})
		s.must(err)
		s.must(e.Ensure(t.Context()))
		begun()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { e.Listen(ctx, func() {}); close(done) }()
		defer func() { cancel(); <-done }()
		select {
		case <-noted:
		case <-time.After(time.Minute):
			t.Fatal("nothing was heard of the spot instance's end")
		}
		for end := time.Now().Add(time.Minute); left() != then; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s messages are in the queue, and in flight; want %s", left(), then)
			}
		}
	}
	listen(true, "0+1", func() { s.takeAway("i-1") })
	listen(false, "0+0", func() {})
}

func TestARunWithAnEventsQueueHearsOfTheCluster(t *testing.T) {
	s := newEngine(t, t.TempDir())
	c := s.config("us-east-1")
	s.environment(c)
	file := filepath.Join(t.TempDir(), "compose.yaml")
	s.must(os.WriteFile(file, []byte("name: default\nservices: {web: {command: [sleep, '9']}}\n"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.RunOptions{
			Platform: "ecs", Cluster: "default", File: file, EventsQueue: "changes", Out: io.Discard, Log: slog.New(slog.DiscardHandler),
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	queues := sqs.NewFromConfig(c)
	figure := func(name types.QueueAttributeName) string {
		url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("changes")})
		if err != nil {
			return "" // not there yet
		}
		got, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []types.QueueAttributeName{name}})
		s.must(err)
		return got.Attributes[string(name)]
	}
	rules := func() int {
		got, err := eventbridge.NewFromConfig(c).ListRules(t.Context(), &eventbridge.ListRulesInput{})
		s.must(err)
		return len(got.Rules)
	}
	await := func(what string, so func() bool) {
		t.Helper()
		for range 300 {
			if so() {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("%s: not within 30 s", what)
	}
	await("the rule is there", func() bool { return rules() == 1 })
	s.run(ecs.NewFromConfig(c))
	for _, name := range []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible} {
		await("what came is read and deleted", func() bool { return figure(name) == "0" })
	}
}
