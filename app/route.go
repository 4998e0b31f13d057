package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/platform/ecs"
	"plimsoll/router"
)

// routeTick is the longest time between two looks at the cluster that the
// router serves. Only what changes its table matters: services and tasks.
const routeTick = 2 * time.Second

// retireTime is what a router that has handed its listeners over gives to
// connections that have no request just then: one that is on its way is answered,
// and the client told to come by another connection.
const retireTime = time.Second

// Route runs the router alone for an ECS cluster, until ctx ends or another
// process takes its listeners over. Several may run side by side: they need
// nothing from each other.
func Route(ctx context.Context, o RouteOptions) (err error) {
	if o.Platform != platformECS {
		return misusef("--platform %q: allowed is %q", o.Platform, platformECS)
	}
	if err := errors.Join(
		needsGuard(onRouter, o.Router, "--token, or --open for a router that everybody may use", o.Token != "" || o.Open),
		guardsMetrics(o),
	); err != nil {
		return err
	}
	var project *compose.Project
	if o.File != "" {
		if project, err = compose.Load(o.File, os.Environ()); err != nil {
			return err
		}
	}
	table, err := newRouted(project, o.Log, o.Edge.LogAll)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	cluster, err := ecs.New(ctx, ecs.Options{
		Cluster: o.Cluster, Changed: changed, Log: o.Log, Protected: func(string) bool { return false },
	})
	if err != nil {
		return err
	}
	e := &edge{EdgeOptions: o.Edge, log: o.Log, version: o.Version, state: o.State}
	host, _, err := net.SplitHostPort(o.Router)
	if err != nil {
		return misusef("--router: %w", err)
	}
	taken, err := takeOver(o.Handover)
	if err != nil {
		return err
	}
	defer taken.close()
	e.taken = taken
	token := o.Token
	if o.Open {
		token = ""
	}
	options, err := e.options(host, token)
	if err != nil {
		return err
	}
	if e.acme != nil {
		table.hosts = e.acme.manage
	}
	r := router.New(options)
	first, err := cluster.Snapshot(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("reading the cluster: %w", err), r.Close())
	}
	return serveRoutes(ctx, r, e, table, first, cluster, changed, o)
}

// observed is a cluster that can be looked at.
type observed interface {
	Snapshot(context.Context) (plimsoll.Cluster, error)
}

// serveRoutes opens the listeners and follows the cluster.
func serveRoutes(ctx context.Context, r *router.Router, e *edge, table *routed, first plimsoll.Cluster, cluster observed, changed <-chan struct{}, o RouteOptions) (err error) {
	parts := stack{log: o.Log}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Drain+5*time.Second)
		defer cancel()
		err = errors.Join(err, parts.close(stopping))
	}()
	table.set(r, first)
	plain, err := e.listen(o.Router)
	if err != nil {
		return errors.Join(fmt.Errorf("--router %s: %w", o.Router, err), r.Close())
	}
	var secure net.Listener
	if o.Edge.TLS != "" {
		if secure, err = e.listen(o.Edge.TLS); err != nil {
			return errors.Join(fmt.Errorf("--router-tls %s: %w", o.Edge.TLS, err), r.Close(), plain.Close())
		}
	}
	e.start(&parts, r, plain, secure, o.Drain)
	_, _ = fmt.Fprintf(o.Out, "router        http://%s\n", plain.Addr())
	if secure != nil {
		_, _ = fmt.Fprintf(o.Out, "router, TLS   https://%s\n", secure.Addr())
	}
	if err := serveMetrics(&parts, e, r, o); err != nil {
		return err
	}
	gone, stop, err := handOver(o.Handover, e.taken, e.open, o.Log)
	if err != nil {
		return err
	}
	defer stop()
	defer shedLater(o.Log)()
	tick := time.NewTicker(routeTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			_, _ = fmt.Fprintln(o.Out, "another process has taken the listeners over: ending what is under way")
			r.Retire()
			time.Sleep(retireTime)
			return nil
		case <-changed:
		case <-tick.C:
		}
		snapshot, err := cluster.Snapshot(ctx)
		if err != nil {
			if ctx.Err() == nil {
				o.Log.Warn("the router keeps its table: the cluster cannot be read", "err", err)
			}
			continue
		}
		table.set(r, snapshot)
	}
}
