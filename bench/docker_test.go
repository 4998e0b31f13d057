package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"plimsoll/engine/runtime/docker/dockertest"
)

// BenchmarkDockerRunTask: RunTask until RUNNING in Docker, one at a time, and in
// turn with each the Engine API's own create and start of the same image and
// command, which is what the machine can do at best.
func BenchmarkDockerRunTask(b *testing.B) {
	d, err := dockertest.Private()
	if err != nil {
		b.Fatal(err)
	}
	if d == nil {
		b.Skip("it is for a Docker Engine of its own: bash engine/runtime/docker/dockertest/run bench")
	}
	b.Cleanup(func() {
		if err := d.Stop(); err != nil {
			b.Error(err)
		}
	})
	docker, err := client.New(client.WithHost(d.Host()))
	if err != nil {
		b.Fatal(err)
	}
	defer docker.Close()
	const image = "plimsoll-bench:latest"
	if err := dockertest.Import(context.Background(), docker, image, nil); err != nil {
		b.Fatal(err)
	}
	p := start(b, "engine", "--runtime", "docker", "--hosts", "1", "--zones", "1")
	c := p.wire()
	definition := fmt.Sprintf(`{"family":"job","containerDefinitions":[{"name":"main","image":%q,"command":%s,"memory":64}]}`, image, trapper)
	if err := c.ecs("RegisterTaskDefinition", definition, nil); err != nil {
		b.Fatal(err)
	}
	bare := &container.Config{Image: image}
	if err := json.Unmarshal([]byte(trapper), &bare.Cmd); err != nil {
		b.Fatal(err)
	}
	var tasks, api []time.Duration
	for range max(*runs/4, 1) {
		tasks = append(tasks, ranInDocker(b, p, c))
		api = append(api, startedByAPI(b, docker, bare))
	}
	report(b, tasks, "task-")
	report(b, api, "api-")
	b.ReportMetric(float64(tasks[(len(tasks)-1)/2])/float64(api[(len(api)-1)/2]), "ratio")
}

// ranInDocker runs a task, gives what it took to its own startedAt, and sees it end.
func ranInDocker(b *testing.B, p *program, c *wireClient) time.Duration {
	b.Helper()
	sent := time.Now()
	arns, err := c.run(1)
	if err != nil {
		b.Fatal(err)
	}
	took := startTimes(b, p, arns, []time.Time{sent})[0]
	if err := c.ecs("StopTask", fmt.Sprintf(`{"task":%q}`, arns[0]), nil); err != nil {
		b.Fatal(err)
	}
	p.await("the task's end", func() bool {
		var out struct{ Tasks []struct{ LastStatus string } }
		err := c.ecs("DescribeTasks", fmt.Sprintf(`{"tasks":[%q]}`, arns[0]), &out)
		return err == nil && len(out.Tasks) == 1 && out.Tasks[0].LastStatus == "STOPPED"
	})
	return took
}

// startedByAPI creates a container, starts it and removes it again; it gives what
// the first two took.
func startedByAPI(b *testing.B, docker *client.Client, config *container.Config) time.Duration {
	b.Helper()
	ctx := context.Background()
	began := time.Now()
	made, err := docker.ContainerCreate(ctx, client.ContainerCreateOptions{Config: config})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := docker.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if _, err := docker.ContainerRemove(ctx, made.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		b.Fatal(err)
	}
	return took
}
