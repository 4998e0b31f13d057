package ecs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/daemon"
	"plimsoll/engine/ecsapi"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/store"
	"plimsoll/platform"
	"plimsoll/platform/ecs"
	"plimsoll/platform/platformtest"
)

// TestTheEmbeddedEnginePassesTheContract runs the contract against the engine
// that comes with Plimsoll, over its own wire.
func TestTheEmbeddedEnginePassesTheContract(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platformtest.Harness {
		endpoint := startEngine(t, 4)
		return platformtest.Harness{
			Platform:  newCluster(t, ecs.Options{Cluster: "shop", Endpoint: endpoint}),
			Missing:   newCluster(t, ecs.Options{Cluster: "nowhere", Endpoint: endpoint}),
			Container: engineContainer(),
		}
	})
}

func engineContainer() platform.ContainerSpec {
	return platform.ContainerSpec{
		Command:  []string{"serve"},
		Reserved: plimsoll.Resources{CPU: 64, Memory: 32},
		Ports:    []platform.PortSpec{{ContainerPort: 8080}},
	}
}

// startEngine starts an engine whose tasks are those of the fake runtime, with a
// cluster "shop" of so many hosts, and gives its AWS endpoint.
func startEngine(t testing.TB, hosts int) string {
	t.Helper()
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Start(t.Context(), daemon.Options{
		Machine: engine.New(engine.Config{Seed: t.Name()}), Store: log,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) { return fake.New(fake.Options{}, sink), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	commands := []engine.Command{engine.CreateCluster{Name: "shop"}}
	put := engine.PutHosts{Cluster: "shop"}
	for i := range hosts {
		put.Hosts = append(put.Hosts, engine.HostSpec{
			Name: fmt.Sprintf("host-%d", i+1), Zone: fmt.Sprintf("us-east-1%c", 'a'+i%3),
			Address: fmt.Sprintf("127.64.1.%d", i+1), Resources: plimsoll.Resources{CPU: 1024, Memory: 1024},
		})
	}
	for _, command := range append(commands, put) {
		if _, err := d.Do(t.Context(), command); err != nil {
			t.Fatal(err)
		}
	}
	service, err := ecsapi.New(ecsapi.Options{Engine: d, Abilities: fake.Abilities()})
	if err != nil {
		t.Fatal(err)
	}
	api, err := awsapi.New(awsapi.Options{
		Region: "us-east-1", Credentials: awsapi.Keys{AccessKeyID: testKey, Secret: testSecret, Account: "123456789012"},
	}, service)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, api)
}

func TestADeploymentRegistersNothingThatIsThereAlready(t *testing.T) {
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startEngine(t, 3), Project: "shop"})
	spec := platform.ServiceSpec{Name: "web", Desired: 1, Container: engineContainer()}
	definition := func() string {
		t.Helper()
		if err := c.Deploy(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		return plimsoll.ARNName(snapshot(t, c).Services[0].TaskDefinition)
	}
	if got := definition(); got != "web:1" {
		t.Errorf("first deployment: %s, want web:1", got)
	}
	if got := definition(); got != "web:1" {
		t.Errorf("the same again: %s, want web:1", got)
	}
	if err := c.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if got := definition(); got != "web:1" {
		t.Errorf("the same after its removal: %s, want web:1", got)
	}
	spec.Container.Command = []string{"serve", "--fast"}
	if got := definition(); got != "web:2" {
		t.Errorf("another command: %s, want web:2", got)
	}
}

func TestOnlyTheLatestOfManyStoppedTasksAreShown(t *testing.T) {
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startEngine(t, 3), StoppedMax: 50})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Deploy(ctx, platform.ServiceSpec{Name: "web", Desired: 30, Container: engineContainer()}); err != nil {
		t.Fatal(err)
	}
	for stopped := 0; stopped < 250; {
		for _, task := range snapshot(t, c).Tasks {
			if task.Serving() {
				if err := c.StopTask(ctx, task.ARN, "test"); err != nil {
					t.Fatal(err)
				}
				stopped++
			}
		}
	}
	count := 0
	for _, task := range snapshot(t, c).Tasks {
		if !task.Live() {
			count++
		}
	}
	if count != 50 {
		t.Errorf("%d stopped tasks are shown, want the latest 50", count)
	}
}

func TestAReleasedTaskIsSeenAndIsTheFirstToGo(t *testing.T) {
	c := newCluster(t, ecs.Options{Cluster: "shop", Endpoint: startEngine(t, 3), StoppedMax: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Deploy(ctx, platform.ServiceSpec{Name: "work", Desired: 6, Container: engineContainer()}); err != nil {
		t.Fatal(err)
	}
	of := func(is func(plimsoll.Task) bool) (arns []string) {
		for _, task := range snapshot(t, c).Tasks {
			if is(task) {
				arns = append(arns, task.ARN)
			}
		}
		return arns
	}
	var serving []string
	for len(serving) < 6 {
		serving = of(plimsoll.Task.Serving)
	}
	for range 2 { // saying it again is no error
		for _, arn := range serving[:3] {
			if err := c.Release(ctx, arn); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.TakeBack(ctx, serving[2]); err != nil {
		t.Fatal(err)
	}
	released := func(t plimsoll.Task) bool { return t.Released }
	if got := of(released); !slices.Equal(got, serving[:2]) {
		t.Errorf("released are %v, want %v", got, serving[:2])
	}
	if err := c.SetDesired(ctx, "work", 4); err != nil {
		t.Fatal(err)
	}
	for len(of(func(t plimsoll.Task) bool { return !t.Live() })) < 2 && ctx.Err() == nil {
	}
	if got := of(plimsoll.Task.Serving); !slices.Equal(got, serving[2:]) {
		t.Errorf("serving are %v, want %v", got, serving[2:])
	}
	if got := of(released); len(got) != 2 {
		t.Errorf("of the stopped, %v are shown as released, though more than the latest one are to be", got)
	}
	if err := c.Release(ctx, "arn:aws:ecs:us-east-1:123456789012:task/shop/none"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("no task: %v", err)
	}
}

func BenchmarkSnapshotOfTheEngine30Tasks(b *testing.B) {
	c := newCluster(b, ecs.Options{Cluster: "shop", Endpoint: startEngine(b, 4)})
	for i := range 3 {
		spec := platform.ServiceSpec{Name: fmt.Sprintf("service-%d", i), Desired: 10, Container: engineContainer()}
		if err := c.Deploy(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		snapshot(b, c)
	}
}
