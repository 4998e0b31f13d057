package baseline_test

import (
	"testing"
	"time"

	"plimsoll/sim/baseline"
)

var noon = time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)

// drive shows a policy one value after the other, each for some time, and gives
// the count at the end of each. All tasks run at once.
func drive(p baseline.Policy, capacity float64, from int, each time.Duration, values ...float64) []int {
	count, now := from, noon
	var counts []int
	for _, v := range values {
		for end := now.Add(each); now.Before(end); now = now.Add(p.Interval()) {
			count = min(max(p.Desired(baseline.Observation{
				Now: now, Service: "s", Ready: count, Desired: count, Max: 100, Capacity: capacity,
				Metrics: []baseline.Metric{{Known: true, Value: v, Target: 7}},
			}), 0), 100)
		}
		counts = append(counts, count)
	}
	return counts
}

func TestThePoliciesFollowTheirRules(t *testing.T) {
	for name, c := range map[string]struct {
		policy   string
		from     int
		each     time.Duration
		values   []float64
		want     []int
		capacity float64
	}{
		"hpa holds within its tolerance":               {"hpa", 10, time.Minute, []float64{76, 64}, []int{10, 10}, 10},
		"hpa grows by four or by the double in 15 s":   {"hpa", 2, 15 * time.Second, []float64{700, 700, 700}, []int{6, 12, 24}, 10},
		"hpa shrinks after five minutes":               {"hpa", 10, 4 * time.Minute, []float64{70, 35, 35}, []int{10, 10, 5}, 10},
		"kpa keeps 70 % of what a pod bears":           {"kpa", 10, 2 * time.Minute, []float64{70, 140}, []int{10, 20}, 10},
		"kpa panics at twice the pods and holds":       {"kpa", 10, 6 * time.Second, []float64{70, 300, 300, 70}, []int{10, 43, 43, 43}, 10},
		"kpa goes to zero after its grace":             {"kpa", 1, 24 * time.Second, []float64{0, 0}, []int{1, 0}, 10},
		"target tracking waits three minutes":          {"ecs-target-tracking", 10, time.Minute, []float64{140, 140, 140}, []int{10, 10, 20}, 10},
		"target tracking waits fifteen to shrink":      {"ecs-target-tracking", 10, 14 * time.Minute, []float64{35, 35}, []int{10, 5}, 10},
		"keda wakes within its poll":                   {"keda", 0, 30 * time.Second, []float64{0, 7}, []int{0, 1}, 10},
		"keda turns off after five minutes of nothing": {"keda", 1, 6 * time.Minute, []float64{7, 0}, []int{1, 0}, 10},
	} {
		p, err := baseline.New(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		got := drive(p, c.capacity, c.from, c.each, c.values...)
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("%s: the counts are %v, want %v", name, got, c.want)
				break
			}
		}
	}
}

func TestAFailedMetricShrinksNothing(t *testing.T) {
	for _, name := range baseline.Names() {
		p, err := baseline.New(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			n := p.Desired(baseline.Observation{
				Now: noon.Add(time.Duration(i) * p.Interval()), Service: "s", Ready: 10, Desired: 10, Max: 100,
				Metrics: []baseline.Metric{{Target: 7}},
			})
			if n != 10 {
				t.Fatalf("%s: %d of 10 tasks while the metric fails", name, n)
			}
		}
	}
}
