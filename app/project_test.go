package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/router"
	"plimsoll/scale"
)

func project(t *testing.T, text string) *compose.Project {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := compose.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

const shop = `
name: shop
services:
  web:
    command: [web]
    ports: ["8080", "9090"]
    x-plimsoll:
      priority: 1
      min: 1
      max: 20
      route: {host: shop.localhost, path: /, port: 9090}
      triggers: [{type: router, latencyP99: 250ms}, {type: aws-sqs-queue, queue: jobs, queueLength: 2, fallback: {replicas: 3}}]
      behavior: {scaleUp: {rate: {tasks: 4}}, scaleDown: {stabilizationWindow: 5s}}
`

func TestThePolicyIsWhatTheFileSays(t *testing.T) {
	got := policy(project(t, shop).Services[0], compose.Prices{})
	want := scale.Policy{
		Service: "web", Priority: 1, Weight: 1, Min: 1, Max: 20, Reserved: compose.DefaultReserved,
		Triggers: []scale.Trigger{
			{Name: "router latencyP99", Unit: "ms", Mode: scale.Ratio, Target: 250},
			{Name: "aws-sqs-queue jobs", Unit: "messages", Mode: scale.Average, Target: 2, FailureCount: new(3)},
		},
		Behavior: scale.Behavior{
			Tolerance: 0.1, DownWindow: 5 * time.Second, Cooldown: time.Minute,
			Up: &scale.Rate{Tasks: 4, Period: 15 * time.Second},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheTableHasTheTasksThatServeByTheRoutesPort(t *testing.T) {
	shop := project(t, shop)
	task := func(id string, last, desired plimsoll.Status) plimsoll.Task {
		return plimsoll.Task{
			ARN: "arn:aws:ecs:us-east-1:1:task/shop/" + id, Service: "web", Zone: "a", LastStatus: last, DesiredStatus: desired,
			Endpoints: []plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 20000}, {ContainerPort: 9090, Host: "127.64.1.1", Port: 20001}},
		}
	}
	cluster := plimsoll.Cluster{Tasks: []plimsoll.Task{
		task("serves", plimsoll.StatusRunning, plimsoll.StatusRunning),
		task("starts", plimsoll.StatusPending, plimsoll.StatusRunning),
		task("leaves", plimsoll.StatusDeactivating, plimsoll.StatusStopped),
		task("is-asked", plimsoll.StatusRunning, plimsoll.StatusStopped),
	}}
	routes, err := newRouted(shop, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	got := routes.table(cluster).Services
	want := map[string][]router.Target{"web": {{ID: "serves", Zone: "a", Address: "127.64.1.1:20001"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHostsAreDealtOutOverTheZonesWithAnAddressEach(t *testing.T) {
	seen := map[string]bool{}
	zones := map[string]int{}
	for _, h := range (&world{region: "us-east-1", block: firstBlock}).hosts(1000, 3, plimsoll.Resources{CPU: 1, Memory: 1}) {
		if seen[h.Address] || seen[h.Name] {
			t.Fatalf("host %s at %s is there twice", h.Name, h.Address)
		}
		seen[h.Address], seen[h.Name] = true, true
		zones[h.Zone]++
	}
	if diff := cmp.Diff(map[string]int{"us-east-1a": 334, "us-east-1b": 333, "us-east-1c": 333}, zones); diff != "" {
		t.Error(diff)
	}
}

const policies = `name: shop
x-plimsoll: {prices: {cpu: 0.04, memory: 0.004}}
services:
  jobs:
    command: [./jobs]
    x-plimsoll:
      max: 5
      spend: {cost: 2, period: 12h}
      behavior: {warmup: 20s, panic: {window: 30s}}
      triggers: [{type: aws-sqs-queue, queue: jobs, mode: job, scaleOnInFlight: false, fallback: {lastValueFor: 1m}}]
  mails:
    command: [./mails]
    x-plimsoll:
      max: 5
      formula: {expression: mails + hours, target: 2}
      forecast: {lead: 2m, quantile: 0.8, seasons: [12h]}
      triggers:
        - {type: aws-sqs-queue, name: mails, queue: mails, drainWithin: 5m}
        - {type: cron, name: hours, start: 0 8 * * *, end: 0 9 * * *, desiredReplicas: 1}
  depth:
    command: [./depth]
    x-plimsoll: {max: 5, triggers: [{type: script, command: ./d, targetValue: 1, steps: [{from: 1, tasks: 2}]}]}
`

func TestEachWayFromAReadingToACountReachesTheDecision(t *testing.T) {
	p := project(t, policies)
	jobs, mails, depth := policy(p.Services[0], p.Prices), policy(p.Services[1], p.Prices), policy(p.Services[2], p.Prices)
	if got := jobs.Triggers[0]; got.Mode != scale.Job || got.Target != 1 || !got.Waiting || got.LastGoodFor != time.Minute {
		t.Errorf("the job trigger is %+v", got)
	}
	hourly := 0.04*float64(compose.DefaultReserved.CPU)/1024 + 0.004*float64(compose.DefaultReserved.Memory)/1024
	if got, want := *jobs.Spend, (scale.Spend{Limit: 2, Price: hourly, Unit: "of cost", Period: 12 * time.Hour}); got != want {
		t.Errorf("the spend is %+v, want %+v", got, want)
	}
	if b := jobs.Behavior; b.Warmup != 20*time.Second || *b.Panic != (scale.Panic{Threshold: 2, Window: 30 * time.Second}) {
		t.Errorf("the behavior is %+v", b)
	}
	if got := mails.Triggers[0]; got.Mode != scale.Backlog || got.DrainWithin != 5*time.Minute || got.Target != 5 {
		t.Errorf("the backlog trigger is %+v", got)
	}
	if f := mails.Forecast; f.Lead != 2*time.Minute || f.Quantile != 0.8 || len(f.Seasons) != 1 || f.Seasons[0] != 12*time.Hour || jobs.Forecast != nil {
		t.Errorf("the forecast is %+v", f)
	}
	if mails.Triggers[1].Mode != scale.Exact {
		t.Errorf("the schedule is %+v", mails.Triggers[1])
	}
	if v, err := mails.Formula.Eval([]float64{4, 1}); err != nil || v != 5 || mails.Formula.Target != 2 {
		t.Errorf("the formula %+v gives %v, %v", mails.Formula, v, err)
	}
	if got := depth.Triggers[0]; got.Mode != scale.Steps || len(got.Steps) != 1 || got.Steps[0] != (scale.Step{From: 1, Tasks: 2}) {
		t.Errorf("the step trigger is %+v", got)
	}
}
