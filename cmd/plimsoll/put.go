package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// put is `plimsoll put`.
func (c *console) put() *cobra.Command {
	var o app.PutOptions
	var state string
	cmd := &cobra.Command{
		Use:     "put QUEUE [FILE…]",
		Short:   "Send the message to a queue that S3 would send for a new file",
		GroupID: groupRun,
		Long: `Send an ObjectCreated:Put event, in the shape of S3's, to an SQS queue for each
file: for those named, or, with --watch, for those that appear in a folder.

  plimsoll put pictures cat.jpg dog.jpg
  plimsoll put pictures --watch inbox

The folder is the bucket, the path below it the key, as in a bucket that tells a
queue of its objects. With --watch a file is sent when it is written whole (closed,
or moved or linked there), and again when its content was changed, as S3 does; what
is there at the start is sent with --existing. Folders below are watched too.

QUEUE is a name or a URL. The queue is the one of the AWS environment where
AWS_ENDPOINT_URL is set, or of the Plimsoll that runs with --state.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := arguments(1, -1, "a QUEUE and FILEs")(cmd, args); err != nil {
				return err
			}
			if len(args) == 1 && o.Watch == "" {
				return misusef("%s takes FILEs, or --watch DIR; found neither", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Existing && o.Watch == "" {
				return misusef("--existing is for --watch DIR")
			}
			o.Queue, o.Files, o.Out, o.Err = args[0], args[1:], c.out, c.err
			if err := c.reachQueues(&o, state); err != nil {
				return err
			}
			return c.programs.Put(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Watch, "watch", "", "a folder whose files are sent as they appear, until Ctrl-C")
	flags.BoolVar(&o.Existing, "existing", false, "send the files too that are in the watched folder at the start")
	flags.StringSliceVar(&o.Ignore, "ignore", []string{".*"}, "patterns of names of files and folders that are left out of the watch")
	flags.StringVar(&o.Root, "root", "", "the folder that keys begin at (without it: the watched one, else the current one)")
	flags.StringVar(&o.Bucket, "bucket", "", "the bucket's name (without it: the folder's)")
	stateFlag(cmd, &state)
	_ = cmd.MarkFlagDirname("watch")
	_ = cmd.MarkFlagDirname("root")
	return cmd
}

// reachQueues says where the queue is: in the AWS environment, or in the engine
// that runs with the state.
func (c *console) reachQueues(o *app.PutOptions, state string) error {
	if c.env("AWS_ENDPOINT_URL") != "" || c.env("AWS_ENDPOINT_URL_SQS") != "" {
		return nil
	}
	run, err := running(state)
	if errors.Is(err, errNotRunning) && strings.Contains(o.Queue, "://") {
		return nil // the URL says where, and the environment who asks
	}
	if err != nil {
		return err
	}
	values, err := awsVariables(state, run)
	if err != nil {
		return err
	}
	for _, v := range values {
		switch v[0] {
		case "AWS_ENDPOINT_URL":
			o.Endpoint = v[1]
		case "AWS_REGION":
			o.Region = v[1]
		case "AWS_ACCESS_KEY_ID":
			o.AccessKey = v[1]
		case "AWS_SECRET_ACCESS_KEY":
			o.Secret = v[1]
		}
	}
	return nil
}
