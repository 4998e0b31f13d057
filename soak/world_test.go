package soak

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll"
	"plimsoll/api"
	"plimsoll/control"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/runtime"
	processes "plimsoll/engine/runtime/process"
	"plimsoll/engine/store"
	"plimsoll/platform/ecs"
)

// process is one task: a goroutine that runs as a program would, knows the world
// by its environment alone, and outlives the engine.
type process struct {
	spec  runtime.Spec
	stop  context.CancelFunc
	ended bool
	asked bool // SIGTERM
	busy  atomic.Int32
	// interrupted counts the stop signals that came while it was busy.
	interrupted int
}

// machine runs the tasks. It is the runtime of one engine after the other.
type machine struct {
	program func(ctx context.Context, p *process)
	mu      sync.Mutex
	all     map[string]*process
	sink    runtime.Sink // of the engine that lives; nil while none does
	running sync.WaitGroup
}

func (m *machine) say(e runtime.Event) {
	m.mu.Lock()
	sink := m.sink
	m.mu.Unlock()
	if sink != nil {
		e.At = time.Now()
		sink(e)
	}
}

func (m *machine) Start(spec runtime.Spec) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all[spec.TaskID] != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &process{spec: spec, stop: stop}
	m.all[spec.TaskID] = p
	m.running.Go(func() {
		m.say(runtime.Event{TaskID: spec.TaskID, Kind: runtime.Started})
		m.program(ctx, p)
		m.mu.Lock()
		p.ended = true
		m.mu.Unlock()
		m.say(exit(p))
	})
}

func exit(p *process) runtime.Event {
	return runtime.Event{TaskID: p.spec.TaskID, Kind: runtime.Exited, Exits: []runtime.Exit{{Container: p.spec.Containers[0].Name}}}
}

func (m *machine) Stop(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.all[id]
	if p == nil || p.ended || p.asked {
		return
	}
	p.asked = true
	if p.busy.Load() > 0 {
		p.interrupted++
	}
	p.stop()
}

func (m *machine) Adopt(_ context.Context, known []runtime.Spec) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, spec := range known {
		p := m.all[spec.TaskID]
		e := runtime.Event{TaskID: spec.TaskID, Kind: runtime.StartFailed, At: time.Now(), Reason: "no trace of it"}
		if p != nil && p.ended {
			e = exit(p)
		} else if p != nil {
			e.Kind = runtime.Started
		}
		sink := m.sink
		m.running.Go(func() { sink(e) })
	}
	return nil
}

