package main

import (
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// route is `plimsoll router`.
func (c *console) route() *cobra.Command {
	var o app.RouteOptions
	var token tokenFlags
	var level string
	cmd := &cobra.Command{
		Use:     "router",
		Short:   "Run the router alone, for an ECS cluster that the AWS environment names",
		GroupID: groupRun,
		Long: `Run the router alone. The routes are those of the compose file, if one is given,
and those of the services' tags: "plimsoll:route" (and plimsoll:route:2, …) with
a value such as "shop.example.com/api strip", or fabio's "urlprefix-…". Several
routers may run side by side: they need nothing from each other. With --dns and
--consul other programs find the tasks that requests are sent to, of the services
that have a route and of the compose file's.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := checkRoute(&o)
			if err != nil {
				return err
			}
			if o.Token, err = token.read(); err != nil {
				return err
			}
			if o.Log, err = c.logger(level); err != nil {
				return err
			}
			o.Out, o.Version = c.out, c.version
			defer c.tellStopping(cmd.Context())()
			return c.programs.Route(cmd.Context(), o)
		},
	}
	fileFlag(cmd, &o.File)
	stateFlag(cmd, &o.State)
	flags := cmd.Flags()
	flags.StringVar(&o.Platform, "platform", "ecs", "where the tasks run: ecs")
	flags.StringVar(&o.Cluster, "cluster", "default", "name or ARN of the cluster")
	flags.StringVar(&o.Router, "router", app.DefaultRouter, "address of the router")
	flags.StringVar(&o.Metrics, "metrics", "", "address at which /metrics answers, such as 127.0.0.1:9480; without it nowhere")
	discoveryFlags(cmd, &o.Discovery)
	flags.BoolVar(&o.Open, "open", false, "let everybody who can reach the router use it, without a token")
	flags.StringVar(&o.Handover, "handover", "", "Unix socket by which the next plimsoll router takes the listeners over, without a lost connection")
	flags.DurationVar(&o.Drain, "drain", 30*time.Second, "time that requests under way have at the end")
	flags.BoolVar(&o.Edge.ReusePort, "reuse-port", false, "let several routers listen at the same addresses (SO_REUSEPORT)")
	edgeFlags(cmd, &o.Edge)
	token.add(cmd, "token that the router asks for in X-Plimsoll-Token; this or --open is needed where --router is not a loopback address")
	logFlag(cmd, &level)
	return cmd
}

func checkRoute(o *app.RouteOptions) error {
	if err := oneOf("platform", o.Platform, "ecs"); err != nil {
		return err
	}
	if o.Cluster == "" {
		return misusef("--cluster must not be empty")
	}
	if o.Drain < 0 {
		return misusef("--drain is %q; allowed: 0s or more", o.Drain)
	}
	if err := checkAddress("router", o.Router); err != nil {
		return err
	}
	if o.Metrics != "" {
		if err := checkAddress("metrics", o.Metrics); err != nil {
			return err
		}
	}
	if err := checkDiscovery(o.Discovery); err != nil {
		return err
	}
	return checkEdge(o.Edge)
}

// edgeFlags adds how a router meets its clients.
func edgeFlags(cmd *cobra.Command, to *app.EdgeOptions) {
	flags := cmd.Flags()
	flags.StringVar(&to.TLS, "router-tls", "", "address of the router for TLS, such as 127.0.0.1:8443; without it there is none")
	flags.StringVar(&to.Certificates, "certs", "", "with --router-tls: folder of certificates, NAME.crt with NAME.key, read again when they change")
	flags.BoolVar(&to.Development, "dev-cert", false, "with --router-tls on a loopback address: make a certificate for localhost")
	flags.StringVar(&to.ACME.Email, "acme-email", "", "with --router-tls: get certificates for the routes' hosts by ACME, with this contact; you agree to the authority's terms")
	flags.StringVar(&to.ACME.CA, "acme-ca", "", "with --acme-email: URL of the authority's directory; without it Let's Encrypt's")
	flags.StringVar(&to.ACME.Roots, "acme-roots", "", "with --acme-email: file of certificates (PEM) that the authority is trusted by; without it the system's")
	flags.BoolVar(&to.Redirect, "https-redirect", false, "with --router-tls: send requests without TLS on to its port (308), but for those that a proxy of --trusted got by TLS")
	flags.StringSliceVar(&to.Trusted, "trusted", nil, "networks (CIDR) of proxies whose X-Forwarded-* and Forwarded count; without it nobody's do")
	flags.StringSliceVar(&to.ProxyFrom, "proxy-from", nil, "networks (CIDR) of proxies that begin connections with the PROXY protocol")
	flags.StringVar(&to.Zone, "zone", "", "the router's own availability zone, whose tasks come first")
	flags.StringVar(&to.AccessLog, "access-log", "", "file of the access log, opened anew at SIGUSR1; - is standard output")
	flags.StringVar(&to.AccessFormat, "access-format", "json", "with --access-log: json or common")
	flags.BoolVar(&to.LogAll, "access-all", false, "with --access-log: the requests of all routes, not only those with log: true")
	flags.BoolVar(&to.Trace, "traceparent", false, "begin a trace for requests that have none (traceparent)")
	flags.StringVar(&to.OTLP, "otlp-endpoint", "", "URL of a collector that gets a span of each sampled request (OTLP, http/protobuf), such as http://127.0.0.1:4318; without it $OTEL_EXPORTER_OTLP_ENDPOINT, if any")
	flags.Float64Var(&to.OTLPSample, "otlp-sample", -1, "share of the traces that begin at the router that are sampled, from 0 to 1; without it as $OTEL_TRACES_SAMPLER says, else 1")
	_ = cmd.MarkFlagDirname("certs")
}

func checkEdge(o app.EdgeOptions) error {
	if o.TLS != "" {
		if err := checkAddress("router-tls", o.TLS); err != nil {
			return err
		}
	} else if o.Certificates != "" || o.Development || o.ACME.Email != "" || o.Redirect {
		return misusef("--certs, --dev-cert, --acme-email and --https-redirect are for --router-tls; add --router-tls 127.0.0.1:8443")
	}
	if o.ACME.Email == "" && (o.ACME.CA != "" || o.ACME.Roots != "") {
		return misusef("--acme-ca and --acme-roots are for --acme-email; add --acme-email with the account's contact")
	}
	if o.Redirect && o.Certificates == "" && !o.Development && o.ACME.Email == "" {
		return misusef("--https-redirect needs a certificate: add --certs, --dev-cert or --acme-email")
	}
	if o.OTLPSample > 1 {
		return misusef("--otlp-sample is %v; allowed: from 0 to 1", o.OTLPSample)
	}
	if o.AccessLog == "" && o.LogAll {
		return misusef("--access-all is for --access-log; add --access-log FILE, or - for standard output")
	}
	for flag, list := range map[string][]string{"trusted": o.Trusted, "proxy-from": o.ProxyFrom} {
		for _, text := range list {
			if _, err := netip.ParsePrefix(text); err != nil {
				return misusef("--%s %q is no network such as 10.0.0.0/8", flag, text)
			}
		}
	}
	return oneOf("access-format", o.AccessFormat, "json", "common")
}
