package ecs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/platform/ecs"
)

// busy is a cluster of 3 services, 30 tasks and 4 hosts.
func busy() *wire {
	w := &wire{}
	for s := range 3 {
		name := fmt.Sprintf("service-%d", s)
		w.services = append(w.services, wireService(name))
		for i := range 10 {
			w.tasks = append(w.tasks, wireTask(name, fmt.Sprintf("%d%031d", s, i)))
		}
	}
	for i := range 4 {
		w.instances = append(w.instances, wireInstance(i))
	}
	return w
}

func snapshot(t testing.TB, c *ecs.Cluster) plimsoll.Cluster {
	t.Helper()
	cluster, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

func TestEveryPageOfEveryListIsRead(t *testing.T) {
	w := &wire{page: 7}
	for i := range 25 {
		name := fmt.Sprintf("service-%02d", i)
		w.services = append(w.services, wireService(name))
		w.instances = append(w.instances, wireInstance(i))
		for n := range 6 {
			w.tasks = append(w.tasks, wireTask(name, fmt.Sprintf("%02d-%d", i, n)))
		}
		w.tasks = append(w.tasks, wireStopped(name, fmt.Sprintf("%02d-stopped", i), 2000+i))
	}
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if got := []int{len(cluster.Services), len(cluster.Tasks), len(cluster.Instances)}; got[0] != 25 || got[1] != 175 || got[2] != 25 {
		t.Errorf("services, tasks, instances: %v, want 25, 175, 25", got)
	}
}

func TestNoCallAsksForMoreThanECSTakes(t *testing.T) {
	w := &wire{}
	for i := range 105 {
		w.services = append(w.services, wireService(fmt.Sprintf("service-%03d", i)))
		w.instances = append(w.instances, wireInstance(i))
	}
	for i := range 250 {
		w.tasks = append(w.tasks, wireTask("service-000", fmt.Sprintf("%032d", i)))
	}
	snapshot(t, w.open(t, ecs.Options{}))
	for operation, limit := range map[string]struct {
		key  string
		most int
	}{
		"DescribeServices": {"services", 10}, "DescribeTasks": {"tasks", 100},
		"DescribeContainerInstances": {"containerInstances", 100}, "GetTaskProtection": {"tasks", 100},
	} {
		if w.count(operation) == 0 {
			t.Errorf("%s was never asked for", operation)
		}
		for _, in := range w.inputs(operation) {
			if n := len(in[limit.key].([]any)); n > limit.most {
				t.Errorf("%s of %d, at most %d are taken", operation, n, limit.most)
			}
		}
	}
}

func TestASnapshotInASteadyStateIsAHandfulOfCalls(t *testing.T) {
	w := busy()
	for i := range 5 {
		w.tasks = append(w.tasks, wireStopped("service-0", fmt.Sprintf("stopped-%d", i), 2000))
	}
	c := w.open(t, ecs.Options{})
	first := snapshot(t, c)
	w.forget()
	second := snapshot(t, c)
	if len(second.Tasks) != len(first.Tasks) || len(second.Tasks) != 35 {
		t.Errorf("%d tasks, then %d; want 35 both times", len(first.Tasks), len(second.Tasks))
	}
	// A list and a describe of each kind, the list of stopped tasks, protection.
	if n := w.count(""); n != 8 {
		t.Errorf("%d calls, want 8: %v", n, w.asked)
	}
}

func TestATaskThatIsReportedMissingIsLeftOut(t *testing.T) {
	w := busy()
	w.answers = map[string]func(body) *answer{"ListTasks": func(in body) *answer {
		if in["desiredStatus"] == "RUNNING" {
			return &answer{body: body{"taskArns": []string{prefix + "task/shop/ghost", w.tasks[0]["taskArn"].(string)}}}
		}
		return nil
	}}
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if len(cluster.Tasks) != 1 || cluster.Tasks[0].ARN != w.tasks[0]["taskArn"] {
		t.Errorf("tasks %+v, want only %s", cluster.Tasks, w.tasks[0]["taskArn"])
	}
}

func TestAPartThatCannotBeReadFailsTheSnapshot(t *testing.T) {
	denied := func(body) *answer { return refusal("AccessDeniedException", "no") }
	tests := map[string]struct {
		operation string
		answer    func(body) *answer
		want      string
	}{
		"services not listed":          {"ListServices", denied, "AccessDenied"},
		"services not described":       {"DescribeServices", denied, "AccessDenied"},
		"tasks not listed":             {"ListTasks", denied, "AccessDenied"},
		"tasks not described":          {"DescribeTasks", denied, "AccessDenied"},
		"instances not listed":         {"ListContainerInstances", denied, "AccessDenied"},
		"instances not described":      {"DescribeContainerInstances", denied, "AccessDenied"},
		"a definition not described":   {"DescribeTaskDefinition", denied, "AccessDenied"},
		"a definition that is gone":    {"DescribeTaskDefinition", func(body) *answer { return refusal("ClientException", "Unable to describe task definition.") }, "task-definition/service-"},
		"protection not read":          {"GetTaskProtection", denied, "AccessDenied"},
		"a task that fails otherwise":  {"DescribeTasks", func(body) *answer { return failures("tasks", "INTERNAL") }, "INTERNAL"},
		"a task without an answer":     {"DescribeTasks", func(body) *answer { return &answer{body: body{"tasks": []body{}}} }, "not whole"},
		"a service without an answer":  {"DescribeServices", func(body) *answer { return &answer{body: body{}} }, "not whole"},
		"an instance without answer":   {"DescribeContainerInstances", func(body) *answer { return &answer{body: body{}} }, "not whole"},
		"protection without an answer": {"GetTaskProtection", func(body) *answer { return &answer{body: body{}} }, "answered"},
		"protection that fails":        {"GetTaskProtection", func(in body) *answer { return protectionFails(in, "TASK_NOT_VALID") }, "TASK_NOT_VALID"},
		"absurd figures": {"DescribeTaskDefinition", func(body) *answer {
			return &answer{body: body{"taskDefinition": body{"cpu": "much"}}}
		}, "much"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := busy()
			w.answers = map[string]func(body) *answer{test.operation: test.answer}
			_, err := w.open(t, ecs.Options{}).Snapshot(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `"shop"`) {
				t.Errorf("error %v, want one about cluster %q and %q", err, "shop", test.want)
			}
			if errors.Is(err, platform.ErrNotFound) {
				t.Errorf("error %v says that the cluster does not exist", err)
			}
		})
	}
}

