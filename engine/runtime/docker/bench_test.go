package docker_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
)

var runs = flag.Int("runs", 50, "how often each start is measured")

// BenchmarkDockerStart is a task from Start until Started, and, in turn with it, the
// Engine API's own create and start: of a container that is told nothing but its
// image and command, and of the same one that the runtime makes. What each start
// leaves is taken away before the next one begins.
func BenchmarkDockerStart(b *testing.B) {
	c := connect(b)
	ctx := context.Background()
	events := make(chan runtime.Event, 100)
	r := docker.New(docker.Options{Owner: b.Name()}, func(e runtime.Event) { events <- e })
	defer r.Close()
	if err := r.Adopt(ctx, nil); err != nil {
		b.Fatal(err)
	}
	next := func(want runtime.Kind) {
		if e := <-events; e.Kind != want {
			b.Fatalf("%s instead of %s: %+v", e.Kind, want, e)
		}
	}
	var plain, same, tasks []time.Duration
	for i := range *runs {
		spec := task(fmt.Sprint("start-", i))
		name := "plimsoll-" + spec.TaskID + "-main"
		began := time.Now()
		r.Start(spec)
		next(runtime.Started)
		tasks = append(tasks, time.Since(began))
		made, err := c.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
		if err != nil {
			b.Fatal(err)
		}
		r.Stop(spec.TaskID)
		next(runtime.Exited)
		removed(b, c, name)
		like := client.ContainerCreateOptions{Name: name, Config: made.Container.Config, HostConfig: made.Container.HostConfig}
		like.Config.Hostname, like.Config.Labels = "", nil
		bare := client.ContainerCreateOptions{Name: name, Config: &container.Config{Image: testImage, Cmd: spec.Containers[0].Command}}
		plain = append(plain, startedByAPI(b, c, bare))
		same = append(same, startedByAPI(b, c, like))
	}
	p, s, t := median(plain), median(same), median(tasks)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p, "api-plain-p50-ms")
	b.ReportMetric(s, "api-p50-ms")
	b.ReportMetric(t, "task-p50-ms")
	b.ReportMetric(t/p, "ratio-to-plain")
	b.ReportMetric(t/s, "ratio")
}

// startedByAPI creates a container and starts it, and gives what that took.
func startedByAPI(b *testing.B, c *client.Client, o client.ContainerCreateOptions) time.Duration {
	b.Helper()
	ctx := context.Background()
	began := time.Now()
	_, err := c.ContainerCreate(ctx, o)
	if err == nil {
		_, err = c.ContainerStart(ctx, o.Name, client.ContainerStartOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	removed(b, c, o.Name)
	return took
}

func removed(b *testing.B, c *client.Client, name string) {
	b.Helper()
	if _, err := c.ContainerRemove(context.Background(), name, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		b.Fatal(err)
	}
}

// median is in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2]) / float64(time.Millisecond)
}
