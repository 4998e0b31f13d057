package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll"
)

// ReleasesOptions make Releases. Queue and Release are always required.
type ReleasesOptions struct {
	// Queue is the URL or the name of a queue that is there.
	Queue string
	// Release counts the task of an ARN out.
	Release func(ctx context.Context, task string) error
	// Again tells whether an error of Release passes by itself: the message is
	// then left to come again.
	Again func(error) bool
	// Endpoint, Region and Credentials are as in Options.
	Endpoint    string
	Region      string
	Credentials aws.CredentialsProvider
	Log         *slog.Logger
}

// Releases reads the messages of tasks that release themselves:
// {"release": "TASK ARN"}.
//
// A message is the task's own if SQS says so. SQS notes who has sent a message
// (SenderId); of the credentials of a task's role that is ROLE-ID:TASK-ID, which
// the sender cannot choose, as long as the role trusts ECS tasks alone. A message
// of anybody else is refused.
type Releases struct {
	o      ReleasesOptions
	queues *sqs.Client
	url    string
}

// NewReleases gives a reader, and fails where the queue is not there.
func NewReleases(ctx context.Context, o ReleasesOptions) (*Releases, error) {
	if o.Queue == "" || o.Release == nil {
		return nil, errors.New("ecs: releases need a queue and somebody to count them")
	}
	if o.Again == nil {
		o.Again = func(error) bool { return true }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	cfg, err := awsConfig(ctx, o.Region, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("ecs: %w", err)
	}
	if o.Endpoint != "" {
		cfg.BaseEndpoint = &o.Endpoint
	}
	r := &Releases{o: o, queues: sqs.NewFromConfig(cfg), url: o.Queue}
	if !strings.Contains(o.Queue, "://") {
		found, err := r.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &o.Queue})
		if err != nil {
			return nil, fmt.Errorf("releases queue %q: %w", o.Queue, err)
		}
		r.url = aws.ToString(found.QueueUrl)
	}
	return r, nil
}

// Listen counts the tasks out until ctx ends. Errors are logged and tried again.
func (r *Releases) Listen(ctx context.Context) {
	wait := firstRelisten
	for ctx.Err() == nil {
		err := r.poll(ctx)
		if err == nil {
			wait = firstRelisten
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.o.Log.Warn("the releases queue cannot be read", "queue", r.o.Queue, "again in", wait, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRelisten)
	}
}

func (r *Releases) poll(ctx context.Context) error {
	out, err := r.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &r.url, MaxNumberOfMessages: pollMessages, WaitTimeSeconds: pollSeconds,
		MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameSenderId},
	})
	if err != nil {
		return err
	}
	for _, m := range out.Messages {
		if again := r.take(ctx, m); again != nil {
			r.o.Log.Info("a release will be tried again", "message", aws.ToString(m.MessageId), "error", again)
			continue // it comes again when it is no longer hidden
		}
		if _, err := r.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &r.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return err // it is taken twice, which counts once
		}
	}
	return nil
}

// take carries one message out. An error means that it is to come again; what
// nothing can come of is logged and done with.
func (r *Releases) take(ctx context.Context, m sqstypes.Message) error {
	task, err := releasedTask(aws.ToString(m.Body), m.Attributes[string(sqstypes.MessageSystemAttributeNameSenderId)])
	if err != nil {
		r.o.Log.Warn("a release is refused", "message", aws.ToString(m.MessageId), "error", err)
		return nil
	}
	err = r.o.Release(ctx, task)
	if err == nil || r.o.Again(err) {
		return err
	}
	r.o.Log.Info("a task is not counted out", "task", task, "error", err)
	return nil
}

// releasedTask is the ARN of the task that a message releases, if that task has
// sent it.
func releasedTask(body, sender string) (string, error) {
	var message struct {
		Release string `json:"release"`
	}
	if err := json.Unmarshal([]byte(body), &message); err != nil || !strings.Contains(message.Release, ":task/") {
		return "", fmt.Errorf("the message %.200q is not {\"release\": \"TASK ARN\"}", body)
	}
	id := plimsoll.ARNName(message.Release)
	if _, session, ok := strings.Cut(sender, ":"); !ok || id == "" || session != id {
		return "", fmt.Errorf("task %q is released by %q and not by itself: send the message with the credentials of the task's own role", message.Release, sender)
	}
	return message.Release, nil
}
