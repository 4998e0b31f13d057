package ecs_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"plimsoll"
	"plimsoll/platform"
	"plimsoll/platform/ecs"
	"plimsoll/platform/platformtest"
)

// TestMotoPassesTheContract runs the contract against an ECS API that was
// written by others.
func TestMotoPassesTheContract(t *testing.T) {
	endpoint := startMoto(t)
	const runsNothing = "moto_server starts no tasks for a service"
	platformtest.Run(t, func(t *testing.T) platformtest.Harness {
		reset(t, endpoint)
		open := func(name string) *ecs.Cluster { return newCluster(t, ecs.Options{Cluster: name, Endpoint: endpoint}) }
		cluster := open("shop")
		if err := cluster.EnsureCluster(t.Context()); err != nil {
			t.Fatal(err)
		}
		return platformtest.Harness{
			Platform: cluster, Missing: open("nowhere"),
			Container: platform.ContainerSpec{
				Image: "busybox", Command: []string{"sleep", "1000"},
				Reserved: plimsoll.Resources{CPU: 64, Memory: 32},
			},
			Lacks: map[platformtest.Ability]string{
				platformtest.RunsTasks:      runsNothing,
				platformtest.ProtectsTasks:  "moto_server has no UpdateTaskProtection",
				platformtest.FindsTasks:     "moto_server answers StopTask of an unknown task with status 500",
				platformtest.RefusesRemoved: "moto_server updates services that are INACTIVE",
				platformtest.HasInstances:   "container instances of moto_server need EC2 instances",
			},
		}
	})
}

// startMoto starts moto_server on a free port until the test ends.
func startMoto(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skipf("moto_server is not installed (pip install 'moto[server]'): %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close() // moto_server takes a port, not a listener
	var output strings.Builder
	cmd := exec.Command(program, "-H", host, "-p", port)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The program may be a shim with the server as its child: the group has both.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	endpoint := "http://" + net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		response, err := http.Get(endpoint + "/moto-api/data.json")
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			return endpoint
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
			t.Fatalf("moto_server does not answer at %s: %v\n%s", endpoint, err, output.String())
		}
	}
}

// reset makes moto forget everything.
func reset(t *testing.T, endpoint string) {
	t.Helper()
	response, err := http.Post(endpoint+"/moto-api/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("moto_server's reset: %s", response.Status))
	}
}

// The credentials of every client here.
const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "secret"
)

// newCluster is a client with made-up credentials.
func newCluster(t testing.TB, o ecs.Options) *ecs.Cluster {
	t.Helper()
	o.Region = "us-east-1"
	o.Credentials = credentials.NewStaticCredentialsProvider(testKey, testSecret, "")
	cluster, err := ecs.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}
