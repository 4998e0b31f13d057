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

func TestMetricsAreListedByWhatIsAskedFor(t *testing.T) {
	s := newStand(t)
	put := func(namespace, name string, before time.Duration, dimensions ...string) {
		t.Helper()
		d := datum(name, before, 1)
		for i := 0; i < len(dimensions); i += 2 {
			d.Dimensions = append(d.Dimensions, types.Dimension{Name: &dimensions[i], Value: &dimensions[i+1]})
		}
		if _, err := s.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: &namespace, MetricData: []types.MetricDatum{d}}); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "x", 0)
	put("a", "x", 0, "queue", "one")
	put("a", "y", 0, "queue", "two", "zone", "b")
	put("b", "x", 4*time.Hour)
	for _, c := range []struct {
		in   sdk.ListMetricsInput
		want []string
	}{
		{sdk.ListMetricsInput{}, []string{"a x", "a x queue=one", "a y queue=two zone=b", "b x"}},
		{sdk.ListMetricsInput{Namespace: aws.String("a")}, []string{"a x", "a x queue=one", "a y queue=two zone=b"}},
		{sdk.ListMetricsInput{MetricName: aws.String("x")}, []string{"a x", "a x queue=one", "b x"}},
		{sdk.ListMetricsInput{RecentlyActive: types.RecentlyActivePt3h}, []string{"a x", "a x queue=one", "a y queue=two zone=b"}},
		{sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("queue")}}}, []string{"a x queue=one", "a y queue=two zone=b"}},
		{sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("queue"), Value: aws.String("two")}}}, []string{"a y queue=two zone=b"}},
		{sdk.ListMetricsInput{Namespace: aws.String("none")}, nil},
	} {
		out, err := s.ListMetrics(t.Context(), &c.in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range out.Metrics {
			got = append(got, text(m))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	_, err := s.ListMetrics(t.Context(), &sdk.ListMetricsInput{Dimensions: make11()})
	wants(t, "eleven filters", err, "InvalidParameterValue", "must not have a size greater than 10")
	_, err = s.ListMetrics(t.Context(), &sdk.ListMetricsInput{NextToken: aws.String("mine")})
	wants(t, "a token of nobody's", err, "InvalidNextToken", "NextToken")
}

func make11() (list []types.DimensionFilter) {
	for i := range 11 {
		list = append(list, types.DimensionFilter{Name: aws.String(fmt.Sprint(i))})
	}
	return list
}

func text(m types.Metric) string {
	s := *m.Namespace + " " + *m.MetricName
	for _, d := range m.Dimensions {
		s += " " + *d.Name + "=" + *d.Value
	}
	return s
}

func TestListsPageByFiveHundred(t *testing.T) {
	s := newStand(t)
	for range 2 {
		data := make([]types.MetricDatum, 601)
		for i := range data {
			data[i] = datum(fmt.Sprintf("m%04d", i), 0, 1)
		}
		s.put(data...)
	}
	var sizes []int
	seen := map[string]bool{}
	for p := sdk.NewListMetricsPaginator(s.Client, &sdk.ListMetricsInput{}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(out.Metrics))
		for _, m := range out.Metrics {
			seen[*m.MetricName] = true
		}
	}
	if !slices.Equal(sizes, []int{500, 101}) || len(seen) != 601 {
		t.Errorf("got pages of %v with %d metrics", sizes, len(seen))
	}
}
