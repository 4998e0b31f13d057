// Package worker runs jobs from a queue so that none is lost and none is
// interrupted by scaling: a small SDK for programs that are tasks of Plimsoll or
// of Amazon ECS, and the inside of `plimsoll work`.
//
// Run takes one message after another. Before it hands one to the handler it has
// the platform protect this task from scale-in; while the handler runs it keeps
// the message hidden from other workers; when the handler succeeds it deletes the
// message, and when it fails it gives the message back, so that the queue's own
// count of receives leads it to the dead letters in the end. When there is no
// work it ends the protection, looks again, and after Options.Idle it has itself
// counted out of its service and returns. While there is work it asks between two
// messages whether others have a better claim to its place, and leaves it to them.
//
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//	defer stop()
//	queue, err := sqs.New(ctx, sqs.Options{Queue: "pictures"})
//	…
//	err = worker.Run(ctx, worker.Options{Queue: queue, Idle: time.Minute}, func(ctx context.Context, m worker.Message) error {
//		return process(ctx, m.Body)
//	})
//
// Everything about the task itself comes from the environment that ECS, and
// Plimsoll's engine in the same words, give to it. Elsewhere Run works too, only
// without protection.
//
// The queue delivers at least once: a message is handled again if this process
// dies, or loses touch with the queue for longer than Options.Visibility. The
// package knows no queue itself (see worker/sqs) and nothing of the engine or
// the control loop, which it meets over HTTP alone.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Handler does the work of one message. nil says that it is done and the message
// can go; any error gives the message back. Its context ends with ErrJobTime
// after Options.MaxJobTime, with ErrGrace when the time after a stop is over, and
// with nothing else. A panic counts as an error.
type Handler func(ctx context.Context, m Message) error

// Message is one message as a worker sees it. It is not to be changed.
type Message struct {
	ID, Body string
	// Attributes are the sender's, as text: numbers as they were sent, binary
	// values as their bytes.
	Attributes map[string]string
	// System are the queue's own attributes, by the queue's names for them
	// (SQS: SentTimestamp, MessageGroupId, …).
	System map[string]string
	// Receives counts how often the message has been received, this time
	// included; 0 if the queue does not say.
	Receives int
	// Receipt is what the queue knows this receipt by.
	Receipt string
}

// Queue is where messages come from. An adapter for another broker is these
// three methods. All may be called from several goroutines.
type Queue interface {
	// Receive waits up to wait for a message and hides it from others for the
	// time of hide. nil and no error: none came.
	Receive(ctx context.Context, wait, hide time.Duration) (*Message, error)
	// Hide hides a received message for the time of d from now; 0 gives it back
	// at once. It wraps ErrLost if the message is another's by now, or gone.
	Hide(ctx context.Context, m Message, d time.Duration) error
	// Delete removes a received message for good. It wraps ErrLost as well.
	Delete(ctx context.Context, m Message) error
}

// Platform is what runs this task. FromEnv gives the one that the environment
// tells of.
type Platform interface {
	// Protect keeps scale-in from stopping this task for the time of d from now;
	// 0 ends the protection. It wraps ErrLeaving if the platform refuses because
	// the task is to go.
	Protect(ctx context.Context, d time.Duration) error
	// Release has this task counted out of its service, once, however often it
	// is called. After it the task is to end. It wraps ErrKept if the task is to
	// stay.
	Release(ctx context.Context) error
	// Yield has this task counted out only if its place is needed: for tasks with
	// a better claim, or since its service is to have fewer. With leave false it
	// only asks. It wraps ErrKept if the task may go on.
	Yield(ctx context.Context, leave bool) error
}

// Outbox takes messages to another queue. A *sqs.Queue of worker/sqs is one.
type Outbox interface {
	// Send returns when the queue has the message.
	Send(ctx context.Context, body string) error
}

