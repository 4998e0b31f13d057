package scale_test

import (
	"testing"
	"time"

	"plimsoll/scale"
)

// The reasons are what people read; each is one sentence with the numbers.
func TestReasonsAreSentencesWithTheNumbers(t *testing.T) {
	queue := scale.Trigger{Name: "aws-sqs-queue jobs", Target: 5, Mode: scale.Average}
	count := 6
	fallback := queue
	fallback.FailureCount = &count
	for _, c := range []struct {
		name    string
		scene   *scene
		service string
		want    string
	}{
		{
			"what starts now and what waits for whom",
			newScene(3).service(policy("web", 1, 1, 20, perTask(4)), 1).service(filler("thumbs", 3, 0, 30), 7).
				tasks("web", 1, 0).tasks("thumbs", 3, 0).tasks("thumbs", 2, 1).tasks("thumbs", 2, 1, leaving).tasks("thumbs", 2, 2).
				reads("web", 18),
			"web",
			"18.0 requests in flight / 4 per task = 5 wanted; priority 1 is granted 5; 2 start now, 2 wait for 2 tasks of thumbs (priority 3) to stop",
		},
		{
			"who gives way to whom",
			newScene(3).service(policy("web", 1, 1, 20, perTask(4)), 1).service(filler("thumbs", 3, 0, 30), 11).
				tasks("web", 1, 0).tasks("thumbs", 3, 0).tasks("thumbs", 4, 1).tasks("thumbs", 4, 2).
				reads("web", 18),
			"thumbs",
			"takes what is left, up to 30; priority 3 is granted 7 of 30: 4 tasks give way to web (priority 1); 4 stop now",
		},
		{
			"what is short",
			newScene(2).service(policy("web", 1, 0, 20, queue), 4).tasks("web", 4, 0).tasks("", 4, 1).reads("web", 30),
			"web",
			"aws-sqs-queue jobs: 30.0 / 5 per task = 6 wanted; priority 1 is granted 4 of 6: of the container instances 2 of 2 have less than 256 CPU units free, 2 of 2 have less than 256 MiB of memory free",
		},
		{
			"a standalone task that is leaving",
			newScene(1).service(policy("web", 1, 0, 20, perTask(1)), 3).tasks("web", 3, 0).tasks("", 1, 0, leaving).reads("web", 4),
			"web",
			"4.0 requests in flight / 1 per task = 4 wanted; priority 1 is granted 4; 1 waits for 1 standalone task to stop",
		},
		{
			"nothing to do",
			newScene(1).service(policy("web", 1, 0, 20, perTask(4)), 3).tasks("web", 3, 0).reads("web", 12.4),
			"web",
			"12.4 requests in flight / 4 per task is within 10 % of 3 tasks = 3 wanted; priority 1 is granted 3",
		},
		{
			"no demand",
			newScene(1).service(policy("web", 1, 0, 20, perTask(4)), 0).reads("web", 0),
			"web",
			"0.0 requests in flight = 0 wanted; priority 1 is granted 0",
		},
		{
			"an unknown reading",
			newScene(1).service(policy("web", 1, 0, 20, queue), 3).tasks("web", 3, 0).fails("web", "no answer in 5s"),
			"web",
			"aws-sqs-queue jobs is unknown (no answer in 5s), held = 3 wanted; priority 1 is granted 3",
		},
		{
			"an unknown reading with a failure count",
			newScene(2).service(policy("web", 1, 0, 20, fallback), 3).tasks("web", 3, 0).fails("web", "no answer in 5s"),
			"web",
			"aws-sqs-queue jobs is unknown (no answer in 5s), raised to the failure count = 6 wanted; priority 1 is granted 6; 3 start now",
		},
		{
			"a minimum without a trigger",
			newScene(1).service(policy("web", 1, 2, 20), 0),
			"web",
			"no trigger: the minimum 2 wanted; priority 1 is granted 2; 2 start now",
		},
		{
			"the maximum",
			newScene(3).service(policy("web", 1, 0, 3, perTask(4)), 3).tasks("web", 3, 0).reads("web", 99),
			"web",
			"99.0 requests in flight / 4 per task = 25 wanted; the maximum = 3; priority 1 is granted 3",
		},
		{
			"protected tasks",
			newScene(1).service(policy("web", 1, 0, 20, perTask(4)), 3).tasks("web", 2, 0, protected).tasks("web", 1, 0).reads("web", 0),
			"web",
			"0.0 requests in flight = 0 wanted; priority 1 is granted 2, because 2 tasks are protected; 1 stops now",
		},
		{
			"a ratio",
			newScene(3).service(policy("web", 1, 0, 20, ratio(200)), 3).tasks("web", 3, 0).reads("web", 400),
			"web",
			"400.0 ms / 200 * 3 running = 6 wanted; priority 1 is granted 6; 3 start now",
		},
		{
			"a service that is not there",
			func() *scene {
				c := newScene(1).reads("web", 8)
				c.in.Policies = []scale.Policy{policy("web", 1, 0, 20, perTask(4))}
				return c
			}(),
			"web",
			"8.0 requests in flight / 4 per task = 2 wanted; the service is not in the cluster yet",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdictOf(t, c.scene.decide(), c.service).Reason; got != c.want {
				t.Errorf("the reason is\n%s\nand not\n%s", got, c.want)
			}
		})
	}
}