// interrupted are the tasks that had a stop signal while they were busy.
func (m *machine) interrupted() (ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.all {
		if p.interrupted > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// mortal serves what may be killed: a request that is under way when that happens
// gets no answer, whether it was carried out or not.
type mortal struct {
	handler    atomic.Pointer[http.Handler]
	generation atomic.Int64
	slow       atomic.Int64 // most delay of an answer, in ns
	lost       atomic.Int64

	mu   sync.Mutex
	life context.Context // ends with the kill, as the connections do
	die  context.CancelFunc
}

func (m *mortal) set(h http.Handler) {
	m.mu.Lock()
	m.life, m.die = context.WithCancel(context.Background())
	m.mu.Unlock()
	m.handler.Store(&h)
}

func (m *mortal) kill() {
	m.generation.Add(1)
	m.handler.Store(nil)
	m.die()
}

// within gives a request that ends with the present life.
func (m *mortal) within(r *http.Request) (*http.Request, func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	return r.WithContext(ctx), context.AfterFunc(m.life, cancel)
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	born := m.generation.Load()
	h := m.handler.Load()
	if h == nil {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	r, done := m.within(r)
	(*h).ServeHTTP(answer, r)
	done()
	if most := m.slow.Load(); most > 0 {
		time.Sleep(time.Duration(random(int(most))))
	}
	if m.generation.Load() != born {
		m.lost.Add(1)
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// world is a whole Plimsoll in this process, without its router: the engine with
// its endpoints, and the control loop if the test wants it.
type world struct {
	t        *testing.T
	dir      string
	keys     awsapi.Keys
	machine  *machine
	aws      mortal
	agent    mortal
	awsURL   string
	agentURL string
	hosts    int
	each     plimsoll.Resources
	services []control.Service // under the loop's control; none: no loop
	// alive are the parts of the present life.
	daemon *daemon.Daemon
	set    *queue.Set
	qlog   *store.Log
	loop   *control.Loop
	end    []func()
	lives  int
}

const region = "us-east-1"

func newWorld(t *testing.T, hosts int, each plimsoll.Resources, services []control.Service, program func(ctx context.Context, p *process)) *world {
	t.Helper()
	keys, err := awsapi.NewKeys(rand.Reader, "123456789012")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, dir: fastDir(t), keys: keys, hosts: hosts, each: each, services: services,
		machine: &machine{all: map[string]*process{}, program: program},
	}
	for url, m := range map[*string]*mortal{&w.awsURL: &w.aws, &w.agentURL: &w.agent} {
		s := httptest.NewUnstartedServer(m)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.Start()
		*url = s.URL
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	}
	w.live()
	t.Cleanup(w.close)
	return w
}

// fastDir is a folder in memory where there is one: a kill here is no loss of
// power, and other tests need the disk.
func fastDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "plimsoll-soak-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// live starts the engine, and the loop, on what an earlier life has left.
func (w *world) live() {
	w.t.Helper()
	w.lives++
	agent, err := ecsapi.NewAgent(ecsapi.AgentOptions{
		Secret: []byte("0123456789abcdef"), URL: w.agentURL, Endpoint: w.awsURL, Region: region, Keys: w.keys, Releases: true,
	})
	w.must(err)
	log, err := store.Open(filepath.Join(w.dir, "engine"), store.Options{})
	w.must(err)
	w.daemon, err = daemon.Start(context.Background(), daemon.Options{
		Machine: engine.New(engine.Config{Region: region, TaskEnv: agent.TaskEnv, Seed: fmt.Sprint(time.Now().UnixNano())}), Store: log,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) {
			w.machine.mu.Lock()
			defer w.machine.mu.Unlock()
			w.machine.sink = sink
			return w.machine, nil
		},
	})
	w.must(err)
	w.qlog, err = store.Open(filepath.Join(w.dir, "queues"), store.Options{})
	w.must(err)
	w.set, err = queue.Open(queue.Options{Log: w.qlog, Now: time.Now, Random: rand.Reader})
	w.must(err)
	agent.Attach(w.daemon)
	service, err := ecsapi.New(ecsapi.Options{Engine: w.daemon, Abilities: processes.Abilities()})
	w.must(err)
	endpoint, err := awsapi.New(awsapi.Options{Region: region, Credentials: w.keys}, service, awsapi.SQS(w.set), awsapi.STS())
	w.must(err)
	if w.lives == 1 {
		w.populate()
	}
	w.aws.set(endpoint)
	own := http.NewServeMux()
	own.Handle("/", agent)
	if w.services != nil {
		w.startLoop()
		own.Handle("POST /v1/tasks/", api.ReleaseHandler(w.loop, agent.Owns))
	}
	w.agent.set(own)
}

func (w *world) populate() {
	put := engine.PutHosts{Cluster: "soak"}
	for i := range w.hosts {
		put.Hosts = append(put.Hosts, engine.HostSpec{
			Name: fmt.Sprintf("host-%d", i+1), Zone: region + string("abc"[i%3]), Address: fmt.Sprintf("127.64.1.%d", i+1), Resources: w.each,
		})
	}
	w.do(engine.CreateCluster{Name: "soak"})
	w.do(put)
	w.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{
		Family: "work", TaskRoleARN: "arn:aws:iam::123456789012:role/work", Containers: []engine.ContainerDefinition{{Name: "work", Command: []string{"work"}, CPU: 100, Memory: 100, Essential: true}},
	}})
	w.must(w.set.Create("jobs", nil, nil))
}

func (w *world) startLoop() {
	w.t.Helper()
	changed := make(chan struct{}, 1)
	notices, unsubscribe := w.daemon.Subscribe()
	go func() {
		for range notices {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	cluster, err := ecs.New(context.Background(), ecs.Options{
		Cluster: "soak", Endpoint: w.awsURL, Region: region, Changed: changed,
		Credentials: credentials.NewStaticCredentialsProvider(w.keys.AccessKeyID, w.keys.Secret, ""),
	})
	w.must(err)
	w.loop, err = control.New(control.Options{Platform: cluster, Services: w.services, Dir: filepath.Join(w.dir, "control")})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.loop.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	}()
	w.end = append(w.end, func() { cancel(); <-ended; unsubscribe() })
}

// kill ends the engine and the loop; no answer that is under way arrives. The
// tasks go on.
func (w *world) kill() {
	w.aws.kill()
	w.agent.kill()
	w.machine.mu.Lock()
	w.machine.sink = nil
	w.machine.mu.Unlock()
	for _, end := range w.end {
		end()
	}
	w.end = nil
	w.must(w.daemon.Close())
	w.set.Close()
	w.must(w.qlog.Close())
}

func (w *world) close() {
	w.machine.mu.Lock()
	for _, p := range w.machine.all {
		p.stop()
	}
	w.machine.mu.Unlock()
	w.machine.running.Wait()
	w.kill()
}

func (w *world) do(c engine.Command) any {
	w.t.Helper()
	v, err := w.daemon.Do(context.Background(), c)
	if err != nil {
		w.t.Fatalf("%T: %v", c, err)
	}
	return v
}

func (w *world) service(desired int) {
	w.t.Helper()
	w.do(engine.CreateService{Cluster: "soak", Name: "work", TaskDefinition: "work", Desired: desired})
}

// counts are the service's desired and running counts.
func (w *world) counts() (desired, running int) {
	w.daemon.Read(func(v engine.View) {
		s, _ := v.Service("soak", "work")
		desired = s.Desired
		running, _ = v.ServiceCounts("soak", "work")
	})
	return desired, running
}

// sqs is a client as any program has it; it tries again for as long as a new
// start takes.
func (w *world) sqs() *awssqs.Client {
	return awssqs.New(awssqs.Options{
		BaseEndpoint: &w.awsURL, Region: region, RetryMaxAttempts: 10,
		Credentials: credentials.NewStaticCredentialsProvider(w.keys.AccessKeyID, w.keys.Secret, ""),
	})
}

func (w *world) send(bodies ...string) {
	w.t.Helper()
	client := w.sqs()
	url := w.queueURL()
	for _, b := range bodies {
		if _, err := client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(b)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) queueURL() string { return w.awsURL + "/123456789012/jobs" }

// tasks is how many tasks there have been.
func (w *world) tasks() int {
	w.machine.mu.Lock()
	defer w.machine.mu.Unlock()
	return len(w.machine.all)
}

// until waits for a condition.
func (w *world) until(what string, patience time.Duration, so func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("never came: %s", what)
		}
	}
}

// quiet is the log of workers: what goes wrong around a kill is expected.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
