package cloudwatch

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// statistics are those of a summary, by their names.
var statistics = map[string]func(Summary) float64{
	"SampleCount": func(s Summary) float64 { return s.Count },
	"Average":     func(s Summary) float64 { return s.Sum / s.Count },
	"Sum":         func(s Summary) float64 { return s.Sum },
	"Minimum":     func(s Summary) float64 { return s.Min },
	"Maximum":     func(s Summary) float64 { return s.Max },
}

var (
	percentile = regexp.MustCompile(`^p(\d{1,3}(?:\.\d{1,10})?)$`)
	// otherStatistics are those that CloudWatch has beside: trimmed means, counts
	// and sums, winsorized means, percentile ranks, the interquartile mean.
	otherStatistics = regexp.MustCompile(`^(?:(?:tm|wm|tc|ts|pr|TM|WM|TC|TS|PR)[\d(].*|IQM)$`)
)

// Stat gives one number of a point's samples, and tells whether it can.
type Stat func(Point) (float64, bool)

// ParseStat reads the name of a statistic: "Average", "p99.9".
func ParseStat(name string) (Stat, error) {
	if f := statistics[name]; f != nil {
		return func(p Point) (float64, bool) { return f(p.Summary), p.Count > 0 }, nil
	}
	if found := percentile.FindStringSubmatch(name); found != nil {
		if share, err := strconv.ParseFloat(found[1], 64); err == nil && share <= 100 {
			return func(p Point) (float64, bool) { return p.percentile(share) }, nil
		}
	}
	if otherStatistics.MatchString(name) {
		return nil, fmt.Errorf("%q is not computed by this engine: Average, Sum, Minimum, Maximum, SampleCount and percentiles such as p99 are", name)
	}
	return nil, fmt.Errorf("%q is no statistic: use Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99", name)
}

// Point is the samples of one period.
type Point struct {
	At int64 // seconds since 1970, of the period's beginning
	Summary
	values []Values
	vague  bool
}

// take adds a bucket to the point.
func (p *Point) take(b *bucket) {
	p.add(b.Summary)
	p.vague = p.vague || b.vague
	p.values = append(p.values, b.known()...)
}

// percentile is the smallest value that this share of the samples in percent does
// not exceed. It is not known where only a summary of some samples is.
func (p Point) percentile(share float64) (float64, bool) {
	if p.vague || p.Count == 0 {
		return 0, false
	}
	values := merge(slices.Clone(p.values))
	rank, seen := math.Max(share/100*p.Count, math.SmallestNonzeroFloat64), 0.0
	for _, v := range values {
		if seen += v.Count; seen >= rank*(1-1e-12) {
			return v.Value, true
		}
	}
	return p.Max, true
}
