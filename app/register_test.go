package app_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
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
	"github.com/miekg/dns"

	"plimsoll/app"
)

// directories are a Cloud Map with one service, srv-1, and a Consul agent.
type directories struct {
	url string

	mu        sync.Mutex
	instances map[string]map[string]string // Cloud Map's, by id
	left      map[string]time.Time         // those that were taken out
	entries   map[string]bool              // Consul's, by id
}

func newDirectories(t *testing.T) *directories {
	t.Helper()
	d := &directories{instances: map[string]map[string]string{}, left: map[string]time.Time{}, entries: map[string]bool{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d *directories) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var in struct {
		ID         string
		InstanceID string `json:"InstanceId"`
		Attributes map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	type object = map[string]any
	out := object{"OperationId": "op"}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case operation == "GetService":
		out = object{"Service": object{"Id": "srv-1", "Arn": "arn:srv-1"}}
	case operation == "GetOperation":
		out = object{"Operation": object{"Id": "op", "Status": "SUCCESS"}}
	case operation == "ListInstances":
		list := []object{}
		for id, attributes := range d.instances {
			list = append(list, object{"Id": id, "Attributes": attributes})
		}
		out = object{"Instances": list}
	case operation == "RegisterInstance":
		d.instances[in.InstanceID] = in.Attributes
	case operation == "DeregisterInstance":
		delete(d.instances, in.InstanceID)
		d.left[in.InstanceID] = time.Now()
	case strings.HasSuffix(r.URL.Path, "/service/register"):
		d.entries[in.ID] = true
	default:
		out = object{} // Consul's services: none
	}
	_ = json.NewEncoder(w).Encode(out)
}

// ids are the instances that Cloud Map has.
func (d *directories) ids() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.instances))
}

func (d *directories) inConsul(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[id]
}

func (d *directories) leftAt(id string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left[id]
}

const registeredShop = `
name: default
services:
  web:
    command: [sleep, "9"]
    ports: ["8080"]
    x-plimsoll: {min: 1, max: 1, register: {cloudMap: srv-1}}
`

func TestARunTellsDNSConsulAndCloudMapWhereTheTasksAre(t *testing.T) {
	s := newEngine(t, t.TempDir())
	c := s.config("us-east-1")
	keys, err := c.Credentials.Retrieve(t.Context())
	s.must(err)
	told := newDirectories(t)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.url, "AWS_ENDPOINT_URL_SERVICEDISCOVERY": told.url, "AWS_REGION": c.Region,
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
	} {
		t.Setenv(name, value)
	}
	api := ecs.NewFromConfig(c)
	_, err = api.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("web"), Image: aws.String("busybox"), Memory: aws.Int32(64), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}},
		}},
	})
	s.must(err)
	_, err = api.CreateService(t.Context(), &ecs.CreateServiceInput{ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(1)})
	s.must(err)
	file := filepath.Join(t.TempDir(), "compose.yaml")
	s.must(os.WriteFile(file, []byte(registeredShop), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var out output
	go func() {
		ended <- app.Run(ctx, app.RunOptions{
			Platform: "ecs", Cluster: "default", File: file, Out: &out, Log: slog.New(slog.DiscardHandler),
			Discovery: app.DiscoveryOptions{DNS: "127.0.0.1:0", Consul: told.url},
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	await := func(what string, so func() bool) {
		t.Helper()
		for range 300 {
			if so() {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("%s: not within 30 s; Cloud Map has %q\n%s", what, told.ids(), out.String())
	}
	await("the task is in Cloud Map", func() bool { return len(told.ids()) == 1 })
	first := told.ids()[0]
	id := strings.TrimSuffix(strings.TrimPrefix(first, "plimsoll-"), "-8080")
	await("the task is in Consul", func() bool { return told.inConsul("plimsoll:default:web:" + id + ":8080") })
	await("the task is in DNS", func() bool {
		_, rest, _ := strings.Cut(out.String(), "DNS           ")
		address, _, _ := strings.Cut(rest, " ")
		q := new(dns.Msg).SetQuestion("_web._tcp.default.plimsoll.internal.", dns.TypeSRV)
		reply, err := dns.Exchange(q, address)
		return err == nil && len(reply.Answer) == 1
	})
	_, err = api.StopTask(t.Context(), &ecs.StopTaskInput{Task: &id})
	s.must(err)
	await("the stopped task is out of Cloud Map", func() bool { return !told.leftAt(first).IsZero() })
	await("the next one is in", func() bool { return len(told.ids()) == 1 && told.ids()[0] != first })
}
