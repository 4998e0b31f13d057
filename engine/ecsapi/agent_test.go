package ecsapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"plimsoll"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/ecsapi"
)

// worker starts a service of two tasks with a role, and gives the first's ARN
// and the environment that it is told.
func worker(t *testing.T) (*stand, string, map[string]string) {
	t.Helper()
	s := newStand(t, "process", 2)
	if _, err := s.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("worker"), TaskRoleArn: aws.String("arn:aws:iam::123456789012:role/worker"),
		ContainerDefinitions: []types.ContainerDefinition{
			{Name: aws.String("side"), Command: []string{"./side"}, Memory: aws.Int32(64), Essential: aws.Bool(false)},
			{
				Name: aws.String("main"), Image: aws.String("worker:1"), Command: []string{"./worker"}, Cpu: 100, Memory: aws.Int32(128),
				PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}}, DockerLabels: map[string]string{"team": "a"},
				HealthCheck:   &types.HealthCheck{Command: []string{"CMD", "ok"}},
				RestartPolicy: &types.ContainerRestartPolicy{Enabled: aws.Bool(true)},
			},
		},
	}); err != nil {
		t.Fatal(err)
	}
	s.createService("worker", "worker", 2)
	s.steady("worker")
	arn := s.tasks(ecs.ListTasksInput{})[0]
	return s, arn, s.agent.TaskEnv(plimsoll.ARNName(arn), true)
}

func TestATaskLearnsWhoItIs(t *testing.T) {
	s, arn, env := worker(t)
	status, task := ask(t, http.MethodGet, env["ECS_CONTAINER_METADATA_URI_V4"]+"/task", "")
	if status != http.StatusOK || task["TaskARN"] != arn || task["Cluster"] != "default" || task["Family"] != "worker" ||
		task["Revision"] != "1" || task["KnownStatus"] != "RUNNING" || task["DesiredStatus"] != "RUNNING" ||
		task["ServiceName"] != "worker" || task["LaunchType"] != "EC2" || !strings.HasPrefix(task["AvailabilityZone"].(string), region) {
		t.Errorf("%d %v", status, task)
	}
	if containers := task["Containers"].([]any); len(containers) != 2 {
		t.Errorf("containers %v", containers)
	}
	status, c := ask(t, http.MethodGet, env["ECS_CONTAINER_METADATA_URI_V4"], "")
	labels, _ := c["Labels"].(map[string]any)
	if status != http.StatusOK || c["Name"] != "main" || c["Image"] != "worker:1" || c["Type"] != "NORMAL" ||
		!strings.Contains(c["ContainerARN"].(string), ":container/default/") || labels["team"] != "a" ||
		labels["com.amazonaws.ecs.task-arn"] != arn || labels["com.amazonaws.ecs.task-definition-version"] != "1" {
		t.Errorf("%d %v", status, c)
	}
	s.until("the task knows that it is healthy", func() bool {
		_, c = ask(t, http.MethodGet, env["ECS_CONTAINER_METADATA_URI_V4"], "")
		health, _ := c["Health"].(map[string]any)
		return health["status"] == "HEALTHY"
	})
	if c["RestartCount"] != 0.0 || task["PullStartedAt"] == nil || task["PullStoppedAt"] == nil {
		t.Errorf("restarts %v, pulled %v to %v", c["RestartCount"], task["PullStartedAt"], task["PullStoppedAt"])
	}
	port := c["Ports"].([]any)[0].(map[string]any)
	if port["ContainerPort"] != 8080.0 || port["Protocol"] != "tcp" || port["HostPort"].(float64) < 20000 {
		t.Errorf("port %v", port)
	}
	for _, url := range []string{env["ECS_CONTAINER_METADATA_URI"] + "/task", env["ECS_CONTAINER_METADATA_URI_V4"] + "/taskWithTags"} {
		if status, task := ask(t, http.MethodGet, url, ""); status != http.StatusOK || task["TaskARN"] != arn {
			t.Errorf("%s: %d %v", url, status, task)
		}
	}
	if env["AWS_REGION"] != region || env["AWS_DEFAULT_REGION"] != region || env["AWS_ENDPOINT_URL"] != s.url ||
		env["AWS_EXECUTION_ENV"] != "AWS_ECS_EC2" {
		t.Errorf("environment %v", env)
	}
}

