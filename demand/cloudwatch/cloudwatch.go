// Package cloudwatch reads a demand as the newest value of a metric, or of an
// expression, of Amazon CloudWatch. It must not know what the number means.
package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscw "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/transport/http/protocol/awsquery"

	"plimsoll/demand"
	"plimsoll/demand/amazon"
)

// Dimension is one name and value that a metric is told from others by.
type Dimension struct{ Name, Value string }

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// Namespace and MetricName, with Dimensions, say which metric; or Expression
	// says what to compute: metric math or a Metrics Insights query of one series.
	Namespace, MetricName string
	Dimensions            []Dimension
	Expression            string
	// Stat (metricStat) is the statistic of a metric; "" is Average.
	Stat string
	// Unit (metricUnit) is the one whose samples count; empty: all.
	Unit string
	// Period (metricStatPeriod) is how long a datapoint is, Window
	// (metricCollectionTime) how far back the newest may be, Offset
	// (metricEndTimeOffset) how long datapoints take to come. Whole periods only
	// are read: the one under way would tell of a part of the demand.
	Period, Window, Offset time.Duration
	// Null is the value (minMetricValue) where there is no datapoint
	// (ignoreNullValues); nil: that is an error, since a metric that is gone says
	// nothing of the demand.
	Null *float64
	// Region (awsRegion) and Credentials, if both are known, are all that is used;
	// what is missing comes from the AWS environment.
	Region      string
	Credentials aws.CredentialsProvider
	// Endpoint (awsEndpoint) is the URL of an endpoint other than AWS's own.
	Endpoint string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source reads one metric or expression.
type Source struct {
	o     Options
	query types.MetricDataQuery
	api   *awscw.Client
	// name is what is read, for people.
	name string
}

var _ demand.Source = (*Source)(nil)

// New checks the options; it makes no call.
func New(o Options) (*Source, error) {
	if o.Stat == "" {
		o.Stat = string(types.StatisticAverage)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("aws-cloudwatch: %w", err)
	}
	cfg, err := amazon.Config(o.Region, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("aws-cloudwatch: %w", err)
	}
	api := awscw.NewFromConfig(cfg, func(opts *awscw.Options) {
		if o.Endpoint != "" {
			opts.BaseEndpoint = aws.String(o.Endpoint)
			// AWS itself speaks all protocols; others often the oldest alone.
			opts.Protocol = awsquery.New(schemas.GraniteServiceVersion20100801)
		}
	})
	return &Source{o: o, query: o.query(), api: api, name: o.name()}, nil
}

func (o Options) check() error {
	if (o.MetricName == "") == (o.Expression == "") {
		return fmt.Errorf("metricName %q, expression %q: exactly one of them must be given", o.MetricName, o.Expression)
	}
	if o.MetricName != "" && o.Namespace == "" {
		return errors.New("namespace is missing: it must be the metric's, such as AWS/SQS")
	}
	if o.Period < time.Second || o.Period%time.Second != 0 {
		return fmt.Errorf("metricStatPeriod %v: it must be whole seconds, such as 60", o.Period)
	}
	if o.Window < o.Period || o.Window%o.Period != 0 {
		return fmt.Errorf("metricCollectionTime %v: it must be a multiple of metricStatPeriod, which is %v", o.Window, o.Period)
	}
	if o.Offset < 0 {
		return fmt.Errorf("metricEndTimeOffset %v: it must not be negative", o.Offset)
	}
	if o.Null != nil && !demand.Valid(*o.Null) {
		return fmt.Errorf("minMetricValue %v: it must be a number that is not negative", *o.Null)
	}
	return amazon.CheckURL("awsEndpoint", o.Endpoint)
}

// query is what is asked at each reading.
func (o Options) query() types.MetricDataQuery {
	period := aws.Int32(int32(o.Period / time.Second))
	q := types.MetricDataQuery{Id: aws.String("demand")}
	if o.Expression != "" {
		q.Expression, q.Period = &o.Expression, period
		return q
	}
	metric := &types.Metric{Namespace: &o.Namespace, MetricName: &o.MetricName}
	for _, d := range o.Dimensions {
		metric.Dimensions = append(metric.Dimensions, types.Dimension{Name: &d.Name, Value: &d.Value})
	}
	q.MetricStat = &types.MetricStat{Metric: metric, Period: period, Stat: &o.Stat, Unit: types.StandardUnit(o.Unit)}
	return q
}

func (o Options) name() string {
	if o.Expression != "" {
		return demand.Shorten(o.Expression)
	}
	var of []string
	for _, d := range o.Dimensions {
		of = append(of, d.Name+"="+d.Value)
	}
	return strings.TrimSpace(fmt.Sprintf("%s of %s %s %s", o.Stat, o.Namespace, o.MetricName, strings.Join(of, ",")))
}

// Read gives the newest datapoint of the window.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	now := s.o.Now()
	at, value, err := s.newest(ctx, now)
	if err == nil && !demand.Valid(value) {
		err = fmt.Errorf("%v is not a demand: one finite number that is not negative", value)
	}
	if err != nil {
		return demand.Sample{}, fmt.Errorf("aws-cloudwatch %s: %w", s.name, err)
	}
	detail := s.name
	if at.IsZero() {
		detail += ": no datapoint"
	} else {
		detail += " at " + at.UTC().Format("15:04:05")
	}
	return demand.Sample{Value: value, At: now, Detail: detail}, nil
}

// mostPages bounds the pages that are read for one datapoint: a page may be empty
// and not be the last.
const mostPages = 10

// newest is the newest datapoint and its time; the zero time where there is none and
// that is a value.
func (s *Source) newest(ctx context.Context, now time.Time) (time.Time, float64, error) {
	end := now.Add(-s.o.Offset).Truncate(s.o.Period)
	pages := awscw.NewGetMetricDataPaginator(s.api, &awscw.GetMetricDataInput{
		MetricDataQueries: []types.MetricDataQuery{s.query}, StartTime: aws.Time(end.Add(-s.o.Window)), EndTime: &end,
		ScanBy: types.ScanByTimestampDescending,
	})
	for n := 0; n < mostPages && pages.HasMorePages(); n++ {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return time.Time{}, 0, err
		}
		if len(out.MetricDataResults) > 1 {
			return time.Time{}, 0, fmt.Errorf("the result has %d series; make one of them, as with SUM(…)", len(out.MetricDataResults))
		}
		for _, r := range out.MetricDataResults {
			switch {
			case r.StatusCode == types.StatusCodeInternalError || r.StatusCode == types.StatusCodeForbidden:
				return time.Time{}, 0, fmt.Errorf("the result has the status %s%s", r.StatusCode, words(r.Messages))
			case len(r.Values) > 0 && len(r.Timestamps) == len(r.Values):
				return r.Timestamps[0], r.Values[0], nil
			}
		}
	}
	if s.o.Null != nil {
		return time.Time{}, *s.o.Null, nil
	}
	return time.Time{}, 0, fmt.Errorf("no datapoint in the %v before %s; if that means 0, set ignoreNullValues: true", s.o.Window, end.UTC().Format("15:04:05"))
}

func words(messages []types.MessageData) (text string) {
	for _, m := range messages {
		text += ": " + aws.ToString(m.Value)
	}
	return text
}
