package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"plimsoll"
	"plimsoll/api"
	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/load"
	"plimsoll/platform/ecs"
	"plimsoll/router"
	"plimsoll/scale"
)

// Up runs a compose file on the embedded engine until ctx ends or somebody asks
// for the shutdown, and then drains and stops all that it started.
func Up(ctx context.Context, o UpOptions) error {
	project, err := compose.Load(o.File, os.Environ())
	if err != nil {
		return err
	}
	for _, w := range project.Warnings {
		o.Log.Warn(w.String())
	}
	u := &up{o: o, project: project, stack: stack{log: o.Log}}
	defer func() {
		if u.router != nil {
			_ = u.router.Close() // it has been shut down, or never served
		}
	}()
	if err := u.prepare(); err != nil {
		return err
	}
	ctx, u.shutdown = context.WithCancel(ctx)
	defer u.shutdown()
	err = u.start(ctx)
	if err == nil {
		defer shedLater(o.Log)()
		u.watch(ctx)
		_, _ = fmt.Fprintln(o.Out, "draining and stopping all tasks")
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait+10*time.Second)
	defer cancel()
	return errors.Join(err, u.stack.close(stopping))
}

// up is one run of a project.
type up struct {
	o        UpOptions
	project  *compose.Project
	stack    stack
	shutdown context.CancelFunc

	state     stateDir
	listeners listeners
	run       RunFile

	engine   *embedded
	platform *ecs.Cluster
	router   *router.Router
	edge     *edge
	routes   *routed
	finder   *finder
	loop     *control.Loop
	noted    atomic.Pointer[control.Loop] // loop, for those who were there before it
	release  lateHandler                  // the tasks' own way to the loop
	curve    load.Curve                   // of the load, if there is to be one
	load     *load.Driver
}

// prepare does all that can fail before anything live is touched: it checks
// the addresses, reads the trace, opens the state and takes every port.
func (u *up) prepare() error {
	err := errors.Join(
		needsGuard(onUI, u.o.UI, "--token", u.o.Token != ""),
		needsGuard(onRouter, u.o.Router, "--token", u.o.Token != ""),
		needsGuard(onAWS, u.o.AWS, "--tls-cert and --tls-key", u.o.CertFile != ""),
	)
	if err != nil {
		return err
	}
	if u.curve, err = readCurve(u.o); err != nil {
		return err
	}
	if err := u.prepareRouter(); err != nil {
		return err
	}
	if u.state, err = openState(u.o.State); err != nil {
		return err
	}
	addresses := map[string]string{onRouter: u.o.Router, onUI: u.o.UI, onAWS: u.o.AWS, onAgent: anyPort}
	if u.o.Edge.TLS != "" {
		addresses[onRouterTLS] = u.o.Edge.TLS
	}
	u.listeners, err = openListeners(u.state.lastRun(), addresses, u.o.CertFile, u.o.KeyFile)
	if err != nil {
		return err
	}
	u.finder, err = newFinder(u.o.Discovery, u.project, u.project.Name, u.state.path("control"), dnsPort(u.state.lastRun().Ports[onDNS]), u.o.Log)
	if err != nil {
		u.listeners.close()
		return err
	}
	u.run = RunFile{
		PID: os.Getpid(), Started: time.Now(), Region: DefaultRegion, Token: u.o.Token, Ports: u.listeners.ports(),
		UI:     "http://" + u.listeners.address(onUI),
		Router: "http://" + u.listeners.address(onRouter),
		AWS:    scheme(u.o.CertFile) + u.listeners.address(onAWS),
	}
	u.run.Ports[onDNS] = u.finder.port()
	return nil
}

