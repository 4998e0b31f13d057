package sqs_test

import (
	"crypto/rand"
	"net/http/httptest"
	"testing"
	"time"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/queue"
	"plimsoll/engine/store"
)

// TestAQueueOfTheEmbeddedEngineIsRead reads a queue over the engine's own wire.
func TestAQueueOfTheEmbeddedEngineIsRead(t *testing.T) {
	log, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	queues, err := queue.Open(queue.Options{Log: log, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	keys := awsapi.Keys{AccessKeyID: testKey, Secret: testSecret, Account: "123456789012"}
	api, err := awsapi.New(awsapi.Options{Region: "us-east-1", Credentials: keys}, awsapi.SQS(queues))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	readsAQueue(t, server.URL)
}
