package main

import (
	"github.com/spf13/cobra"

	"plimsoll/app"
)

// engine is `plimsoll engine`.
func (c *console) engine() *cobra.Command {
	var o app.EngineOptions
	var tls tlsFlags
	var level string
	cmd := &cobra.Command{
		Use:     "engine",
		Short:   "Run the ECS-compatible engine alone, without the scaler",
		GroupID: groupRun,
		Long: `Run the embedded engine alone: an AWS endpoint whose tasks really run (ECS, SQS,
EventBridge, STS, CloudWatch's metrics, and of EC2, CloudFormation and SSM what
ECS workflows need).
plimsoll env prints how clients reach it.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := checkEngine(&o, &tls)
			if err != nil {
				return err
			}
			if o.Log, err = c.logger(level); err != nil {
				return err
			}
			o.CertFile, o.KeyFile, o.Out = tls.cert, tls.key, c.out
			defer c.tellStopping(cmd.Context())()
			return c.programs.Engine(cmd.Context(), o)
		},
	}
	stateFlag(cmd, &o.State)
	runtimeFlag(cmd, &o.Runtime)
	allowFlags(cmd, &o.Allow)
	imageFlags(cmd, &o.Images)
	flags := cmd.Flags()
	flags.StringVar(&o.AWS, "aws", app.DefaultAWS, "address of the AWS endpoint")
	flags.StringVar(&o.Cluster, "cluster", "default", "cluster that the hosts belong to, made if absent")
	flags.StringVar(&o.Region, "region", app.DefaultRegion, "AWS region that the engine stands for")
	flags.IntVar(&o.Hosts, "hosts", 3, "number of hosts (container instances)")
	flags.IntVar(&o.Zones, "zones", 3, "number of availability zones that they are spread over")
	flags.Int64Var(&o.Each.CPU, "host-cpu", 1024, "CPU units of each host; 1024 are one virtual CPU")
	flags.Int64Var(&o.Each.Memory, "host-memory", 1024, "memory of each host, in MiB")
	flags.BoolVar(&o.AllowReset, "allow-reset", false, "let POST /_reset stop and remove everything, for test suites")
	tls.add(cmd)
	logFlag(cmd, &level)
	return cmd
}

func checkEngine(o *app.EngineOptions, tls *tlsFlags) error {
	for _, f := range []struct {
		name        string
		value, most int64
	}{
		{"hosts", int64(o.Hosts), 10000},
		{"zones", int64(o.Zones), min(26, int64(o.Hosts))},
		{"host-cpu", o.Each.CPU, 1 << 20},
		{"host-memory", o.Each.Memory, 1 << 24},
	} {
		if err := between(f.name, f.value, 1, f.most); err != nil {
			return err
		}
	}
	if o.Cluster == "" || o.Region == "" {
		return misusef("--cluster and --region must not be empty")
	}
	if err := checkAddress("aws", o.AWS); err != nil {
		return err
	}
	if err := checkRuntime(o.Runtime); err != nil {
		return err
	}
	return tls.check()
}
