package main

import (
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/compose"
)

// up is `plimsoll up`.
func (c *console) up() *cobra.Command {
	var o app.UpOptions
	var token tokenFlags
	var tls tlsFlags
	var level string
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Run a compose file as a live cluster on this machine",
		GroupID: groupRun,
		Long: `Run a compose file on the embedded engine: the AWS endpoint, the router, the
control loop and the dashboard. Ctrl-C drains and stops everything; a second
start finds its state again.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if err = checkUp(&o, &tls); err != nil {
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
			o.CertFile, o.KeyFile = tls.cert, tls.key
			o.Out, o.Size, o.Version = c.out, c.size, c.version
			defer c.tellStopping(cmd.Context())()
			return c.programs.Up(cmd.Context(), o)
		},
	}
	fileFlag(cmd, &o.File)
	stateFlag(cmd, &o.State)
	runtimeFlag(cmd, &o.Runtime)
	allowFlags(cmd, &o.Allow)
	imageFlags(cmd, &o.Images)
	flags := cmd.Flags()
	flags.StringVar(&o.Router, "router", app.DefaultRouter, "address of the router")
	flags.StringVar(&o.UI, "ui", app.DefaultUI, "address of the dashboard and the REST API")
	flags.StringVar(&o.AWS, "aws", app.DefaultAWS, "address of the AWS endpoint")
	discoveryFlags(cmd, &o.Discovery)
	flags.BoolVar(&o.Discovery.Register, "register", false, "register the tasks where in AWS the file says (x-plimsoll.register), as plimsoll run does, by the AWS environment.\nTheir addresses are those of this machine: it is for trying things out")
	edgeFlags(cmd, &o.Edge)
	flags.BoolVar(&o.Load, "load", false, "replay a traffic curve against the services: quiet, ramp, spike, quiet")
	flags.StringVar(&o.Trace, "trace", "", "with --load: the curve as CSV: seconds,requests_per_second[,messages_per_second]")
	flags.DurationVar(&o.LoadFor, "load-for", 0, "with --load: end the load after this time (without it: again and again)")
	_ = cmd.MarkFlagFilename("trace", "csv")
	token.add(cmd, "token that the REST API and the dashboard ask for, and the router (in X-Plimsoll-Token) where others can reach it; needed where --ui or --router is not a loopback address")
	tls.add(cmd)
	logFlag(cmd, &level)
	return cmd
}

// checkUp refuses what can be seen to be wrong before anything is started.
func checkUp(o *app.UpOptions, tls *tlsFlags) error {
	for _, a := range []struct{ flag, address string }{{"router", o.Router}, {"ui", o.UI}, {"aws", o.AWS}} {
		if err := checkAddress(a.flag, a.address); err != nil {
			return err
		}
	}
	if err := checkDiscovery(o.Discovery); err != nil {
		return err
	}
	if err := checkEdge(o.Edge); err != nil {
		return err
	}
	if err := checkRuntime(o.Runtime); err != nil {
		return err
	}
	if !o.Load && (o.Trace != "" || o.LoadFor != 0) {
		return misusef("--trace and --load-for are for --load; add --load")
	}
	if o.LoadFor < 0 || o.LoadFor > 0 && o.LoadFor < time.Second {
		return misusef("--load-for is %q; allowed: at least 1s", o.LoadFor)
	}
	return tls.check()
}
