package cloudwatch_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func TestWhatCloudWatchRefusesToStoreIsRefusedInItsWords(t *testing.T) {
	s := newStand(t)
	is := func(change func(*types.MetricDatum)) []types.MetricDatum {
		d := datum("m", 0, 1)
		change(&d)
		return []types.MetricDatum{d}
	}
	long := strings.Repeat("x", 256)
	dimension := func(n int) (list []types.Dimension) {
		for i := range n {
			list = append(list, types.Dimension{Name: aws.String(fmt.Sprint("d", i)), Value: aws.String("v")})
		}
		return list
	}
	for what, c := range map[string]struct {
		namespace   string
		data        []types.MetricDatum
		code, words string
	}{
		"no data":              {"a", nil, "MissingParameter", "The parameter MetricData is required."},
		"a namespace of AWS's": {"AWS/ECS", is(func(*types.MetricDatum) {}), "InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid"},
		"a long namespace":     {long, is(func(*types.MetricDatum) {}), "InvalidParameterValue", "Namespace must be between 1 and 255"},
		"a long name":          {"a", is(func(d *types.MetricDatum) { d.MetricName = &long }), "InvalidParameterValue", "MetricData.member.1.MetricName must be between"},
		"no value":             {"a", is(func(d *types.MetricDatum) { d.Value = nil }), "MissingParameter", "MetricData.member.1.Value is required"},
		"NaN":                  {"a", is(func(d *types.MetricDatum) { d.Value = aws.Float64(math.NaN()) }), "InvalidParameterValue", "The value NaN for parameter MetricData.member.1.Value is invalid."},
		"too large a value":    {"a", is(func(d *types.MetricDatum) { d.Value = aws.Float64(-1e200) }), "InvalidParameterValue", "is invalid"},
		"value and values":     {"a", is(func(d *types.MetricDatum) { d.Values = []float64{1} }), "InvalidParameterCombination", "mutually exclusive"},
		"value and statistics": {"a", is(func(d *types.MetricDatum) {
			d.StatisticValues = &types.StatisticSet{Maximum: aws.Float64(1), Minimum: aws.Float64(1), SampleCount: aws.Float64(1), Sum: aws.Float64(1)}
		}), "InvalidParameterCombination", "mutually exclusive"},
		"statistics of none": {"a", is(func(d *types.MetricDatum) {
			d.Value, d.StatisticValues = nil, &types.StatisticSet{Maximum: aws.Float64(1), Minimum: aws.Float64(1), SampleCount: aws.Float64(0), Sum: aws.Float64(1)}
		}), "InvalidParameterValue", "greater than 0"},
		"a minimum over the maximum": {"a", is(func(d *types.MetricDatum) {
			d.Value, d.StatisticValues = nil, &types.StatisticSet{Maximum: aws.Float64(1), Minimum: aws.Float64(2), SampleCount: aws.Float64(1), Sum: aws.Float64(1)}
		}), "InvalidParameterValue", "less than or equal"},
		"counts of another size": {"a", is(func(d *types.MetricDatum) { d.Value, d.Values, d.Counts = nil, []float64{1, 2}, []float64{1} }), "InvalidParameterValue", "must be of the same size"},
		"too many values":        {"a", is(func(d *types.MetricDatum) { d.Value, d.Values = nil, make([]float64, 151) }), "InvalidParameterValue", "greater than 150"},
		"too many dimensions":    {"a", is(func(d *types.MetricDatum) { d.Dimensions = dimension(31) }), "InvalidParameterValue", "greater than 30"},
		"a dimension twice":      {"a", is(func(d *types.MetricDatum) { d.Dimensions = append(dimension(1), dimension(1)...) }), "InvalidParameterValue", "another dimension has too"},
		"a dimension of a colon": {"a", is(func(d *types.MetricDatum) {
			d.Dimensions = []types.Dimension{{Name: aws.String(":a"), Value: aws.String("b")}}
		}), "InvalidParameterValue", "colon"},
		"a dimension of spaces": {"a", is(func(d *types.MetricDatum) {
			d.Dimensions = []types.Dimension{{Name: aws.String("a"), Value: aws.String(" ")}}
		}), "InvalidParameterValue", "non-whitespace"},
		"a dimension of zeros": {"a", is(func(d *types.MetricDatum) {
			d.Dimensions = []types.Dimension{{Name: aws.String("a"), Value: aws.String("\x00")}}
		}), "InvalidParameterValue", "printable ASCII"},
		"an unknown unit":      {"a", is(func(d *types.MetricDatum) { d.Unit = "Furlongs" }), "InvalidParameterValue", "MetricData.member.1.Unit must be a value in the set"},
		"a resolution between": {"a", is(func(d *types.MetricDatum) { d.StorageResolution = aws.Int32(30) }), "InvalidParameterValue", "must be a value in the set [ 1, 60 ]"},
		"too long ago":         {"a", is(func(d *types.MetricDatum) { d.Timestamp = aws.Time(noon.Add(-15 * 24 * time.Hour)) }), "InvalidParameterValue", "within the past two weeks"},
		"too far ahead":        {"a", is(func(d *types.MetricDatum) { d.Timestamp = aws.Time(noon.Add(3 * time.Hour)) }), "InvalidParameterValue", "two hours in the future"},
	} {
		_, err := s.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: &c.namespace, MetricData: c.data})
		wants(t, what, err, c.code, c.words)
	}
	if got := s.store.Metrics(time.Time{}); len(got) > 0 {
		t.Errorf("what was refused is there: %v", got)
	}
}

func TestAllThatIsWrongIsToldAtOnceAndNothingIsStored(t *testing.T) {
	s := newStand(t)
	_, err := s.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: aws.String("a"), MetricData: []types.MetricDatum{
		datum("fine", 0, 1), datum("old", 20*24*time.Hour, 1), datum("nan", 0, math.NaN()),
	}})
	wants(t, "two wrong data", err, "InvalidParameterValue", "MetricData.member.2.Timestamp must specify a time within the past two weeks.\nThe value NaN for parameter MetricData.member.3.Value")
	if got := s.store.Metrics(time.Time{}); len(got) > 0 {
		t.Errorf("half of it was stored: %v", got)
	}
}

func TestMoreThanAThousandDataAreRefused(t *testing.T) {
	s := newStand(t)
	data := make([]types.MetricDatum, 1001)
	for i := range data {
		data[i] = datum("m", 0, float64(i))
	}
	_, err := s.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: aws.String("a"), MetricData: data})
	wants(t, "1001 data", err, "InvalidParameterValue", "must not have a size greater than 1000")
	if _, err := s.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: aws.String("a"), MetricData: data[:1000]}); err != nil {
		t.Errorf("1000 data: %v", err)
	}
}

func TestEntitiesAreRefusedByName(t *testing.T) {
	_, err := newStand(t).PutMetricData(t.Context(), &sdk.PutMetricDataInput{
		Namespace: aws.String("a"), EntityMetricData: []types.EntityMetricData{{Entity: &types.Entity{}}},
	})
	wants(t, "entities", err, "InvalidParameterValue", "EntityMetricData")
}