func failures(key, reason string) *answer {
	return &answer{body: body{key: []body{}, "failures": []body{{"arn": "some", "reason": reason}}}}
}

func protectionFails(in body, reason string) *answer {
	var list []body
	for _, arn := range in["tasks"].([]any) {
		list = append(list, body{"arn": arn, "reason": reason})
	}
	return &answer{body: body{"failures": list}}
}

func TestATaskThatLeavesWhileProtectionIsReadNeedsNone(t *testing.T) {
	w := busy()
	w.tasks = w.tasks[:2]
	stops, gone := w.tasks[0], w.tasks[1]
	w.answers = map[string]func(body) *answer{"GetTaskProtection": func(in body) *answer {
		stops["desiredStatus"] = "STOPPED"
		w.tasks = []body{stops}
		return protectionFails(in, "MISSING")
	}}
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if len(cluster.Tasks) != 1 || cluster.Tasks[0].ARN != stops["taskArn"] || !cluster.Tasks[0].Leaving() {
		t.Errorf("tasks %+v, want only %s, leaving; %s is gone", cluster.Tasks, stops["taskArn"], gone["taskArn"])
	}
}

func TestATaskThatIsToldToStopBetweenTheListsIsNotLost(t *testing.T) {
	w := busy()
	w.tasks = w.tasks[:1]
	lists := 0
	w.answers = map[string]func(body) *answer{"ListTasks": func(body) *answer {
		if lists++; lists == 2 {
			w.tasks[0]["desiredStatus"] = "STOPPED"
		}
		return nil
	}}
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if len(cluster.Tasks) != 1 || !cluster.Tasks[0].Live() {
		t.Errorf("tasks %+v, want the one that still holds its capacity", cluster.Tasks)
	}
}

