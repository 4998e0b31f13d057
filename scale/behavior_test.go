package scale_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/scale"
)

// at is a reading at a number of seconds after noon, and the count that the
// service then has to have.
type at struct {
	second  int
	demand  float64
	desired int
}

// follow runs one service through the readings, each plan carried out at once.
func follow(t *testing.T, behavior scale.Behavior, from int, steps []at) {
	t.Helper()
	p := policy("web", 1, 0, 100, perTask(1))
	p.Behavior = behavior
	m := &model{dice: func(int) int { return 0 }}
	m.in = newScene(30).service(p, from).in
	m.tick()
	m.tick()
	for _, s := range steps {
		m.in.Now = noon.Add(time.Duration(s.second) * time.Second)
		m.demand("web", s.demand)
		m.decide()
		m.apply()
		if got := m.service("web").Desired; got != s.desired {
			t.Fatalf("after %d s, at %v: desired is %d, not %d: %s", s.second, s.demand, got, s.desired, m.plan.Verdicts[0].Reason)
		}
		m.tick()
		m.tick()
	}
}

func TestADownWindowHoldsTheLargestWant(t *testing.T) {
	follow(t, scale.Behavior{DownWindow: 60 * time.Second}, 10, []at{
		{0, 10, 10}, {10, 4, 10}, {20, 7, 10}, {59, 4, 10}, {61, 4, 7}, {81, 4, 4}, {82, 12, 12},
	})
}

func TestAnUpWindowFollowsTheSmallestWant(t *testing.T) {
	follow(t, scale.Behavior{UpWindow: 30 * time.Second}, 2, []at{
		{0, 2, 2}, {10, 9, 2}, {20, 6, 2}, {29, 9, 2}, {31, 9, 6}, {51, 9, 9}, {52, 1, 1},
	})
}

func TestTheFirstTaskWaitsForNoWindow(t *testing.T) {
	follow(t, scale.Behavior{UpWindow: 30 * time.Second}, 0, []at{
		{0, 0, 0}, {10, 9, 1}, {41, 9, 9},
	})
}

func TestAnUpRateBoundsTheGrowthOfAPeriod(t *testing.T) {
	up := &scale.Rate{Tasks: 4, Percent: 100, Period: 15 * time.Second}
	follow(t, scale.Behavior{Up: up}, 1, []at{
		{0, 50, 5}, {5, 50, 5}, {14, 50, 5}, {18, 50, 10}, {20, 50, 10}, {40, 50, 20},
	})
}

func TestADownRateBoundsTheShrinkingOfAPeriod(t *testing.T) {
	down := &scale.Rate{Tasks: 1, Percent: 50, Period: 15 * time.Second}
	follow(t, scale.Behavior{Down: down}, 20, []at{
		{0, 1, 10}, {5, 1, 10}, {20, 1, 5}, {40, 1, 2}, {60, 1, 1},
	})
}

func TestARateOfPercentIsNoDeadEndAtZero(t *testing.T) {
	up := &scale.Rate{Percent: 100, Period: 15 * time.Second}
	follow(t, scale.Behavior{Up: up}, 0, []at{{0, 8, 1}, {20, 8, 2}, {40, 8, 4}, {60, 8, 8}})
}

func TestTheRecheckIsWhenAWindowEnds(t *testing.T) {
	p := policy("web", 1, 0, 20, perTask(1))
	p.Behavior.DownWindow = time.Minute
	s := newScene(5).service(p, 4).tasks("web", 4, 0).reads("web", 4)
	s.in.Memory = s.decide().Memory
	s.reads("web", 1)
	s.in.Now = noon.Add(20 * time.Second)
	plan := s.decide()
	check(t, plan, "web", expect{4, 4, 4})
	s.in.Memory, s.in.Now = plan.Memory, plan.Recheck
	if plan.Recheck.After(noon.Add(61 * time.Second)) {
		t.Errorf("the recheck is at %s", plan.Recheck)
	}
	check(t, s.decide(), "web", expect{1, 1, 1})
}

func TestTheWindowsAreThoseOfAPlainListOfAllWants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		up := time.Duration(rapid.IntRange(0, 20).Draw(t, "up")) * time.Second
		down := time.Duration(rapid.IntRange(0, 20).Draw(t, "down")) * time.Second
		p := policy("web", 1, 0, 100, perTask(1))
		p.Behavior = scale.Behavior{UpWindow: up, DownWindow: down}
		m := &model{dice: func(int) int { return 0 }}
		m.in = newScene(30).service(p, 3).in
		type want struct {
			at    time.Time
			count int
		}
		all := []want{{m.in.Now, 3}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(1, 9).Draw(t, "demand")
			m.demand("web", float64(n))
			current := m.service("web").Desired
			all = append(all, want{m.in.Now, n})
			low, high := n, n
			for _, w := range all {
				if up > 0 && !w.at.Add(up).Before(m.in.Now) {
					low = min(low, w.count)
				}
				if down > 0 && !w.at.Add(down).Before(m.in.Now) {
					high = max(high, w.count)
				}
			}
			m.decide()
			if got, expected := m.plan.Verdicts[0].Want, min(max(current, low), high); got != expected {
				t.Fatalf("want %d, and the plain list gives %d: %s", got, expected, m.plan.Verdicts[0].Reason)
			}
			m.apply()
			m.in.Now = m.in.Now.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "seconds")) * time.Second)
			m.snapshot()
		}
	})
}

func TestTheMemoryIsBoundedAndSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy("web", 1, 0, 1000, perTask(1))
		p.Behavior = scale.Behavior{
			UpWindow: time.Hour, DownWindow: time.Hour,
			Up:   &scale.Rate{Tasks: 3, Period: time.Hour},
			Down: &scale.Rate{Tasks: 2, Period: time.Hour},
		}
		in := newScene(3).service(p, 0).in
		for range 400 {
			in.Now = in.Now.Add(time.Second)
			n := rapid.IntRange(0, 1000).Draw(t, "demand")
			in.Readings["web"] = []scale.Reading{{Known: true, Value: float64(n)}}
			in.Cluster.Services[0].Desired = n / 7
			in.Memory = scale.Decide(in).Memory
		}
		content, err := json.Marshal(in.Memory)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 25_000 {
			t.Fatalf("the memory of one service has %d bytes", len(content))
		}
		var again scale.Memory
		if err := json.Unmarshal(content, &again); err != nil {
			t.Fatal(err)
		}
		one := scale.Decide(in)
		in.Memory = again
		if two := scale.Decide(in); two.Verdicts[0].Reason != one.Verdicts[0].Reason {
			t.Fatalf("the memory is not the same after JSON: %s, %s", one.Verdicts[0].Reason, two.Verdicts[0].Reason)
		}
	})
}
