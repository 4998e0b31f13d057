package cloudwatch_test

import (
	"context"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awscw "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/transport/http/protocol/awsquery"

	"plimsoll/demand/cloudwatch"
	"plimsoll/engine/awsapi"
	enginecw "plimsoll/engine/cloudwatch"
	"plimsoll/mototest"
)

const region = "us-east-1"

var keys = awsapi.Keys{AccessKeyID: "AKIDEXAMPLE", Secret: "secret", Account: "123456789012"}

func provider() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.Secret, "")
}

// open makes a source of the queue "jobs", of minutes unless the options say more.
func open(t *testing.T, o cloudwatch.Options) *cloudwatch.Source {
	t.Helper()
	o.Region, o.Credentials = region, provider()
	if o.Expression == "" {
		o.Namespace, o.MetricName, o.Dimensions = "jobs", "waiting", []cloudwatch.Dimension{{Name: "queue", Value: "a"}, {Name: "stage", Value: "b"}}
	}
	if o.Period == 0 {
		o.Period, o.Window = time.Minute, 3*time.Minute
	}
	s, err := cloudwatch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve is an endpoint of some CloudWatch.
func serve(t *testing.T, service *awsapi.Service) string {
	t.Helper()
	api, err := awsapi.New(awsapi.Options{Region: region, Credentials: keys}, service)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAMetricOfTheEmbeddedEngineIsRead(t *testing.T) {
	readsAMetric(t, serve(t, enginecw.Service(enginecw.NewStore(0), nil)))
}

func TestAMetricOfMotoIsRead(t *testing.T) { readsAMetric(t, mototest.Start(t)) }

// readsAMetric puts three minutes and reads them as time goes by.
func readsAMetric(t *testing.T, endpoint string) {
	client := awscw.New(awscw.Options{Region: region, BaseEndpoint: &endpoint, Credentials: provider()}, func(o *awscw.Options) {
		o.Protocol = awsquery.New(schemas.GraniteServiceVersion20100801)
	})
	now := time.Now().UTC().Truncate(time.Minute).Add(-30 * time.Minute)
	for i, v := range []float64{4, 10, 6} {
		for range 2 {
			_, err := client.PutMetricData(t.Context(), &awscw.PutMetricDataInput{Namespace: aws.String("jobs"), MetricData: []types.MetricDatum{{
				MetricName: aws.String("waiting"), Value: &v, Timestamp: aws.Time(now.Add(time.Duration(i) * time.Minute)),
				Dimensions: []types.Dimension{{Name: aws.String("stage"), Value: aws.String("b")}, {Name: aws.String("queue"), Value: aws.String("a")}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	minutes := func(n float64) func() time.Time {
		return func() time.Time { return now.Add(time.Duration(n * float64(time.Minute))) }
	}
	read := func(want float64, o cloudwatch.Options) {
		t.Helper()
		o.Endpoint = endpoint
		s := open(t, o)
		sample, err := s.Read(t.Context())
		if err != nil || sample.Value != want || !sample.At.Equal(o.Now()) {
			t.Errorf("sample %+v, error %v; want %v", sample, err, want)
		}
	}
	read(4, cloudwatch.Options{Now: minutes(1.5)})  // the period under way is not read
	read(10, cloudwatch.Options{Now: minutes(2.5)}) // the newest of those that are over
	read(6, cloudwatch.Options{Now: minutes(3)})
	read(6, cloudwatch.Options{Now: minutes(5.9)})                            // as far back as the window
	read(10, cloudwatch.Options{Now: minutes(3.5), Offset: 50 * time.Second}) // not before it has had time to come
	read(12, cloudwatch.Options{Now: minutes(3), Stat: "Sum"})
	read(2, cloudwatch.Options{Now: minutes(3), Stat: "SampleCount"})
	if _, err := open(t, cloudwatch.Options{Endpoint: endpoint, Now: minutes(6)}).Read(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "Average of jobs waiting queue=a,stage=b: no datapoint in the 3m0s before") {
		t.Errorf("a metric that has gone gives %v", err)
	}
	read(7, cloudwatch.Options{Now: minutes(6), Null: aws.Float64(7)})
	read(6, cloudwatch.Options{Now: minutes(3), Null: aws.Float64(7)})
}

// answers serves the pages given, one after the other, and keeps what was asked.
func answers(t *testing.T, asked *[]*awscw.GetMetricDataInput, pages ...awscw.GetMetricDataOutput) string {
	n := 0
	return serve(t, &awsapi.Service{
		Name: "monitoring", Target: "GraniteServiceVersion20100801", JSONVersion: "1.0", CBOR: true, Version: "2010-08-01", Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{awsapi.Op("GetMetricData", func(_ context.Context, _ *awsapi.Call, in *awscw.GetMetricDataInput) (*awscw.GetMetricDataOutput, error) {
			if asked != nil {
				*asked = append(*asked, in)
			}
			page := pages[min(n, len(pages)-1)]
			n++
			return &page, nil
		})},
	})
}

func result(status types.StatusCode, values ...float64) types.MetricDataResult {
	r := types.MetricDataResult{Id: aws.String("demand"), StatusCode: status, Values: values, Messages: []types.MessageData{{Value: aws.String("the reason")}}}
	for i := range values {
		r.Timestamps = append(r.Timestamps, time.Unix(int64(1000-i), 0))
	}
	return r
}

func TestAnExpressionIsAskedForAsItIs(t *testing.T) {
	var asked []*awscw.GetMetricDataInput
	url := answers(t, &asked, awscw.GetMetricDataOutput{MetricDataResults: []types.MetricDataResult{result(types.StatusCodeComplete, 8, 9)}})
	const query = `SELECT MAX(waiting) FROM "jobs"`
	sample, err := open(t, cloudwatch.Options{Expression: query, Endpoint: url}).Read(t.Context())
	if err != nil || sample.Value != 8 || !strings.HasPrefix(sample.Detail, query) {
		t.Fatalf("sample %+v, error %v", sample, err)
	}
	q := asked[0].MetricDataQueries[0]
	if *q.Expression != query || *q.Period != 60 || q.MetricStat != nil || asked[0].ScanBy != types.ScanByTimestampDescending {
		t.Errorf("asked %+v", q)
	}
}

func TestAnEmptyPageIsNotTheLast(t *testing.T) {
	url := answers(t, nil,
		awscw.GetMetricDataOutput{NextToken: aws.String("next"), MetricDataResults: []types.MetricDataResult{result(types.StatusCodePartialData)}},
		awscw.GetMetricDataOutput{MetricDataResults: []types.MetricDataResult{result(types.StatusCodeComplete, 5)}},
	)
	if sample, err := open(t, cloudwatch.Options{Endpoint: url}).Read(t.Context()); err != nil || sample.Value != 5 {
		t.Errorf("sample %+v, error %v", sample, err)
	}
	endless := answers(t, nil, awscw.GetMetricDataOutput{NextToken: aws.String("next")})
	if sample, err := open(t, cloudwatch.Options{Endpoint: endless}).Read(t.Context()); err == nil {
		t.Errorf("pages without end give %+v", sample)
	}
}

func TestWhatIsNoDemandIsAnErrorAndNeverZero(t *testing.T) {
	for what, c := range map[string]struct {
		results []types.MetricDataResult
		words   string
	}{
		"several series": {[]types.MetricDataResult{result(types.StatusCodeComplete, 1), result(types.StatusCodeComplete, 2)}, "2 series"},
		"a fault":        {[]types.MetricDataResult{result(types.StatusCodeInternalError)}, "InternalError: the reason"},
		"no permission":  {[]types.MetricDataResult{result(types.StatusCodeForbidden, 1)}, "Forbidden: the reason"},
		"less than none": {[]types.MetricDataResult{result(types.StatusCodeComplete, -1)}, "-1 is not a demand"},
		"no number":      {[]types.MetricDataResult{result(types.StatusCodeComplete, math.NaN())}, "NaN is not a demand"},
		"nothing":        {nil, "no datapoint"},
	} {
		url := answers(t, nil, awscw.GetMetricDataOutput{MetricDataResults: c.results})
		sample, err := open(t, cloudwatch.Options{Endpoint: url}).Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: sample %+v, error %v; want %q", what, sample, err, c.words)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	zero := 0.0
	if sample, err := open(t, cloudwatch.Options{Endpoint: gone.URL, Null: &zero}).Read(ctx); err == nil {
		t.Errorf("an endpoint that is gone gives %+v", sample)
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	fine := cloudwatch.Options{Namespace: "n", MetricName: "m", Period: time.Minute, Window: time.Minute, Region: region, Credentials: provider()}
	for want, change := range map[string]func(*cloudwatch.Options){
		"exactly one of them":                  func(o *cloudwatch.Options) { o.Expression = "1" },
		"namespace is missing":                 func(o *cloudwatch.Options) { o.Namespace = "" },
		"metricStatPeriod 0s":                  func(o *cloudwatch.Options) { o.Period = 0 },
		"metricCollectionTime 1m30s":           func(o *cloudwatch.Options) { o.Window = 90 * time.Second },
		"metricEndTimeOffset -1s":              func(o *cloudwatch.Options) { o.Offset = -time.Second },
		"minMetricValue -1":                    func(o *cloudwatch.Options) { o.Null = aws.Float64(-1) },
		`awsEndpoint "ftp://x": it must begin`: func(o *cloudwatch.Options) { o.Endpoint = "ftp://x" },
	} {
		o := fine
		change(&o)
		if _, err := cloudwatch.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := cloudwatch.New(fine); err != nil {
		t.Error(err)
	}
}
