package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/app"
	"plimsoll/control"
)

const rudeShop = `
name: default
x-plimsoll: {deregistrationDelay: 2s}
services:
  web:
    command: [x]
    ports: ["8080"]
    x-plimsoll: {min: 1, max: 4, route: {host: shop.localhost}}
`

// rudeRun is a service of four tasks that drop all at SIGTERM, in an engine that
// drains nothing by itself, with a scaler and a router of their own, as on AWS.
type rudeRun struct {
	*engineStand
	api        *ecs.Client
	router, ui string
	mu         sync.Mutex
	sent       int
	failed     []string
}

func runRude(t *testing.T, check *types.HealthCheck) *rudeRun {
	t.Helper()
	s := newEngine(t, t.TempDir(), func(o *app.EngineOptions) { o.Runtime = "process" })
	c := s.config("us-east-1")
	s.environment(c)
	// Answered before its body's end was read, a request fails at the client, which
	// the SDK takes for one to be sent again; a busy processor does that.
	c.Retryer = nil
	r := &rudeRun{engineStand: s, api: ecs.NewFromConfig(c)}
	r.define(check)
	_, err := r.api.CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(4),
		Tags: []types.Tag{{Key: aws.String("plimsoll:route"), Value: aws.String("shop.localhost/")}},
	})
	s.must(err)
	r.awaitRunning(4)
	r.router = routerOf(t, "default")
	r.scale()
	return r
}

// define registers the next revision of the tasks.
func (r *rudeRun) define(check *types.HealthCheck) {
	program, err := os.Executable()
	r.must(err)
	_, err = r.api.RegisterTaskDefinition(r.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("web"), Image: aws.String("none"), Command: []string{program}, Memory: aws.Int32(64), HealthCheck: check,
			Environment:  []types.KeyValuePair{{Name: aws.String("PLIMSOLL_TEST_RUDE"), Value: aws.String("yes")}},
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}},
		}},
	})
	r.must(err)
}

// scale runs `plimsoll run` until the test ends.
func (r *rudeRun) scale() {
	file := filepath.Join(r.t.TempDir(), "compose.yaml")
	r.must(os.WriteFile(file, []byte(rudeShop), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	out, ended := &output{}, make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.RunOptions{
			Platform: "ecs", Cluster: "default", File: file, UI: "127.0.0.1:0", Out: out, Log: slog.New(slog.DiscardHandler),
		})
	}()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
	for range 3000 {
		_, rest, _ := strings.Cut(out.String(), "dashboard     ")
		if url, _, whole := strings.Cut(rest, "\n"); whole {
			r.ui = url
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("the scaler has no dashboard after 30 s: %q", out.String())
}

// awaitRunning waits until so many tasks run, and no others are on their way out.
func (r *rudeRun) awaitRunning(n int) {
	r.t.Helper()
	for range 600 {
		out, err := r.api.DescribeServices(r.t.Context(), &ecs.DescribeServicesInput{Services: []string{"web"}})
		r.must(err)
		if s := out.Services[0]; int(s.RunningCount) == n && int(s.DesiredCount) == n && s.PendingCount == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatalf("%d tasks do not run within a minute", n)
}

// post sends requests that must not be sent twice, until ctx ends.
func (r *rudeRun) post(ctx context.Context, clients int) (wait func()) {
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d", client, n)
				problem := r.postOne(id)
				r.mu.Lock()
				if r.sent++; problem != "" {
					r.failed = append(r.failed, id+": "+problem)
				}
				r.mu.Unlock()
			}
		})
	}
	return all.Wait
}

func (r *rudeRun) postOne(id string) string {
	request, err := http.NewRequest(http.MethodPost, r.router, strings.NewReader(id))
	if err != nil {
		return err.Error()
	}
	request.Host = "shop.localhost"
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || string(text) != id {
		return fmt.Sprintf("status %d, %q, %v", answer.StatusCode, text, err)
	}
	return ""
}

func (r *rudeRun) bound(word string, n int) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{word: n, "for": "10m"})
	r.must(err)
	answer, err := http.Post(r.ui+"/v1/services/web/scale", "application/json", bytes.NewReader(body))
	r.must(err)
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %d: status %d, %s", word, n, answer.StatusCode, text)
	}
}

// events are the kinds of each task's events in their order, by its id.
func (r *rudeRun) events() map[string][]string {
	r.t.Helper()
	answer, err := http.Get(r.ui + "/v1/events")
	r.must(err)
	defer answer.Body.Close()
	var list struct{ Events []control.Event }
	r.must(json.NewDecoder(answer.Body).Decode(&list))
	out := map[string][]string{}
	for _, e := range list.Events {
		if e.Task != "" {
			out[e.Task] = append(out[e.Task], e.Kind)
		}
	}
	return out
}