func TestProtectionIsShownUntilItLapses(t *testing.T) {
	w := busy()
	until := time.Unix(1_900_000_000, 0)
	w.answers = map[string]func(body) *answer{"GetTaskProtection": func(in body) *answer {
		var list []body
		for _, arn := range in["tasks"].([]any) {
			p := body{"taskArn": arn, "protectionEnabled": false}
			if arn == w.tasks[4]["taskArn"] {
				p["protectionEnabled"], p["expirationDate"] = true, until.Unix()
			}
			list = append(list, p)
		}
		return &answer{body: body{"protectedTasks": list}}
	}}
	for _, task := range snapshot(t, w.open(t, ecs.Options{})).Tasks {
		want := task.ARN == w.tasks[4]["taskArn"]
		if task.Protected != want || task.ProtectedUntil.Equal(until) != want {
			t.Errorf("task %s: protected %t until %s, want %t", task.ID(), task.Protected, task.ProtectedUntil, want)
		}
	}
}

func TestProtectionIsReadOnlyWhereItIsInQuestion(t *testing.T) {
	w := busy()
	leaving := wireTask("service-1", "leaving")
	leaving["desiredStatus"] = "STOPPED"
	alone := wireTask("", "alone")
	alone["group"] = "family:batch"
	w.tasks = append(w.tasks, leaving, alone, wireStopped("service-1", "stopped", 2000))
	snapshot(t, w.open(t, ecs.Options{Protected: func(service string) bool { return service == "service-1" }}))
	asked := 0
	for _, in := range w.inputs("GetTaskProtection") {
		for _, arn := range in["tasks"].([]any) {
			asked++
			if id := plimsoll.ARNName(arn.(string)); !strings.HasPrefix(id, "1") {
				t.Errorf("the protection of task %s was asked for", id)
			}
		}
	}
	if asked != 10 {
		t.Errorf("the protection of %d tasks was asked for, want the 10 of service-1", asked)
	}
}

func TestAStoppedTaskIsDescribedOnce(t *testing.T) {
	w := busy()
	w.tasks = append(w.tasks, wireStopped("service-0", "old", 2000), wireStopped("service-0", "new", 3000))
	c := w.open(t, ecs.Options{StoppedMax: 1})
	for range 3 {
		var stopped []string
		for _, task := range snapshot(t, c).Tasks {
			if !task.Live() {
				stopped = append(stopped, task.ID())
			}
		}
		if len(stopped) != 1 || stopped[0] != "new" {
			t.Errorf("stopped tasks %v, want the latest alone", stopped)
		}
	}
	described := map[string]int{}
	for _, in := range w.inputs("DescribeTasks") {
		for _, arn := range in["tasks"].([]any) {
			described[plimsoll.ARNName(arn.(string))]++
		}
	}
	if described["old"] != 1 || described["new"] != 1 {
		t.Errorf("described %d and %d times, want once each", described["old"], described["new"])
	}
	w.mu.Lock()
	w.tasks = w.tasks[:30]
	w.mu.Unlock()
	if n := len(snapshot(t, c).Tasks); n != 30 {
		t.Errorf("%d tasks after ECS has forgotten those that stopped, want 30", n)
	}
}

func TestStoppedTasksInPlentyHideNoTaskThatStillStops(t *testing.T) {
	w := &wire{services: []body{wireService("web")}}
	for i := range 150 {
		w.tasks = append(w.tasks, wireStopped("web", fmt.Sprintf("stopped-%03d", i), 2000+i))
	}
	stopping := wireTask("web", "stopping")
	stopping["lastStatus"], stopping["desiredStatus"] = "STOPPING", "STOPPED"
	w.tasks = append(w.tasks, stopping)
	cluster := snapshot(t, w.open(t, ecs.Options{StoppedMax: 10}))
	live := 0
	for _, task := range cluster.Tasks {
		if task.Leaving() {
			live++
		}
	}
	if live != 1 || len(cluster.Tasks) != 11 {
		t.Errorf("%d leaving of %d tasks, want 1 of 11", live, len(cluster.Tasks))
	}
}

func TestATaskDefinitionIsReadOnce(t *testing.T) {
	w := busy()
	c := w.open(t, ecs.Options{})
	for range 3 {
		for _, task := range snapshot(t, c).Tasks {
			if want := (plimsoll.Resources{CPU: 64, Memory: 32}); task.Reserved != want {
				t.Fatalf("task %s reserves %v, want %v", task.ID(), task.Reserved, want)
			}
		}
	}
	if n := w.count("DescribeTaskDefinition"); n != 3 {
		t.Errorf("%d descriptions of 3 definitions, want 3", n)
	}
}

