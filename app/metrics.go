package app

import (
	"fmt"
	"net/http"

	"plimsoll/api"
	"plimsoll/router"
)

const onMetrics = "metrics"

// guardsMetrics refuses metrics that others can read. A router that is open to
// everybody does not open them.
func guardsMetrics(o RouteOptions) error {
	if o.Metrics == "" {
		return nil
	}
	return needsGuard(onMetrics, o.Metrics, "--token", o.Token != "")
}

// serveMetrics answers /metrics of a router that runs alone, if that is asked for.
func serveMetrics(parts *stack, e *edge, r *router.Router, o RouteOptions) error {
	if o.Metrics == "" {
		return nil
	}
	handler, err := api.NewForRouter(api.RouterOptions{Router: r, Token: o.Token, Version: o.Version, Log: o.Log})
	if err != nil {
		return err
	}
	l, err := e.listen(o.Metrics)
	if err != nil {
		return fmt.Errorf("--metrics %s: %w", o.Metrics, err)
	}
	serve(parts, "the metrics", l, &http.Server{Handler: handler, ReadHeaderTimeout: headTimeout}, o.Log)
	_, _ = fmt.Fprintf(o.Out, "metrics       http://%s/metrics\n", l.Addr())
	return nil
}