// endOf is where among a task's events it was told to stop; -1: nowhere.
func endOf(kinds []string) int {
	return slices.IndexFunc(kinds, func(k string) bool { return k == control.EventTaskStopping || k == control.EventTaskStopped })
}

// An ECS that drains nothing stops tasks that would drop their requests: not one
// fails, for `plimsoll run` has them leave the routers first.
func TestScaleInOnAnECSOfOthersFailsNoRequest(t *testing.T) {
	r := runRude(t, nil)
	r.failsNone(func() {
		r.bound("ceiling", 1)
		r.awaitRunning(1)
	})
	r.seenOut(3)
	r.unmarked()
}

// failsNone has requests sent while something changes, and for a while before and
// after it, and checks that none of them fails.
func (r *rudeRun) failsNone(change func()) {
	r.t.Helper()
	load, end := context.WithCancel(r.t.Context())
	wait := r.post(load, 16)
	time.Sleep(2 * time.Second)
	change()
	time.Sleep(2 * time.Second)
	end()
	wait()
	if len(r.failed) > 0 {
		r.t.Errorf("%d of %d requests failed: %q", len(r.failed), r.sent, r.failed[:min(5, len(r.failed))])
	}
}

// seenOut checks that so many tasks have ended, each after it had drained.
func (r *rudeRun) seenOut(n int) {
	r.t.Helper()
	var ended map[string][]string
	for range 200 { // the loop sees it at its next look
		ended = r.events()
		maps.DeleteFunc(ended, func(_ string, kinds []string) bool { return endOf(kinds) < 0 })
		if len(ended) == n {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(ended) != n {
		r.t.Errorf("%d tasks have ended, not %d: %q", len(ended), n, r.events())
	}
	for task, kinds := range ended {
		out, drained := slices.Index(kinds, control.EventTaskOut), slices.Index(kinds, control.EventTaskDrained)
		if out < 0 || drained < out || endOf(kinds) < drained {
			r.t.Errorf("task %s: %q", task, kinds)
		}
	}
}

// tasks are those that are to run.
func (r *rudeRun) tasks() []types.Task {
	r.t.Helper()
	listed, err := r.api.ListTasks(r.t.Context(), &ecs.ListTasksInput{ServiceName: aws.String("web")})
	r.must(err)
	out, err := r.api.DescribeTasks(r.t.Context(), &ecs.DescribeTasksInput{Tasks: listed.TaskArns, Include: []types.TaskField{types.TaskFieldTags}})
	r.must(err)
	return out.Tasks
}

// unmarked checks that no task that runs on is marked.
func (r *rudeRun) unmarked() {
	r.t.Helper()
	for _, task := range r.tasks() {
		for _, tag := range task.Tags {
			if *tag.Key == plimsoll.TagDraining {
				r.t.Errorf("task %s, which is left, is marked until %s", *task.TaskArn, *tag.Value)
			}
		}
	}
}

// awaitHealthy waits until four tasks of a revision are healthy, and no others left.
func (r *rudeRun) awaitHealthy(revision string) {
	r.t.Helper()
	for range 1200 {
		tasks := r.tasks()
		well := slices.DeleteFunc(slices.Clone(tasks), func(t types.Task) bool {
			return t.HealthStatus != types.HealthStatusHealthy || plimsoll.ARNName(*t.TaskDefinitionArn) != revision
		})
		if len(tasks) == 4 && len(well) == 4 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatalf("four healthy tasks of %s are not all that run within two minutes", revision)
}

// A deployment that somebody else begins fails no request either: ECS waits with the
// tasks that it replaces until `plimsoll run` has had them leave the routers.
func TestADeploymentOnAnECSOfOthersFailsNoRequest(t *testing.T) {
	// The new tasks are not healthy before `plimsoll run` has looked.
	check := &types.HealthCheck{Command: []string{"CMD", "sleep", "8"}, Timeout: aws.Int32(20)}
	r := runRude(t, check)
	r.bound("floor", 4)
	r.awaitHealthy("web:1")
	r.failsNone(func() {
		r.define(check)
		_, err := r.api.UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: aws.String("web"), TaskDefinition: aws.String("web:2")})
		r.must(err)
		r.awaitHealthy("web:2")
	})
	r.seenOut(4)
	r.unmarked()
}
