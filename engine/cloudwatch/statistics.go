package cloudwatch

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"plimsoll/engine/awsapi"
)

// mostDatapoints is how many GetMetricStatistics gives.
const mostDatapoints = 1440

func (a *api) getMetricStatistics(_ context.Context, _ *awsapi.Call, in *cloudwatch.GetMetricStatisticsInput) (*cloudwatch.GetMetricStatisticsOutput, error) {
	var f faults
	list := make([]given, len(in.Dimensions))
	for i, d := range in.Dimensions {
		list[i] = given{d.Name, d.Value}
	}
	m := NewMetric(f.namespace("Namespace", in.Namespace), f.text("MetricName", in.MetricName, longestName), f.dimensions("Dimensions", list)...)
	start, end := f.window(in.StartTime, in.EndTime)
	w := Window{Start: start, End: end, Period: f.period("Period", in.Period), Unit: unit(&f, "Unit", in.Unit, in.Unit.Values())}
	w.Start = aligned(w.Start, w.Period)
	f.asked(in)
	if n := int64((w.End.Sub(w.Start) + w.Period - 1) / w.Period); f.first == nil && n > mostDatapoints {
		f.combination("You have requested up to %d datapoints, which exceeds the limit of %d. "+
			"You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n, mostDatapoints)
	}
	if err := f.err(""); err != nil {
		return nil, err
	}
	units := []string{w.Unit}
	if w.Unit == "" {
		units = a.store.Units(m)
	}
	out := &cloudwatch.GetMetricStatisticsOutput{Label: in.MetricName, Datapoints: []types.Datapoint{}}
	for _, w.Unit = range units {
		for _, p := range a.store.Points(a.now(), m, w) {
			out.Datapoints = append(out.Datapoints, datapoint(p, w.Unit, in))
		}
	}
	return out, nil
}

// asked checks the statistics that are asked for.
func (f *faults) asked(in *cloudwatch.GetMetricStatisticsInput) {
	if len(in.Statistics) == 0 && len(in.ExtendedStatistics) == 0 {
		f.combination("Must specify either Statistics or ExtendedStatistics")
	}
	for _, s := range in.Statistics {
		if statistics[string(s)] == nil {
			f.invalid("The parameter Statistics must be values in the set %v.", s.Values())
		}
	}
	for _, name := range in.ExtendedStatistics {
		if _, err := ParseStat(name); err != nil || statistics[name] != nil {
			f.invalid("The value %s for parameter ExtendedStatistics.member is not supported: use a percentile such as p99.", name)
		}
	}
}

func datapoint(p Point, unit string, in *cloudwatch.GetMetricStatisticsInput) types.Datapoint {
	at := time.Unix(p.At, 0).UTC()
	d := types.Datapoint{Timestamp: &at, Unit: types.StandardUnit(unit)}
	for _, s := range in.Statistics {
		value := statistics[string(s)](p.Summary)
		switch s {
		case types.StatisticAverage:
			d.Average = &value
		case types.StatisticSum:
			d.Sum = &value
		case types.StatisticMinimum:
			d.Minimum = &value
		case types.StatisticMaximum:
			d.Maximum = &value
		case types.StatisticSampleCount:
			d.SampleCount = &value
		}
	}
	for _, name := range in.ExtendedStatistics {
		stat, _ := ParseStat(name) // it has been checked
		if value, known := stat(p); known {
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[name] = value
		}
	}
	return d
}