// The errors that decisions are made on.
var (
	// ErrLost: the message is no longer this worker's.
	ErrLost = errors.New("the message is no longer this worker's")
	// ErrLeaving: the task is on its way out and cannot be protected.
	ErrLeaving = errors.New("the task is to leave")
	// ErrKept: the task is not to be counted out.
	ErrKept = errors.New("the task is to stay")
	// ErrJobTime ends the context of a job after Options.MaxJobTime.
	ErrJobTime = errors.New("the longest time for a job is over")
	// ErrGrace ends the context of a job after Options.Grace.
	ErrGrace = errors.New("the time after the stop is over")
)

// Options say how Run works. Queue is required; the zero value of all else is
// good.
type Options struct {
	Queue Queue
	// Platform is what runs this task; nil is FromEnv(os.Getenv, Releases).
	Platform Platform
	// Releases is the queue of `plimsoll run --releases-queue`, by which this task
	// releases itself where it cannot reach the control loop's API; nil: none.
	// What it sends has to be signed with the credentials of the task's own role.
	Releases Outbox
	// Concurrency is how many messages are worked on at the same time. Default 1.
	Concurrency int
	// Visibility is for how long a message is hidden from other workers at a
	// time; it is renewed at a third of that while its job runs. It is how long a
	// message waits if this process dies. Default 30 s, at least 1 s.
	Visibility time.Duration
	// Idle is how long to go without work before this task has itself counted
	// out and Run returns. 0: never.
	Idle time.Duration
	// MaxJobTime bounds one job; 0: no bound. The message of one that takes
	// longer goes back.
	MaxJobTime time.Duration
	// Grace is how long jobs may go on after Run's context has ended. 0: for as
	// long as they need, or until the platform ends the task.
	Grace time.Duration
	// Protection is how long the platform protects the task at a time; it is
	// renewed at a third of that. Default 20 min; ECS allows 1 min to 48 h.
	Protection time.Duration
	// RetryAfter is for how long the message of a failed job stays hidden. nil:
	// 2 s, twice as long with each receive, at most 5 min.
	RetryAfter func(m Message, err error) time.Duration
	// Log is told what happens, with the message's id; nil discards it.
	Log *slog.Logger
}

const (
	defaultVisibility = 30 * time.Second
	defaultProtection = 20 * time.Minute
	// maxHide is the longest that SQS hides a message at a time.
	maxHide = 12 * time.Hour
)

// check fills in the defaults.
func (o *Options) check() error {
	if o.Queue == nil {
		return errors.New("worker: no queue is given")
	}
	for name, d := range map[string]time.Duration{
		"Idle": o.Idle, "MaxJobTime": o.MaxJobTime, "Grace": o.Grace, "Visibility": o.Visibility, "Protection": o.Protection,
	} {
		if d < 0 {
			return fmt.Errorf("worker: %s is %s; 0 or more is allowed", name, d)
		}
	}
	if o.Concurrency < 0 {
		return fmt.Errorf("worker: Concurrency is %d; 1 or more is allowed", o.Concurrency)
	}
	o.Concurrency = max(o.Concurrency, 1)
	if o.Visibility == 0 {
		o.Visibility = defaultVisibility
	}
	if o.Visibility < time.Second || o.Visibility > maxHide {
		return fmt.Errorf("worker: Visibility is %s; 1s to %s is allowed", o.Visibility, maxHide)
	}
	if o.Protection == 0 {
		o.Protection = defaultProtection
	}
	if o.Protection < minProtection || o.Protection > maxProtection {
		return fmt.Errorf("worker: Protection is %s; %s to %s is allowed", o.Protection, minProtection, maxProtection)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Platform == nil {
		o.Platform = FromEnv(os.Getenv, o.Releases)
	}
	if o.RetryAfter == nil {
		o.RetryAfter = func(m Message, _ error) time.Duration { return backoff(m.Receives) }
	}
	return nil
}

// backoff doubles with each receive of a message.
func backoff(receives int) time.Duration {
	const first, most = 2 * time.Second, 5 * time.Minute
	return min(first<<min(max(receives-1, 0), 20), most)
}
