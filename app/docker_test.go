package app_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime/docker/dockertest"
)

// harbour is a project of images alone: one behind the router, one at zero.
const harbour = `name: harbour
services:
  web:
    image: plimsoll-web:test
    command: ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p $$HOST:$$PORT -h /www"]
    ports: ["8000"]
    stop_grace_period: 1s
    deploy: {resources: {reservations: {cpus: "0.125", memory: 64M}}}
    x-plimsoll:
      min: 2
      max: 8
      route: {host: web.localhost, path: /, health: /}
`

// ask gives what a task says through the router: the id of its container.
func (p *program) ask() string {
	request, err := http.NewRequest(http.MethodGet, p.run.Router, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Host, request.Close = "web.localhost", true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// answering waits until n tasks, and no others, answer through the router; it
// gives their containers.
func (p *program) answering(n int) map[string]bool {
	p.t.Helper()
	var seen map[string]bool
	p.await("answers of as many tasks as are wanted", func() bool {
		seen = map[string]bool{}
		for range 4 * n {
			if id := p.ask(); id != "" {
				seen[id] = true
			}
		}
		return len(seen) == n && count(p.running(), "web") == n
	})
	return seen
}

// inDocker starts the private Docker Engine with the project's image, and builds
// the program; the project's file and the state's folder are in a folder of the
// test's own.
func inDocker(t *testing.T) (engine *dockertest.Daemon, c *client.Client, binary, file, state string) {
	t.Helper()
	engine, err := dockertest.Private()
	if err != nil {
		t.Fatal(err)
	}
	if engine == nil {
		t.Skip("it is for a Docker Engine of the tests' own: make test-docker")
	}
	t.Cleanup(func() {
		if err := engine.Stop(); err != nil {
			t.Error(err)
		}
	})
	if c, err = client.New(client.FromEnv); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := dockertest.Import(t.Context(), c, "plimsoll-web:test", nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, state = filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "state")
	if err := os.WriteFile(file, []byte(harbour), 0o600); err != nil {
		t.Fatal(err)
	}
	return engine, c, build(t), file, state
}

// endInDocker ends the program as its user does, and sees that nothing is left.
func (p *program) endInDocker(c *client.Client) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			p.t.Errorf("Ctrl-C ended the program with %v", err)
		}
	case <-time.After(90 * time.Second):
		p.t.Fatal("the program did not end after Ctrl-C")
	}
	list, err := c.ContainerList(p.t.Context(), client.ContainerListOptions{})
	if err != nil || len(list.Items) > 0 {
		p.t.Errorf("containers still run: %v, %v", list.Items, err)
	}
}

func TestAProjectOfImagesInDockerIsRoutedScaledAndFoundAgain(t *testing.T) {
	_, c, binary, file, state := inDocker(t)
	scale := func(text string) {
		if out, err := exec.Command(binary, "scale", "--state", state, text).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	first := up(t, binary, state, "-f", file)
	first.answering(2)
	scale("web=4")
	four := first.answering(4)
	before := first.running()

	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	second := up(t, binary, state, "-f", file)
	again := second.answering(4)
	for id := range four {
		if !again[id] {
			t.Errorf("container %s answers no more; now there are %v", id, again)
		}
	}
	for id, task := range before {
		if now := second.running()[id]; !now.StartedAt.Equal(task.StartedAt) {
			t.Errorf("task %s was started at %s, and after the restart at %s", id, task.StartedAt, now.StartedAt)
		}
	}
	scale("web=3")
	second.answering(3)

	second.endInDocker(c)
}

// The containers end with an engine that is stopped, and are replaced; what is left
// of those of one that is killed ends at its next start.
func TestTrafficRecoversWhenTheEngineInDockerRestarts(t *testing.T) {
	engine, c, binary, file, state := inDocker(t)
	p := up(t, binary, state, "-f", file)
	p.answering(2)
	for what, end := range map[string]func() error{"stopped": engine.Stop, "killed": engine.Kill} {
		began := time.Now()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := engine.Run(); err != nil {
			t.Fatal(err)
		}
		back := time.Since(began)
		p.answering(2)
		t.Logf("%s: the engine answers again after %s, both tasks after %s", what, back.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		for range 200 {
			if p.ask() == "" {
				t.Errorf("%s: a request failed after the traffic had recovered", what)
			}
		}
	}
	p.endInDocker(c)
}
