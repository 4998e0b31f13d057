package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/scale"
)

// stillLoop is a loop that has one state and some decisions.
type stillLoop struct {
	state     control.State
	decisions []control.Decision
}

func (l *stillLoop) State() control.State                 { return l.state }
func (l *stillLoop) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }
func (l *stillLoop) Decisions(since uint64) []control.Decision {
	var out []control.Decision
	for _, d := range l.decisions {
		if d.Seq > since {
			out = append(out, d)
		}
	}
	return out
}

func someLoop() *stillLoop {
	demand := 8.4
	return &stillLoop{
		state: control.State{
			Cluster: plimsoll.Cluster{
				Services: []plimsoll.Service{{Name: "tiles"}, {Name: "thumbs"}},
				Instances: []plimsoll.ContainerInstance{
					{ARN: "two", Zone: "us-east-1b", Registered: plimsoll.Resources{CPU: 1024, Memory: 1024}},
					{ARN: "one", Zone: "us-east-1a", Registered: plimsoll.Resources{CPU: 1024, Memory: 1024}},
				},
				Tasks: []plimsoll.Task{
					{Service: "tiles", ContainerInstance: "one", LastStatus: plimsoll.StatusRunning, DesiredStatus: plimsoll.StatusRunning, Reserved: plimsoll.Resources{CPU: 512}},
					{Service: "thumbs", ContainerInstance: "one", LastStatus: plimsoll.StatusStopping, DesiredStatus: plimsoll.StatusStopped, Reserved: plimsoll.Resources{CPU: 256}},
				},
			},
			Plan: scale.Plan{Verdicts: []scale.Verdict{
				{Service: "tiles", Priority: 1, Demand: &demand, Want: 9, Grant: 9, Desired: 5, Running: 1, Triggers: []scale.TriggerVerdict{{}}},
				{Service: "thumbs", Priority: 3, Want: 30, Running: 0},
			}},
		},
		decisions: []control.Decision{
			{Seq: 1, At: time.Now(), Service: "thumbs", From: 1, To: 0, Reason: "1 task gives way", Outcome: "done"},
			{Seq: 2, At: time.Now(), Service: "tiles", From: 1, To: 5, Reason: "9 wanted", Outcome: "failed: throttled"},
		},
	}
}

func TestWithoutATerminalEachDecisionIsALineOnce(t *testing.T) {
	var out bytes.Buffer
	v := &view{out: &out, loop: someLoop()}
	v.tick()
	v.tick()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("two decisions and one summary should be three lines:\n%s", out.String())
	}
	for i, want := range []string{"thumbs 1 -> 0  1 task gives way", "tiles 1 -> 5  9 wanted [failed: throttled]", "running/wanted: tiles 1/9  thumbs 0/30"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q; it should have %q", i, lines[i], want)
		}
	}
}

func TestOnATerminalNothingGoesPastItsEdges(t *testing.T) {
	var out bytes.Buffer
	v := &view{out: &out, loop: someLoop(), header: strings.Repeat("long ", 100), size: func() (int, int) { return 60, 12 }}
	v.tick()
	text := strings.NewReplacer(toTop, "", restLine, "", restBelow, "", "\r", "").Replace(out.String())
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > 12 {
		t.Errorf("%d lines on a terminal of 12", len(lines))
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 60 {
			t.Errorf("a line of %d columns on a terminal of 60: %q", n, line)
		}
	}
}

func TestAHostsBarShowsItsTasksAndWhichAreLeaving(t *testing.T) {
	got := hostBars(someLoop().state.Cluster)
	want := "us-east-1a   AAAAAAAAAAAAAAAAbbbbbbbb........"
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "A tiles  B thumbs") {
		t.Errorf("the bars are\n%s\nwant them to begin with\n%s", got, want)
	}
}
