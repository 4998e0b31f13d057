package sqs_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/demand/sqs"
	"plimsoll/mototest"
)

// TestAQueueOfMotoIsRead reads a queue of an SQS API that was written by others.
func TestAQueueOfMotoIsRead(t *testing.T) { readsAQueue(t, mototest.Start(t)) }

// readsAQueue follows a queue at an endpoint through the life of its messages.
func readsAQueue(t *testing.T, endpoint string) {
	api := awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""),
	})
	s := open(t, sqs.Options{Queue: "jobs", Delayed: true, Endpoint: endpoint})
	if sample, err := s.Read(t.Context()); err == nil {
		t.Fatalf("sample %+v of a queue that does not exist, want an error", sample)
	}
	made, err := api.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("jobs")})
	if err != nil {
		t.Fatal(err)
	}
	read := func(want float64, detail string) {
		t.Helper()
		sample, err := s.Read(t.Context())
		if err != nil || sample.Value != want || sample.Detail != detail {
			t.Errorf("sample %+v, error %v; want %v: %s", sample, err, want, detail)
		}
	}
	read(0, "0 visible + 0 in flight + 0 delayed")
	for _, delay := range []int32{0, 0, 0, 600} {
		_, err := api.SendMessage(t.Context(), &awssqs.SendMessageInput{
			QueueUrl: made.QueueUrl, MessageBody: aws.String("{}"), DelaySeconds: delay,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read(4, "3 visible + 0 in flight + 1 delayed")
	taken, err := api.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, VisibilityTimeout: 600})
	if err != nil || len(taken.Messages) != 1 {
		t.Fatalf("received %d messages, error %v; want one", len(taken.Messages), err)
	}
	read(4, "2 visible + 1 in flight + 1 delayed")
	_, err = api.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{
		QueueUrl: made.QueueUrl, ReceiptHandle: taken.Messages[0].ReceiptHandle,
	})
	if err != nil {
		t.Fatal(err)
	}
	read(3, "2 visible + 0 in flight + 1 delayed")
}
