package app_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/app"
)

// change is an event as a receiver reads it.
type change struct {
	Version, ID, Source, Account, Region, Time string
	DetailType                                 string `json:"detail-type"`
	Resources                                  []string
	Detail                                     struct {
		TaskArn, LastStatus, DesiredStatus, CreatedAt, UpdatedAt, EventName, EventType, ClusterArn string
		ContainerInstanceArn, Status, DeploymentID                                                 string
		Version                                                                                    int64
	}
}

// listen makes a queue and a rule that sends it what matches the pattern, and
// gives what reads the events until done says so.
func (s *engineStand) listen(pattern string) func(done func([]change) bool) []change {
	s.t.Helper()
	ctx := s.t.Context()
	queues, rules := sqs.NewFromConfig(s.config("us-east-1")), eventbridge.NewFromConfig(s.config("us-east-1"))
	made, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("events")})
	s.must(err)
	_, err = rules.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("changes"), EventPattern: &pattern})
	s.must(err)
	out, err := rules.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("changes"), Targets: []types.Target{{
		Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:" + app.Account + ":events"),
	}}})
	s.must(err)
	if out.FailedEntryCount != 0 {
		s.t.Fatalf("targets failed: %+v", out.FailedEntries)
	}
	return s.events(*made.QueueUrl)
}

func (s *engineStand) events(url string) func(done func([]change) bool) []change {
	var all []change
	return func(done func([]change) bool) []change {
		s.t.Helper()
		for begin := time.Now(); !done(all); {
			queues := sqs.NewFromConfig(s.config("us-east-1"))
			got, err := queues.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
			s.must(err)
			for _, m := range got.Messages {
				var c change
				s.must(json.Unmarshal([]byte(*m.Body), &c))
				all = append(all, c)
				_, err := queues.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
				s.must(err)
			}
			if time.Since(begin) > 30*time.Second {
				s.t.Fatalf("the events did not come; these did: %+v", all)
			}
		}
		return all
	}
}

// statuses are the last statuses of a task, in the order of its events.
func statuses(all []change, arn string) (list []string) {
	for _, c := range all {
		if c.Detail.TaskArn == arn && (len(list) == 0 || list[len(list)-1] != c.Detail.LastStatus) {
			list = append(list, c.Detail.LastStatus)
		}
	}
	return list
}

func TestATasksLifeIsToldByEventsInOrder(t *testing.T) {
	s := newEngine(t, t.TempDir())
	read := s.listen(`{"source":["aws.ecs"],"detail-type":["ECS Task State Change"]}`)
	c := ecs.NewFromConfig(s.config("us-east-1"))
	arn := s.run(c)
	read(func(all []change) bool { return slices.Contains(statuses(all, arn), "RUNNING") })
	_, err := c.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn})
	s.must(err)
	all := read(func(all []change) bool { return slices.Contains(statuses(all, arn), "STOPPED") })
	got := statuses(all, arn)
	if got[len(got)-1] != "STOPPED" || !slices.Equal(got[:2], []string{"PENDING", "RUNNING"}) {
		t.Errorf("the task was %v", got)
	}
	last := int64(0)
	for _, e := range all {
		if e.Detail.Version <= last {
			t.Errorf("version %d comes after %d", e.Detail.Version, last)
		}
		last = e.Detail.Version
		if e.Version != "0" || len(e.ID) != 36 || e.Source != "aws.ecs" || e.Account != app.Account || e.Region != "us-east-1" ||
			!slices.Equal(e.Resources, []string{arn}) || e.DetailType != "ECS Task State Change" {
			t.Errorf("envelope %+v", e)
		}
		for _, at := range []string{e.Time, e.Detail.CreatedAt, e.Detail.UpdatedAt} {
			if _, err := time.Parse(time.RFC3339, at); err != nil {
				t.Errorf("a time is %q", at)
			}
		}
	}
}

