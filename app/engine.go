package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/tenants"
)

// shutdownWait is how long all tasks together may take to end: longer than the
// drain and the longest grace period that is usual.
const shutdownWait = 150 * time.Second

// embedded is the running engine with its endpoints. Its own world is that of
// the home account in the home region.
type embedded struct {
	*world
	worlds *worlds
	keys   awsapi.Keys
	// endpoint is the URL of the API for the tasks and for Plimsoll itself.
	endpoint string
}

// embeddedOptions are what the engine is started with. The listeners are open
// already, so that nothing is touched if one of them cannot be had.
type embeddedOptions struct {
	state stateDir
	aws   net.Listener
	agent net.Listener // the tasks' own endpoints
	// endpoint is the URL of the API for the tasks and for Plimsoll itself.
	endpoint  string
	region    string
	runtime   string
	allow     runtime.Allow
	images    docker.ImageOptions
	prefetch  []string // images
	drainTime time.Duration
	drain     func(context.Context, engine.Drain)
	// triggers tells that triggers of the home world read what its tasks use.
	triggers bool
	arrived  func(queue string)
	// release, if any, answers the tasks that release themselves.
	release http.Handler
	// hosts are those that the home account has in its other regions; after a
	// reset, in the home region too.
	hosts grant
	// allowReset has POST /_reset empty everything.
	allowReset bool
	log        *slog.Logger
}

// startEngine opens the state, adopts the tasks that still run and serves the
// endpoints. What it started is on the stack.
func startEngine(ctx context.Context, s *stack, o embeddedOptions) (*embedded, error) {
	keys, err := o.state.credentials()
	if err != nil {
		return nil, err
	}
	secret, err := o.state.secret()
	if err != nil {
		return nil, err
	}
	directory, err := tenants.OpenDirectory(string(o.state), keys, time.Now, o.log)
	if err != nil {
		return nil, err
	}
	e := &embedded{keys: keys, endpoint: o.endpoint}
	e.worlds = newWorlds(o, secret, directory)
	s.push("the engine", e.worlds.close)
	if e.world, err = e.worlds.start(ctx); err != nil {
		return nil, stateDamage(o.state, err)
	}
	return e, e.serve(s, o, directory)
}

// serve answers on the AWS endpoint and on the tasks' own.
func (e *embedded) serve(s *stack, o embeddedOptions, directory *tenants.Directory) error {
	endpoint, err := awsapi.New(awsapi.Options{
		Credentials: directory, Worlds: e.worlds, Admit: directory.Admit, Log: o.log,
	}, e.world.services...)
	if err != nil {
		return err
	}
	public := http.NewServeMux()
	public.Handle("/", endpoint)
	public.Handle("POST /_reset", &resetter{engine: e, allowed: o.allowReset, log: o.log})
	serve(s, "the AWS endpoint", o.aws, awsServer(public), o.log)
	own := http.NewServeMux()
	own.HandleFunc("/", e.worlds.serveHomeAgent)
	if o.release != nil {
		own.Handle("POST /v1/tasks/", o.release)
		own.Handle("GET /v1/tasks/", o.release)
	}
	own.HandleFunc(agentPath+"{account}/{region}/", e.worlds.serveAgent)
	own.Handle("POST /{$}", endpoint) // the same without TLS, for the tasks and for Plimsoll itself
	own.Handle("POST /{account}/{queue}", endpoint)
	own.Handle("POST /service/{service}/operation/{operation}", endpoint)
	serve(s, "the tasks' endpoint", o.agent, awsServer(own), o.log)
	return nil
}

// The limits of the engine's listeners. An answer may take as long as the
// longest poll of a queue (20 s), and time to send.
const (
	requestTimeout = time.Minute
	answerTimeout  = 2 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10 // bytes
)

func awsServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
}

// grant is the logical hosts that somebody has from the start.
type grant struct {
	cluster      string
	count, zones int
	each         plimsoll.Resources
}

// putHosts makes the cluster and its logical hosts be there. They are not under
// the account's quota: they are what it was given.
func (w *world) putHosts(ctx context.Context, g grant) error {
	if g.count == 0 {
		return nil
	}
	if _, err := w.daemon.Do(ctx, engine.CreateCluster{Name: g.cluster}); err != nil {
		return err
	}
	return w.setHosts(ctx, w.daemon, g, hostGroup)
}

// shutdown stops all tasks and waits for them, for a time.
func (e *embedded) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	return e.worlds.shutdown(ctx, "plimsoll was shut down")
}

// logs are the runtime's, if it has any.
func (e *embedded) logs() runtime.Logs {
	logs, _ := e.runtime.(runtime.Logs)
	return logs
}
