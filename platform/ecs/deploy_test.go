package ecs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/platform/ecs"
)

func webSpec() platform.ServiceSpec {
	return platform.ServiceSpec{
		Name: "web", Desired: 3, TaskRoleARN: "arn:aws:iam::123456789012:role/web",
		Container: platform.ContainerSpec{
			Command: []string{"./web"}, WorkingDir: "/srv",
			Environment: map[string]string{"B": "2", "A": "1"},
			Reserved:    plimsoll.Resources{CPU: 256, Memory: 64},
			Ports:       []platform.PortSpec{{ContainerPort: 8080}},
			StopTimeout: 1500 * time.Millisecond,
		},
		Tags: map[string]string{plimsoll.TagPriority: "1"},
	}
}

// registry adds to a wire the writes of a deployment, and keeps what they did.
func registry(w *wire) *wire {
	definitions := map[string]body{} // by ARN and by family
	w.answers = map[string]func(body) *answer{
		"RegisterTaskDefinition": func(in body) *answer {
			family := in["family"].(string)
			arn := prefix + "task-definition/" + family + ":" + string(rune('1'+len(definitions)/2))
			definition := body{"taskDefinition": body{"taskDefinitionArn": arn, "status": "ACTIVE"}, "tags": in["tags"]}
			definitions[arn], definitions[family] = definition, definition
			return &answer{body: definition}
		},
		"DescribeTaskDefinition": func(in body) *answer {
			if definition, ok := definitions[in["taskDefinition"].(string)]; ok {
				return &answer{body: definition}
			}
			return refusal("ClientException", "Unable to describe task definition.")
		},
		"CreateService": func(in body) *answer {
			s := wireService(in["serviceName"].(string))
			s["taskDefinition"], s["tags"] = in["taskDefinition"], in["tags"]
			w.services = append(w.services, s)
			return &answer{body: body{"service": s}}
		},
		"UpdateService": func(in body) *answer {
			w.services[0]["taskDefinition"] = in["taskDefinition"]
			return &answer{body: body{"service": w.services[0]}}
		},
		"TagResource":   func(body) *answer { return &answer{body: body{}} },
		"DeleteService": func(body) *answer { return &answer{body: body{}} },
	}
	return w
}

func TestWhatIsRegisteredIsWhatTheSpecificationSays(t *testing.T) {
	w := registry(&wire{})
	if err := w.open(t, ecs.Options{Project: "shop"}).Deploy(t.Context(), webSpec()); err != nil {
		t.Fatal(err)
	}
	registered := w.inputs("RegisterTaskDefinition")[0]
	if registered["family"] != "web" || registered["taskRoleArn"] != "arn:aws:iam::123456789012:role/web" {
		t.Errorf("family %v, taskRoleArn %v", registered["family"], registered["taskRoleArn"])
	}
	container := registered["containerDefinitions"].([]any)[0].(body)
	if _, has := container["image"]; has {
		t.Errorf("image %v, want none", container["image"])
	}
	if container["stopTimeout"] != 2.0 {
		t.Errorf("stopTimeout %v, want 2: whole seconds, never less than asked for", container["stopTimeout"])
	}
	if container["cpu"] != 256.0 || container["memoryReservation"] != 64.0 || container["memory"] != nil {
		t.Errorf("cpu %v, memoryReservation %v, memory %v", container["cpu"], container["memoryReservation"], container["memory"])
	}
	if env := container["environment"].([]any); env[0].(body)["name"] != "A" || env[1].(body)["value"] != "2" {
		t.Errorf("environment %v, want A=1, B=2 in this order", env)
	}
	port := container["portMappings"].([]any)[0].(body)
	if port["containerPort"] != 8080.0 || port["hostPort"] != 0.0 || port["protocol"] != "tcp" {
		t.Errorf("port mapping %v, want 8080 on a dynamic host port", port)
	}
	created := w.inputs("CreateService")[0]
	if created["desiredCount"] != 3.0 || created["clientToken"] == "" || created["launchType"] != "EC2" {
		t.Errorf("service created with %v", created)
	}
	set := map[any]any{}
	for _, tag := range created["tags"].([]any) {
		set[tag.(body)["key"]] = tag.(body)["value"]
	}
	if set[plimsoll.TagPriority] != "1" || set[plimsoll.TagProject] != "shop" || len(set) != 2 {
		t.Errorf("tags %v, want priority and project", set)
	}
}