// prepareRouter makes the router, and takes the ports of its TCP routes, so that
// one in use is told before anything is started.
func (u *up) prepareRouter() (err error) {
	if u.o.Edge.TLS != "" {
		if err := needsGuard(onRouterTLS, u.o.Edge.TLS, "--token", u.o.Token != ""); err != nil {
			return err
		}
	}
	if u.routes, err = newRouted(u.project, u.o.Log, u.o.Edge.LogAll); err != nil {
		return err
	}
	u.edge = &edge{EdgeOptions: u.o.Edge, log: u.o.Log, version: u.o.Version, state: u.o.State}
	host, _, err := net.SplitHostPort(u.o.Router)
	if err != nil {
		return misusef("--router: %w", err)
	}
	options, err := u.edge.options(host, u.routerToken())
	if err != nil {
		return err
	}
	if u.edge.acme != nil {
		u.routes.hosts = u.edge.acme.manage
	}
	u.router = router.New(options)
	// With their services empty: the ports open, and connections wait.
	return errors.Join(u.router.SetTable(u.routes.table(plimsoll.Cluster{})), u.edge.failed)
}

// routerToken is what the router asks of its clients where others than this
// machine can reach it.
func (u *up) routerToken() string {
	if isLoopback(u.o.Router) {
		return ""
	}
	return u.o.Token
}

// start brings up the engine, the router, the services, the loop and the API,
// in this order. What it started is on the stack.
func (u *up) start(ctx context.Context) error {
	arrivals, changed := &arrivals{}, make(chan struct{}, 1)
	allow, err := u.o.Allow.allow()
	if err != nil {
		u.listeners.close()
		return err
	}
	images, err := u.o.Images.options()
	if err != nil {
		u.listeners.close()
		return err
	}
	runtimeName, err := chooseRuntime(ctx, u.o.Runtime, u.project.Services)
	if err != nil {
		u.listeners.close()
		return err
	}
	u.engine, err = startEngine(ctx, &u.stack, embeddedOptions{
		state: u.state, aws: u.listeners[onAWS], agent: u.listeners[onAgent],
		endpoint: u.listeners.endpoint(u.run.AWS, u.o.CertFile),
		region:   u.run.Region, runtime: runtimeName, allow: allow, drainTime: u.project.DeregistrationDelay, hosts: u.hosts(),
		images: images, prefetch: slices.Concat(imagesOf(u.project.Services), u.o.Images.Prefetch),
		drain:    u.drain,
		triggers: true, arrived: arrivals.arrived, release: &u.release, log: u.o.Log,
	})
	if err != nil {
		u.listeners.close()
		return err
	}
	u.edge.start(&u.stack, u.router, u.listeners[onRouter], u.listeners[onRouterTLS], 2*time.Second)
	u.finder.serve(&u.stack)
	u.watchEngine(changed)
	if err := u.startServices(ctx, changed); err != nil {
		return err
	}
	if err := u.startLoop(arrivals); err != nil {
		return err
	}
	if err := u.startDashboard(); err != nil {
		return err
	}
	if err := u.stack.writeRun(u.state, u.run); err != nil {
		return err
	}
	return u.startLoad()
}

func (u *up) hosts() grant {
	h := u.project.Hosts
	return grant{cluster: u.project.Name, count: h.Count, zones: h.Zones, each: h.Each}
}

// watchEngine turns the engine's notices into wakes of the control loop.
func (u *up) watchEngine(changed chan struct{}) {
	notices, stop := u.engine.daemon.Subscribe()
	go func() {
		for n := range notices {
			signal(changed)
			u.noteSignal(n)
		}
	}()
	u.stack.push("the engine's notices", func(context.Context) error { stop(); return nil })
}

