package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"plimsoll/worker"
	"plimsoll/worker/sqs"
)

// ingestOptions are those of `tiles ingest`.
type ingestOptions struct {
	env   func(string) string
	log   *slog.Logger
	queue string
	out   string
	// grace is how long a job under way may go on after SIGTERM.
	grace time.Duration
	// visibility is for how long a message is hidden from others at a time.
	visibility time.Duration
	// idle is how long to go without work before the task releases itself.
	idle time.Duration
}

func (o *ingestOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.queue, "queue", cmp.Or(o.env("QUEUE"), "pictures"), "the queue's name or URL; by default $QUEUE")
	f.StringVar(&o.out, "out", "", "the folder that tiles are written to; by default they are counted and dropped")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "how long a job under way may go on after SIGTERM; keep it under the stop timeout")
	f.DurationVar(&o.visibility, "visibility", 30*time.Second, "for how long a message is hidden from other workers at a time")
	f.DurationVar(&o.idle, "idle", 0, "time without work after which the task releases itself; 0: never")
}

// ingest works off the queue until ctx ends. All else comes from the
// environment: region, endpoint and credentials.
func ingest(ctx context.Context, o ingestOptions) error {
	queue, err := sqs.New(ctx, sqs.Options{Queue: o.queue})
	if err != nil {
		return err
	}
	return o.run(ctx, queue)
}

func (o *ingestOptions) run(ctx context.Context, queue worker.Queue) error {
	o.log.Info("waiting for work", "queue", o.queue)
	return worker.Run(ctx, worker.Options{
		Queue: queue, Platform: worker.FromEnv(o.env, nil), Visibility: o.visibility, Idle: o.idle, Grace: o.grace, Log: o.log,
	}, o.work)
}

// work builds the pyramid that a message asks for. A message that is no job
// goes to the queue's dead letters in the end: it is not this worker's to drop.
func (o *ingestOptions) work(ctx context.Context, m worker.Message) error {
	j, err := parseJob(m.Body)
	if err != nil {
		return err
	}
	o.log.Info("a picture is turned into tiles", "id", j.ID, "width", j.Width, "height", j.Height)
	began := time.Now()
	done, err := j.build(ctx, o.out)
	if err != nil {
		return fmt.Errorf("picture %q: %w", j.ID, err)
	}
	o.log.Info("the picture is done", "id", j.ID, "levels", done.levels, "tiles", done.tiles, "bytes", done.bytes,
		"crc32", fmt.Sprintf("%08x", done.checksum), "took", time.Since(began).Round(time.Millisecond))
	return nil
}
