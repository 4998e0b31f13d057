package docker_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/docker/dockertest"
)

const testImage = "plimsoll-contract:latest"

// private is the tests' own dockerd; nil where they are run on what DOCKER_HOST
// names, or not at all.
var private *dockertest.Daemon

func TestMain(m *testing.M) {
	var err error
	if private, err = dockertest.Private(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	switch {
	case private != nil:
		if err := private.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	case imported:
		if c, err := client.New(client.FromEnv); err == nil {
			c.ImageRemove(context.Background(), testImage, client.ImageRemoveOptions{Force: true})
			c.Close()
		}
	}
	os.Exit(code)
}

var (
	once     sync.Once
	imported bool
)

// needsDocker skips where there is no Docker Engine, or nothing to make an image of;
// on a Docker Engine of the tests' own that is a failure.
func needsDocker(t testing.TB) {
	t.Helper()
	_, noBusybox := dockertest.Busybox()
	if err := cmp.Or(docker.Available(t.Context()), noBusybox); err != nil {
		if private != nil {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// connect gives a client of the Docker Engine, with the tests' image: busybox, and
// testdata/program as /program. It skips where there is no Docker Engine.
func connect(t testing.TB) *client.Client {
	t.Helper()
	needsDocker(t)
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	once.Do(func() {
		if err := importImage(t, c); err != nil {
			t.Fatal(err)
		}
		imported = true
	})
	if !imported {
		t.Fatal("there is no image for the tests")
	}
	return c
}

func importImage(t testing.TB, c *client.Client) error {
	path := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", path, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return dockertest.Import(t.Context(), c, testImage, map[string][]byte{"/program": program})
}
