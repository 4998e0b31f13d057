package awsapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plimsoll/engine/awsapi"
)

// rpc is an endpoint of one service that speaks CBOR. It remembers what it was sent
// and gives what it is told to.
type rpc struct {
	*cloudwatch.Client
	url  string
	keys awsapi.Keys

	put  *cloudwatch.PutMetricDataInput
	data *cloudwatch.GetMetricDataOutput
	err  error
	http http.Header // of the last request
}

func newRPC(t *testing.T, tune ...func(*awsapi.Options)) *rpc {
	t.Helper()
	keys, err := awsapi.NewKeys(rand.Reader, account)
	if err != nil {
		t.Fatal(err)
	}
	r := &rpc{keys: keys}
	o := awsapi.Options{Region: region, Credentials: keys}
	for _, f := range tune {
		f(&o)
	}
	api, err := awsapi.New(o, &awsapi.Service{
		Name: "monitoring", Target: "GraniteServiceVersion20100801", JSONVersion: "1.0", CBOR: true, QueryCompatible: true,
		Version: "2010-08-01", Namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/", Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{
			awsapi.Op("PutMetricData", func(_ context.Context, _ *awsapi.Call, in *cloudwatch.PutMetricDataInput) (*cloudwatch.PutMetricDataOutput, error) {
				r.put = in
				return &cloudwatch.PutMetricDataOutput{}, r.err
			}),
			awsapi.Op("GetMetricData", func(context.Context, *awsapi.Call, *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
				return r.data, r.err
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.http = q.Header.Clone()
		api.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	r.Client = cloudwatch.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &r.url, Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.Secret, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	return r
}

// someData is an input with every kind of member.
func someData(n int) *cloudwatch.PutMetricDataInput {
	in := &cloudwatch.PutMetricDataInput{Namespace: aws.String("tëst \u2028"), StrictEntityValidation: aws.Bool(false)}
	for i := range n {
		in.MetricData = append(in.MetricData, types.MetricDatum{
			MetricName: aws.String("m"), Dimensions: []types.Dimension{{Name: aws.String("a"), Value: aws.String("b")}},
			Timestamp: aws.Time(time.UnixMilli(1700000000123 + int64(i)).UTC()), StorageResolution: aws.Int32(1), Unit: types.StandardUnitCount,
			Values: []float64{0, -1.5, 1e300, float64(i)}, Counts: []float64{1, 2, 3, 4}, Value: aws.Float64(-7),
			StatisticValues: &types.StatisticSet{Maximum: aws.Float64(1), Minimum: aws.Float64(0), SampleCount: aws.Float64(2), Sum: aws.Float64(1)},
		})
	}
	return in
}

func TestAnInputInCBORIsReadWhole(t *testing.T) {
	r := newRPC(t)
	sent := someData(2)
	if _, err := r.PutMetricData(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, r.put, cmpopts.IgnoreUnexported(cloudwatch.PutMetricDataInput{}, types.MetricDatum{}, types.Dimension{}, types.StatisticSet{})); diff != "" {
		t.Error(diff)
	}
	if got := r.http.Get("Smithy-Protocol"); got != "rpc-v2-cbor" {
		t.Errorf("the SDK's client speaks %q: this test is of CBOR", got)
	}
}

func TestAnAnswerInCBORIsReadWholeByAClient(t *testing.T) {
	r := newRPC(t)
	r.data = &cloudwatch.GetMetricDataOutput{
		NextToken: aws.String("next"), Messages: []types.MessageData{{Code: aws.String("a"), Value: aws.String("b")}},
		MetricDataResults: []types.MetricDataResult{
			{Id: aws.String("a"), Label: aws.String("ü"), StatusCode: types.StatusCodeComplete, Timestamps: []time.Time{time.UnixMilli(1500).UTC()}, Values: []float64{0.1}},
			{Id: aws.String("b"), Timestamps: []time.Time{}, Values: []float64{}},
		},
	}
	start, end := time.Now(), time.Now()
	got, err := r.GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{
		StartTime: &start, EndTime: &end, MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.data, got, cmpopts.IgnoreUnexported(cloudwatch.GetMetricDataOutput{}, types.MessageData{}, types.MetricDataResult{}),
		cmpopts.IgnoreFields(cloudwatch.GetMetricDataOutput{}, "ResultMetadata")); diff != "" {
		t.Error(diff)
	}
}

func TestAnErrorInCBORHasItsNameOfTheModelAndOfTheQueryProtocol(t *testing.T) {
	r := newRPC(t)
	r.err = &awsapi.Error{Code: "InvalidParameterValueException", QueryCode: "InvalidParameterValue", Message: "the words"}
	_, err := r.PutMetricData(t.Context(), someData(1))
	var typed *types.InvalidParameterValueException
	if !errors.As(err, &typed) || aws.ToString(typed.Message) != "the words" || typed.ErrorCode() != "InvalidParameterValue" {
		t.Errorf("got %v", err)
	}
}

func TestWhatACBORRequestCannotBeIsRefusedInCBOR(t *testing.T) {
	r := newRPC(t)
	for _, c := range []struct{ path, body, code string }{
		{"/service/Other/operation/PutMetricData", "\xa0", "UnknownOperationException"},
		{"/service/GraniteServiceVersion20100801/operation/Nothing", "\xa0", "UnknownOperationException"},
		{"/elsewhere", "\xa0", "UnknownOperationException"},
		{"/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa1", "SerializationException"},
		{"/service/GraniteServiceVersion20100801/operation/PutMetricData", "\x80", "SerializationException"},
		{"/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa1\x69Namespace\x01", "SerializationException"},
		{"/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa2\x61a\x01\x61a\x02", "SerializationException"},
	} {
		status, header, body := r.send(t, c.path, []byte(c.body), "")
		if status != http.StatusBadRequest || header.Get("Smithy-Protocol") != "rpc-v2-cbor" || !strings.Contains(body, c.code) {
			t.Errorf("%s %q: %d %v %q", c.path, c.body, status, header, body)
		}
	}
}

// send signs and sends a body as it is.
func (r *rpc) send(t *testing.T, path string, body []byte, encoding string) (int, http.Header, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
	if encoding != "" {
		q.Header.Set("Content-Encoding", encoding)
	}
	sum := sha256.Sum256(body)
	signature := aws.Credentials{AccessKeyID: r.keys.AccessKeyID, SecretAccessKey: r.keys.Secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), signature, q, hex.EncodeToString(sum[:]), "monitoring", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

func TestACompressedBodyIsReadAndItsPlainSizeIsBounded(t *testing.T) {
	r := newRPC(t, func(o *awsapi.Options) { o.MaxBody = 200_000 })
	if _, err := r.PutMetricData(t.Context(), someData(200)); err != nil || len(r.put.MetricData) != 200 {
		t.Fatalf("%v, %+v", err, r.put)
	}
	if got := r.http.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("the SDK's client has sent it with the encoding %q: this test is of gzip", got)
	}
	const path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 200_001))
	_ = w.Close()
	for _, c := range []struct {
		body     []byte
		encoding string
		status   int
	}{
		{bomb.Bytes(), "gzip", http.StatusRequestEntityTooLarge},
		{bomb.Bytes()[:20], "gzip", http.StatusBadRequest},
		{[]byte("\xa0"), "gzip", http.StatusBadRequest},
		{[]byte("\xa0"), "br", http.StatusUnsupportedMediaType},
		{[]byte("\xa0"), "identity", http.StatusOK},
	} {
		if status, _, body := r.send(t, path, c.body, c.encoding); status != c.status {
			t.Errorf("%d bytes of %s: %d %q, want %d", len(c.body), c.encoding, status, body, c.status)
		}
	}
}

func TestABodyIsNotInflatedBeforeItsSignatureHolds(t *testing.T) {
	r := newRPC(t)
	r.keys.Secret = "another"
	status, _, body := r.send(t, "/service/GraniteServiceVersion20100801/operation/PutMetricData", []byte("no gzip"), "gzip")
	if status != http.StatusForbidden && status != http.StatusBadRequest || !strings.Contains(body, "signature we calculated does not match") {
		t.Errorf("%d %q", status, body)
	}
}
