package cloudwatch

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"plimsoll/engine/awsapi"
)

// The bounds of GetMetricData.
const (
	mostQueries  = 500
	mostDataPage = 100800
	// validation is the code of all that is wrong with its input.
	validation = "ValidationError"
)

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// query is one metric that is asked for.
type query struct {
	id, label string
	metric    Metric
	window    Window
	stat      Stat
	returned  bool
}

// sample is one value of an answer, and which query it is of.
type sample struct {
	query int
	at    int64
	value float64
}

func (a *api) getMetricData(_ context.Context, call *awsapi.Call, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
	queries, err := readQueries(call, in)
	if err != nil {
		return nil, err
	}
	newestFirst := in.ScanBy != types.ScanByTimestampAscending
	var all []sample
	for i, q := range queries {
		if q.returned {
			all = append(all, a.samples(i, q, newestFirst)...)
		}
	}
	p := awsapi.Paging{List: listOf(in), Max: mostDataPage, Token: value(in.NextToken)}
	if n := in.MaxDatapoints; n != nil && *n > 0 {
		p.Max = min(int(*n), mostDataPage)
	}
	page, next, err := awsapi.Page(all, func(s sample) string { return s.key(newestFirst) }, p)
	if err != nil {
		return nil, invalidToken(err)
	}
	out := &cloudwatch.GetMetricDataOutput{MetricDataResults: results(queries, all, page, p.Token == ""), Messages: []types.MessageData{}}
	if next != "" {
		out.NextToken = &next
	}
	return out, nil
}

// samples are the values of one query, in the order asked for.
func (a *api) samples(i int, q query, newestFirst bool) (list []sample) {
	for _, p := range a.store.Points(a.now(), q.metric, q.window) {
		if v, known := q.stat(p); known {
			list = append(list, sample{query: i, at: p.At, value: v})
		}
	}
	if newestFirst {
		slices.Reverse(list)
	}
	return list
}

// key puts samples in the order in which they are given.
func (s sample) key(newestFirst bool) string {
	at := s.at
	if newestFirst {
		at = math.MaxInt32*1000 - at
	}
	return fmt.Sprintf("%03d %020d", s.query, at)
}

// listOf tells one request from another.
func listOf(in *cloudwatch.GetMetricDataInput) string {
	text := fmt.Sprint(in.ScanBy, in.StartTime, in.EndTime)
	for _, q := range in.MetricDataQueries {
		text += " " + value(q.Id)
	}
	return text
}

// results puts a page's samples to their queries. A query without samples is on
// the first page.
func results(queries []query, all, page []sample, first bool) []types.MetricDataResult {
	out := []types.MetricDataResult{}
	at := func(list []sample, i int) (int, bool) {
		return slices.BinarySearchFunc(list, i, func(s sample, i int) int { return cmp.Compare(s.query, i) })
	}
	for i, q := range queries {
		begin, there := at(page, i)
		_, any := at(all, i)
		if !q.returned || !there && (any || !first) {
			continue
		}
		result := types.MetricDataResult{
			Id: &q.id, Label: &q.label, Timestamps: []time.Time{}, Values: []float64{}, StatusCode: types.StatusCodeComplete,
		}
		end, _ := at(page, i+1)
		for _, s := range page[begin:end] {
			result.Timestamps = append(result.Timestamps, time.Unix(s.at, 0).UTC())
			result.Values = append(result.Values, s.value)
		}
		last, _ := at(all, i+1)
		if there && all[last-1] != page[end-1] {
			result.StatusCode = types.StatusCodePartialData
		}
		out = append(out, result)
	}
	return out
}

// readQueries checks an input.
func readQueries(call *awsapi.Call, in *cloudwatch.GetMetricDataInput) ([]query, error) {
	var f faults
	start, end := f.window(in.StartTime, in.EndTime)
	switch n := len(in.MetricDataQueries); {
	case n == 0:
		f.missing("MetricDataQueries")
	case n > mostQueries:
		f.invalid("The collection MetricDataQueries must not have a size greater than %d.", mostQueries)
		return nil, f.err(validation)
	}
	if in.ScanBy != "" && !slices.Contains(in.ScanBy.Values(), in.ScanBy) {
		f.invalid("The parameter ScanBy must be a value in the set %v.", in.ScanBy.Values())
	}
	if n := in.MaxDatapoints; n != nil && *n < 0 {
		f.invalid("The parameter MaxDatapoints must not be negative.")
	}
	queries := make([]query, len(in.MetricDataQueries))
	ids, returned := map[string]bool{}, false
	for i := range in.MetricDataQueries {
		q := f.query(fmt.Sprintf("MetricDataQueries.member.%d", i+1), call, &in.MetricDataQueries[i])
		q.window.Start, q.window.End = aligned(start, q.window.Period), end
		if ids[q.id] {
			f.invalid("The values for parameter id in MetricDataQueries are not unique: %s is given twice.", q.id)
		}
		ids[q.id], returned = true, returned || q.returned
		queries[i] = q
	}
	if len(queries) > 0 && !returned {
		f.invalid("At least one of the MetricDataQueries must have ReturnData set to true.")
	}
	return queries, f.err(validation)
}

// query checks one query. At is where it is in the input.
func (f *faults) query(at string, call *awsapi.Call, in *types.MetricDataQuery) query {
	q := query{id: f.text(at+".Id", in.Id, longestName), returned: in.ReturnData == nil || *in.ReturnData, window: Window{Period: time.Minute}}
	if in.Id != nil && !queryID.MatchString(q.id) {
		f.invalid("The value %s for parameter %s.Id is not matching the expected pattern %s.", q.id, at, queryID)
	}
	if in.AccountId != nil && *in.AccountId != call.Account {
		f.invalid("The parameter %s.AccountId must be %s: this engine links no accounts.", at, call.Account)
	}
	switch {
	case in.Expression != nil && in.MetricStat != nil:
		f.invalid("The parameters %s.Expression and %s.MetricStat are mutually exclusive and you have specified both.", at, at)
	case in.Expression != nil:
		f.invalid("%s.Expression: this engine computes no expressions (metric math, Metrics Insights); ask for metrics by MetricStat.", at)
	case in.MetricStat == nil:
		f.missing(at + ".MetricStat")
	case in.Period != nil:
		f.invalid("The parameter %s.Period is for expressions: a metric's period is in MetricStat.", at)
	default:
		f.metricStat(at+".MetricStat", in.MetricStat, &q)
	}
	q.label = q.metric.Name
	if in.Label != nil {
		q.label = *in.Label
	}
	return q
}

func (f *faults) metricStat(at string, in *types.MetricStat, q *query) {
	q.window.Period = f.period(at+".Period", in.Period)
	q.window.Unit = unit(f, at+".Unit", in.Unit, in.Unit.Values())
	if in.Stat == nil {
		f.missing(at + ".Stat")
	} else {
		var err error
		if q.stat, err = ParseStat(*in.Stat); err != nil {
			f.invalid("The value %s for parameter %s.Stat is not a valid statistic: %v.", *in.Stat, at, err)
		}
	}
	if in.Metric == nil {
		f.missing(at + ".Metric")
		return
	}
	list := make([]given, len(in.Metric.Dimensions))
	for i, d := range in.Metric.Dimensions {
		list[i] = given{d.Name, d.Value}
	}
	q.metric = NewMetric(
		f.namespace(at+".Metric.Namespace", in.Metric.Namespace), f.text(at+".Metric.MetricName", in.Metric.MetricName, longestName),
		f.dimensions(at+".Metric.Dimensions", list)...)
}
