package ecsapi_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/runtime/process"
	"plimsoll/engine/store"
)

const (
	region  = "us-east-1"
	account = "123456789012"
	prefix  = "arn:aws:ecs:us-east-1:123456789012:"
)

// stand is a whole engine with the fake runtime, behind the real endpoint and
// the real log, with the SDK's client before it.
type stand struct {
	*ecs.Client
	t      testing.TB
	url    string
	keys   awsapi.Keys
	engine *daemon.Daemon
	world  *fake.World
	agent  *ecsapi.Agent
	own    *httptest.Server // the agent's
	// operations are the names of those that the service has.
	operations []string
}

// newStand is one that refuses what the runtime of that name refuses.
func newStand(t testing.TB, runtimeName string, hosts int) *stand {
	t.Helper()
	return newStandOf(t, abilitiesOf(runtimeName), hosts)
}

// newStandOf has these abilities, with the fake runtime.
func newStandOf(t testing.TB, able runtime.Abilities, hosts int, tune ...func(*fake.Options)) *stand {
	t.Helper()
	world := fake.NewWorld()
	s := newStandOver(t, able, hosts, func(sink runtime.Sink) (runtime.Runtime, error) {
		o := fake.Options{World: world}
		for _, f := range tune {
			f(&o)
		}
		return fake.New(o, sink), nil
	})
	s.world = world
	return s
}

// newStandOver runs its tasks on the runtime that is made for it.
func newStandOver(t testing.TB, able runtime.Abilities, hosts int, run func(runtime.Sink) (runtime.Runtime, error)) *stand {
	t.Helper()
	keys, err := awsapi.NewKeys(rand.Reader, account)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, keys: keys}
	s.own = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.agent.ServeHTTP(w, r) }))
	t.Cleanup(s.own.Close)
	endpoint := httptest.NewUnstartedServer(nil)
	s.url = "http://" + endpoint.Listener.Addr().String()
	if s.agent, err = ecsapi.NewAgent(ecsapi.AgentOptions{
		Secret: []byte("0123456789abcdef"), URL: s.own.URL, Endpoint: s.url, Region: region, Keys: keys,
	}); err != nil {
		t.Fatal(err)
	}
	s.engine = startEngine(t, s, run)
	s.agent.Attach(s.engine)
	service, err := ecsapi.New(ecsapi.Options{Engine: s.engine, Abilities: able, Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range service.Operations {
		s.operations = append(s.operations, op.Name)
	}
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: keys}, service, awsapi.SQS(openQueues(t)), awsapi.STS())
	if err != nil {
		t.Fatal(err)
	}
	endpoint.Config.Handler = api
	endpoint.Start()
	t.Cleanup(endpoint.Close)
	s.Client = ecs.NewFromConfig(s.config())
	if _, err := s.engine.Do(t.Context(), engine.CreateCluster{Name: "default"}); err != nil {
		t.Fatal(err)
	}
	s.putHosts(hosts)
	return s
}

// abilitiesOf are those of a runtime, though the fake one stands in for it.
func abilitiesOf(name string) runtime.Abilities {
	return map[string]runtime.Abilities{
		"process": process.Abilities(), "docker": docker.Abilities(runtime.Allow{}), "fake": fake.Abilities(),
	}[name]
}

func startEngine(t testing.TB, s *stand, run func(runtime.Sink) (runtime.Runtime, error)) *daemon.Daemon {
	t.Helper()
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Start(t.Context(), daemon.Options{
		Machine: engine.New(engine.Config{Region: region, Account: account, TaskEnv: s.agent.TaskEnv, Architecture: "x86_64"}),
		Store:   log,
		Runtime: run,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func openQueues(t testing.TB) *queue.Set {
	t.Helper()
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	queues, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return queues
}

func (s *stand) config() aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: &s.url,
		Credentials: credentials.NewStaticCredentialsProvider(s.keys.AccessKeyID, s.keys.Secret, ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// putHosts makes hosts of 1024 CPU units and 1024 MiB in three zones.
func (s *stand) putHosts(n int) {
	s.t.Helper()
	var hosts []engine.HostSpec
	for i := range n {
		hosts = append(hosts, engine.HostSpec{
			Name: fmt.Sprintf("host-%d", i+1), Zone: region + string("abc"[i%3]), Address: fmt.Sprintf("127.64.1.%d", i+1),
			Resources: plimsoll.Resources{CPU: 1024, Memory: 1024},
		})
	}
	if _, err := s.engine.Do(s.t.Context(), engine.PutHosts{Cluster: "default", Hosts: hosts}); err != nil {
		s.t.Fatal(err)
	}
}

// register registers a one-container definition of 256 units and 128 MiB.
func (s *stand) register(family string) string {
	s.t.Helper()
	out, err := s.RegisterTaskDefinition(s.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &family,
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Command: []string{"./bin/" + family}, Cpu: 256, Memory: aws.Int32(128),
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}},
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.TaskDefinition.TaskDefinitionArn
}

func (s *stand) createService(name, definition string, desired int32) {
	s.t.Helper()
	if _, err := s.CreateService(s.t.Context(), &ecs.CreateServiceInput{
		ServiceName: &name, TaskDefinition: &definition, DesiredCount: &desired,
		Tags: []types.Tag{{Key: aws.String(plimsoll.TagPriority), Value: aws.String("2")}},
	}); err != nil {
		s.t.Fatal(err)
	}
}

// service describes a service, with its tags.
func (s *stand) service(name string) types.Service {
	s.t.Helper()
	out, err := s.DescribeServices(s.t.Context(), &ecs.DescribeServicesInput{
		Services: []string{name}, Include: []types.ServiceField{types.ServiceFieldTags},
	})
	if err != nil || len(out.Services) != 1 {
		s.t.Fatalf("%+v, %v", out, err)
	}
	return out.Services[0]
}

// steady waits until a service runs as many tasks as it is to have.
func (s *stand) steady(name string) types.Service {
	s.t.Helper()
	var got types.Service
	s.until("the service "+name+" is steady", func() bool {
		got = s.service(name)
		return got.RunningCount == got.DesiredCount && got.PendingCount == 0 && len(got.Deployments) == 1
	})
	return got
}

func (s *stand) tasks(in ecs.ListTasksInput) []string {
	s.t.Helper()
	out, err := s.ListTasks(s.t.Context(), &in)
	if err != nil {
		s.t.Fatal(err)
	}
	return out.TaskArns
}

func (s *stand) task(arn string) types.Task {
	s.t.Helper()
	out, err := s.DescribeTasks(s.t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}, Include: []types.TaskField{types.TaskFieldTags}})
	if err != nil || len(out.Tasks) != 1 {
		s.t.Fatalf("%+v, %v", out, err)
	}
	return out.Tasks[0]
}

// until waits for a condition; what is not so after ten seconds never will be.
func (s *stand) until(what string, condition func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("never came: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// ask sends a request to the agent's endpoint.
func ask(t testing.TB, method, url, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return answer.StatusCode, fields
}

// wants tells whether the error is the one named, with the words given in it.
func wants(t testing.TB, what string, err error, code, words string) {
	t.Helper()
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != code || !strings.Contains(refused.ErrorMessage(), words) {
		t.Errorf("%s: got %v, want %s with %q", what, err, code, words)
	}
}
