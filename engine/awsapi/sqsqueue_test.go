package awsapi_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// done gives what a call gave, and stops the test if that is an error.
func done[Out any](t testing.TB) func(out Out, err error) Out {
	return func(out Out, err error) Out {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func TestAFIFOSessionByTheSDK(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	url := newQueue(t, e, "line.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	send := func(group, body string) *sqs.SendMessageOutput {
		t.Helper()
		return done[*sqs.SendMessageOutput](t)(client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: &body, MessageGroupId: &group,
		}))
	}
	first := send("a", "one")
	again := send("a", "one")
	second := send("a", "two")
	if *first.MessageId != *again.MessageId || *first.SequenceNumber != *again.SequenceNumber || len(*first.SequenceNumber) != 20 ||
		*second.SequenceNumber <= *first.SequenceNumber {
		t.Errorf("%s %s, again %s, then %s", *first.MessageId, *first.SequenceNumber, *again.SequenceNumber, *second.SequenceNumber)
	}
	ask := &sqs.ReceiveMessageInput{
		QueueUrl: url, ReceiveRequestAttemptId: aws.String("try"), MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	got := done[*sqs.ReceiveMessageOutput](t)(client.ReceiveMessage(t.Context(), ask))
	if len(got.Messages) != 2 || *got.Messages[0].Body != "one" || *got.Messages[1].Body != "two" {
		t.Fatalf("%+v", got.Messages)
	}
	attributes := got.Messages[0].Attributes
	if attributes["MessageGroupId"] != "a" || attributes["SequenceNumber"] != *first.SequenceNumber || len(attributes["MessageDeduplicationId"]) != 64 {
		t.Errorf("%v", attributes)
	}
	repeated := done[*sqs.ReceiveMessageOutput](t)(client.ReceiveMessage(t.Context(), ask))
	if len(repeated.Messages) != 2 || *repeated.Messages[0].ReceiptHandle != *got.Messages[0].ReceiptHandle {
		t.Errorf("%+v", repeated.Messages)
	}
	info := done[*sqs.GetQueueAttributesOutput](t)(client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	}))
	for name, want := range map[string]string{
		"FifoQueue": "true", "ContentBasedDeduplication": "true", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
		"MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "false",
	} {
		if info.Attributes[name] != want {
			t.Errorf("%s is %q, not %q", name, info.Attributes[name], want)
		}
	}
}

func TestDeadLettersGoAndAreMovedBackByTheSDK(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	arn := "arn:aws:sqs:" + region + ":" + account + ":"
	dead := newQueue(t, e, "dead", nil)
	jobs := newQueue(t, e, "jobs", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `dead","maxReceiveCount":"1"}`,
	})
	sources := done[*sqs.ListDeadLetterSourceQueuesOutput](t)(client.ListDeadLetterSourceQueues(t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead}))
	if !slices.Equal(sources.QueueUrls, []string{*jobs}) {
		t.Errorf("%v", sources.QueueUrls)
	}
	done[*sqs.SendMessageOutput](t)(client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: jobs, MessageBody: aws.String("poison")}))
	receive := func(url *string) []types.Message {
		t.Helper()
		return done[*sqs.ReceiveMessageOutput](t)(client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: url, VisibilityTimeout: 1, WaitTimeSeconds: 5, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})).Messages
	}
	if got := receive(jobs); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	got := receive(dead) // after a second
	if len(got) != 1 || got[0].Attributes["DeadLetterQueueSourceArn"] != arn+"jobs" || got[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Fatalf("%+v", got)
	}
	time.Sleep(time.Second) // only what is visible is moved
	task := done[*sqs.StartMessageMoveTaskOutput](t)(client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn + "dead")}))
	if got := receive(jobs); len(got) != 1 || *got[0].Body != "poison" || got[0].Attributes["ApproximateReceiveCount"] != "1" {
		t.Errorf("moved back: %+v", got)
	}
	var result types.ListMessageMoveTasksResultEntry
	for range 100 { // it ends when it has looked again
		listed := done[*sqs.ListMessageMoveTasksOutput](t)(client.ListMessageMoveTasks(t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn + "dead")}))
		if result = listed.Results[0]; *result.Status != "RUNNING" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if *result.Status != "COMPLETED" || result.ApproximateNumberOfMessagesMoved != 1 || *result.ApproximateNumberOfMessagesToMove != 1 ||
		result.TaskHandle != nil || result.StartedTimestamp == 0 {
		t.Errorf("%+v", result)
	}
	_, err := client.CancelMessageMoveTask(t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
	if err == nil || !strings.Contains(err.Error(), "UnsupportedOperation") {
		t.Errorf("cancelling what is over: %v", err)
	}
	for _, bad := range []string{"arn:aws:sqs:eu-west-1:" + account + ":dead", "arn:aws:sqs:" + region + ":999999999999:dead", "dead"} {
		_, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: jobs, Attributes: map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + bad + `","maxReceiveCount":1}`},
		})
		if err == nil || !strings.Contains(err.Error(), "InvalidParameterValue") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTagsAndPermissionsAreKept(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	url := newQueue(t, e, "jobs", nil) // with the tag a=b
	done[*sqs.TagQueueOutput](t)(client.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"team": "red", "a": "c"}}))
	done[*sqs.UntagQueueOutput](t)(client.UntagQueue(t.Context(), &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"a", "none"}}))
	tags := done[*sqs.ListQueueTagsOutput](t)(client.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: url}))
	if !maps.Equal(tags.Tags, map[string]string{"team": "red"}) {
		t.Errorf("%v", tags.Tags)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint("t", i)] = ""
	}
	if _, err := client.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: url, Tags: many}); err == nil {
		t.Error("51 tags were taken")
	}
	policy := func() string {
		return done[*sqs.GetQueueAttributesOutput](t)(client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: url, AttributeNames: []types.QueueAttributeName{"Policy"},
		})).Attributes["Policy"]
	}
	add := &sqs.AddPermissionInput{QueueUrl: url, Label: aws.String("friends"), AWSAccountIds: []string{"111122223333"}, Actions: []string{"SendMessage"}}
	done[*sqs.AddPermissionOutput](t)(client.AddPermission(t.Context(), add))
	want := `{"Version":"2012-10-17","Id":"arn:aws:sqs:us-east-1:123456789012:jobs/SQSDefaultPolicy","Statement":[` +
		`{"Sid":"friends","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root"]},` +
		`"Action":["SQS:SendMessage"],"Resource":"arn:aws:sqs:us-east-1:123456789012:jobs"}]}`
	if got := policy(); got != want {
		t.Errorf("the policy is %s", got)
	}
	if _, err := client.AddPermission(t.Context(), add); err == nil || !strings.Contains(err.Error(), "Already exists") {
		t.Errorf("the same label: %v", err)
	}
	add.Label, add.Actions = aws.String("more"), []string{"Dance"}
	if _, err := client.AddPermission(t.Context(), add); err == nil {
		t.Error("an unknown action was taken")
	}
	remove := &sqs.RemovePermissionInput{QueueUrl: url, Label: aws.String("friends")}
	done[*sqs.RemovePermissionOutput](t)(client.RemovePermission(t.Context(), remove))
	if got := policy(); got != "" {
		t.Errorf("the last permission leaves %s", got)
	}
	if _, err := client.RemovePermission(t.Context(), remove); err == nil {
		t.Error("a label that is not there was removed")
	}
}
