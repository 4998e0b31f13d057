package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// ingestOptions are those of `tiles ingest`.
type ingestOptions struct {
	env   func(string) string
	log   *slog.Logger
	queue string
	out   string
	// grace is how long a job under way may go on after SIGTERM.
	grace time.Duration
	// visibility is for how long a received message is hidden from others; it
	// is extended at a third of that while the job runs.
	visibility time.Duration
}

func (o *ingestOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.queue, "queue", cmp.Or(o.env("QUEUE"), "pictures"), "the queue's name; by default $QUEUE")
	f.StringVar(&o.out, "out", "", "the folder that tiles are written to; by default they are counted and dropped")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "how long a job under way may go on after SIGTERM; keep it under the stop timeout")
	f.DurationVar(&o.visibility, "visibility", 30*time.Second, "for how long a message is hidden from other workers at a time")
}

// ingest works off the queue until ctx ends. All else comes from the
// environment: region, endpoint and credentials.
func ingest(ctx context.Context, o ingestOptions) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS settings: %w", err)
	}
	w := &worker{
		o:          o,
		queue:      sqs.NewFromConfig(settings),
		protection: protection{agent: o.env("ECS_AGENT_URI"), client: &http.Client{}},
	}
	return w.run(ctx)
}

// errTime ends a job whose time is over after SIGTERM.
var errTime = errors.New("the time after the stop signal is over")

// worker takes one message at a time.
type worker struct {
	o          ingestOptions
	queue      *sqs.Client
	protection protection
	url        string
	idle       bool // said so
}

const (
	pollTime = 20 * time.Second // SQS's longest
	pauseMin = 200 * time.Millisecond
	pauseMax = 15 * time.Second
)

// run looks for work until ctx ends; while it works, until the work is done or
// its time is over.
func (w *worker) run(ctx context.Context) error {
	if w.protection.agent == "" {
		w.o.log.Warn("ECS_AGENT_URI is not set: the worker cannot protect itself while it is busy")
	}
	pause := pauseMin
	for ctx.Err() == nil {
		err := w.once(ctx)
		if err == nil {
			pause = pauseMin
			continue
		}
		if ctx.Err() != nil {
			break
		}
		w.o.log.Warn("no work was done", "queue", w.o.queue, "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
	w.o.log.Info("stopped")
	return nil
}

// once waits for a message and does its work.
func (w *worker) once(ctx context.Context) error {
	if w.url == "" {
		found, err := w.queue.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &w.o.queue})
		if err != nil {
			return fmt.Errorf("queue %q: %w", w.o.queue, err)
		}
		w.url = aws.ToString(found.QueueUrl)
	}
	if !w.idle {
		w.o.log.Info("waiting for work", "queue", w.o.queue)
		w.idle = true
	}
	got, err := w.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            &w.url,
		MaxNumberOfMessages: 1,
		WaitTimeSeconds:     int32(pollTime / time.Second),
		VisibilityTimeout:   seconds(w.o.visibility),
	})
	if err != nil {
		return fmt.Errorf("queue %q: %w", w.o.queue, err)
	}
	if len(got.Messages) == 0 {
		return nil
	}
	w.idle = false
	return w.handle(ctx, got.Messages[0])
}

// handle does the work of a message under protection, and deletes it after. A
// message whose work was not done goes back.
func (w *worker) handle(ctx context.Context, m types.Message) error {
	// What ends the work is handled below; calls that must still be made then
	// have a context of their own.
	calls := context.WithoutCancel(ctx)
	if err := w.protection.set(calls, true); err != nil {
		return errors.Join(err, w.giveBack(calls, m))
	}
	err := w.work(ctx, m)
	if err == nil {
		_, err = w.queue.DeleteMessage(calls, &sqs.DeleteMessageInput{QueueUrl: &w.url, ReceiptHandle: m.ReceiptHandle})
	} else if errors.Is(err, errTime) {
		w.o.log.Warn("the message goes back to the queue", "message", aws.ToString(m.MessageId), "reason", err)
		err = w.giveBack(calls, m)
	}
	// A message that cannot be worked on stays hidden for its time, and comes
	// again or goes to the queue's dead letters: it is not this worker's to drop.
	return errors.Join(err, w.protection.set(calls, false))
}

func (w *worker) giveBack(ctx context.Context, m types.Message) error {
	_, err := w.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &w.url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
	})
	return err
}

// work builds the pyramid that a message asks for, and keeps the message hidden
// meanwhile.
func (w *worker) work(ctx context.Context, m types.Message) error {
	j, err := parseJob(aws.ToString(m.Body))
	if err != nil {
		return err
	}
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(w.o.grace, func() { end(errTime) })
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	var hiding sync.WaitGroup
	hiding.Go(func() { w.keepHidden(work, m, end) })
	w.o.log.Info("a picture is turned into tiles", "id", j.ID, "width", j.Width, "height", j.Height)
	began := time.Now()
	done, err := j.build(work, w.o.out)
	cause := context.Cause(work)
	end(nil)
	hiding.Wait()
	if err != nil {
		return fmt.Errorf("picture %q: %w", j.ID, cmp.Or(cause, err))
	}
	w.o.log.Info("the picture is done", "id", j.ID, "levels", done.levels, "tiles", done.tiles, "bytes", done.bytes,
		"crc32", fmt.Sprintf("%08x", done.checksum), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// keepHidden extends the message's visibility timeout until the work ends. If
// the message is no longer this worker's, the work ends.
func (w *worker) keepHidden(ctx context.Context, m types.Message, end func(error)) {
	ticker := time.NewTicker(w.o.visibility / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, err := w.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &w.url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds(w.o.visibility),
		})
		var lost *types.MessageNotInflight
		var stale *types.ReceiptHandleIsInvalid
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.As(err, &lost), errors.As(err, &stale):
			end(fmt.Errorf("the message is no longer this worker's: %w", err))
		default:
			w.o.log.Warn("the message's visibility timeout was not extended", "error", err)
		}
	}
}

// seconds rounds up: a timeout of 0 would hide nothing.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }
