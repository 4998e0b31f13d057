// Package sqs lets workers take their messages from Amazon SQS, or from anything
// that speaks its API, as Plimsoll's engine does. It must not know what is done
// with the messages.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"plimsoll/worker"
)

// API is what is used of the SDK's client; *sqs.Client is one.
type API interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Options make a Queue.
type Options struct {
	// Queue is the queue's URL, or its name in the account. Required.
	Queue string
	// API is the client; nil makes one of the AWS environment, where
	// AWS_ENDPOINT_URL may name Plimsoll's engine.
	API API
}

// Queue is a worker.Queue, and a worker.Outbox.
type Queue struct {
	api  API
	name string

	mu  sync.Mutex
	url string
}

var (
	_ worker.Queue  = (*Queue)(nil)
	_ worker.Outbox = (*Queue)(nil)
)

// New gives the queue; it makes no call to it.
func New(ctx context.Context, o Options) (*Queue, error) {
	if o.Queue == "" {
		return nil, errors.New("sqs: no queue is named: give its URL or its name")
	}
	q := &Queue{api: o.API, name: o.Queue}
	if strings.Contains(o.Queue, "://") {
		q.url = o.Queue
	}
	if q.api == nil {
		settings, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("sqs: AWS settings: %w", err)
		}
		if settings.Region == "" {
			return nil, errors.New("sqs: no AWS region: set AWS_REGION, or region in the AWS profile")
		}
		q.api = sqs.NewFromConfig(settings)
	}
	return q, nil
}

// queueURL asks once for the URL of a queue that is given by name.
func (q *Queue) queueURL(ctx context.Context) (string, error) {
	q.mu.Lock()
	known := q.url
	q.mu.Unlock()
	if known != "" {
		return known, nil
	}
	found, err := q.api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &q.name})
	if err != nil {
		return "", fmt.Errorf("queue %q: %w", q.name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.url = aws.ToString(found.QueueUrl)
	return q.url, nil
}

// Receive implements worker.Queue; it waits for whole seconds, at most 20.
func (q *Queue) Receive(ctx context.Context, wait, hide time.Duration) (*worker.Message, error) {
	url, err := q.queueURL(ctx)
	if err != nil {
		return nil, err
	}
	got, err := q.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 1,
		WaitTimeSeconds: min(seconds(wait), 20), VisibilityTimeout: seconds(hide),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("queue %q: %w", q.name, err)
	}
	if len(got.Messages) == 0 {
		return nil, nil
	}
	m := message(got.Messages[0])
	return &m, nil
}

func message(m types.Message) worker.Message {
	out := worker.Message{
		ID: aws.ToString(m.MessageId), Body: aws.ToString(m.Body), Receipt: aws.ToString(m.ReceiptHandle),
		System: m.Attributes, Attributes: make(map[string]string, len(m.MessageAttributes)),
	}
	for name, a := range m.MessageAttributes {
		out.Attributes[name] = aws.ToString(a.StringValue)
		if a.StringValue == nil {
			out.Attributes[name] = string(a.BinaryValue)
		}
	}
	if n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]); err == nil {
		out.Receives = n
	}
	return out
}

// Hide implements worker.Queue, in whole seconds, rounded up.
func (q *Queue) Hide(ctx context.Context, m worker.Message, d time.Duration) error {
	url, err := q.queueURL(ctx)
	if err != nil {
		return err
	}
	_, err = q.api.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &url, ReceiptHandle: &m.Receipt, VisibilityTimeout: seconds(d),
	})
	return q.problem(err)
}

// Delete implements worker.Queue.
func (q *Queue) Delete(ctx context.Context, m worker.Message) error {
	url, err := q.queueURL(ctx)
	if err != nil {
		return err
	}
	_, err = q.api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &m.Receipt})
	return q.problem(err)
}

// Send implements worker.Outbox, for a standard queue.
func (q *Queue) Send(ctx context.Context, body string) error {
	url, err := q.queueURL(ctx)
	if err != nil {
		return err
	}
	if _, err := q.api.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
		return fmt.Errorf("queue %q: %w", q.name, err)
	}
	return nil
}

// problem marks the errors that mean that the message is another's by now. SQS
// has no one code for that.
func (q *Queue) problem(err error) error {
	if err == nil {
		return nil
	}
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		switch code := refusal.ErrorCode(); {
		case strings.Contains(code, "MessageNotInflight"), strings.Contains(code, "ReceiptHandleIsInvalid"),
			strings.Contains(code, "InvalidParameterValue"):
			return fmt.Errorf("queue %q: %w: %w", q.name, worker.ErrLost, err)
		}
	}
	return fmt.Errorf("queue %q: %w", q.name, err)
}

// seconds rounds up: a time of 0 would hide nothing.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }
