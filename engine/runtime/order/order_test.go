package order

import (
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script drives a task and writes down what it is told to do.
type script struct {
	*Task
	now  time.Time
	done []string
}

func begin(containers ...Container) *script {
	s := &script{Task: New(containers), now: epoch}
	s.do()
	return s
}

// do carries out what is asked for: what begins, begins at once.
func (s *script) do() {
	for actions := s.Do(s.now); len(actions) > 0; actions = s.Do(s.now) {
		for _, a := range actions {
			s.done = append(s.done, []string{Begin: "begin ", Ask: "ask ", Kill: "kill "}[a.Verb]+s.all[a.Container].Name)
			if a.Verb == Begin {
				s.Began(a.Container, s.now)
			}
		}
	}
}

func (s *script) index(name string) int {
	for i := range s.all {
		if s.all[i].Name == name {
			return i
		}
	}
	panic(name)
}

func (s *script) exit(name string, code int) {
	s.Exited(s.index(name), code, s.now)
	s.do()
}

func (s *script) pass(d time.Duration) {
	s.now = s.now.Add(d)
	s.do()
}

func (s *script) did(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.done, want) {
		t.Errorf("did %q, want %q", s.done, want)
	}
	s.done = nil
}

func on(name, condition string) []Dependency { return []Dependency{{name, condition}} }

func TestContainersStartAfterWhatTheyDependOnAndStopBeforeIt(t *testing.T) {
	s := begin(
		Container{Name: "web", Essential: true, DependsOn: on("app", Start), StopTimeout: time.Second},
		Container{Name: "app", DependsOn: on("db", Start), StopTimeout: time.Second},
		Container{Name: "db", StopTimeout: time.Second})
	s.did(t, "begin db", "begin app", "begin web")
	if !s.Up() {
		t.Error("it is not up")
	}
	s.Stop()
	s.do()
	s.did(t, "ask web")
	s.exit("web", 0)
	s.did(t, "ask app")
	s.pass(time.Second)
	s.did(t, "kill app")
	s.exit("app", 137)
	s.did(t, "ask db")
	s.exit("db", 0)
	if !s.Over() || s.Failure() != "" {
		t.Error(s.Over(), s.Failure())
	}
}

func TestSuccessWaitsForTheExitCodeZero(t *testing.T) {
	s := begin(
		Container{Name: "main", Essential: true, DependsOn: on("migrate", Success)},
		Container{Name: "migrate"})
	s.did(t, "begin migrate")
	if s.Up() {
		t.Error("up before its main container")
	}
	s.exit("migrate", 0)
	s.did(t, "begin main")
	if !s.Up() {
		t.Error("not up")
	}
	s = begin(
		Container{Name: "main", Essential: true, DependsOn: on("migrate", Success)},
		Container{Name: "migrate"})
	s.exit("migrate", 3)
	if !s.Over() || !strings.Contains(s.Failure(), "main depends on container migrate (SUCCESS), which exited with code 3") {
		t.Error(s.Over(), s.Failure())
	}
}

func TestCompleteTakesAnyExitCode(t *testing.T) {
	s := begin(Container{Name: "main", Essential: true, DependsOn: on("first", Complete)}, Container{Name: "first"})
	s.done = nil
	s.exit("first", 9)
	s.did(t, "begin main")
}

func TestHealthyWaitsForTheHealthCheckAndNoLongerThanTheStartTimeout(t *testing.T) {
	containers := []Container{
		{Name: "main", Essential: true, DependsOn: on("db", Healthy)},
		{Name: "db", StartTimeout: 10 * time.Second, StopTimeout: time.Second},
	}
	s := begin(containers...)
	s.Health(1, true)
	s.do()
	s.did(t, "begin db", "begin main")

	s = begin(containers...)
	if next, ok := s.Next(); !ok || !next.Equal(epoch.Add(10*time.Second)) {
		t.Error(next, ok)
	}
	s.pass(10 * time.Second)
	s.did(t, "begin db", "ask db")
	if s.exit("db", 0); !s.Over() || !strings.Contains(s.Failure(), "within its startTimeout of 10s") {
		t.Error(s.Over(), s.Failure())
	}

	s = begin(containers...)
	s.exit("db", 1)
	if !strings.Contains(s.Failure(), "before it was healthy") {
		t.Error(s.Failure())
	}
}

