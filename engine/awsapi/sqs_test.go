package awsapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

func newQueue(t testing.TB, e *endpoint, name string, attributes map[string]string) *string {
	t.Helper()
	out, err := e.sqs().CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: &name, Attributes: attributes, Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := e.url + "/" + account + "/" + name; *out.QueueUrl != want {
		t.Fatalf("the queue's URL is %s, want %s", *out.QueueUrl, want)
	}
	return out.QueueUrl
}

// The SDK's client checks the MD5s of bodies by itself.
func TestAQueueSessionByTheSDK(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	url := newQueue(t, e, "jobs", map[string]string{"VisibilityTimeout": "45"})
	sent, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String("hello <&> ☃"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"kind":    {DataType: aws.String("String"), StringValue: aws.String("tile")},
			"size.w":  {DataType: aws.String("Number"), StringValue: aws.String("7")},
			"content": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: url, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil || len(got.Messages) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	m := got.Messages[0]
	if *m.Body != "hello <&> ☃" || *m.MessageId != *sent.MessageId || *m.MD5OfMessageAttributes != *sent.MD5OfMessageAttributes ||
		string(m.MessageAttributes["content"].BinaryValue) != "\x00\x01" || *m.MessageAttributes["size.w"].StringValue != "7" {
		t.Errorf("received %+v", m)
	}
	if m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["SenderId"] != account ||
		!strings.HasPrefix(m.Attributes["AWSTraceHeader"], "Root=") || m.Attributes["SentTimestamp"] == "" ||
		m.Attributes["ApproximateFirstReceiveTimestamp"] == "" {
		t.Errorf("attributes %v", m.Attributes)
	}
	attributes, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "1",
		"ApproximateNumberOfMessagesDelayed": "0", "VisibilityTimeout": "45", "MessageRetentionPeriod": "345600",
		"QueueArn": "arn:aws:sqs:us-east-1:123456789012:jobs",
	} {
		if attributes.Attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, attributes.Attributes[name], want)
		}
	}
	if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	if d := e.queues.Depth("jobs"); d.InFlight+d.Visible+d.Delayed != 0 {
		t.Errorf("after the deletion: %+v", d)
	}
	if _, err := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	var gone *types.QueueDoesNotExist
	if _, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url}); !errors.As(err, &gone) {
		t.Errorf("got %v", err)
	}
}

func TestBatchesTellOfEachEntry(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	url := newQueue(t, e, "jobs", nil)
	sent, err := client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("one")},
		{Id: aws.String("b"), MessageBody: aws.String("\x01")},
		{Id: aws.String("c"), MessageBody: aws.String("later"), DelaySeconds: 900},
		{Id: aws.String("d"), MessageBody: aws.String("fifo"), MessageDeduplicationId: aws.String("g")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(sent.Successful) != 2 || len(sent.Failed) != 2 {
		t.Fatalf("%+v", sent)
	}
	for _, failed := range sent.Failed {
		if !failed.SenderFault || *failed.Message == "" || *failed.Code == "" {
			t.Errorf("%s: %s %s", *failed.Id, *failed.Code, *failed.Message)
		}
	}
	if d := e.queues.Depth("jobs"); d.Visible != 1 || d.Delayed != 1 {
		t.Errorf("%+v", d)
	}
	got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10})
	if err != nil || len(got.Messages) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	handle := got.Messages[0].ReceiptHandle
	changed, err := client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("a"), ReceiptHandle: handle, VisibilityTimeout: 600},
			{Id: aws.String("b"), ReceiptHandle: handle, VisibilityTimeout: 50000},
		},
	})
	if err != nil || len(changed.Successful) != 1 || *changed.Failed[0].Code != "InvalidParameterValue" {
		t.Fatalf("%+v, %v", changed, err)
	}
	deleted, err := client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{
		QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("a"), ReceiptHandle: handle}, {Id: aws.String("b"), ReceiptHandle: aws.String("x")},
		},
	})
	if err != nil || len(deleted.Successful) != 1 || *deleted.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Fatalf("%+v, %v", deleted, err)
	}
}

