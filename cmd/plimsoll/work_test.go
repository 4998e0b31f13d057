package main

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"plimsoll/app"
	"plimsoll/engine/awsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/store"
)

// queues serves the engine's SQS, and sets the environment that leads there.
func queues(t *testing.T) *sqs.Client {
	t.Helper()
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	set, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := awsapi.NewKeys(rand.Reader, "123456789012")
	if err != nil {
		t.Fatal(err)
	}
	api, err := awsapi.New(awsapi.Options{Region: "us-east-1", Credentials: keys}, awsapi.SQS(set))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.Secret,
		"ECS_AGENT_URI": "", "PLIMSOLL_RELEASE_URI": "",
	} {
		t.Setenv(name, value)
	}
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.Secret, ""),
	})
}

func TestWorkHandsItsFlagsToTheProgram(t *testing.T) {
	var got app.WorkOptions
	c := &console{environ: []string{"A=b"}, programs: Programs{Work: func(_ context.Context, o app.WorkOptions) error { got = o; return nil }}}
	typedOK(t, c, "work", "--queue", "jobs", "--concurrency", "4", "--idle", "1m", "--max-job-time", "2h", "--visibility", "45s",
		"--grace", "25s", "--protection", "1h", "--retry-after", "0s", "--kill-after", "3s", "--releases-queue", "gone", "--", "./process", "--queue", "{body-file}")
	got.Out, got.Err, got.Log = nil, nil, nil
	want := app.WorkOptions{
		Queue: "jobs", Releases: "gone", Command: []string{"./process", "--queue", "{body-file}"}, Environ: []string{"A=b"}, Concurrency: 4,
		Idle: time.Minute, MaxJobTime: 2 * time.Hour, Visibility: 45 * time.Second, Grace: 25 * time.Second,
		Protection: time.Hour, KillAfter: 3 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.environ = []string{"PLIMSOLL_RELEASES_QUEUE=named"}
	typedOK(t, c, "work", "--queue", "jobs", "--", "true")
	if got.Releases != "named" {
		t.Errorf("the queue of releases is %q; the environment names %q", got.Releases, "named")
	}
}

// The engine's own queue, the real program, a shell as the command.
func TestWorkRunsTheCommandOnceForEachMessageAndEndsWhenIdle(t *testing.T) {
	client := queues(t)
	dead, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("dead")})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("jobs"), Attributes: map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead","maxReceiveCount":"2"}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two", "bad"} {
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: queue.QueueUrl, MessageBody: aws.String(body),
			MessageAttributes: map[string]types.MessageAttributeValue{"size": {DataType: aws.String("Number"), StringValue: aws.String("42")}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	c := &console{environ: append(os.Environ(), "OUT="+dir), programs: Programs{Work: app.Work}}
	got := typedOK(t, c, "work", "--queue", "jobs", "--concurrency", "2", "--idle", "1s", "--retry-after", "0s", "--",
		"sh", "-c", `read -r body; echo "$body $PLIMSOLL_ATTRIBUTE_size $PLIMSOLL_MESSAGE_RECEIVES" >>"$OUT/$body"; echo "did $body"; test "$body" != bad`)
	for name, want := range map[string]string{"one": "one 42 1\n", "two": "two 42 1\n", "bad": "bad 42 1\nbad 42 2\n"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	printed := strings.Fields(strings.ReplaceAll(got.out, "did ", ""))
	slices.Sort(printed)
	if !slices.Equal(printed, []string{"bad", "bad", "one", "two"}) {
		t.Errorf("printed %q", got.out)
	}
	if !strings.Contains(got.err, "the command ended with status 1") || !strings.Contains(got.err, "no work: the task has released itself") {
		t.Errorf("logged %s", got.err)
	}
	letters, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: dead.QueueUrl})
	if err != nil || len(letters.Messages) != 1 || *letters.Messages[0].Body != "bad" {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
}
