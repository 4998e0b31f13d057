package ecsapi_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine/runtime"
)

// meter measures one task.
type meter struct{ id string }

func (m meter) Usage(_ context.Context, task string) ([]runtime.Usage, error) {
	if task != m.id {
		return nil, fmt.Errorf("task %q: %w", task, fs.ErrNotExist)
	}
	return []runtime.Usage{
		{Container: "side", At: time.Unix(1, 0), CPU: time.Second, Memory: 1 << 20, PIDs: 1},
		{Container: "main", At: time.Unix(1, 0), CPU: 2 * time.Second, Memory: 2 << 20, MemoryLimit: 128 << 20, PIDs: 3},
	}, nil
}

func TestATaskLearnsWhatItUses(t *testing.T) {
	s, arn, env := worker(t)
	uri := env["ECS_CONTAINER_METADATA_URI_V4"]
	if status, _ := ask(t, http.MethodGet, uri+"/stats", ""); status != http.StatusNotFound {
		t.Errorf("with nothing to measure: status %d", status)
	}
	s.agent.Measure(meter{plimsoll.ARNName(arn)})
	status, own := ask(t, http.MethodGet, uri+"/stats", "")
	memory, _ := own["memory_stats"].(map[string]any)
	if status != http.StatusOK || own["name"] != "main" || memory["usage"] != float64(2<<20) || memory["limit"] != float64(128<<20) {
		t.Errorf("%d %v", status, own)
	}
	status, all := ask(t, http.MethodGet, uri+"/task/stats", "")
	if status != http.StatusOK || len(all) != 2 || all[own["id"].(string)] == nil {
		t.Errorf("%d %v", status, all)
	}
	_, container := ask(t, http.MethodGet, uri, "")
	if container["DockerId"] != own["id"] {
		t.Errorf("the stats are of %v, the metadata of %v", own["id"], container["DockerId"])
	}
}

func TestATaskIntrospectsItselfAlone(t *testing.T) {
	_, arn, env := worker(t)
	uri := env["ECS_INTROSPECTION_URI"]
	status, host := ask(t, http.MethodGet, uri+"/v1/metadata", "")
	if status != http.StatusOK || host["Cluster"] != "default" || !strings.Contains(fmt.Sprint(host["ContainerInstanceArn"]), ":container-instance/") || host["Version"] == "" {
		t.Errorf("%d %v", status, host)
	}
	status, list := ask(t, http.MethodGet, uri+"/v1/tasks", "")
	tasks, _ := list["Tasks"].([]any)
	if status != http.StatusOK || len(tasks) != 1 { // of the service's two
		t.Fatalf("%d %v", status, list)
	}
	task := tasks[0].(map[string]any)
	docker := task["Containers"].([]any)[0].(map[string]any)["DockerId"].(string)
	if task["Arn"] != arn || task["KnownStatus"] != "RUNNING" || task["Family"] != "worker" || task["Version"] != "1" {
		t.Errorf("%v", task)
	}
	for query, want := range map[string]int{
		"?taskarn=" + arn: 200, "?dockerid=" + docker: 200, "?dockerid=" + docker[:12]: 200,
		"?taskarn=other": 404, "?dockerid=other": 404, "?dockerid=": 404, "?dockerid=a&taskarn=b": 400,
	} {
		if status, got := ask(t, http.MethodGet, uri+"/v1/tasks"+query, ""); status != want || want == 200 && got["Arn"] != arn {
			t.Errorf("%s: %d %v", query, status, got)
		}
	}
}

func TestATaskMayAskFortyTimesASecondAndSixtyAtOnce(t *testing.T) {
	s, _, env := worker(t)
	other := s.agent.TaskEnv("another", false)["ECS_CONTAINER_METADATA_URI_V4"]
	refused := 0
	began := time.Now()
	const asked = 150
	for range asked {
		if status, _ := ask(t, http.MethodGet, env["ECS_CONTAINER_METADATA_URI_V4"]+"/task", ""); status == http.StatusTooManyRequests {
			refused++
		}
	}
	most := 60 + int(40*time.Since(began).Seconds()) + 1
	if asked-refused > most || asked-refused < 60 {
		t.Errorf("%d of %d requests were answered; 60 to %d may be", asked-refused, asked, most)
	}
	if status, _ := ask(t, http.MethodGet, other, ""); status == http.StatusTooManyRequests {
		t.Error("another task is refused for what this one did")
	}
}