func TestADeploymentOfTheSameWritesNothing(t *testing.T) {
	w := registry(&wire{})
	c := w.open(t, ecs.Options{Project: "shop"})
	for range 3 {
		if err := c.Deploy(t.Context(), webSpec()); err != nil {
			t.Fatal(err)
		}
	}
	for operation, want := range map[string]int{"RegisterTaskDefinition": 1, "CreateService": 1, "UpdateService": 0, "TagResource": 0} {
		if n := w.count(operation); n != want {
			t.Errorf("%s was asked for %d times, want %d", operation, n, want)
		}
	}
}

func TestAnotherTaskRoleIsAnotherDefinition(t *testing.T) {
	w := registry(&wire{})
	c := w.open(t, ecs.Options{})
	spec := webSpec()
	for _, role := range []string{"arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"} {
		spec.TaskRoleARN = role
		if err := c.Deploy(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count("RegisterTaskDefinition"); n != 2 {
		t.Errorf("%d registrations, want 2", n)
	}
}

func TestADeploymentThatGotNoFurtherIsTakenUpAgain(t *testing.T) {
	w := registry(&wire{})
	c := w.open(t, ecs.Options{})
	create := w.answers["CreateService"]
	w.answers["CreateService"] = func(body) *answer { return refusal("AccessDeniedException", "no") }
	if err := c.Deploy(t.Context(), webSpec()); err == nil {
		t.Fatal("no error of a service that was not created")
	}
	w.answers["CreateService"] = create
	if err := c.Deploy(t.Context(), webSpec()); err != nil {
		t.Fatal(err)
	}
	if n := w.count("RegisterTaskDefinition"); n != 1 {
		t.Errorf("%d registrations of the same definition, want 1", n)
	}
}

func TestAServiceOfAnotherProjectIsLeftAlone(t *testing.T) {
	theirs := wireService("web")
	theirs["tags"] = []body{{"key": plimsoll.TagProject, "value": "theirs"}}
	w := registry(&wire{services: []body{theirs}})
	c := w.open(t, ecs.Options{Project: "ours"})
	for verb, err := range map[string]error{
		"deploy": c.Deploy(t.Context(), webSpec()), "remove": c.Remove(t.Context(), "web"),
	} {
		if err == nil || !strings.Contains(err.Error(), `"theirs"`) {
			t.Errorf("%s: error %v, want one that names their project", verb, err)
		}
	}
	for _, operation := range []string{"RegisterTaskDefinition", "UpdateService", "DeleteService", "TagResource"} {
		if n := w.count(operation); n != 0 {
			t.Errorf("%s was asked for %d times", operation, n)
		}
	}
}

func TestAServiceThatIsBeingDeletedIsWaitedFor(t *testing.T) {
	leaving := wireService("web")
	leaving["status"] = "DRAINING"
	w := registry(&wire{services: []body{leaving}})
	w.answers["DescribeServices"] = func(body) *answer {
		if len(w.inputsLocked("DescribeServices")) == 3 {
			w.services = nil
		}
		return nil
	}
	if err := w.open(t, ecs.Options{}).Deploy(t.Context(), webSpec()); err != nil {
		t.Fatal(err)
	}
	if n := w.count("DescribeServices"); n != 3 {
		t.Errorf("looked %d times, want 3", n)
	}
	if n := w.count("CreateService"); n != 1 {
		t.Errorf("created %d services, want 1", n)
	}
}

func TestWaitingForADeletionEndsWithTheContext(t *testing.T) {
	leaving := wireService("web")
	leaving["status"], leaving["runningCount"] = "DRAINING", 2
	w := registry(&wire{services: []body{leaving}})
	ctx, cancel := context.WithCancel(t.Context())
	w.answers["DescribeServices"] = func(body) *answer {
		time.AfterFunc(10*time.Millisecond, cancel)
		return nil
	}
	err := w.open(t, ecs.Options{}).Deploy(ctx, webSpec())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

func TestTasksAreProtectedTenAtATime(t *testing.T) {
	w := busy()
	w.answers = map[string]func(body) *answer{"UpdateTaskProtection": func(body) *answer { return &answer{body: body{}} }}
	var arns []string
	for _, task := range w.tasks[:25] {
		arns = append(arns, task["taskArn"].(string))
	}
	c := w.open(t, ecs.Options{})
	if err := c.Protect(t.Context(), "web", arns, true, 61*time.Second); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, in := range w.inputs("UpdateTaskProtection") {
		n := len(in["tasks"].([]any))
		total += n
		if n > 10 {
			t.Errorf("%d tasks in a call, ECS takes ten", n)
		}
		if in["expiresInMinutes"] != 2.0 {
			t.Errorf("expires in %v minutes, want 2: never less than asked for", in["expiresInMinutes"])
		}
	}
	if total != 25 {
		t.Errorf("%d tasks protected, want 25", total)
	}
	if err := c.Protect(t.Context(), "web", arns[:1], false, -time.Hour); err != nil {
		t.Errorf("the time of an end of protection is ignored, but: %v", err)
	}
}

func TestProtectionLastsAtMostTwoDays(t *testing.T) {
	w := busy()
	c := w.open(t, ecs.Options{})
	for _, expires := range []time.Duration{-time.Second, 48*time.Hour + 1} {
		if err := c.Protect(t.Context(), "web", []string{"some"}, true, expires); err == nil {
			t.Errorf("protection for %s was accepted", expires)
		}
	}
	if n := w.count(""); n != 0 {
		t.Errorf("%d calls, want none", n)
	}
}

func TestARefusedProtectionIsAnErrorThatNamesTheTask(t *testing.T) {
	w := busy()
	w.answers = map[string]func(body) *answer{"UpdateTaskProtection": func(in body) *answer {
		return protectionFails(in, "DEPLOYMENT_BLOCKED")
	}}
	err := w.open(t, ecs.Options{}).Protect(t.Context(), "web", []string{"task-1"}, true, 0)
	if err == nil || !strings.Contains(err.Error(), `"task-1": DEPLOYMENT_BLOCKED`) || errors.Is(err, platform.ErrNotFound) {
		t.Errorf("error %v, want one that names the task and the reason", err)
	}
}

func TestAClusterIsCreatedOnce(t *testing.T) {
	w := &wire{}
	exists := false
	w.answers = map[string]func(body) *answer{
		"DescribeClusters": func(body) *answer {
			if exists {
				return &answer{body: body{"clusters": []body{{"clusterName": "shop", "status": "ACTIVE"}}}}
			}
			return failures("clusters", "MISSING")
		},
		"CreateCluster": func(in body) *answer {
			exists = in["clusterName"] == "shop"
			return &answer{body: body{}}
		},
	}
	c := w.open(t, ecs.Options{})
	for range 2 {
		if err := c.EnsureCluster(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count("CreateCluster"); n != 1 || !exists {
		t.Errorf("created %d times, want once", n)
	}
}

func TestNewNeedsAClusterAndARegion(t *testing.T) {
	for _, key := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(key, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	if _, err := ecs.New(t.Context(), ecs.Options{Region: "us-east-1"}); err == nil || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("without a cluster: error %v", err)
	}
	if _, err := ecs.New(t.Context(), ecs.Options{Cluster: "shop"}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: error %v, want one that names AWS_REGION", err)
	}
}