func TestReasonsNameWhatHeldTheCount(t *testing.T) {
	base := func(b scale.Behavior) *scene {
		p := policy("web", 1, 0, 20, perTask(1))
		b.Tolerance = 0.1
		p.Behavior = b
		c := newScene(5).service(p, 4).tasks("web", 4, 0).reads("web", 4)
		c.in.Memory = c.decide().Memory
		c.in.Now = noon.Add(10 * time.Second)
		return c
	}
	floor := base(scale.Behavior{}).reads("web", 1)
	floor.in.Overrides["web"] = scale.Override{Floor: 3, Until: noon.Add(time.Hour)}
	paused := base(scale.Behavior{}).reads("web", 1)
	paused.in.Overrides["web"] = scale.Override{Paused: true}
	for _, c := range []struct {
		name  string
		scene *scene
		want  string
	}{
		{"a down window", base(scale.Behavior{DownWindow: time.Minute}).reads("web", 1),
			"1.0 requests in flight / 1 per task = 1 wanted; the most of the last 1m0s = 4; priority 1 is granted 4"},
		{"an up window", base(scale.Behavior{UpWindow: time.Minute}).reads("web", 9),
			"9.0 requests in flight / 1 per task = 9 wanted; the least of the last 1m0s = 4; priority 1 is granted 4"},
		{"a cool-down", base(scale.Behavior{Cooldown: time.Minute}).reads("web", 0),
			"0.0 requests in flight = 0 wanted; the last task is kept until the cool-down ends at 2026-05-04T12:01:00Z = 1; priority 1 is granted 1; 3 stop now"},
		{"an up rate", base(scale.Behavior{Up: &scale.Rate{Tasks: 2, Period: time.Minute}}).reads("web", 9),
			"9.0 requests in flight / 1 per task = 9 wanted; no faster up than the rate in 1m0s = 6; priority 1 is granted 6; 2 start now"},
		{"a down rate", base(scale.Behavior{Down: &scale.Rate{Tasks: 1, Period: time.Minute}}).reads("web", 0),
			"0.0 requests in flight = 0 wanted; no faster down than the rate in 1m0s = 3; priority 1 is granted 3; 1 stops now"},
		{"a floor", floor,
			"1.0 requests in flight / 1 per task = 1 wanted; the floor until 2026-05-04T13:00:00Z = 3; priority 1 is granted 3; 1 stops now"},
		{"a pause", paused,
			"paused: 4 kept; 1.0 requests in flight / 1 per task = 1 wanted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdictOf(t, c.scene.decide(), "web").Reason; got != c.want {
				t.Errorf("the reason is\n%s\nand not\n%s", got, c.want)
			}
		})
	}
}

func TestAReasonShowsWhatAReadingIsMadeOf(t *testing.T) {
	c := newScene(5).service(policy("mail", 1, 0, 20, perTask(5)), 0)
	c.in.Policies[0].Triggers[0].Unit = "messages"
	c.in.Readings["mail"] = []scale.Reading{{Known: true, Value: 15, Detail: "12 visible + 3 in flight"}}
	const want = "15.0 messages (12 visible + 3 in flight) / 5 per task = 3 wanted; priority 1 is granted 3; 3 start now"
	v := verdictOf(t, c.decide(), "mail")
	if v.Reason != want {
		t.Errorf("the reason is %q", v.Reason)
	}
	if got := v.Triggers[0].Reason; got != "15.0 messages (12 visible + 3 in flight) / 5 per task = 3" {
		t.Errorf("the trigger's reason is %q", got)
	}
}

func TestAChangeCarriesItsReason(t *testing.T) {
	c := newScene(2).
		service(policy("web", 1, 0, 20, perTask(1)), 0).
		service(policy("mail", 2, 0, 20, perTask(1)), 3).
		tasks("mail", 3, 0).
		reads("web", 2).reads("mail", 1)
	plan := c.decide()
	if len(plan.Changes) != 2 || plan.Changes[0].Service != "mail" || plan.Changes[1].Service != "web" {
		t.Fatalf("the changes are %+v, and not mail's fewer and then web's more", plan.Changes)
	}
	for i, change := range plan.Changes {
		if change.Reason != plan.Verdicts[1-i].Reason {
			t.Errorf("the reason of %s is %q", change.Service, change.Reason)
		}
	}
}