func TestServicesAndHostsTellOfThemselves(t *testing.T) {
	s := newEngine(t, t.TempDir())
	read := s.listen(`{"source":["aws.ecs"],"detail-type":[{"anything-but":"ECS Task State Change"}]}`)
	c := ecs.NewFromConfig(s.config("us-east-1"))
	s.run(c)
	_, err := c.CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: aws.String("web"), TaskDefinition: aws.String("work"), DesiredCount: aws.Int32(2),
	})
	s.must(err)
	names := func(all []change) (list []string) {
		for _, e := range all {
			list = append(list, e.DetailType+" "+e.Detail.EventName+e.Detail.Status)
		}
		return list
	}
	for _, want := range []string{
		"ECS Deployment State Change SERVICE_DEPLOYMENT_IN_PROGRESS", "ECS Deployment State Change SERVICE_DEPLOYMENT_COMPLETED",
		"ECS Service Action SERVICE_STEADY_STATE", "ECS Container Instance State Change ACTIVE",
	} {
		read(func(all []change) bool { return slices.Contains(names(all), want) })
	}
	hosts, err := c.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	s.must(err)
	_, err = c.UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
		ContainerInstances: hosts.ContainerInstanceArns[:1], Status: "DRAINING",
	})
	s.must(err)
	read(func(all []change) bool {
		return slices.Contains(names(all), "ECS Container Instance State Change DRAINING")
	})
}

