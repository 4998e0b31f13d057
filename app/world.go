package app

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/cloudwatch"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ec2api"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/events"
	"plimsoll/engine/queue"
	"plimsoll/engine/runtime"
	"plimsoll/engine/store"
	"plimsoll/engine/tenants"
	"plimsoll/engine/usage"
)

// world is one account in one region: a machine with its daemon, its queues,
// its part of the runtime, and the services over them. It shares the host ports
// with the other worlds, and nothing else.
type world struct {
	account, region string
	// block is the first of the loopback addresses' second numbers that the
	// world's hosts have.
	block    int
	daemon   *daemon.Daemon
	bounded  *tenants.Bounded // the same under the account's quota
	placing  sync.Mutex       // held while the hosts of a cluster change
	queues   *queue.Set
	records  *store.Log // of what is neither the machine's nor the queues'
	rules    *events.Rules
	bus      *bus
	runtime  runtime.Runtime
	metrics  *cloudwatch.Store
	sampler  *usage.Sampler // nil where the runtime cannot tell what tasks use
	agent    *ecsapi.Agent
	services []*awsapi.Service
	api      *awsapi.World
	parts    stack
}

// architectures are ECS's words for Go's.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

// worldOptions are what a world is opened with.
type worldOptions struct {
	embeddedOptions
	dir             stateDir
	account, region string
	block           int
	agent           ecsapi.AgentOptions
	quota           func() tenants.Quota
}

// openWorld opens a world's state and adopts its tasks that still run.
func openWorld(ctx context.Context, o worldOptions, ports runtimePorts) (_ *world, err error) {
	w := &world{account: o.account, region: o.region, block: o.block, parts: stack{log: o.log}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("account %s in %s: %w", o.account, o.region, err), w.parts.close(context.WithoutCancel(ctx)))
		}
	}()
	if w.agent, err = ecsapi.NewAgent(o.agent); err != nil {
		return nil, err
	}
	queueLog, err := store.Open(o.dir.path("queues"), store.Options{Log: o.log})
	if err != nil {
		return nil, err
	}
	w.parts.push("the queues", func(context.Context) error { return queueLog.Close() })
	w.queues, err = queue.Open(queue.Options{Log: queueLog, Now: time.Now, Random: cryptorand.Reader, Arrived: o.arrived})
	if err != nil {
		return nil, err
	}
	w.parts.push("the queues' timers", func(context.Context) error { w.queues.Close(); return nil })
	if err := w.openRecords(o); err != nil {
		return nil, err
	}
	log, err := store.Open(o.dir.path("engine"), store.Options{Log: o.log})
	if err != nil {
		return nil, err
	}
	w.bus = &bus{Outbox: w.newDelivery(o, log)}
	w.daemon, err = daemon.Start(ctx, daemon.Options{
		Machine: engine.New(engine.Config{
			Region: o.region, Account: o.account, DeregistrationDelay: o.drainTime, TaskEnv: w.agent.TaskEnv,
			Seed: cryptorand.Text(), Architecture: architectures[goruntime.GOARCH],
		}),
		Store: log, Drain: o.drain, Outbox: ecsapi.NewOutbox(w.bus.Outbox, w.rules, o.log), Log: o.log,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) {
			var err error
			w.runtime, err = makeRuntime(o, ports, sink)
			return w.runtime, err
		},
	})
	if err != nil {
		return nil, err // the daemon has closed the log
	}
	w.parts.push("the runtime", func(context.Context) error {
		if watching, ok := w.runtime.(io.Closer); ok {
			return watching.Close()
		}
		return nil
	})
	w.parts.push("the engine", func(context.Context) error { return w.daemon.Close() })
	w.deliver(w.bus.Outbox)
	w.agent.Attach(w.daemon)
	if meter, able := w.runtime.(runtime.Meter); able {
		w.agent.Measure(meter)
	}
	if ahead, able := w.runtime.(runtime.Prefetcher); able {
		for _, image := range o.prefetch {
			ahead.Prefetch(image)
		}
	}
	w.metrics = cloudwatch.NewStore(0)
	w.measure(o)
	return w, w.serve(o)
}

// openRecords opens what is kept beside the machine and the queues.
func (w *world) openRecords(o worldOptions) (err error) {
	if w.records, err = store.Open(o.dir.path("records"), store.Options{Log: o.log}); err != nil {
		return err
	}
	w.parts.push("the records", func(context.Context) error { return w.records.Close() })
	w.rules, err = events.OpenRules(w.records, time.Now)
	return err
}

// newDelivery makes what carries the engine's events to the queues.
func (w *world) newDelivery(o worldOptions, log *store.Log) *events.Outbox {
	return events.NewOutbox(events.OutboxOptions{
		Rules: w.rules, Account: o.account, Region: o.region, Log: log, Send: w.sendEvents, Now: time.Now, Logs: o.log,
	})
}

// deliver has events go out until the world is closed. What is not out by then
// goes out after the next start.
func (w *world) deliver(delivery *events.Outbox) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); delivery.Run(ctx) }()
	w.parts.push("the events", func(context.Context) error { stop(); <-ended; return nil })
}

// sendEvents puts events into the queue of an ARN.
func (w *world) sendEvents(arn, group string, bodies []string) error {
	drafts := make([]queue.Draft, len(bodies))
	for i, body := range bodies {
		drafts[i] = queue.Draft{Body: body, Sender: "events.amazonaws.com", Group: group}
		if group != "" {
			// The event's own id is in the body: what is sent again is known.
			drafts[i].Deduplication = fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
		}
	}
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	results, err := w.queues.Send(name, drafts)
	var refusal *queue.Error
	if errors.As(err, &refusal) {
		return fmt.Errorf("%w: %w", events.ErrNoQueue, err)
	}
	for _, r := range results {
		if r.Err != nil {
			return fmt.Errorf("%w takes it: %w", events.ErrNoQueue, r.Err)
		}
	}
	return err
}

// serve makes the services over what has been opened.
func (w *world) serve(o worldOptions) error {
	w.bounded = tenants.Bound(w.daemon, o.quota)
	ecs, err := ecsapi.New(ecsapi.Options{Engine: w.bounded, Abilities: abilitiesOf(o.runtime, o.allow)})
	if err != nil {
		return err
	}
	queues := awsapi.SQS(w.queues)
	queues.Before("CreateQueue", func(_ *awsapi.Call, in any) error { return w.admitQueue(o.quota().Queues, in) })
	around, err := ec2api.New(ec2api.Options{
		Engine: w.daemon, Commands: w.bounded, Hosts: w, Log: w.records, Account: o.account, Region: o.region,
	})
	if err != nil {
		return err
	}
	w.services = append([]*awsapi.Service{ecs, queues, awsapi.STS(), awsapi.EventBridge(w.rules, w.bus), cloudwatch.Service(w.metrics, nil)}, around...)
	w.api, err = awsapi.NewWorld(w.services...)
	return err
}

// admitQueue refuses one queue too many.
func (w *world) admitQueue(most int, in any) error {
	create, ok := in.(*sqs.CreateQueueInput)
	if most <= 0 || !ok || create.QueueName == nil || w.queues.Exists(*create.QueueName) {
		return nil
	}
	if n := len(w.queues.Names("")); n >= most {
		return &awsapi.Error{
			Code:    "LimitExceededException",
			Message: fmt.Sprintf("The quota of %d queues is exceeded: %d are in use, and 1 more was asked for.", most, n),
		}
	}
	return nil
}