func TestAnEssentialContainerThatEndsStopsTheOthers(t *testing.T) {
	s := begin(Container{Name: "main", Essential: true}, Container{Name: "side", StopTimeout: time.Second})
	s.done = nil
	s.exit("side", 1)
	s.did(t)
	s = begin(Container{Name: "main", Essential: true}, Container{Name: "side", StopTimeout: time.Second})
	s.done = nil
	s.exit("main", 1)
	s.did(t, "ask side")
	if s.Failure() != "" {
		t.Error(s.Failure())
	}
}

func TestAContainerIsStartedAgainIfItRanLongEnoughAndItsCodeIsNotIgnored(t *testing.T) {
	again := Container{Name: "main", Essential: true, Restart: &Restart{IgnoredExitCodes: []int{0}, AttemptPeriod: time.Minute}}
	s := begin(again)
	s.done = nil
	s.pass(time.Minute)
	s.exit("main", 1)
	s.did(t, "begin main")
	if s.Restarts(0) != 1 || !s.Up() {
		t.Error(s.Restarts(0), s.Up())
	}
	s.pass(59 * time.Second)
	if s.exit("main", 1); !s.Over() {
		t.Error("it runs on after a short run")
	}
	s = begin(again)
	s.now = s.now.Add(time.Hour)
	if s.exit("main", 0); !s.Over() {
		t.Error("it runs on after an ignored exit code")
	}
	s = begin(again)
	s.now = s.now.Add(time.Hour)
	s.Stop()
	if s.exit("main", 1); !s.Over() {
		t.Error("it is started again while the task stops")
	}
}

func TestAStartThatFailsFailsTheTask(t *testing.T) {
	task := New([]Container{{Name: "a", Essential: true}, {Name: "b"}})
	task.Do(epoch)
	task.Began(0, epoch)
	task.Failed(1, "no such program")
	if got := task.Do(epoch); len(got) != 1 || got[0] != (Action{Ask, 0}) || task.Failure() != "no such program" {
		t.Error(got, task.Failure())
	}
}

func TestTheSequencePutsEachAfterWhatItDependsOn(t *testing.T) {
	got := Sequence([]Container{{Name: "a", DependsOn: on("c", Start)}, {Name: "b"}, {Name: "c", DependsOn: on("b", Start)}})
	if !slices.Equal(got, []int{1, 2, 0}) {
		t.Error(got)
	}
}

func TestDependenciesThatCannotBeMetAreFoundBeforehand(t *testing.T) {
	for want, containers := range map[string][]Container{
		"":                                 {{Name: "a", DependsOn: on("b", Start)}, {Name: "b"}},
		"which is not in the task":         {{Name: "a", DependsOn: on("x", Start)}},
		"depend on each other in a circle": {{Name: "a", DependsOn: on("b", Start)}, {Name: "b", DependsOn: on("c", Start)}, {Name: "c", DependsOn: on("a", Start)}},
		"a and a depend on each other":     {{Name: "a", DependsOn: on("a", Start)}},
	} {
		if got := Check(containers); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: got %q", want, got)
		}
	}
}