func TestAStoppedTaskMayHaveLostItsDefinition(t *testing.T) {
	w := busy()
	w.tasks = append(w.tasks, wireStopped("former", "stopped", 2000))
	w.answers = map[string]func(body) *answer{"DescribeTaskDefinition": func(in body) *answer {
		if strings.Contains(in["taskDefinition"].(string), "former") {
			return refusal("ClientException", "Unable to describe task definition.")
		}
		return nil
	}}
	if n := len(snapshot(t, w.open(t, ecs.Options{})).Tasks); n != 31 {
		t.Errorf("%d tasks, want 31", n)
	}
}

func TestThrottlingIsWaitedOut(t *testing.T) {
	w := busy()
	refused := false
	w.answers = map[string]func(body) *answer{"ListServices": func(body) *answer {
		if !refused {
			refused = true
			return refusal("ThrottlingException", "Rate exceeded")
		}
		return nil
	}}
	if n := len(snapshot(t, w.open(t, ecs.Options{})).Services); n != 3 || !refused {
		t.Errorf("%d services, want 3 at the second attempt", n)
	}
}

func TestACallEndsAtItsTimeout(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	stuck := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: serve(t, stuck), Timeout: 30 * time.Millisecond})
	if _, err := c.Snapshot(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the deadline is exceeded", err)
	}
}

func TestAHostIsShownWithItsCapacityZoneAndAddress(t *testing.T) {
	w := &wire{instances: []body{wireInstance(7)}}
	w.instances[0]["runningTasksCount"], w.instances[0]["pendingTasksCount"] = 2, 1
	want := plimsoll.ContainerInstance{
		ARN: prefix + "container-instance/shop/0007", InstanceID: "i-00000000000000007",
		Address: "127.64.1.1", Zone: "us-east-1a", Status: plimsoll.InstanceActive, Connected: true,
		Registered: plimsoll.Resources{CPU: 1024, Memory: 2048}, Remaining: plimsoll.Resources{CPU: 960, Memory: 2016},
		Running: 2, Pending: 1,
	}
	if got := snapshot(t, w.open(t, ecs.Options{})).Instances; len(got) != 1 || got[0] != want {
		t.Errorf("instances %+v, want %+v", got, want)
	}
}

func TestAServiceIsDeployingWhileItHasTwoDeployments(t *testing.T) {
	w := &wire{services: []body{wireService("one"), wireService("two")}}
	w.services[0]["deployments"] = []body{{"status": "PRIMARY"}}
	w.services[1]["deployments"] = []body{{"status": "PRIMARY"}, {"status": "ACTIVE"}}
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if cluster.Services[0].Deploying || !cluster.Services[1].Deploying {
		t.Errorf("deploying: %t, %t; want false, true", cluster.Services[0].Deploying, cluster.Services[1].Deploying)
	}
}

func TestAServiceThatIsBeingDeletedIsNotShownButItsTasksAre(t *testing.T) {
	w := busy()
	w.services[1]["status"] = "DRAINING"
	cluster := snapshot(t, w.open(t, ecs.Options{}))
	if len(cluster.Services) != 2 || len(cluster.Tasks) != 30 {
		t.Errorf("%d services, %d tasks; want 2 and 30", len(cluster.Services), len(cluster.Tasks))
	}
}

func TestAnEmptyClusterIsASnapshotToo(t *testing.T) {
	w := &wire{}
	at := time.Unix(1_700_000_000, 0)
	cluster := snapshot(t, w.open(t, ecs.Options{
		Cluster: prefix + "cluster/shop", Now: func() time.Time { return at },
	}))
	if cluster.Name != "shop" || !cluster.At.Equal(at) || len(cluster.Services)+len(cluster.Tasks)+len(cluster.Instances) != 0 {
		t.Errorf("snapshot %+v, want an empty one of %q", cluster, "shop")
	}
}

func BenchmarkSnapshot30Tasks(b *testing.B) {
	c := busy().open(b, ecs.Options{})
	snapshot(b, c)
	for b.Loop() {
		snapshot(b, c)
	}
}
