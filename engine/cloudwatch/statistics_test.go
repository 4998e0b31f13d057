package cloudwatch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// asked is a GetMetricStatistics for the hour before noon.
func asked(name string) *sdk.GetMetricStatisticsInput {
	return &sdk.GetMetricStatisticsInput{
		Namespace: aws.String("jobs"), MetricName: &name, StartTime: aws.Time(noon.Add(-time.Hour)), EndTime: aws.Time(noon.Add(time.Minute)),
		Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum},
	}
}

func TestUnitsAreKeptApartAndOneCanBeAskedFor(t *testing.T) {
	s := newStand(t)
	for unit, v := range map[types.StandardUnit]float64{types.StandardUnitCount: 1, types.StandardUnitBytes: 2, "": 4} {
		d := datum("m", 0, v)
		d.Unit = unit
		s.put(d)
	}
	for unit, want := range map[types.StandardUnit]string{
		"": "Bytes=2 Count=1 None=4 ", types.StandardUnitBytes: "Bytes=2 ", types.StandardUnitNone: "None=4 ", types.StandardUnitSeconds: "",
	} {
		in := asked("m")
		in.Unit = unit
		out, err := s.GetMetricStatistics(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range out.Datapoints {
			got += fmt.Sprintf("%s=%v ", d.Unit, *d.Sum)
		}
		if got != want || *out.Label != "m" {
			t.Errorf("unit %q: got %q, want %q", unit, got, want)
		}
	}
}

func TestStatisticsAreThoseThatWereAskedForAndNoOthers(t *testing.T) {
	s := newStand(t)
	s.put(datum("m", 0, 1), datum("m", 0, 3))
	in := asked("m")
	in.Statistics, in.ExtendedStatistics = []types.Statistic{types.StatisticAverage, types.StatisticSampleCount}, []string{"p99"}
	out, err := s.GetMetricStatistics(t.Context(), in)
	if err != nil || len(out.Datapoints) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	d := out.Datapoints[0]
	if *d.Average != 2 || *d.SampleCount != 2 || d.Sum != nil || d.Minimum != nil || d.Maximum != nil || d.ExtendedStatistics["p99"] != 3 {
		t.Errorf("got %+v", d)
	}
}

func TestWhatGetMetricStatisticsCannotGiveIsRefused(t *testing.T) {
	s := newStand(t)
	for what, c := range map[string]struct {
		change      func(*sdk.GetMetricStatisticsInput)
		code, words string
	}{
		"too many datapoints":     {func(in *sdk.GetMetricStatisticsInput) { in.StartTime = aws.Time(noon.Add(-24 * time.Hour)) }, "InvalidParameterCombination", "You have requested up to 1442 datapoints, which exceeds the limit of 1440."},
		"no statistic":            {func(in *sdk.GetMetricStatisticsInput) { in.Statistics = nil }, "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics"},
		"an unknown statistic":    {func(in *sdk.GetMetricStatisticsInput) { in.Statistics = []types.Statistic{"Median"} }, "InvalidParameterValue", "Statistics must be values in the set"},
		"an extended one that is": {func(in *sdk.GetMetricStatisticsInput) { in.ExtendedStatistics = []string{"Sum"} }, "InvalidParameterValue", "use a percentile"},
		"the end before":          {func(in *sdk.GetMetricStatisticsInput) { in.EndTime = aws.Time(noon.Add(-2 * time.Hour)) }, "InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."},
		"a period between":        {func(in *sdk.GetMetricStatisticsInput) { in.Period = aws.Int32(61) }, "InvalidParameterValue", "multiple of 60"},
	} {
		in := asked("m")
		c.change(in)
		_, err := s.GetMetricStatistics(t.Context(), in)
		wants(t, what, err, c.code, c.words)
	}
}