func TestATaskSeesOnlyItself(t *testing.T) {
	s, arn, env := worker(t)
	id := plimsoll.ARNName(arn)
	own := strings.TrimPrefix(env["ECS_CONTAINER_METADATA_URI_V4"], s.own.URL+"/v4/")
	other := s.agent.TaskEnv("another", true)["ECS_AGENT_URI"]
	for _, address := range []string{
		id, id + "-", own[:len(own)-1], own + "a", strings.Replace(own, id[:4], "0000", 1),
		strings.TrimPrefix(other, s.own.URL+"/api/"),
	} {
		if address == own {
			continue
		}
		for _, path := range []string{"/v3/" + address, "/v4/" + address + "/task", "/v2/credentials/" + address, "/api/" + address + "/task-protection/v1/state"} {
			if status, body := ask(t, http.MethodGet, s.own.URL+path, ""); status != http.StatusNotFound {
				t.Errorf("%s: %d %v", path, status, body)
			}
		}
	}
}

func TestATasksCredentialsAreItsRoles(t *testing.T) {
	s, arn, env := worker(t)
	c := s.config()
	// What an SDK in the task does with AWS_CONTAINER_CREDENTIALS_FULL_URI.
	c.Credentials = endpointcreds.New(env["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
	who, err := sts.NewFromConfig(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:sts::123456789012:assumed-role/worker/"+plimsoll.ARNName(arn) {
		t.Errorf("%+v, %v", who, err)
	}
	if _, ok := s.agent.TaskEnv("x", false)["AWS_CONTAINER_CREDENTIALS_FULL_URI"]; ok {
		t.Error("a task without a role is told of credentials")
	}
	if _, err := s.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn}); err != nil {
		t.Fatal(err)
	}
	s.until("the task has stopped", func() bool { return *s.task(arn).LastStatus == "STOPPED" })
	if status, body := ask(t, http.MethodGet, env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], ""); status != http.StatusNotFound {
		t.Errorf("a stopped task: %d %v", status, body)
	}
}

func TestATaskProtectsItselfAsOnECS(t *testing.T) {
	s, arn, env := worker(t)
	url := env["ECS_AGENT_URI"] + "/task-protection/v1/state"
	protection := func(method, body string) map[string]any {
		t.Helper()
		status, answer := ask(t, method, url, body)
		p, ok := answer["protection"].(map[string]any)
		if status != http.StatusOK || !ok || p["TaskArn"] != arn {
			t.Fatalf("%s %s: %d %v", method, body, status, answer)
		}
		return p
	}
	if p := protection(http.MethodGet, ""); p["ProtectionEnabled"] != false || p["ExpirationDate"] != nil {
		t.Errorf("at first: %v", p)
	}
	before := time.Now()
	p := protection(http.MethodPut, `{"ProtectionEnabled":true,"ExpiresInMinutes":60}`)
	until, err := time.Parse(time.RFC3339, p["ExpirationDate"].(string))
	if err != nil || p["ProtectionEnabled"] != true || until.Before(before.Add(59*time.Minute)) {
		t.Errorf("%v, %v", p, err)
	}
	if p := protection(http.MethodGet, ""); p["ProtectionEnabled"] != true {
		t.Errorf("then: %v", p)
	}
	got, err := s.GetTaskProtection(t.Context(), &ecs.GetTaskProtectionInput{Cluster: aws.String("default"), Tasks: []string{arn, "none"}})
	if err != nil || len(got.ProtectedTasks) != 1 || !got.ProtectedTasks[0].ProtectionEnabled ||
		got.ProtectedTasks[0].ExpirationDate == nil || *got.Failures[0].Reason != "MISSING" {
		t.Errorf("by the API: %+v, %v", got, err)
	}
	if p := protection(http.MethodPut, `{"ProtectionEnabled":false}`); p["ProtectionEnabled"] != false || p["ExpirationDate"] != nil {
		t.Errorf("after: %v", p)
	}
	for _, body := range []string{
		``, `{`, `{}`, `{"ProtectionEnabled":"yes"}`, `{"ProtectionEnabled":true,"Minutes":5}`, `{"ProtectionEnabled":true}{}`,
		`{"ProtectionEnabled":true,"ExpiresInMinutes":0}`, `{"ProtectionEnabled":true,"ExpiresInMinutes":2881}`,
		`{"ProtectionEnabled":true,"ExpiresInMinutes":-1}`, `{"ProtectionEnabled":true,"ExpiresInMinutes":1.5}`,
	} {
		status, answer := ask(t, http.MethodPut, url, body)
		e, _ := answer["error"].(map[string]any)
		if status != http.StatusBadRequest || e["Code"] != "InvalidParameterException" || e["Arn"] != arn || e["Message"] == "" {
			t.Errorf("%s: %d %v", body, status, answer)
		}
	}
}

