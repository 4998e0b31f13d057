package cloudwatch

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"plimsoll/engine/awsapi"
)

// The bounds of one PutMetricData.
const (
	mostData      = 1000
	mostPutValues = 150
	longestAgo    = 14 * 24 * time.Hour
	longestAhead  = 2 * time.Hour
)

// largest is the largest magnitude of a value.
var largest = math.Ldexp(1, 360)

func (a *api) putMetricData(_ context.Context, _ *awsapi.Call, in *cloudwatch.PutMetricDataInput) (*cloudwatch.PutMetricDataOutput, error) {
	var f faults
	if len(in.EntityMetricData) > 0 {
		return nil, invalid("EntityMetricData: this engine knows no entities; put the data in MetricData")
	}
	namespace := f.namespace("Namespace", in.Namespace)
	if strings.HasPrefix(namespace, "AWS/") {
		f.invalid("The value AWS/ for parameter Namespace is invalid: such namespaces are those of AWS's own services.")
	}
	switch {
	case len(in.MetricData) == 0:
		f.missing("MetricData")
	case len(in.MetricData) > mostData:
		f.invalid("The collection MetricData must not have a size greater than %d.", mostData)
		return nil, f.err("")
	}
	now := a.now()
	data := make([]Datum, len(in.MetricData))
	for i := range in.MetricData {
		data[i] = f.datum(fmt.Sprintf("MetricData.member.%d", i+1), namespace, &in.MetricData[i], now)
	}
	if err := f.err(""); err != nil {
		return nil, err
	}
	a.store.Put(now, data...)
	return &cloudwatch.PutMetricDataOutput{}, nil
}

// datum checks one datum. At is where it is in the input.
func (f *faults) datum(at, namespace string, in *types.MetricDatum, now time.Time) Datum {
	list := make([]given, len(in.Dimensions))
	for i, d := range in.Dimensions {
		list[i] = given{d.Name, d.Value}
	}
	d := Datum{
		Metric: NewMetric(namespace, f.text(at+".MetricName", in.MetricName, longestName), f.dimensions(at+".Dimensions", list)...),
		Unit:   unit(f, at+".Unit", in.Unit, in.Unit.Values()), At: now,
	}
	if d.Unit == "" {
		d.Unit = string(types.StandardUnitNone)
	}
	if in.Timestamp != nil {
		d.At = *in.Timestamp
		switch {
		case d.At.Before(now.Add(-longestAgo)):
			f.invalid("The parameter %s.Timestamp must specify a time within the past two weeks.", at)
		case d.At.After(now.Add(longestAhead)):
			f.invalid("The parameter %s.Timestamp must specify a time no more than two hours in the future.", at)
		}
	}
	if r := in.StorageResolution; r != nil {
		if d.Fine = *r == 1; *r != 1 && *r != 60 {
			f.invalid("The parameter %s.StorageResolution must be a value in the set [ 1, 60 ].", at)
		}
	}
	f.samples(at, in, &d)
	return d
}

// samples checks the one of the three forms that a datum's samples have.
func (f *faults) samples(at string, in *types.MetricDatum, d *Datum) {
	exclusive := func(one, other string) {
		f.combination("The parameters %s.%s and %s.%s are mutually exclusive and you have specified both.", at, one, at, other)
	}
	switch set, some := in.StatisticValues, len(in.Values) > 0; {
	case in.Value != nil && set != nil:
		exclusive("Value", "StatisticValues")
	case in.Value != nil && some:
		exclusive("Value", "Values")
	case set != nil && some:
		exclusive("StatisticValues", "Values")
	case in.Value != nil:
		d.Values = []Values{{f.number(at+".Value", in.Value), 1}}
	case some:
		d.Values = f.values(at, in.Values, in.Counts)
	case set != nil:
		d.Summary = f.summary(at+".StatisticValues", set)
	default:
		f.missing(at + ".Value")
	}
}

func (f *faults) values(at string, values, counts []float64) []Values {
	switch {
	case len(values) > mostPutValues:
		f.invalid("The collection %s.Values must not have a size greater than %d.", at, mostPutValues)
		return nil
	case counts != nil && len(counts) != len(values):
		f.invalid("The parameters %s.Values and %s.Counts must be of the same size.", at, at)
		return nil
	}
	out := make([]Values, len(values))
	for i := range values {
		out[i] = Values{f.number(at+".Values", &values[i]), 1}
		if counts != nil {
			out[i].Count = f.count(at+".Counts", &counts[i])
		}
	}
	return out
}

func (f *faults) summary(at string, set *types.StatisticSet) Summary {
	s := Summary{
		Count: f.count(at+".SampleCount", set.SampleCount), Sum: f.number(at+".Sum", set.Sum),
		Min: f.number(at+".Minimum", set.Minimum), Max: f.number(at+".Maximum", set.Maximum),
	}
	if s.Min > s.Max {
		f.invalid("The parameter %s.Minimum must be less than or equal to %s.Maximum.", at, at)
	}
	return s
}

func (f *faults) number(at string, value *float64) float64 {
	switch {
	case value == nil:
		f.missing(at)
		return 0
	case math.IsNaN(*value) || math.Abs(*value) > largest:
		f.invalid("The value %v for parameter %s is invalid.", *value, at)
	}
	return *value
}

func (f *faults) count(at string, value *float64) float64 {
	n := f.number(at, value)
	if value != nil && n <= 0 {
		f.invalid("The value %v for parameter %s is invalid: it must be greater than 0.", n, at)
	}
	return n
}
