package app

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/runtime"
	"plimsoll/engine/store"
)

// shutdownWait is how long all tasks together may take to end: longer than the
// drain and the longest grace period that is usual.
const shutdownWait = 150 * time.Second

// embedded is the running engine with its endpoints.
type embedded struct {
	daemon  *daemon.Daemon
	queues  *queue.Set
	runtime runtime.Runtime
	keys    awsapi.Keys
	region  string
	// endpoint is the URL of the API for the tasks and for Plimsoll itself.
	endpoint string
	agent    *ecsapi.Agent
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
	drainTime time.Duration
	drain     func(context.Context, engine.Drain)
	arrived   func(queue string)
	// release, if any, answers the tasks that release themselves.
	release http.Handler
	log     *slog.Logger
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
	e := &embedded{keys: keys, region: o.region, endpoint: o.endpoint}
	agent, err := ecsapi.NewAgent(ecsapi.AgentOptions{
		Secret: secret, URL: "http://" + o.agent.Addr().String(), Endpoint: o.endpoint, Region: o.region, Keys: keys,
		Releases: o.release != nil,
	})
	if err != nil {
		return nil, err
	}
	e.agent = agent
	log, err := store.Open(o.state.path("engine"), store.Options{Log: o.log})
	if err != nil {
		return nil, err
	}
	queueLog, err := store.Open(o.state.path("queues"), store.Options{Log: o.log})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	s.push("the queues", func(context.Context) error { return queueLog.Close() })
	e.queues, err = queue.Open(queue.Options{Log: queueLog, Now: time.Now, Random: cryptorand.Reader, Arrived: o.arrived})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	e.daemon, err = daemon.Start(ctx, daemon.Options{
		Machine: engine.New(engine.Config{
			Region: o.region, Account: account, DeregistrationDelay: o.drainTime, TaskEnv: agent.TaskEnv,
			Seed: cryptorand.Text(),
		}),
		Store: log, Drain: o.drain, Log: o.log,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) {
			var err error
			e.runtime, err = makeRuntime(o.runtime, o, sink)
			return e.runtime, err
		},
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	s.push("the runtime", func(context.Context) error {
		if watching, ok := e.runtime.(io.Closer); ok {
			return watching.Close()
		}
		return nil
	})
	s.push("the engine", func(context.Context) error { return e.daemon.Close() })
	return e, e.serve(s, o, agent)
}

// serve answers on the AWS endpoint and on the tasks' own.
func (e *embedded) serve(s *stack, o embeddedOptions, agent *ecsapi.Agent) error {
	agent.Attach(e.daemon)
	ecs, err := ecsapi.New(ecsapi.Options{Engine: e.daemon, Runtime: o.runtime})
	if err != nil {
		return err
	}
	endpoint, err := awsapi.New(awsapi.Options{Region: o.region, Credentials: e.keys, Log: o.log},
		ecs, awsapi.SQS(e.queues), awsapi.STS())
	if err != nil {
		return err
	}
	serve(s, "the AWS endpoint", o.aws, &http.Server{Handler: endpoint, ReadHeaderTimeout: headTimeout}, o.log)
	own := http.NewServeMux()
	own.Handle("/", agent)
	if o.release != nil {
		own.Handle("POST /v1/tasks/", o.release)
	}
	own.Handle("POST /{$}", endpoint) // the same without TLS, for the tasks and for Plimsoll itself
	own.Handle("POST /{account}/{queue}", endpoint)
	serve(s, "the tasks' endpoint", o.agent, &http.Server{Handler: own, ReadHeaderTimeout: headTimeout}, o.log)
	return nil
}

// putHosts makes the cluster and its logical hosts be there.
func (e *embedded) putHosts(ctx context.Context, cluster string, count, zones int, each plimsoll.Resources) error {
	if _, err := e.daemon.Do(ctx, engine.CreateCluster{Name: cluster}); err != nil {
		return err
	}
	_, err := e.daemon.Do(ctx, engine.PutHosts{Cluster: cluster, Hosts: hosts(e.region, count, zones, each)})
	return err
}

// shutdown stops all tasks and waits for them, for a time.
func (e *embedded) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	return e.daemon.Shutdown(ctx, "plimsoll was shut down")
}

// logs are the runtime's, if it has any.
func (e *embedded) logs() runtime.Logs {
	logs, _ := e.runtime.(runtime.Logs)
	return logs
}
