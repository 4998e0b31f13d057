package cloudwatch_test

import (
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"plimsoll/engine/awsapi"
	"plimsoll/engine/cloudwatch"
)

const (
	region  = "us-east-1"
	account = "123456789012"
)

// noon is when the tests begin, in the middle of a minute.
var noon = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

// stand is the service behind the real endpoint, at noon, with the SDK's client
// before it.
type stand struct {
	*sdk.Client
	t     *testing.T
	url   string
	keys  awsapi.Keys
	store *cloudwatch.Store
}

func newStand(t *testing.T) *stand { return newStandAt(t, func() time.Time { return noon }) }

func newStandAt(t *testing.T, now func() time.Time) *stand {
	t.Helper()
	keys, err := awsapi.NewKeys(rand.Reader, account)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, keys: keys, store: cloudwatch.NewStore(0)}
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: keys}, cloudwatch.Service(s.store, now))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.Client = sdk.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.Secret, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	return s
}

// put puts data into the namespace "jobs".
func (s *stand) put(data ...types.MetricDatum) {
	s.t.Helper()
	if _, err := s.PutMetricData(s.t.Context(), &sdk.PutMetricDataInput{Namespace: aws.String("jobs"), MetricData: data}); err != nil {
		s.t.Fatal(err)
	}
}

// datum is one value of a metric so long before noon.
func datum(name string, before time.Duration, value float64) types.MetricDatum {
	return types.MetricDatum{MetricName: &name, Timestamp: aws.Time(noon.Add(-before)), Value: &value}
}

// query asks for a metric of the namespace "jobs".
func query(id, name, stat string, period int32) types.MetricDataQuery {
	return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{
		Metric: &types.Metric{Namespace: aws.String("jobs"), MetricName: &name}, Period: &period, Stat: &stat,
	}}
}

// lastHour asks for the hour before noon and the minute after it.
func lastHour(queries ...types.MetricDataQuery) *sdk.GetMetricDataInput {
	return &sdk.GetMetricDataInput{
		StartTime: aws.Time(noon.Truncate(time.Hour).Add(-time.Hour)), EndTime: aws.Time(noon.Add(time.Minute)), MetricDataQueries: queries,
	}
}

func (s *stand) get(in *sdk.GetMetricDataInput) *sdk.GetMetricDataOutput {
	s.t.Helper()
	out, err := s.GetMetricData(s.t.Context(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// wants tells whether the error is the one named, with the words given in it.
func wants(t *testing.T, what string, err error, code, words string) {
	t.Helper()
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != code || !strings.Contains(refused.ErrorMessage(), words) {
		t.Errorf("%s: got %v, want %s with %q", what, err, code, words)
	}
}
