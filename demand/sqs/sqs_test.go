package sqs_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"plimsoll/demand/sqs"
)

type body = map[string]any

// The credentials of every client here.
const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "secret"
)

// serve is an SQS endpoint that answers each operation by a function of its
// request: a status and an answer.
func serve(t *testing.T, answer func(operation string, in body) (int, body)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		var in body
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		status, out := answer(operation, in)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// attributes serves one queue with these attributes.
func attributes(t *testing.T, set body) string {
	return serve(t, func(operation string, in body) (int, body) {
		if operation != "GetQueueAttributes" || in["QueueUrl"] != "http://queues/jobs" {
			return 400, body{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}
		}
		return 200, body{"Attributes": set}
	})
}

func open(t *testing.T, o sqs.Options) *sqs.Source {
	t.Helper()
	o.Region = "us-east-1"
	o.Credentials = credentials.NewStaticCredentialsProvider(testKey, testSecret, "")
	s, err := sqs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheMessagesThatCount(t *testing.T) {
	endpoint := attributes(t, body{
		"ApproximateNumberOfMessages": "12", "ApproximateNumberOfMessagesNotVisible": "3", "ApproximateNumberOfMessagesDelayed": "5",
	})
	now := time.Unix(1_700_000_000, 0)
	for detail, test := range map[string]struct {
		o    sqs.Options
		want float64
	}{
		"12 visible + 3 in flight":             {sqs.Options{}, 15},
		"12 visible":                           {sqs.Options{IgnoreInFlight: true}, 12},
		"12 visible + 3 in flight + 5 delayed": {sqs.Options{Delayed: true}, 20},
		"12 visible + 5 delayed":               {sqs.Options{IgnoreInFlight: true, Delayed: true}, 17},
	} {
		test.o.QueueURL, test.o.Endpoint, test.o.Now = "http://queues/jobs", endpoint, func() time.Time { return now }
		sample, err := open(t, test.o).Read(t.Context())
		if err != nil || sample.Value != test.want || sample.Detail != detail || !sample.At.Equal(now) {
			t.Errorf("sample %+v, error %v; want %v: %s", sample, err, test.want, detail)
		}
	}
}

func TestALengthThatIsNotKnownIsNotZero(t *testing.T) {
	for name, set := range map[string]body{
		"no attribute":      {},
		"one is missing":    {"ApproximateNumberOfMessages": "12"},
		"one is no number":  {"ApproximateNumberOfMessages": "12", "ApproximateNumberOfMessagesNotVisible": "some"},
		"one is below zero": {"ApproximateNumberOfMessages": "-1", "ApproximateNumberOfMessagesNotVisible": "0"},
	} {
		s := open(t, sqs.Options{QueueURL: "http://queues/jobs", Endpoint: attributes(t, set)})
		if sample, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "ApproximateNumberOfMessages") {
			t.Errorf("%s: sample %+v, error %v; want one that names the attribute", name, sample, err)
		}
	}
}

func TestAReadThatFailsIsAnErrorThatNamesTheQueue(t *testing.T) {
	endpoint := attributes(t, nil)
	s := open(t, sqs.Options{QueueURL: "http://queues/other", Endpoint: endpoint})
	if sample, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), `"http://queues/other"`) {
		t.Errorf("sample %+v, error %v; want one that names the queue", sample, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sample, err := open(t, sqs.Options{QueueURL: "http://queues/jobs", Endpoint: endpoint}).Read(ctx); err == nil {
		t.Errorf("sample %+v after a cancelled read, want an error", sample)
	}
}

func TestANameIsLookedUpOnceAndAgainWhenTheQueueIsMadeAnew(t *testing.T) {
	current, lookups := "http://queues/1/jobs", 0
	endpoint := serve(t, func(operation string, in body) (int, body) {
		switch {
		case operation == "GetQueueUrl" && in["QueueName"] == "jobs":
			lookups++
			return 200, body{"QueueUrl": current}
		case operation == "GetQueueAttributes" && in["QueueUrl"] == current:
			return 200, body{"Attributes": body{"ApproximateNumberOfMessages": "1", "ApproximateNumberOfMessagesNotVisible": "0"}}
		}
		return 400, body{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}
	})
	s := open(t, sqs.Options{Queue: "jobs", Endpoint: endpoint})
	for range 3 {
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if lookups != 1 {
		t.Errorf("%d lookups for three reads, want 1", lookups)
	}
	current = "http://queues/2/jobs"
	if sample, err := s.Read(t.Context()); err == nil {
		t.Errorf("sample %+v of a queue that is gone, want an error", sample)
	}
	if _, err := s.Read(t.Context()); err != nil || lookups != 2 {
		t.Errorf("error %v after %d lookups, want none after 2", err, lookups)
	}
}

func TestTheRegionIsThatOfTheQueue(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for queueURL, want := range map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/jobs":     "/eu-west-1/sqs/",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/jobs": "/cn-north-1/sqs/",
		"http://127.0.0.1:4580/123456789012/jobs":                   "/us-east-1/sqs/",
	} {
		signed := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			signed = r.Header.Get("Authorization")
			http.Error(w, "{}", http.StatusForbidden)
		}))
		defer server.Close()
		s, err := sqs.New(sqs.Options{QueueURL: queueURL, Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(t.Context()); err == nil {
			t.Errorf("%s: no error of a read that was refused", queueURL)
		}
		if !strings.Contains(signed, want) {
			t.Errorf("%s: signed for %q, want %q", queueURL, signed, want)
		}
	}
}

func TestArrivalsArePassedOn(t *testing.T) {
	arrivals := make(chan struct{}, 1)
	s := open(t, sqs.Options{Queue: "jobs", Changed: arrivals})
	arrivals <- struct{}{}
	select {
	case <-s.Changed():
	default:
		t.Error("the notice does not arrive")
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]sqs.Options{
		"exactly one":             {},
		`queue "jobs": exactly`:   {Queue: "jobs", QueueURL: "http://queues/jobs"},
		`queueURL "jobs"`:         {QueueURL: "jobs"},
		`awsEndpoint "localhost"`: {Queue: "jobs", Endpoint: "localhost"},
	} {
		if _, err := sqs.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