func TestAFIFOQueueHasTheEventsInOneGroup(t *testing.T) {
	s := newEngine(t, t.TempDir())
	ctx, c := t.Context(), s.config("us-east-1")
	queues, rules := sqs.NewFromConfig(c), eventbridge.NewFromConfig(c)
	made, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("e.fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
	s.must(err)
	_, err = rules.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"detail-type":["ECS Task State Change"]}`)})
	s.must(err)
	target := types.Target{Id: aws.String("q"), Arn: aws.String("arn:aws:sqs:us-east-1:" + app.Account + ":e.fifo")}
	put := func() error {
		_, err := rules.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{target}})
		return err
	}
	if err := put(); code(err) != "ValidationException" {
		t.Errorf("without a group: %v", err)
	}
	target.SqsParameters = &types.SqsParameters{MessageGroupId: aws.String("ecs")}
	s.must(put())
	arn := s.run(ecs.NewFromConfig(c))
	all := s.events(*made.QueueUrl)(func(all []change) bool { return slices.Contains(statuses(all, arn), "RUNNING") })
	if got := statuses(all, arn); !slices.Equal(got, []string{"PENDING", "RUNNING"}) {
		t.Errorf("the task was %v", got)
	}
}

func TestEventsOfARestartedEngineAreNotLost(t *testing.T) {
	state := t.TempDir()
	s := newEngine(t, state)
	s.listen(`{"source":["aws.ecs"]}`)
	arn := s.run(ecs.NewFromConfig(s.config("us-east-1")))
	s.must(s.stop()) // which stops the task: what is told of that is read afterwards
	s = newEngine(t, state)
	got, err := sqs.NewFromConfig(s.config("us-east-1")).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("events")})
	s.must(err)
	all := s.events(*got.QueueUrl)(func(all []change) bool { return slices.Contains(statuses(all, arn), "STOPPED") })
	if got := statuses(all, arn); got[0] != "PENDING" {
		t.Errorf("the task was %v", got)
	}
}

func TestWhatIsPutOnTheBusReachesTheQueuesThatWantIt(t *testing.T) {
	s := newEngine(t, t.TempDir())
	read := s.listen(`{"source":["aws.ec2","shop"],"detail":{"Status":["sold"]}}`)
	entry := func(source, detail string) types.PutEventsRequestEntry {
		return types.PutEventsRequestEntry{Source: &source, DetailType: aws.String("a change"), Detail: &detail, Resources: []string{"thing"}}
	}
	dated := entry("aws.ec2", `{"Status":"sold","TaskArn":"third"}`)
	dated.Time = aws.Time(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	elsewhere := entry("shop", `{}`)
	elsewhere.EventBusName = aws.String("nobody")
	bus := eventbridge.NewFromConfig(s.config("us-east-1"))
	out, err := bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		entry("shop", `{"Status":"sold","TaskArn":"first"}`), entry("shop", `{"Status":"kept"}`), entry("shop", `[1]`),
		entry("", `{}`), elsewhere, dated,
	}})
	s.must(err)
	var codes []string
	for _, e := range out.Entries {
		if (e.EventId == nil) == (e.ErrorCode == nil) {
			t.Errorf("neither taken nor refused, or both: %+v", e)
		}
		codes = append(codes, aws.ToString(e.ErrorCode))
	}
	if want := []string{"", "", "MalformedDetail", "InvalidArgument", "ResourceNotFoundException", ""}; out.FailedEntryCount != 3 || !slices.Equal(codes, want) {
		t.Errorf("%d failed: %q, want %q", out.FailedEntryCount, codes, want)
	}
	all := read(func(all []change) bool { return len(all) >= 2 })
	if len(all) != 2 || all[0].Detail.TaskArn != "first" || all[0].ID != *out.Entries[0].EventId || all[0].Source != "shop" ||
		all[1].Detail.TaskArn != "third" || all[1].Time != "2026-03-01T12:00:00Z" || all[1].Region != "us-east-1" || all[1].Resources[0] != "thing" {
		t.Errorf("heard %+v", all)
	}
	for what, entries := range map[string][]types.PutEventsRequestEntry{
		"none": {}, "eleven": slices.Repeat([]types.PutEventsRequestEntry{dated}, 11),
		"too large": {entry("shop", `{"a":"`+strings.Repeat("a", 1<<20)+`"}`)},
	} {
		if _, err := bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries}); code(err) != "ValidationException" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRulesAreAnsweredAsEventBridgeDoes(t *testing.T) {
	s := newEngine(t, t.TempDir())
	s.listen(`{"source":["aws.ecs"]}`)
	ctx, rules := t.Context(), eventbridge.NewFromConfig(s.config("us-east-1"))
	name, nobody := aws.String("changes"), aws.String("nobody")
	rule, err := rules.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: name})
	s.must(err)
	if *rule.Arn != "arn:aws:events:us-east-1:"+app.Account+":rule/changes" || rule.State != "ENABLED" || *rule.EventBusName != "default" {
		t.Errorf("described %+v", rule)
	}
	_, err = rules.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: name})
	s.must(err)
	list, err := rules.ListRules(ctx, &eventbridge.ListRulesInput{NamePrefix: aws.String("ch")})
	s.must(err)
	targets, err := rules.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: name})
	s.must(err)
	if len(list.Rules) != 1 || list.Rules[0].State != "DISABLED" || len(targets.Targets) != 1 {
		t.Errorf("listed %+v %+v", list.Rules, targets.Targets)
	}
	put := func(in eventbridge.PutRuleInput) error { _, err := rules.PutRule(ctx, &in); return err }
	target := func(arn string) error {
		_, err := rules.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: name, Targets: []types.Target{{Id: aws.String("x"), Arn: &arn}}})
		return err
	}
	_, unknown := rules.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: nobody})
	_, withTargets := rules.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: name})
	for want, errs := range map[string][]error{
		"ResourceNotFoundException": {unknown, put(eventbridge.PutRuleInput{Name: name, EventBusName: nobody, EventPattern: aws.String(`{"a":[1]}`)})},
		"InvalidEventPatternException": {
			put(eventbridge.PutRuleInput{Name: name, EventPattern: aws.String(`{"a":1}`)}),
			put(eventbridge.PutRuleInput{Name: name, EventPattern: aws.String(`{"a":[{"wildcard":"*"}]}`)}),
		},
		"ValidationException": {
			withTargets, put(eventbridge.PutRuleInput{Name: name, ScheduleExpression: aws.String("rate(1 minute)"), EventPattern: aws.String(`{"a":[1]}`)}),
			put(eventbridge.PutRuleInput{Name: aws.String("a b"), EventPattern: aws.String(`{"a":[1]}`)}),
			target("arn:aws:lambda:us-east-1:" + app.Account + ":function:f"), target("arn:aws:sqs:eu-west-1:" + app.Account + ":q"),
		},
	} {
		for i, err := range errs {
			if code(err) != want {
				t.Errorf("%s %d: got %v", want, i, err)
			}
		}
	}
	_, err = rules.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: name, Ids: []string{"queue"}})
	s.must(err)
	_, err = rules.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: name})
	s.must(err)
}
