package ecs_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"plimsoll"
	"plimsoll/mototest"
	"plimsoll/platform"
	"plimsoll/platform/ecs"
	"plimsoll/platform/platformtest"
)

// TestMotoPassesTheContract runs the contract against an ECS API that was
// written by others.
func TestMotoPassesTheContract(t *testing.T) {
	endpoint := mototest.Start(t)
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
