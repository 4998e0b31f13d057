package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/api"
)

// measured is what tasks use, by id.
type measured map[string]plimsoll.Usage

func (m measured) Usage(task string) (plimsoll.Usage, bool) {
	u, ok := m[task]
	return u, ok
}

func using(cpu *float64, memory float64) plimsoll.Usage {
	return plimsoll.Usage{At: time.Unix(1000, 0).UTC(), Containers: []plimsoll.ContainerUsage{{Name: "main", CPU: cpu, Memory: memory, Processes: 1}}}
}

func TestWhatTasksUseIsAddedUpForServicesAndHosts(t *testing.T) {
	l := newLoop()
	units := 100.0
	m := measured{}
	service, host, want := "", "", 0
	for _, task := range l.State().Cluster.Tasks {
		if task.LastStatus != plimsoll.StatusRunning || service != "" && (task.Service != service || task.ContainerInstance != host) {
			continue
		}
		service, host = task.Service, task.ContainerInstance
		m[task.ID()] = using(&units, 32)
		want++
	}
	if want == 0 {
		t.Fatal("no task runs in the loop of the tests")
	}
	h := handler(t, api.Options{Loop: l, Meter: m})
	var services struct{ Services []api.ServiceView }
	var hosts struct{ Hosts []api.HostView }
	var tasks struct{ Tasks []api.TaskView }
	for path, into := range map[string]any{"/v1/services": &services, "/v1/hosts": &hosts, "/v1/tasks": &tasks} {
		if err := json.Unmarshal(ask(h, http.MethodGet, path, "").Body.Bytes(), into); err != nil {
			t.Fatal(path, err)
		}
	}
	check := func(what string, u *api.UsedView, mine bool) {
		switch {
		case !mine && u != nil:
			t.Errorf("%s, of which nothing is measured, uses %+v", what, *u)
		case mine && (u == nil || u.CPU == nil || *u.CPU != float64(want)*100 || u.Memory != float64(want)*32 || u.Tasks != want):
			t.Errorf("%s uses %+v, want %d times 100 units and 32 MiB", what, u, want)
		}
	}
	for _, s := range services.Services {
		check("service "+s.Name, s.Used, s.Name == service)
	}
	for _, x := range hosts.Hosts {
		check("host "+x.ID, x.Used, x.ARN == host)
	}
	for _, x := range tasks.Tasks {
		if _, mine := m[x.ID]; mine != (x.Used != nil) {
			t.Errorf("task %s uses %+v", x.ID, x.Used)
		}
	}
}

func TestMetricsOfSingleTasksAreBounded(t *testing.T) {
	l := newLoop()
	state := l.State()
	m := measured{}
	for i := range 500 {
		id := fmt.Sprintf("%032d", i)
		state.Cluster.Tasks = append(state.Cluster.Tasks, plimsoll.Task{ARN: "arn:aws:ecs:us-east-1:1:task/shop/" + id, Service: "many", LastStatus: plimsoll.StatusRunning})
		m[id] = using(nil, 1)
	}
	l.state = state
	text := ask(handler(t, api.Options{Loop: l, Meter: m}), http.MethodGet, "/metrics", "").Body.String()
	if n := strings.Count(text, `plimsoll_task_memory_used_bytes{service="many"`); n != 200 {
		t.Errorf("%d tasks have figures of their own, want 200", n)
	}
	if strings.Contains(text, `plimsoll_task_cpu_used{service="many"`) {
		t.Error("a CPU figure that is not known is shown")
	}
}
