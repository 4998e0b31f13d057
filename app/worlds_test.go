package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"plimsoll"
	"plimsoll/app"
	"plimsoll/engine/tenants"
)

// engineStand is `plimsoll engine` with the fake runtime, in this process.
type engineStand struct {
	t     *testing.T
	state string
	url   string
	stop  func() error
}

func newEngine(t *testing.T, state string, change ...func(*app.EngineOptions)) *engineStand {
	t.Helper()
	var out, log bytes.Buffer
	o := app.EngineOptions{
		State: state, AWS: "127.0.0.1:0", Cluster: "default", Region: "us-east-1", Hosts: 2, Zones: 2,
		Each: plimsoll.Resources{CPU: 1024, Memory: 1024}, Runtime: "fake", Out: &out,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Engine(ctx, o) }()
	s := &engineStand{t: t, state: state}
	s.stop = func() error { cancel(); err := <-ended; ended <- nil; return err }
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the engine ended with %v\n%s", err, &log)
		}
	})
	began := time.Now()
	for s.url == "" {
		var run app.RunFile
		data, err := os.ReadFile(filepath.Join(state, "plimsoll.json"))
		if err == nil && json.Unmarshal(data, &run) == nil && run.Ended.IsZero() && run.Started.After(began.Add(-time.Second)) {
			s.url = run.AWS
			break
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the engine did not start: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return s
}

// environment has the test's AWS environment name the engine, as a client's
// configuration does.
func (s *engineStand) environment(c aws.Config) {
	s.t.Helper()
	keys, err := c.Credentials.Retrieve(s.t.Context())
	s.must(err)
	awsEnvironment(s.t, s.url, c.Region, keys)
}

// awsEnvironment has the test's AWS environment name an endpoint.
func awsEnvironment(t *testing.T, url, region string, keys aws.Credentials) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": url, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
	} {
		t.Setenv(name, value)
	}
}

// config is that of a client: of the home account, or of the key given.
func (s *engineStand) config(region string, keys ...tenants.Key) aws.Config {
	s.t.Helper()
	c := aws.Config{Region: region, BaseEndpoint: &s.url, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
	if len(keys) > 0 {
		c.Credentials = credentials.NewStaticCredentialsProvider(keys[0].ID, keys[0].Secret, "")
		return c
	}
	text, err := os.ReadFile(filepath.Join(s.state, "credentials"))
	if err != nil {
		s.t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(text)) {
		if _, value, ok := strings.Cut(line, " = "); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(values[0], values[1], "")
	return c
}

func (s *engineStand) tenant(name string, quota tenants.Quota) tenants.Tenant {
	s.t.Helper()
	var made tenants.Tenant
	s.change(func(b *tenants.Book) error {
		t, err := b.Add(name, quota, tenants.Hosts{Count: 1, Zones: 1, CPU: 1024, Memory: 1024}, time.Now(), app.Account)
		if err == nil {
			made = *t
		}
		return err
	})
	return made
}

func (s *engineStand) change(f func(*tenants.Book) error) {
	s.t.Helper()
	if err := tenants.Change(s.state, f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *engineStand) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// run starts one task of a family that it registers, and gives its ARN.
func (s *engineStand) run(c *ecs.Client) string {
	s.t.Helper()
	_, err := c.RegisterTaskDefinition(s.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("work"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("busybox"), Command: []string{"sleep", "1000"}, Memory: aws.Int32(64),
		}},
	})
	s.must(err)
	out, err := c.RunTask(s.t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("work")})
	s.must(err)
	if len(out.Tasks) != 1 {
		s.t.Fatalf("no task: %+v", out.Failures)
	}
	return *out.Tasks[0].TaskArn
}

func (s *engineStand) count(c *ecs.Client) (tasks, hosts int) {
	s.t.Helper()
	t, err := c.ListTasks(s.t.Context(), &ecs.ListTasksInput{})
	s.must(err)
	h, err := c.ListContainerInstances(s.t.Context(), &ecs.ListContainerInstancesInput{})
	s.must(err)
	return len(t.TaskArns), len(h.ContainerInstanceArns)
}

func code(err error) string {
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		return refusal.ErrorCode()
	}
	return ""
}

