package main

import (
	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/compose"
)

// runScaler is `plimsoll run`.
func (c *console) runScaler() *cobra.Command {
	var o app.RunOptions
	var token tokenFlags
	var level string
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Run the scaler alone, against the ECS endpoint that the AWS environment names",
		GroupID: groupRun,
		Long: `Run the control loop alone for services that an ECS cluster has already. The
policies come from the x-plimsoll sections of a compose file whose services have
the same names. Endpoint, region and credentials are those of the AWS
environment.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := checkRun(&o)
			if err != nil {
				return err
			}
			if o.Token, err = token.read(); err != nil {
				return err
			}
			if o.Log, err = c.logger(level); err != nil {
				return err
			}
			if o.File == "" {
				if o.File, err = compose.Find("."); err != nil {
					return app.Misuse{Err: err}
				}
			}
			o.Out, o.Version = c.out, c.version
			defer c.tellStopping(cmd.Context())()
			return c.programs.Run(cmd.Context(), o)
		},
	}
	fileFlag(cmd, &o.File)
	flags := cmd.Flags()
	flags.StringVar(&o.Platform, "platform", "ecs", "where the tasks run: ecs")
	flags.StringVar(&o.Cluster, "cluster", "default", "name or ARN of the cluster")
	flags.StringVar(&o.State, "state", "", "folder where overrides, the decisions' memory and the counted releases are kept (without it: not at all)")
	flags.StringVar(&o.EventsQueue, "events-queue", "", "queue that tells of the cluster's changes, so that the loop need not wait for its next look:\nthe URL of one that an EventBridge rule fills, or the name of one to make with its rule and policy")
	flags.StringVar(&o.ReleasesQueue, "releases-queue", "", "URL or name of a queue by which tasks that cannot reach --ui release themselves:\n{\"release\": \"TASK ARN\"}, sent with the credentials of the task's own role")
	flags.StringVar(&o.UI, "ui", "", "address of the dashboard and the REST API (without it: none)")
	discoveryFlags(cmd, &o.Discovery)
	flags.BoolVar(&o.Discovery.Unchecked, "unchecked", false, "with --dns, --consul and x-plimsoll.register: tell of all running tasks, also of those that do not answer a check from here;\nfor a scaler that cannot reach their ports")
	flags.BoolVar(&o.Once, "once", false, "decide once, carry it out, and exit")
	flags.BoolVar(&o.DryRun, "dry-run", false, "decide and tell, and change nothing")
	_ = cmd.MarkFlagDirname("state")
	token.add(cmd, "token that the REST API asks for; needed where --ui is not a loopback address")
	outputFlag(cmd, &o.Output)
	logFlag(cmd, &level)
	return cmd
}

func checkRun(o *app.RunOptions) error {
	if err := oneOf("platform", o.Platform, "ecs"); err != nil {
		return err
	}
	if o.Cluster == "" {
		return misusef("--cluster must not be empty")
	}
	if o.UI != "" {
		if err := checkAddress("ui", o.UI); err != nil {
			return err
		}
	}
	if err := checkDiscovery(o.Discovery); err != nil {
		return err
	}
	if o.Once && (o.Discovery.DNS != "" || o.Discovery.Consul != "") {
		return misusef("--dns and --consul need a scaler that stays; leave --once out")
	}
	if o.Once && o.EventsQueue != "" {
		return misusef("--events-queue needs a scaler that stays; leave --once out")
	}
	if o.ReleasesQueue != "" && (o.Once || o.DryRun) {
		return misusef("--releases-queue needs a scaler that stays and writes; leave --once and --dry-run out")
	}
	if o.Output != formatTable && !o.Once {
		return misusef("--output is for --once; add --once, or ask the running scaler: plimsoll services -o json")
	}
	return checkOutput(o.Output)
}