func TestZeroIsNotAbsenceInAReceive(t *testing.T) {
	e := newEndpoint(t)
	url := newQueue(t, e, "jobs", map[string]string{"ReceiveMessageWaitTimeSeconds": "20", "DelaySeconds": "900"})
	// The Go client leaves zeros out, as boto3 and the CLI do not: say them.
	post := func(operation, body string) (int, string) {
		s := validSigning()
		s.keys = aws.Credentials{AccessKeyID: e.keys.AccessKeyID, SecretAccessKey: e.keys.Secret}
		s.service, s.target, s.body, s.at = "sqs", "AmazonSQS."+operation, body, time.Now()
		r := s.request(t)
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", strings.TrimPrefix(e.url, "http://")
		r.Header.Set("X-Amzn-Query-Mode", "true")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("x-amzn-query-error")
	}
	if status, _ := post("SendMessage", fmt.Sprintf(`{"QueueUrl":%q,"MessageBody":"a","DelaySeconds":0}`, *url)); status != http.StatusOK {
		t.Fatal(status)
	}
	if d := e.queues.Depth("jobs"); d.Visible != 1 {
		t.Errorf("a delay of 0 against the queue's 900: %+v", d)
	}
	for range 2 { // the second would wait 20 s, were 0 taken for absent
		body := fmt.Sprintf(`{"QueueUrl":%q,"WaitTimeSeconds":0,"VisibilityTimeout":0,"MaxNumberOfMessages":1}`, *url)
		if status, _ := post("ReceiveMessage", body); status != http.StatusOK {
			t.Fatal(status)
		}
		if d := e.queues.Depth("jobs"); d.Visible != 1 {
			t.Errorf("a visibility of 0: %+v", d)
		}
	}
	if status, code := post("ReceiveMessage", fmt.Sprintf(`{"QueueUrl":%q,"MaxNumberOfMessages":0}`, *url)); status != http.StatusBadRequest ||
		code != "InvalidParameterValue;Sender" {
		t.Errorf("no messages at most: %d %q", status, code)
	}
}

func TestQueuesAreListedByPages(t *testing.T) {
	e := newEndpoint(t)
	for i := range 5 {
		newQueue(t, e, fmt.Sprint("q", i), nil)
	}
	newQueue(t, e, "other", nil)
	var urls []string
	pages := sqs.NewListQueuesPaginator(e.sqs(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("q"), MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.QueueUrls) > 2 {
			t.Errorf("a page of %d", len(page.QueueUrls))
		}
		urls = append(urls, page.QueueUrls...)
	}
	if len(urls) != 5 || !strings.HasSuffix(urls[4], "/q4") {
		t.Errorf("got %v", urls)
	}
}

func TestErrorsOfSQSHaveBothTheirNames(t *testing.T) {
	e := newEndpoint(t)
	client := e.sqs()
	url := newQueue(t, e, "jobs", nil)
	missing := aws.String(e.url + "/" + account + "/none")
	entry := types.SendMessageBatchRequestEntry{Id: aws.String("a"), MessageBody: aws.String("x")}
	big := types.SendMessageBatchRequestEntry{Id: aws.String("b"), MessageBody: aws.String(strings.Repeat("x", 1<<20))}
	batch := func(entries ...types.SendMessageBatchRequestEntry) error {
		_, err := client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
		return err
	}
	for name, test := range map[string]struct {
		call func() error
		code string
	}{
		"no queue": {func() error {
			_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: missing, MessageBody: aws.String("x")})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue"},
		"no queue by name": {func() error {
			_, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue"},
		"another account's": {func() error {
			_, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: aws.String(e.url + "/999999999999/jobs")})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue"},
		"a bad handle": {func() error {
			_, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("x")})
			return err
		}, "ReceiptHandleIsInvalid"},
		"a bad wait": {func() error {
			_, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 21})
			return err
		}, "InvalidParameterValue"},
		"an unknown attribute": {func() error {
			_, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"X": "1"}})
			return err
		}, "InvalidAttributeName"},
		"no entries":       {func() error { return batch([]types.SendMessageBatchRequestEntry{}...) }, "AWS.SimpleQueueService.EmptyBatchRequest"},
		"the same entry":   {func() error { return batch(entry, entry) }, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		"too many entries": {func() error { return batch(slices.Repeat([]types.SendMessageBatchRequestEntry{entry}, 11)...) }, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		"too large":        {func() error { return batch(entry, big) }, "AWS.SimpleQueueService.BatchRequestTooLong"},
		"a bad id": {func() error {
			return batch(types.SendMessageBatchRequestEntry{Id: aws.String("a b"), MessageBody: aws.String("x")})
		}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
	} {
		var refused smithy.APIError
		if err := test.call(); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want %s", name, err, test.code)
		} else if refused.ErrorCode() != test.code || refused.ErrorFault() == smithy.FaultServer {
			t.Errorf("%s: got %s (%s), want %s", name, refused.ErrorCode(), refused.ErrorMessage(), test.code)
		}
	}
}

// BenchmarkSendOverHTTP is durable sends in batches of ten by the SDK's client:
// messages/s.
func BenchmarkSendOverHTTP(b *testing.B) {
	e := newEndpoint(b)
	client := e.sqs()
	url := newQueue(b, e, "jobs", nil)
	var entries []types.SendMessageBatchRequestEntry
	for i := range 10 {
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(strings.Repeat("x", 256)),
		})
	}
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.SendMessageBatch(b.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N*len(entries))/b.Elapsed().Seconds(), "messages/s")
}