func TestRegionsAndTenantsDoNotSeeEachOther(t *testing.T) {
	s := newEngine(t, t.TempDir())
	red := s.tenant("red", tenants.Quota{})
	blue := s.tenant("blue", tenants.Quota{})
	worlds := map[string]aws.Config{
		"home": s.config("us-east-1"), "home, elsewhere": s.config("eu-west-1"),
		"red": s.config("us-east-1", red.Keys[0]), "blue": s.config("us-east-1", blue.Keys[0]),
	}
	arns := map[string]string{}
	for name, c := range worlds {
		arns[name] = s.run(ecs.NewFromConfig(c))
		_, err := sqs.NewFromConfig(c).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
		s.must(err)
	}
	for name, c := range worlds {
		tasks, hosts := s.count(ecs.NewFromConfig(c))
		if tasks != 1 || (hosts != 2 && !slices.Contains([]string{"red", "blue"}, name)) {
			t.Errorf("%s sees %d tasks and %d hosts", name, tasks, hosts)
		}
		for other, arn := range arns {
			out, err := ecs.NewFromConfig(c).DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}})
			s.must(err)
			if (len(out.Tasks) == 1) != (name == other) {
				t.Errorf("%s sees %d of the tasks of %s", name, len(out.Tasks), other)
			}
		}
		queues, err := sqs.NewFromConfig(c).ListQueues(t.Context(), &sqs.ListQueuesInput{})
		s.must(err)
		if len(queues.QueueUrls) != 1 {
			t.Errorf("%s sees the queues %v", name, queues.QueueUrls)
		}
	}
	for name, c := range worlds {
		_, err := cloudwatch.NewFromConfig(c).PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{
			Namespace: aws.String("jobs"), MetricData: []cwtypes.MetricDatum{{MetricName: &name, Value: aws.Float64(1)}},
		})
		s.must(err)
	}
	for name, c := range worlds {
		out, err := cloudwatch.NewFromConfig(c).ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("jobs")})
		s.must(err)
		if len(out.Metrics) != 1 || *out.Metrics[0].MetricName != name {
			t.Errorf("%s sees the metrics %+v", name, out.Metrics)
		}
	}
	who, err := sts.NewFromConfig(worlds["red"]).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	s.must(err)
	if *who.Account != red.Account || !strings.Contains(arns["red"], ":"+red.Account+":") || strings.Contains(arns["red"], blue.Account) {
		t.Errorf("red is %s, its task %s", *who.Account, arns["red"])
	}
	if _, err := ecs.NewFromConfig(s.config("nowhere")).ListClusters(t.Context(), &ecs.ListClustersInput{}); code(err) != "InvalidSignatureException" {
		t.Errorf("a region of no form: %v", err)
	}
}

func TestWorldsAreThereAgainAfterARestart(t *testing.T) {
	state := t.TempDir()
	s := newEngine(t, state)
	red := s.tenant("red", tenants.Quota{})
	elsewhere := s.config("eu-central-1", red.Keys[0])
	_, err := ecs.NewFromConfig(elsewhere).CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("kept")})
	s.must(err)
	s.must(s.stop())
	s = newEngine(t, state)
	elsewhere.BaseEndpoint = &s.url
	out, err := ecs.NewFromConfig(elsewhere).ListClusters(t.Context(), &ecs.ListClustersInput{})
	s.must(err)
	if len(out.ClusterArns) != 2 || !strings.HasSuffix(out.ClusterArns[1], "/kept") {
		t.Errorf("clusters %v", out.ClusterArns)
	}
}