func TestARefusedProtectionIsAFailureNotAnError(t *testing.T) {
	s, arn, env := worker(t)
	if _, err := s.UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: aws.String("worker"), DesiredCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	s.steady("worker")
	left := s.tasks(ecs.ListTasksInput{})
	if left[0] != arn {
		env = s.agent.TaskEnv(plimsoll.ARNName(left[0]), true)
	}
	// A standalone task has no protection.
	run, err := s.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("worker")})
	if err != nil {
		t.Fatal(err)
	}
	alone := s.agent.TaskEnv(plimsoll.ARNName(*run.Tasks[0].TaskArn), true)
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		status, answer := ask(t, method, alone["ECS_AGENT_URI"]+"/task-protection/v1/state", `{"ProtectionEnabled":true}`)
		f, _ := answer["failure"].(map[string]any)
		if status != http.StatusOK || f["Reason"] != "TASK_NOT_VALID" || f["Arn"] != *run.Tasks[0].TaskArn {
			t.Errorf("%s: %d %v", method, status, answer)
		}
	}
	updated, err := s.UpdateTaskProtection(t.Context(), &ecs.UpdateTaskProtectionInput{
		Cluster: aws.String("default"), Tasks: []string{left[0], *run.Tasks[0].TaskArn}, ProtectionEnabled: true, ExpiresInMinutes: aws.Int32(5),
	})
	if err != nil || len(updated.ProtectedTasks) != 1 || len(updated.Failures) != 1 || !updated.ProtectedTasks[0].ProtectionEnabled {
		t.Errorf("%+v, %v", updated, err)
	}
	if status, answer := ask(t, http.MethodGet, env["ECS_AGENT_URI"]+"/task-protection/v1/state", ""); status != http.StatusOK || answer["protection"] == nil {
		t.Errorf("%d %v", status, answer)
	}
	_, err = s.UpdateTaskProtection(t.Context(), &ecs.UpdateTaskProtectionInput{
		Cluster: aws.String("default"), Tasks: []string{left[0]}, ProtectionEnabled: true, ExpiresInMinutes: aws.Int32(2881),
	})
	wants(t, "too long", err, "InvalidParameterException", "2880")
}

func TestTheAgentIsNotReadyBeforeItHasTheEngine(t *testing.T) {
	keys := awsapi.Keys{AccessKeyID: "a", Secret: "b"}
	good := ecsapi.AgentOptions{Secret: make([]byte, 16), URL: "http://127.0.0.1:1", Endpoint: "http://127.0.0.1:2", Region: region, Keys: keys}
	a, err := ecsapi.NewAgent(good)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v4/x", nil)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", w.Code)
	}
	for name, spoil := range map[string]func(*ecsapi.AgentOptions){
		"secret": func(o *ecsapi.AgentOptions) { o.Secret = nil }, "URL": func(o *ecsapi.AgentOptions) { o.URL = "127.0.0.1:1" },
		"endpoint": func(o *ecsapi.AgentOptions) { o.Endpoint = "" }, "region": func(o *ecsapi.AgentOptions) { o.Region = "" },
		"keys": func(o *ecsapi.AgentOptions) { o.Keys = nil },
	} {
		bad := good
		spoil(&bad)
		if _, err := ecsapi.NewAgent(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
