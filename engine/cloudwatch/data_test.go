package cloudwatch_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func TestEachStatisticOfAMinute(t *testing.T) {
	s := newStand(t)
	for _, v := range []float64{4, 1, 3, 2} {
		s.put(datum("m", 0, v))
	}
	s.put(types.MetricDatum{MetricName: aws.String("m"), Timestamp: &noon, Values: []float64{10, 20}, Counts: []float64{5, 1}})
	for stat, want := range map[string]float64{
		"Sum": 80, "SampleCount": 10, "Average": 8, "Minimum": 1, "Maximum": 20, "p0": 1, "p10": 1, "p50": 10, "p90": 10, "p90.5": 20, "p100": 20,
	} {
		got := s.get(lastHour(query("a", "m", stat, 60))).MetricDataResults
		if len(got) != 1 || len(got[0].Values) != 1 || got[0].Values[0] != want || !got[0].Timestamps[0].Equal(noon.Truncate(time.Minute)) || *got[0].Label != "m" {
			t.Errorf("%s: got %+v, want %v", stat, got, want)
		}
	}
}

func TestAPercentileIsNotMadeUpOfASummary(t *testing.T) {
	s := newStand(t)
	s.put(types.MetricDatum{MetricName: aws.String("m"), Timestamp: &noon, StatisticValues: &types.StatisticSet{
		SampleCount: aws.Float64(4), Sum: aws.Float64(10), Minimum: aws.Float64(1), Maximum: aws.Float64(4),
	}})
	got := s.get(lastHour(query("a", "m", "p50", 60), query("b", "m", "Average", 60))).MetricDataResults
	if len(got[0].Values) != 0 || len(got[1].Values) != 1 || got[1].Values[0] != 2.5 {
		t.Errorf("got %+v", got)
	}
}

func TestPeriodsBeginAtTheStartAndTheEndIsExcluded(t *testing.T) {
	s := newStand(t)
	at := noon.Truncate(time.Minute)
	for i := range 10 {
		s.put(types.MetricDatum{MetricName: aws.String("m"), Timestamp: aws.Time(at.Add(time.Duration(i-10) * time.Minute)), Value: aws.Float64(float64(i))})
	}
	in := lastHour(query("a", "m", "Sum", 180))
	in.StartTime, in.EndTime, in.ScanBy = aws.Time(at.Add(-8*time.Minute+20*time.Second)), aws.Time(at.Add(-time.Minute)), types.ScanByTimestampAscending
	got := s.get(in).MetricDataResults[0]
	if !slices.Equal(got.Values, []float64{2 + 3 + 4, 5 + 6 + 7, 8}) || !got.Timestamps[0].Equal(at.Add(-8*time.Minute)) || !got.Timestamps[2].Equal(at.Add(-2*time.Minute)) {
		t.Errorf("got %v at %v", got.Values, got.Timestamps)
	}
}

func TestHighResolutionIsKeptBySecondsAndTheRestByMinutes(t *testing.T) {
	s := newStand(t)
	for i := range 30 {
		fine, coarse := datum("fine", time.Duration(i)*time.Second, 1), datum("coarse", time.Duration(i)*time.Second, 1)
		fine.StorageResolution = aws.Int32(1)
		s.put(fine, coarse)
	}
	got := s.get(lastHour(query("a", "fine", "Sum", 10), query("b", "coarse", "Sum", 10), query("c", "fine", "Sum", 60))).MetricDataResults
	if !slices.Equal(got[0].Values, []float64{1, 10, 10, 9}) || !slices.Equal(got[1].Values, []float64{30}) || !slices.Equal(got[2].Values, []float64{30}) {
		t.Errorf("got %+v", got)
	}
}

func TestSecondsCanBeToldApartForThreeHours(t *testing.T) {
	s := newStand(t)
	old := datum("m", 4*time.Hour, 5)
	old.StorageResolution = aws.Int32(1)
	s.put(old)
	in := lastHour(query("a", "m", "Sum", 1), query("b", "m", "Sum", 60))
	in.StartTime = aws.Time(noon.Add(-5 * time.Hour))
	got := s.get(in).MetricDataResults
	if len(got[0].Values) != 0 || !slices.Equal(got[1].Values, []float64{5}) {
		t.Errorf("got %+v", got)
	}
}