// startServices makes the cluster, its hosts, the queues and the services be
// what the file says.
func (u *up) startServices(ctx context.Context, changed chan struct{}) error {
	u.stack.push("the tasks", func(ctx context.Context) error {
		return u.engine.shutdown(ctx)
	})
	if err := u.putHosts(ctx); err != nil {
		return err
	}
	for _, s := range u.project.Services {
		for _, t := range s.Scaling.Triggers {
			if p, ok := t.Parameters.(*compose.SQSQueue); ok && p.Queue != "" && p.AWSEndpoint == "" {
				if err := u.engine.queues.Create(p.Queue, nil, nil); err != nil {
					return fmt.Errorf("%s:%d: services.%s: queue %q: %w", u.project.File, s.Line, s.Name, p.Queue, err)
				}
			}
		}
	}
	var err error
	u.platform, err = ecs.New(ctx, ecs.Options{
		Cluster: u.project.Name, Endpoint: u.engine.endpoint, Region: u.run.Region,
		Credentials: u.engine.provider(), Project: u.project.Name, Changed: changed, Log: u.o.Log,
		HostGroups: u.hostGroups(),
	})
	if err != nil {
		return err
	}
	hear := func(event string) { u.platform.Hear(event); signal(changed) }
	u.engine.bus.hear.Store(&hear)
	return deploy(ctx, u.platform, u.project, u.o.Log)
}

// startLoop runs the control loop, and gives the router its table after each
// of its steps.
func (u *up) startLoop(arrivals *arrivals) error {
	services, err := sources{
		project: u.project, router: u.router, arrivals: arrivals, meter: u.engine.meterFor(u.project.Name),
		aws: awsAccess{Endpoint: u.engine.endpoint, Region: u.run.Region, Credentials: u.engine.provider()},
	}.services()
	if err != nil {
		return err
	}
	u.loop, err = control.New(control.Options{
		Platform: u.platform, Services: services, Dir: u.state.path("control"), Log: u.o.Log,
		Eviction: scale.Eviction(u.project.Eviction), Hosts: scaledHosts(u.platform, u.project.Hosts, u.hostGroups()),
	})
	if err != nil {
		return err
	}
	u.noted.Store(u.loop)
	u.release.set(api.ReleaseHandler(u.loop, u.engine.agent.Owns))
	stepped, unsubscribe := u.loop.Subscribe()
	go func() {
		for range stepped {
			u.routes.set(u.router, u.loop.State().Cluster)
		}
	}()
	u.routes.set(u.router, u.loop.State().Cluster)
	if u.finder != nil {
		u.finder.telling.standings = u.router.Standings
	}
	u.finder.startLoop(&u.stack, u.loop)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.loop.Run(ctx) }()
	u.stack.push("the control loop", func(context.Context) error {
		stop()
		err := <-ended
		unsubscribe()
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	return nil
}

func (u *up) startDashboard() error {
	return dashboard{
		loop: u.loop, taskToken: u.engine.agent.Owns, services: u.project.Services, shutdown: u.shutdown, token: u.o.Token, version: u.o.Version,
		urls: map[string]string{onRouter: u.run.Router, onUI: u.run.UI, onAWS: u.run.AWS},
		logs: u.engine.logs(), router: u.router, routerPort: u.run.Ports[onRouter], meter: u.engine.meter(), log: u.o.Log,
	}.serve(&u.stack, u.listeners[onUI])
}

// watch shows the cluster until ctx ends.
func (u *up) watch(ctx context.Context) {
	u.banner()
	v := &view{out: u.o.Out, loop: u.loop, header: u.headline(), size: u.o.Size}
	if u.load != nil {
		v.extra = func() string { return u.load.Summary().String() }
	}
	v.run(ctx)
}

func (u *up) headline() string {
	return fmt.Sprintf("%s: dashboard %s  router %s  AWS endpoint %s", u.project.Name, u.run.UI, u.run.Router, u.run.AWS)
}

func (u *up) banner() {
	if u.o.Edge.TLS != "" {
		_, _ = fmt.Fprintf(u.o.Out, "router, TLS   https://%s\n", u.listeners.address(onRouterTLS))
	}
	_, _ = fmt.Fprintf(u.o.Out, "router        %s\nAWS endpoint  %s\ndashboard     %s\n", u.run.Router, u.run.AWS, u.run.UI)
	u.finder.banner(u.o.Out, u.project.Name)
}

// provider gives the engine's own key to an AWS client.
func (e *embedded) provider() credentials.StaticCredentialsProvider {
	return credentials.NewStaticCredentialsProvider(e.keys.AccessKeyID, e.keys.Secret, "")
}