// TestWhateverHappensTheOrderHolds: nothing begins before what it needs, nothing
// is asked to stop before what needs it has ended, and every task ends.
func TestWhateverHappensTheOrderHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var containers []Container
		for i := range rapid.IntRange(1, 6).Draw(t, "containers") {
			c := Container{Name: fmt.Sprint(i), Essential: i == 0 || rapid.Bool().Draw(t, "essential"), StopTimeout: time.Second}
			for j := range i {
				if rapid.IntRange(0, 2).Draw(t, "depends") == 0 {
					c.DependsOn = append(c.DependsOn, Dependency{fmt.Sprint(j), rapid.SampledFrom([]string{Start, Complete, Success, Healthy}).Draw(t, "condition")})
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "timeout") == 0 {
				c.StartTimeout = time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				c.Restart = &Restart{AttemptPeriod: 2 * time.Second}
			}
			containers = append(containers, c)
		}
		task, now := New(containers), epoch
		act := func() {
			for actions := task.Do(now); len(actions) > 0; actions = task.Do(now) {
				for _, a := range actions {
					c := &task.all[a.Container]
					switch a.Verb {
					case Begin:
						for _, n := range c.needs {
							if on := &task.all[n.on]; !c.again && (n.condition == Success && (on.phase != Ended || on.code != 0) ||
								n.condition == Complete && on.phase != Ended || n.condition == Healthy && !on.healthy || on.phase < Running && !on.again) {
								t.Fatalf("%s begins before %s is %s", c.Name, on.Name, n.condition)
							}
						}
						if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
							task.Failed(a.Container, "it failed")
						} else {
							task.Began(a.Container, now)
						}
					case Ask, Kill:
						for _, by := range c.neededBy {
							if task.all[by].phase < Ended {
								t.Fatalf("%s is stopped before %s has ended", c.Name, task.all[by].Name)
							}
						}
						if a.Verb == Kill {
							task.Exited(a.Container, 137, now)
						}
					}
				}
			}
		}
		act()
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, len(containers)-1).Draw(t, "who")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				if task.Phase(i) == Running {
					task.Exited(i, rapid.IntRange(0, 1).Draw(t, "code"), now)
				}
			case 2:
				if task.Phase(i) == Running {
					task.Health(i, rapid.Bool().Draw(t, "healthy"))
				}
			case 3:
				if rapid.IntRange(0, 5).Draw(t, "stop") == 0 {
					task.Stop()
				}
			default:
				now = now.Add(time.Second)
			}
			act()
		}
		task.Stop()
		act()
		for range len(containers) {
			if next, ok := task.Next(); ok {
				now = next
				act()
			}
		}
		if !task.Over() {
			t.Fatalf("it never ends: %+v", task.all)
		}
	})
}

func TestHealthIsWhatTheChecksSaid(t *testing.T) {
	c := NewChecker(Health{Interval: 10 * time.Second, Retries: 2}, epoch)
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	for _, step := range []struct {
		at   int
		ok   bool
		want string
		next int
	}{
		{1, false, HealthUnknown, 2}, // within the first interval a failure does not count
		{9, false, HealthUnknown, 10},
		{10, false, HealthUnknown, 20},
		{20, true, HealthHealthy, 30},
		{30, false, HealthHealthy, 40},
		{40, false, HealthUnhealthy, 50},
		{50, false, HealthUnhealthy, 60},
		{60, true, HealthHealthy, 70},
	} {
		before := c.Status()
		if changed := c.Result(step.ok, at(step.at)); changed != (before != step.want) || c.Status() != step.want || !c.Due().Equal(at(step.next)) {
			t.Errorf("at %d: %s, due %s, changed %t; want %s, %s", step.at, c.Status(), c.Due(), changed, step.want, at(step.next))
		}
	}
}

func TestTheStartPeriodForgivesFailuresUntilTheFirstSuccess(t *testing.T) {
	c := NewChecker(Health{Interval: 5 * time.Second, Retries: 1, StartPeriod: time.Minute}, epoch)
	if c.Result(false, epoch.Add(59*time.Second)); c.Status() != HealthUnknown {
		t.Error(c.Status())
	}
	c.Result(true, epoch.Add(time.Second))
	if c.Result(false, epoch.Add(2*time.Second)); c.Status() != HealthUnhealthy {
		t.Errorf("after a success: %s", c.Status())
	}
}

func TestTheShimCanAffordThisPackage(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); path != "time" {
				t.Errorf("%s imports %q; only time is allowed, see the package's comment", file, path)
			}
		}
	}
}
