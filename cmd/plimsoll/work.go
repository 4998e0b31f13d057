package main

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// work is `plimsoll work`.
func (c *console) work() *cobra.Command {
	var o app.WorkOptions
	var level string
	cmd := &cobra.Command{
		Use:     "work --queue URL|NAME [flags] -- COMMAND [ARGUMENT…]",
		Short:   "Run a command for each message of an SQS queue, as a task that scaling never interrupts",
		GroupID: groupRun,
		Long: `Run a command once for each message of a queue:

  plimsoll work --queue pictures --idle 1m -- ./process {body-file}

The message's body is on the command's standard input and in a file, whose path
stands for {body-file} in the arguments. In the environment are
PLIMSOLL_MESSAGE_ID, PLIMSOLL_MESSAGE_BODY_FILE, PLIMSOLL_MESSAGE_RECEIVES, the
attributes as PLIMSOLL_ATTRIBUTE_name and the queue's own as
PLIMSOLL_SYSTEM_name.

While a command runs, its message stays hidden from other workers, and the task
is protected from scale-in. Exit status 0 deletes the message; any other gives it
back, so that it is tried again, or goes to the queue's dead letters by its
receive count. SIGTERM takes no more messages and waits for the commands that
run. After --idle without a message the task releases itself from its service and
ends: by $PLIMSOLL_RELEASE_URI, which Plimsoll's engine gives to its tasks, or by a
message to --releases-queue, that of plimsoll run --releases-queue on AWS.

The queue is reached as the AWS environment says (AWS_ENDPOINT_URL, AWS_REGION,
credentials), which a task of Plimsoll has; elsewhere plimsoll env prints it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misusef("plimsoll work takes a COMMAND after --, found none")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkWork(&o); err != nil {
				return err
			}
			var err error
			if o.Log, err = c.logger(level); err != nil {
				return err
			}
			o.Releases = cmp.Or(o.Releases, c.env("PLIMSOLL_RELEASES_QUEUE"))
			o.Command, o.Environ, o.Out, o.Err = args, c.environ, c.out, c.err
			return c.programs.Work(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&o.Queue, "queue", "", "URL or name of the queue")
	flags.StringVar(&o.Releases, "releases-queue", "", "URL or name of the queue by which the task releases itself where it cannot reach the API (without it $PLIMSOLL_RELEASES_QUEUE)")
	flags.IntVar(&o.Concurrency, "concurrency", 1, "how many messages are worked on at the same time")
	flags.DurationVar(&o.Visibility, "visibility", 30*time.Second, "for how long a message is hidden at a time; renewed while its command runs")
	flags.DurationVar(&o.Idle, "idle", 0, "time without a message after which the task releases itself and ends (0: never)")
	flags.DurationVar(&o.MaxJobTime, "max-job-time", 0, "longest time for one command (0: any)")
	flags.DurationVar(&o.Grace, "grace", 0, "how long commands may go on after SIGTERM (0: until they end); keep it under the task's stop timeout")
	flags.DurationVar(&o.KillAfter, "kill-after", 10*time.Second, "time between SIGTERM and SIGKILL for a command that has to end")
	flags.DurationVar(&o.Protection, "protection", 20*time.Minute, "for how long the task is protected at a time; renewed while a command runs")
	flags.DurationVar(&o.RetryAfter, "retry-after", -1, "how long the message of a failed command stays hidden (without it: 2s, doubled with each receive, at most 5m)")
	flags.Lookup("retry-after").DefValue = ""
	flags.StringVar(&level, "log-level", "info", "what is logged to stderr: debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func checkWork(o *app.WorkOptions) error {
	if o.Queue == "" {
		return misusef("--queue is needed: the URL or the name of the queue")
	}
	if err := between("concurrency", int64(o.Concurrency), 1, 1000); err != nil {
		return err
	}
	for _, f := range []struct {
		name        string
		value       time.Duration
		least, most time.Duration
	}{
		{"visibility", o.Visibility, time.Second, 12 * time.Hour},
		{"idle", o.Idle, 0, 7 * 24 * time.Hour},
		{"max-job-time", o.MaxJobTime, 0, 7 * 24 * time.Hour},
		{"grace", o.Grace, 0, 24 * time.Hour},
		{"kill-after", o.KillAfter, time.Millisecond, time.Hour},
		{"protection", o.Protection, time.Minute, 48 * time.Hour},
		{"retry-after", o.RetryAfter, -1, 12 * time.Hour},
	} {
		if f.value < f.least || f.value > f.most {
			return misusef("--%s is %s; allowed: %s to %s", f.name, f.value, max(f.least, 0), f.most)
		}
	}
	return nil
}
