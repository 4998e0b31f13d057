package awsapi_test

import (
	"crypto/rand"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/store"
)

const (
	region  = "us-east-1"
	account = "123456789012"
)

// endpoint is the real handler with the services of this package, on a real
// listener, with its queues on a real log.
type endpoint struct {
	url    string
	keys   awsapi.Keys
	queues *queue.Set
}

func newEndpoint(t testing.TB) *endpoint {
	t.Helper()
	return newEndpointAt(t, time.Now)
}

func newEndpointAt(t testing.TB, now func() time.Time) *endpoint {
	t.Helper()
	keys, err := awsapi.NewKeys(rand.Reader, account)
	if err != nil {
		t.Fatal(err)
	}
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	queues, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: keys, Now: now},
		awsapi.SQS(queues), awsapi.STS())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return &endpoint{url: server.URL, keys: keys, queues: queues}
}

func (e *endpoint) config() aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: &e.url,
		Credentials:  credentials.NewStaticCredentialsProvider(e.keys.AccessKeyID, e.keys.Secret, ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func (e *endpoint) sqs() *sqs.Client { return sqs.NewFromConfig(e.config()) }
func (e *endpoint) sts() *sts.Client { return sts.NewFromConfig(e.config()) }