func TestQuotasAreKept(t *testing.T) {
	s := newEngine(t, t.TempDir())
	red := s.tenant("red", tenants.Quota{Clusters: 2, Tasks: 3, Services: 1, Queues: 1, Hosts: 1})
	c := ecs.NewFromConfig(s.config("us-east-1", red.Keys[0]))
	s.run(c)
	create := func(name string, desired int32) error {
		_, err := c.CreateService(t.Context(), &ecs.CreateServiceInput{
			ServiceName: &name, TaskDefinition: aws.String("work"), DesiredCount: &desired,
		})
		return err
	}
	if err := create("web", 3); code(err) != "LimitExceededException" || !strings.Contains(err.Error(), "quota of 3 tasks") {
		t.Errorf("four tasks: %v", err)
	}
	s.must(create("web", 2))
	if err := create("more", 0); code(err) != "LimitExceededException" {
		t.Errorf("a second service: %v", err)
	}
	_, err := c.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("work")})
	if code(err) != "LimitExceededException" {
		t.Errorf("a fourth task: %v", err)
	}
	_, err = c.UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: aws.String("web"), DesiredCount: aws.Int32(3)})
	if code(err) != "LimitExceededException" {
		t.Errorf("a higher desired count: %v", err)
	}
	_, err = c.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("second")})
	s.must(err)
	_, err = c.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("third")})
	if code(err) != "LimitExceededException" {
		t.Errorf("a third cluster: %v", err)
	}
	queues := sqs.NewFromConfig(s.config("us-east-1", red.Keys[0]))
	for _, name := range []string{"one", "one"} {
		_, err = queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		s.must(err)
	}
	if _, err = queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("two")}); code(err) != "LimitExceededException" {
		t.Errorf("a second queue: %v", err)
	}
	s.change(func(b *tenants.Book) error {
		one, err := b.Find("red")
		one.Quota = tenants.Quota{RequestsPerSecond: 0.5}
		return err
	})
	s.must(create("more", 10))
	if err := create("again", 1); code(err) != "ThrottlingException" {
		t.Errorf("too many requests: %v", err)
	}
}

func TestARemovedTenantLosesItsKeyAtOnceAndItsTasksSoon(t *testing.T) {
	s := newEngine(t, t.TempDir())
	red := s.tenant("red", tenants.Quota{})
	c := ecs.NewFromConfig(s.config("us-east-1", red.Keys[0]))
	s.run(c)
	s.change(func(b *tenants.Book) error {
		one, err := b.Find("red")
		one.Removing = true
		return err
	})
	if _, err := c.ListTasks(t.Context(), &ecs.ListTasksInput{}); code(err) != "UnrecognizedClientException" {
		t.Errorf("the key still holds: %v", err)
	}
	for {
		book, err := tenants.Read(s.state)
		s.must(err)
		if len(book.Tenants) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := os.Stat(filepath.Join(s.state, "worlds", red.Account)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its state is there still: %v", err)
	}
}

func TestAResetEmptiesEverythingWhereItIsAllowed(t *testing.T) {
	reset := func(s *engineStand) (int, string) {
		t.Helper()
		answer, err := http.Post(s.url+"/_reset", "", nil)
		s.must(err)
		defer func() { _ = answer.Body.Close() }()
		var body struct{ Message string }
		s.must(json.NewDecoder(answer.Body).Decode(&body))
		if answer.Header.Get("x-amzn-RequestId") == "" {
			t.Error("the answer has no request id")
		}
		return answer.StatusCode, body.Message
	}
	s := newEngine(t, t.TempDir())
	if status, message := reset(s); status != http.StatusForbidden || !strings.Contains(message, "--allow-reset") {
		t.Errorf("not allowed: %d %s", status, message)
	}
	s = newEngine(t, t.TempDir(), func(o *app.EngineOptions) { o.AllowReset = true })
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		s.run(ecs.NewFromConfig(s.config(region)))
		_, err := sqs.NewFromConfig(s.config(region)).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
		s.must(err)
	}
	if status, message := reset(s); status != http.StatusOK {
		t.Fatalf("%d %s", status, message)
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		c := ecs.NewFromConfig(s.config(region))
		tasks, hosts := s.count(c)
		queues, err := sqs.NewFromConfig(s.config(region)).ListQueues(t.Context(), &sqs.ListQueuesInput{})
		s.must(err)
		families, err := c.ListTaskDefinitionFamilies(t.Context(), &ecs.ListTaskDefinitionFamiliesInput{})
		s.must(err)
		if tasks != 0 || hosts != 2 || len(queues.QueueUrls) != 0 || len(families.Families) != 0 {
			t.Errorf("%s after the reset: %d tasks, %d hosts, queues %v, families %v", region, tasks, hosts, queues.QueueUrls, families.Families)
		}
		s.run(c)
	}
}