func TestPagesGiveEachDatapointOnceInOrder(t *testing.T) {
	s := newStand(t)
	var want []float64
	for i := range 30 {
		s.put(datum("m", time.Duration(i)*time.Minute, float64(i)), datum("n", time.Duration(i)*time.Minute, float64(100+i)))
		want = append(want, float64(i))
	}
	for i := range 30 {
		want = append(want, float64(100+i))
	}
	for _, size := range []int32{1, 7, 30, 59, 60, 61} {
		in := lastHour(query("a", "m", "Sum", 60), query("none", "none", "Sum", 60), query("b", "n", "Sum", 60))
		in.MaxDatapoints = &size
		var got []float64
		last, empty, pages := map[string]types.StatusCode{}, 0, 0
		for p := sdk.NewGetMetricDataPaginator(s.Client, in); p.HasMorePages(); pages++ {
			out, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.MetricDataResults {
				got = append(got, r.Values...)
				last[*r.Id] = r.StatusCode
				if *r.Id == "none" {
					empty++
				}
			}
		}
		if !slices.Equal(got, want) || pages != (60+int(size)-1)/int(size) {
			t.Errorf("in pages of %d, %d of them: got %v", size, pages, got)
		}
		if empty != 1 || last["a"] != types.StatusCodeComplete || last["b"] != types.StatusCodeComplete || last["none"] != types.StatusCodeComplete {
			t.Errorf("in pages of %d: %v, the empty one %d times", size, last, empty)
		}
	}
	in := lastHour(query("a", "m", "Sum", 60))
	in.MaxDatapoints = aws.Int32(10)
	first := s.get(in)
	if first.MetricDataResults[0].StatusCode != types.StatusCodePartialData {
		t.Errorf("a part is told to be %s", first.MetricDataResults[0].StatusCode)
	}
	in.NextToken, in.ScanBy = first.NextToken, types.ScanByTimestampAscending
	_, err := s.GetMetricData(t.Context(), in)
	wants(t, "a token of another request", err, "InvalidNextToken", "NextToken")
}

func TestWhatGetMetricDataCannotGiveIsRefused(t *testing.T) {
	s := newStand(t)
	is := func(change func(*types.MetricDataQuery)) []types.MetricDataQuery {
		q := query("a", "m", "Sum", 60)
		change(&q)
		return []types.MetricDataQuery{q}
	}
	for what, c := range map[string]struct {
		queries []types.MetricDataQuery
		words   string
	}{
		"an id in upper case":   {is(func(q *types.MetricDataQuery) { q.Id = aws.String("A") }), "The value A for parameter MetricDataQueries.member.1.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."},
		"an id twice":           {append(is(func(*types.MetricDataQuery) {}), query("a", "n", "Sum", 60)), "not unique"},
		"an expression":         {is(func(q *types.MetricDataQuery) { q.MetricStat, q.Expression = nil, aws.String("SELECT AVG(a) FROM b") }), "MetricDataQueries.member.1.Expression: this engine computes no expressions"},
		"both":                  {is(func(q *types.MetricDataQuery) { q.Expression = aws.String("1") }), "mutually exclusive"},
		"neither":               {is(func(q *types.MetricDataQuery) { q.MetricStat = nil }), "MetricStat is required"},
		"no data to return":     {is(func(q *types.MetricDataQuery) { q.ReturnData = aws.Bool(false) }), "ReturnData"},
		"a period between":      {is(func(q *types.MetricDataQuery) { q.MetricStat.Period = aws.Int32(90) }), "multiple of 60"},
		"a period of its own":   {is(func(q *types.MetricDataQuery) { q.Period = aws.Int32(60) }), "Period is for expressions"},
		"a trimmed mean":        {is(func(q *types.MetricDataQuery) { q.MetricStat.Stat = aws.String("tm90") }), `"tm90" is not computed by this engine`},
		"no statistic":          {is(func(q *types.MetricDataQuery) { q.MetricStat.Stat = aws.String("None") }), "The value None for parameter MetricDataQueries.member.1.MetricStat.Stat is not a valid statistic"},
		"a percentile over 100": {is(func(q *types.MetricDataQuery) { q.MetricStat.Stat = aws.String("p101") }), "not a valid statistic"},
		"another account":       {is(func(q *types.MetricDataQuery) { q.AccountId = aws.String("210987654321") }), "links no accounts"},
		"an unknown unit":       {is(func(q *types.MetricDataQuery) { q.MetricStat.Unit = "Furlongs" }), "must be a value in the set"},
		"too many":              {make501(), "must not have a size greater than 500"},
	} {
		_, err := s.GetMetricData(t.Context(), lastHour(c.queries...))
		wants(t, what, err, "ValidationError", c.words)
	}
	in := lastHour(query("a", "m", "Sum", 60))
	in.StartTime = in.EndTime
	_, err := s.GetMetricData(t.Context(), in)
	wants(t, "no time", err, "ValidationError", "The parameter StartTime must not equal parameter EndTime.")
}

func make501() (list []types.MetricDataQuery) {
	for i := range 501 {
		list = append(list, query(fmt.Sprint("a", i), "m", "Sum", 60))
	}
	return list
}

func TestDimensionsTellMetricsApartInWhateverOrder(t *testing.T) {
	s := newStand(t)
	list := []types.Dimension{{Name: aws.String("b"), Value: aws.String("2")}, {Name: aws.String("a"), Value: aws.String("1")}}
	d := datum("m", 0, 3)
	d.Dimensions = list
	s.put(d, datum("m", 0, 9))
	slices.Reverse(list)
	q := query("a", "m", "Sum", 60)
	q.MetricStat.Metric.Dimensions = list
	got := s.get(lastHour(q, query("b", "m", "Sum", 60))).MetricDataResults
	if !slices.Equal(got[0].Values, []float64{3}) || !slices.Equal(got[1].Values, []float64{9}) {
		t.Errorf("got %+v", got)
	}
}
