package app_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/store"
	platformecs "plimsoll/platform/ecs"
	"plimsoll/worker"
	workersqs "plimsoll/worker/sqs"
)

// The queue is the engine's; the senders are as SQS notes them.
func TestReleasesComeByAQueueAndAreDeletedOnceTheyAreTaken(t *testing.T) {
	keys, err := awsapi.NewKeys(rand.Reader, "123456789012")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	log, err := store.Open(t.TempDir(), store.Options{})
	must(err)
	set, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader})
	must(err)
	t.Cleanup(func() { set.Close(); must(log.Close()) })
	must(set.Create("releases", map[string]string{"VisibilityTimeout": "1"}, nil))
	endpoint, err := awsapi.New(awsapi.Options{Region: "us-east-1", Credentials: keys}, awsapi.SQS(set))
	must(err)
	server := httptest.NewServer(endpoint)
	t.Cleanup(server.Close)

	arn := func(id string) string { return "arn:aws:ecs:us-east-1:123456789012:task/shop/" + id }
	var drafts []queue.Draft
	for _, m := range [][2]string{{"mine", "AROA:mine"}, {"late", "AROA:late"}, {"kept", "AROA:kept"}, {"other", "AROA:mine"}, {"mine", "AROA:mine"}} {
		drafts = append(drafts, queue.Draft{Body: fmt.Sprintf(`{"release": %q}`, arn(m[0])), Sender: m[1]})
	}
	_, err = set.Send("releases", drafts)
	must(err)

	// One is a worker's own, with the credentials of its task.
	workersOwn(t, server.URL, keys.Issue("worker", "arn:aws:iam::123456789012:role/jobs", time.Now().Add(time.Hour)), arn("worker"))

	notYet, kept := errors.New("not yet"), errors.New("kept")
	var mu sync.Mutex
	said := map[string]int{}
	releases, err := platformecs.NewReleases(t.Context(), platformecs.ReleasesOptions{
		Queue: "releases", Endpoint: server.URL, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.Secret, ""),
		Again:       func(err error) bool { return errors.Is(err, notYet) },
		Release: func(_ context.Context, task string) error {
			mu.Lock()
			defer mu.Unlock()
			said[task]++
			switch {
			case task == arn("kept"):
				return kept
			case task == arn("late") && said[task] == 1:
				return notYet
			}
			return nil
		},
	})
	must(err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); releases.Listen(ctx) }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		info, err := set.Info("releases")
		must(err)
		if info.Depth == (queue.Depth{}) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("in the queue are still %+v", info.Depth)
		}
	}
	cancel()
	<-ended
	if said[arn("mine")] != 2 || said[arn("late")] != 2 || said[arn("kept")] != 1 || said[arn("worker")] != 1 || said[arn("other")] != 0 {
		t.Errorf("said %v; want mine and late twice, kept and worker once, other not at all", said)
	}
}

// workersOwn releases a task by the queue, as its worker does where it knows no API.
func workersOwn(t *testing.T, endpoint string, role awsapi.Issued, arn string) {
	t.Helper()
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"TaskARN": %q, "ServiceName": "jobs", "DesiredStatus": "RUNNING"}`, arn)
	}))
	defer metadata.Close()
	releases, err := workersqs.New(t.Context(), workersqs.Options{Queue: "releases", API: sqs.New(sqs.Options{
		BaseEndpoint: &endpoint, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(role.AccessKeyID, role.SecretAccessKey, role.Token),
	})})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"ECS_AGENT_URI": metadata.URL, "ECS_CONTAINER_METADATA_URI_V4": metadata.URL}
	if err := worker.FromEnv(func(name string) string { return env[name] }, releases).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}
