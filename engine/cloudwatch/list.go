package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"plimsoll/engine/awsapi"
)

const (
	metricsPage  = 500
	mostFilters  = 10
	listedFor    = 14 * 24 * time.Hour
	recentlyFor  = 3 * time.Hour
	recentlyName = types.RecentlyActivePt3h
)

func (a *api) listMetrics(_ context.Context, call *awsapi.Call, in *cloudwatch.ListMetricsInput) (*cloudwatch.ListMetricsOutput, error) {
	var f faults
	if in.Namespace != nil {
		f.namespace("Namespace", in.Namespace)
	}
	if in.MetricName != nil {
		f.text("MetricName", in.MetricName, longestName)
	}
	if len(in.Dimensions) > mostFilters {
		f.invalid("The collection Dimensions must not have a size greater than %d.", mostFilters)
	}
	for i, d := range in.Dimensions {
		f.text(fmt.Sprintf("Dimensions.member.%d.Name", i+1), d.Name, longestName)
	}
	since := a.now().Add(-listedFor)
	switch in.RecentlyActive {
	case "":
	case recentlyName:
		since = a.now().Add(-recentlyFor)
	default:
		f.invalid("The parameter RecentlyActive must be %s.", recentlyName)
	}
	if in.OwningAccount != nil && *in.OwningAccount != call.Account {
		f.invalid("The parameter OwningAccount must be %s: this engine links no accounts.", call.Account)
	}
	if err := f.err(""); err != nil {
		return nil, err
	}
	var found []Metric
	for _, m := range a.store.Metrics(since) {
		if m.passes(in) {
			found = append(found, m)
		}
	}
	page, next, err := awsapi.Page(found, Metric.key, awsapi.Paging{List: filterOf(in), Max: metricsPage, Token: value(in.NextToken)})
	if err != nil {
		return nil, invalidToken(err)
	}
	out := &cloudwatch.ListMetricsOutput{Metrics: []types.Metric{}}
	if next != "" {
		out.NextToken = &next
	}
	for _, m := range page {
		out.Metrics = append(out.Metrics, m.out())
		if value(in.IncludeLinkedAccounts) {
			out.OwningAccounts = append(out.OwningAccounts, call.Account)
		}
	}
	return out, nil
}

// passes tells whether a metric is one that is asked for.
func (m Metric) passes(in *cloudwatch.ListMetricsInput) bool {
	if in.Namespace != nil && *in.Namespace != m.Namespace || in.MetricName != nil && *in.MetricName != m.Name {
		return false
	}
	for _, want := range in.Dimensions {
		if !slices.ContainsFunc(m.Dimensions, func(d Dimension) bool {
			return d.Name == *want.Name && (want.Value == nil || *want.Value == d.Value)
		}) {
			return false
		}
	}
	return true
}

// filterOf tells one listing from another.
func filterOf(in *cloudwatch.ListMetricsInput) string {
	text := fmt.Sprintf("%q %q %s", value(in.Namespace), value(in.MetricName), in.RecentlyActive)
	for _, d := range in.Dimensions {
		text += fmt.Sprintf(" %q=%q", *d.Name, value(d.Value))
	}
	return text
}

func (m Metric) out() types.Metric {
	out := types.Metric{Namespace: &m.Namespace, MetricName: &m.Name, Dimensions: []types.Dimension{}}
	for _, d := range m.Dimensions {
		out.Dimensions = append(out.Dimensions, types.Dimension{Name: &d.Name, Value: &d.Value})
	}
	return out
}

// value is what a pointer points at, the zero value if it is nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
