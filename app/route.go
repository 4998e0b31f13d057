package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
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
	find, err := newFinder(o.Discovery, project, o.Cluster, "", e.listenDNS, o.Log)
	if err != nil {
		return err
	}
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
	if find != nil {
		find.telling.tagged, find.telling.standings = true, r.Standings
	}
	first, err := cluster.Snapshot(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("reading the cluster: %w", err), r.Close())
	}
	routing := &routing{router: r, edge: e, table: table, find: find, told: make(chan struct{}, 1), o: o}
	return routing.serve(ctx, first, cluster, changed)
}

// routing is one run of the router alone.
type routing struct {
	router *router.Router
	edge   *edge
	table  *routed
	find   *finder
	latest atomic.Pointer[plimsoll.Cluster]
	told   chan struct{} // latest is another
	o      RouteOptions
}

// see gives a snapshot to the router, and then to those who tell others of it.
func (r *routing) see(cluster plimsoll.Cluster) {
	r.table.set(r.router, cluster)
	r.latest.Store(&cluster)
	signal(r.told)
}

// observed is a cluster that can be looked at.
type observed interface {
	Snapshot(context.Context) (plimsoll.Cluster, error)
}

// serve opens the listeners and follows the cluster.
func (r *routing) serve(ctx context.Context, first plimsoll.Cluster, cluster observed, changed <-chan struct{}) (err error) {
	o := r.o
	parts := stack{log: o.Log}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Drain+5*time.Second)
		defer cancel()
		err = errors.Join(err, parts.close(stopping))
	}()
	r.see(first)
	if err := r.open(ctx, &parts); err != nil {
		return err
	}
	gone, stop, err := handOver(o.Handover, r.edge.taken, r.edge.open, o.Log)
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
			r.router.Retire()
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
		r.see(snapshot)
	}
}

// open opens the router's listeners, has DNS answered and Consul told, and says where
// all of it is.
func (r *routing) open(ctx context.Context, parts *stack) error {
	plain, err := r.edge.listen(r.o.Router)
	if err != nil {
		return errors.Join(fmt.Errorf("--router %s: %w", r.o.Router, err), r.router.Close())
	}
	var secure net.Listener
	if r.o.Edge.TLS != "" {
		if secure, err = r.edge.listen(r.o.Edge.TLS); err != nil {
			return errors.Join(fmt.Errorf("--router-tls %s: %w", r.o.Edge.TLS, err), r.router.Close(), plain.Close())
		}
	}
	r.edge.start(parts, r.router, plain, secure, r.o.Drain)
	r.find.start(parts, func() plimsoll.Cluster { return *r.latest.Load() }, r.told)
	if r.edge.taken.another() {
		r.find.await(ctx) // until then the other process answers, which knows the tasks
	}
	r.find.serve(parts)
	_, _ = fmt.Fprintf(r.o.Out, "router        http://%s\n", plain.Addr())
	if secure != nil {
		_, _ = fmt.Fprintf(r.o.Out, "router, TLS   https://%s\n", secure.Addr())
	}
	r.find.banner(r.o.Out, r.o.Cluster)
	return serveMetrics(parts, r.edge, r.router, r.o)
}
