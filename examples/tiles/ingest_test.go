package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"plimsoll/worker"
	workersqs "plimsoll/worker/sqs"
)

// cloud is a queue (SQS's JSON protocol) and an ECS agent in one, that notes
// what it is asked for.
type cloud struct {
	t  *testing.T
	mu sync.Mutex
	// bodies are handed out one by one; after them a receive waits.
	bodies []string
	calls  []string
	called chan string
}

// ingester is a program to be run against a cloud.
type ingester struct {
	ingestOptions
	queue worker.Queue
}

func newCloud(t *testing.T, bodies ...string) (*cloud, *ingester) {
	c := &cloud{t: t, bodies: bodies, called: make(chan string, 1000)}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	queue, err := workersqs.New(t.Context(), workersqs.Options{Queue: "pictures", API: sqs.New(sqs.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		Retryer:     aws.NopRetryer{},
	})})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"ECS_AGENT_URI": server.URL}
	return c, &ingester{queue: queue, ingestOptions: ingestOptions{
		env: func(name string) string { return env[name] }, log: quiet, grace: time.Minute, visibility: time.Minute,
	}}
}

func (c *cloud) note(call string) {
	c.mu.Lock()
	c.calls = append(c.calls, call)
	c.mu.Unlock()
	c.called <- call
}

func (c *cloud) await(call string) {
	c.t.Helper()
	for {
		select {
		case got := <-c.called:
			if got == call {
				return
			}
		case <-time.After(20 * time.Second):
			c.t.Fatalf("%q was never called; there were %q", call, c.all())
		}
	}
}

func (c *cloud) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		c.t.Errorf("%s: %v", body, err)
	}
	if r.Method == http.MethodPut && r.URL.Path == "/task-protection/v1/state" {
		c.protect(w, in)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."); op {
	case "GetQueueUrl":
		fmt.Fprintf(w, `{"QueueUrl":"http://%s/123456789012/%s"}`, r.Host, in["QueueName"])
	case "ReceiveMessage":
		if in["MaxNumberOfMessages"] != 1.0 || in["WaitTimeSeconds"] != 20.0 {
			c.t.Errorf("receive: %v", in)
		}
		c.mu.Lock()
		if len(c.bodies) == 0 {
			c.mu.Unlock()
			c.note("wait")
			<-r.Context().Done()
			return
		}
		next := c.bodies[0]
		c.bodies = c.bodies[1:]
		c.mu.Unlock()
		c.note("receive")
		_ = json.NewEncoder(w).Encode(map[string]any{"Messages": []any{map[string]any{"MessageId": "m", "ReceiptHandle": "h", "Body": next}}})
	case "DeleteMessage":
		c.note("delete")
		_, _ = w.Write([]byte("{}"))
	case "ChangeMessageVisibility":
		c.note(fmt.Sprintf("visibility %v", in["VisibilityTimeout"]))
		_, _ = w.Write([]byte("{}"))
	default:
		c.t.Errorf("unexpected call %q", op)
	}
}

func (c *cloud) protect(w http.ResponseWriter, in map[string]any) {
	on, _ := in["ProtectionEnabled"].(bool)
	c.note(fmt.Sprintf("protect %v", on))
	fmt.Fprintf(w, `{"protection":{"ProtectionEnabled":%v,"TaskArn":"arn:aws:ecs:us-east-1:1:task/x"}}`, on)
}

// start runs the worker; the returned function is the stop signal and waits for
// the worker's end.
func start(t *testing.T, w *ingester) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, w.queue) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
}

const small = `{"id":"chart-1","width":100,"height":60,"tile":64}`

func TestAMessageIsDeletedAfterItsWorkAndUnderProtection(t *testing.T) {
	c, w := newCloud(t, small)
	w.out = t.TempDir()
	stop := start(t, w)
	c.await("wait")
	stop()
	want := []string{"receive", "protect true", "delete", "protect false", "wait"}
	if got := c.all(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	tiles, err := filepath.Glob(filepath.Join(w.out, "chart-1", "*", "*.jpg"))
	if err != nil || len(tiles) != 3 { // two at full size, one of the whole
		t.Errorf("tiles %q %v", tiles, err)
	}
	for _, tile := range tiles {
		if info, err := os.Stat(tile); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", tile, err)
		}
	}
}

func TestAWorkerLooksAgainAfterEachMessage(t *testing.T) {
	c, w := newCloud(t, small, small, small)
	stop := start(t, w)
	c.await("wait")
	stop()
	if n := strings.Count(strings.Join(c.all(), "\n"), "delete"); n != 3 {
		t.Errorf("%d of 3 messages were deleted", n)
	}
}

func TestAStopSignalLetsABusyWorkerFinish(t *testing.T) {
	c, w := newCloud(t, `{"id":"chart","width":2048,"height":2048,"tile":256}`, small)
	stop := start(t, w)
	c.await("protect true")
	stop()
	want := []string{"receive", "protect true", "delete", "protect false"}
	if got := c.all(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q and nothing after", got, want)
	}
}

func TestAWorkerOutOfTimeReturnsItsMessage(t *testing.T) {
	c, w := newCloud(t, `{"id":"large","width":65536,"height":65536,"tile":256}`)
	w.grace = time.Millisecond
	stop := start(t, w)
	c.await("protect true")
	stop()
	want := []string{"receive", "protect true", "visibility 0", "protect false"}
	if got := c.all(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAMessageThatIsNoJobIsNeverDeleted(t *testing.T) {
	c, w := newCloud(t, "not a job")
	stop := start(t, w)
	c.await("protect false")
	stop()
	if got := c.all(); slices.Contains(got, "delete") {
		t.Errorf("%q", got)
	}
}

func TestABadJobIsRefusedWithItsFault(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a/b","width":1,"height":1}`:           `id "a/b"`,
		`{"id":"a","width":0,"height":1}`:             "width 0",
		`{"id":"a","width":1,"height":99999}`:         "height 99999",
		`{"id":"a","width":1,"height":1,"tile":2}`:    "tile 2",
		`{"id":"a","width":"wide","height":1}`:        "not a job",
		`{"id":"a","width":10,"height":10,"tile":64}`: "",
	} {
		_, err := parseJob(body)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestTheCommandLineIsRefusedWithUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"cook"}, {"serve", "now"}, {"thumbs", "-nice"}, {"ingest", "-colour"}} {
		var text strings.Builder
		if err := run(t.Context(), args, os.Getenv, &text, quiet); err == nil || !strings.Contains(strings.ToLower(text.String()), "usage") {
			t.Errorf("%q: %v %q", args, err, text.String())
		}
	}
}

func TestThumbsGiveWayAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"thumbs", "-nice", "0"}, os.Getenv, io.Discard, quiet); err != nil {
		t.Error(err)
	}
	if err := run(ctx, []string{"thumbs", "-nice", "20"}, os.Getenv, io.Discard, quiet); err == nil {
		t.Error("nice 20 was taken")
	}
}

func TestServeFinishesWhatIsUnderWayAndEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(ctx, "127.0.0.1:0", quiet); err != nil {
		t.Error(err)
	}
	env := map[string]string{"HOST": "127.64.1.1", "PORT": "20001"}
	if got := address(func(k string) string { return env[k] }); got != "127.64.1.1:20001" {
		t.Errorf("address %q", got)
	}
}
