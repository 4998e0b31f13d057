package ecs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"plimsoll/platform/ecs"
)

// body is a request or an answer of the ECS API.
type body = map[string]any

// wire is an ECS endpoint with a cluster of made-up entities, in which any
// operation can be made to answer what a test needs. It counts what it is asked.
type wire struct {
	services, tasks, instances []body
	// page is the size of the lists' pages.
	page int
	// answers replace operations; one that gives nil lets the usual one answer.
	answers map[string]func(in body) *answer

	mu    sync.Mutex
	asked []request
}

type answer struct {
	status int // 0 is 200
	body   body
}

type request struct {
	operation string
	in        body
}

func refusal(code, message string) *answer {
	return &answer{status: http.StatusBadRequest, body: body{"__type": code, "message": message}}
}

// open serves the wire until the test ends, and gives a client of it.
func (w *wire) open(t testing.TB, o ecs.Options) *ecs.Cluster {
	t.Helper()
	if w.page == 0 {
		w.page = 100
	}
	o.Endpoint = serve(t, w)
	if o.Cluster == "" {
		o.Cluster = "shop"
	}
	return newCluster(t, o)
}

// serve gives the URL of a server of the handler, which ends with the test.
func serve(t testing.TB, handler http.Handler) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in body
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	a := w.answer(operation, in)
	out.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if a.status != 0 {
		out.WriteHeader(a.status)
	}
	_ = json.NewEncoder(out).Encode(a.body)
}

func (w *wire) answer(operation string, in body) *answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, request{operation, in})
	if special := w.answers[operation]; special != nil {
		if a := special(in); a != nil {
			return a
		}
	}
	switch operation {
	case "ListServices":
		return w.list(in, "serviceArns", arnsOf(w.services, "serviceArn", nil))
	case "DescribeServices":
		return find(in, "services", w.services, "serviceArn", "serviceName")
	case "ListTasks":
		return w.list(in, "taskArns", arnsOf(w.tasks, "taskArn", func(t body) bool { return t["desiredStatus"] == in["desiredStatus"] }))
	case "DescribeTasks":
		return find(in, "tasks", w.tasks, "taskArn", "taskArn")
	case "ListContainerInstances":
		return w.list(in, "containerInstanceArns", arnsOf(w.instances, "containerInstanceArn", nil))
	case "DescribeContainerInstances":
		return find(in, "containerInstances", w.instances, "containerInstanceArn", "containerInstanceArn")
	case "DescribeTaskDefinition":
		return &answer{body: body{"taskDefinition": body{
			"taskDefinitionArn": in["taskDefinition"], "status": "ACTIVE",
			"containerDefinitions": []body{{"name": "web", "cpu": 64, "memoryReservation": 32}},
		}}}
	case "GetTaskProtection":
		var protected []body
		for _, arn := range in["tasks"].([]any) {
			protected = append(protected, body{"taskArn": arn, "protectionEnabled": false})
		}
		return &answer{body: body{"protectedTasks": protected}}
	}
	return refusal("UnknownOperationException", operation)
}

// list answers one page; the token is where the next one begins.
func (w *wire) list(in body, key string, arns []string) *answer {
	token, _ := in["nextToken"].(string)
	from, _ := strconv.Atoi(token)
	from = min(from, len(arns))
	to := min(from+w.page, len(arns))
	result := body{key: arns[from:to]}
	if to < len(arns) {
		result["nextToken"] = strconv.Itoa(to)
	}
	return &answer{body: result}
}

// find answers a describe: what there is, and failures for what is missing.
func find(in body, key string, among []body, keys ...string) *answer {
	found, failures := []body{}, []body{}
	for _, ref := range in[key].([]any) {
		at := slices.IndexFunc(among, func(b body) bool { return b[keys[0]] == ref || b[keys[1]] == ref })
		if at < 0 {
			failures = append(failures, body{"arn": ref, "reason": "MISSING"})
			continue
		}
		found = append(found, among[at])
	}
	return &answer{body: body{key: found, "failures": failures}}
}

func arnsOf(among []body, key string, which func(body) bool) []string {
	list := []string{}
	for _, b := range among {
		if which == nil || which(b) {
			list = append(list, b[key].(string))
		}
	}
	return list
}

// count is how often an operation was asked for; all of them for "".
func (w *wire) count(operation string) int { return len(w.inputs(operation)) }

// inputs are the requests for an operation so far.
func (w *wire) inputs(operation string) []body {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inputsLocked(operation)
}

// inputsLocked is for use in an answer.
func (w *wire) inputsLocked(operation string) []body {
	var list []body
	for _, r := range w.asked {
		if operation == "" || r.operation == operation {
			list = append(list, r.in)
		}
	}
	return list
}

func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}

const prefix = "arn:aws:ecs:us-east-1:123456789012:"

func wireService(name string) body {
	return body{
		"serviceArn": prefix + "service/shop/" + name, "serviceName": name, "status": "ACTIVE",
		"taskDefinition": prefix + "task-definition/" + name + ":1", "desiredCount": 2,
	}
}

// wireTask is a running task of a service.
func wireTask(service, id string) body {
	return body{
		"taskArn": prefix + "task/shop/" + id, "group": "service:" + service,
		"taskDefinitionArn": prefix + "task-definition/" + service + ":1",
		"lastStatus":        "RUNNING", "desiredStatus": "RUNNING", "createdAt": 1000,
	}
}

// wireStopped is a task that stopped at a time, in seconds.
func wireStopped(service, id string, at int) body {
	task := wireTask(service, id)
	task["lastStatus"], task["desiredStatus"], task["stoppedAt"] = "STOPPED", "STOPPED", at
	return task
}

func wireInstance(n int) body {
	return body{
		"containerInstanceArn": fmt.Sprintf(prefix+"container-instance/shop/%04d", n),
		"ec2InstanceId":        fmt.Sprintf("i-%017d", n), "status": "ACTIVE", "agentConnected": true,
		"registeredResources": []body{{"name": "CPU", "integerValue": 1024}, {"name": "MEMORY", "integerValue": 2048}},
		"remainingResources":  []body{{"name": "CPU", "integerValue": 960}, {"name": "MEMORY", "integerValue": 2016}},
		"attributes": []body{
			{"name": "ecs.availability-zone", "value": "us-east-1a"},
			{"name": ecs.AddressAttribute, "value": "127.64.1.1"},
		},
	}
}
