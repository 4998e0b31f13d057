package app

import (
	"context"
	"io"
	"log/slog"
	"time"

	"plimsoll/worker"
	"plimsoll/worker/command"
	"plimsoll/worker/sqs"
)

// WorkOptions are those of `plimsoll work`. Times of 0 have worker.Options'
// meaning.
type WorkOptions struct {
	Queue string // URL or name
	// Releases is the queue, by URL or name, by which the task releases itself where
	// it cannot reach the control loop's API; empty: none.
	Releases    string
	Command     []string
	Environ     []string
	Concurrency int
	Visibility  time.Duration
	Idle        time.Duration
	MaxJobTime  time.Duration
	Grace       time.Duration
	Protection  time.Duration
	// RetryAfter is how long a failed message stays hidden; below 0: longer each
	// time, as worker.Options has it.
	RetryAfter time.Duration
	KillAfter  time.Duration
	Out, Err   io.Writer
	Log        *slog.Logger
}

// Work runs a command for each message of a queue until ctx ends, the platform
// wants the task gone, or there has been no work for the idle time.
func Work(ctx context.Context, o WorkOptions) error {
	handle, err := command.New(command.Options{
		Args: o.Command, Env: o.Environ, Out: o.Out, Err: o.Err, KillAfter: o.KillAfter, Log: o.Log,
	})
	if err != nil {
		return Misuse{err}
	}
	queue, err := sqs.New(ctx, sqs.Options{Queue: o.Queue})
	if err != nil {
		return err
	}
	options := worker.Options{
		Queue: queue, Concurrency: o.Concurrency, Visibility: o.Visibility, Idle: o.Idle,
		MaxJobTime: o.MaxJobTime, Grace: o.Grace, Protection: o.Protection, Log: o.Log,
	}
	if o.RetryAfter >= 0 {
		options.RetryAfter = func(worker.Message, error) time.Duration { return o.RetryAfter }
	}
	if o.Releases != "" {
		releases, err := sqs.New(ctx, sqs.Options{Queue: o.Releases})
		if err != nil {
			return err
		}
		options.Releases = releases
	}
	return worker.Run(ctx, options, handle)
}
