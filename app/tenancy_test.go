package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/app"
	"plimsoll/engine/tenants"
)

// Two clusters of one account have a service of the same name each, and another
// tenant has the names of both.
func TestARouterAnswersForItsOwnClusterAlone(t *testing.T) {
	s := newEngine(t, t.TempDir())
	c := s.config("us-east-1")
	home := ecs.NewFromConfig(c)
	_, err := home.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("bank")})
	s.must(err)
	tenant := s.tenant("other", tenants.Quota{})
	serviceAt(s, home, "default", "shop.localhost/")
	serviceAt(s, home, "bank", "bank.localhost/")
	serviceAt(s, ecs.NewFromConfig(s.config("us-east-1", tenant.Keys[0])), "default", "tenant.localhost/")

	s.environment(c)
	for cluster, own := range map[string]string{"default": "shop.localhost", "bank": "bank.localhost"} {
		url := routerOf(t, cluster)
		for _, host := range []string{"shop.localhost", "bank.localhost", "tenant.localhost"} {
			status := statusOf(t, url, host)
			if routed := status != http.StatusNotFound; routed != (host == own) {
				t.Errorf("the router of cluster %q answers for %s with %d", cluster, host, status)
			}
		}
	}
}

// serviceAt makes the service "web" of a cluster, without a task, with a route.
func serviceAt(s *engineStand, c *ecs.Client, cluster, route string) {
	s.t.Helper()
	_, err := c.RegisterTaskDefinition(s.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("busybox"), Memory: aws.Int32(64), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80)}},
		}},
	})
	s.must(err)
	_, err = c.CreateService(s.t.Context(), &ecs.CreateServiceInput{
		Cluster: &cluster, ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(0),
		Tags: []types.Tag{{Key: aws.String("plimsoll:route"), Value: &route}},
	})
	s.must(err)
}

// routerOf runs `plimsoll router` for a cluster until the test ends, and gives its
// URL.
func routerOf(t *testing.T, cluster string) string {
	t.Helper()
	printed, out := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := app.Route(ctx, app.RouteOptions{
			Platform: "ecs", Cluster: cluster, Router: "127.0.0.1:0", State: t.TempDir(), Drain: time.Second,
			Edge: app.EdgeOptions{AccessFormat: "json"}, Out: out, Log: slog.New(slog.DiscardHandler),
		})
		out.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the router of cluster %q: %v", cluster, err)
		}
	})
	var text strings.Builder
	buffer := make([]byte, 256)
	for {
		n, err := printed.Read(buffer)
		text.Write(buffer[:n])
		if url := regexp.MustCompile(`http://\S+\n`).FindString(text.String()); url != "" {
			go func() { _, _ = io.Copy(io.Discard, printed) }()
			return strings.TrimSpace(url)
		}
		if err != nil {
			t.Fatalf("the router of cluster %q did not start: %q", cluster, &text)
		}
	}
}

// statusOf is how a router answers for a host; 0 if it holds the request, for the
// first task of a service.
func statusOf(t *testing.T, url, host string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
