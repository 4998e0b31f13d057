package control_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/control"
	"plimsoll/scale"
)

func TestFloorsAndPausesOutliveTheLoop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(20, "web", "mail")
		options := control.Options{Platform: c, Dir: dir, Services: []control.Service{
			service("web", 1, 9, newGauge(1), 0), service("mail", 2, 9, newGauge(5), 0)}}
		l := newLoop(t, options)
		until := time.Now().Add(time.Hour)
		if err := l.SetFloor("web", 4, until); err != nil {
			t.Fatal(err)
		}
		if err := l.Pause("mail"); err != nil {
			t.Fatal(err)
		}

		second := newLoop(t, options)
		state := second.Step(t.Context())
		if o := state.Overrides["web"]; o.Floor != 4 || !o.Until.Equal(until) {
			t.Errorf("the floor of web is %+v", o)
		}
		if c.desired("web") != 4 || c.desired("mail") != 0 {
			t.Errorf("web has %d and mail %d, not 4 and 0", c.desired("web"), c.desired("mail"))
		}
		if err := second.Resume("mail"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		state = newLoop(t, options).Step(t.Context())
		if len(state.Overrides) != 0 || c.desired("web") != 1 || c.desired("mail") != 5 {
			t.Errorf("after the floor ended there are %v, web has %d and mail %d", state.Overrides, c.desired("web"), c.desired("mail"))
		}
	})
}

func TestTheWindowsOutliveTheLoop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(20, "web"), newGauge(7)
		s := service("web", 1, 9, g, 0)
		s.Policy.Behavior = scale.Behavior{DownWindow: time.Minute}
		options := control.Options{Platform: c, Dir: dir, Services: []control.Service{s}}
		newLoop(t, options).Step(t.Context())
		g.set(0, nil)
		time.Sleep(50 * time.Second)
		newLoop(t, options).Step(t.Context())
		if got := c.desired("web"); got != 7 {
			t.Errorf("desired is %d within the window, not 7", got)
		}
		time.Sleep(11 * time.Second)
		newLoop(t, options).Step(t.Context())
		if got := c.desired("web"); got != 0 {
			t.Errorf("desired is %d after the window, not 0", got)
		}
	})
}

func TestADamagedStateFileIsMovedAside(t *testing.T) {
	for _, content := range []string{"{\"version\":1,\"over", "", "{\"version\":99}"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "control.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		_, err := control.New(control.Options{Platform: newCluster(1), Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatalf("a file with %q stops the start: %v", content, err)
		}
		kept, err := os.ReadFile(path + ".damaged")
		if err != nil || string(kept) != content {
			t.Errorf("the damaged file was not kept: %q, %v", kept, err)
		}
		if !strings.Contains(log.String(), "control.json") {
			t.Errorf("the warning does not name the file: %s", log.String())
		}
	}
}

func TestAnOverrideOfAnUnknownServiceNamesTheKnownOnes(t *testing.T) {
	l := newLoop(t, control.Options{Platform: newCluster(1), Services: []control.Service{service("web", 1, 9, newGauge(0), 0)}})
	for _, err := range []error{l.Pause("wbe"), l.Resume("wbe"), l.SetFloor("wbe", 1, time.Now().Add(time.Hour))} {
		if !errors.Is(err, control.ErrUnknownService) || !strings.Contains(err.Error(), `"wbe"`) || !strings.Contains(err.Error(), `"web"`) {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestAFloorThatCannotHoldIsRefused(t *testing.T) {
	l := newLoop(t, control.Options{Platform: newCluster(1), Services: []control.Service{service("web", 1, 9, newGauge(0), 0)}})
	later := time.Now().Add(time.Hour)
	for _, err := range []error{l.SetFloor("web", 10, later), l.SetFloor("web", -1, later), l.SetFloor("web", 2, time.Now().Add(-time.Second))} {
		if err == nil {
			t.Error("a floor that cannot hold was taken")
		}
	}
}

func TestAnOverrideThatCannotBeWrittenIsNotInForce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := newLoop(t, control.Options{Platform: newCluster(1, "web"), Dir: dir, Services: []control.Service{service("web", 1, 9, newGauge(0), 0)}})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Pause("web"); err == nil {
		t.Fatal("a pause that is not on disk was acknowledged")
	}
	if state := l.Step(t.Context()); len(state.Overrides) != 0 {
		t.Errorf("the overrides in force are %v", state.Overrides)
	}
}

func TestTheJournalIsALineOfJSONPerDecisionInTwoBoundedFiles(t *testing.T) {
	dir := t.TempDir()
	c, g := newCluster(10, "web"), newGauge(0)
	l := newLoop(t, control.Options{Platform: c, Dir: dir, Services: []control.Service{service("web", 1, 9, mute{g}, 0)}})
	for i := range 3 {
		g.set(float64(i+1), nil)
		l.Step(t.Context())
	}
	path := filepath.Join(dir, "decisions.jsonl")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(lines) != 3 {
		t.Fatalf("the file has %d lines, not 3", len(lines))
	}
	var d control.Decision
	if err := json.Unmarshal([]byte(lines[2]), &d); err != nil || d.Seq != 3 || d.From != 2 || d.To != 3 || d.Outcome != "done" || d.Reason == "" {
		t.Errorf("the third line is %+v, %v", d, err)
	}

	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	g.set(9, nil)
	l.Step(t.Context())
	old, err := os.Stat(filepath.Join(dir, "decisions.1.jsonl"))
	if err != nil || old.Size() != 5<<20 {
		t.Errorf("the full file was not kept as the old one: %v", err)
	}
	if now, err := os.Stat(path); err != nil || now.Size() > 1000 {
		t.Errorf("the new file is not a fresh one: %v", err)
	}
}

func TestTheJournalInMemoryIsBounded(t *testing.T) {
	c, g := newCluster(10, "web"), newGauge(0)
	l := newLoop(t, control.Options{Platform: c, Services: []control.Service{service("web", 1, 9, mute{g}, 0)}})
	for i := range 1300 {
		g.set(float64(i%2+1), nil)
		l.Step(t.Context())
	}
	list := l.Decisions(0)
	if len(list) != 1000 || list[0].Seq != 301 || list[999].Seq != 1300 {
		t.Errorf("the journal has %d decisions from %d on", len(list), list[0].Seq)
	}
	if n := len(l.Events(0)); n > 2000 {
		t.Errorf("there are %d events", n)
	}
}

func TestACeilingOutlivesTheLoopAndEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dir := newCluster(20, "web"), t.TempDir()
		open := func() *control.Loop {
			return newLoop(t, control.Options{Platform: c, Dir: dir, Services: []control.Service{service("web", 1, 9, mute{newGauge(8)}, 0)}})
		}
		l := open()
		if err := l.SetCeiling("web", 3, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		l.Step(t.Context())
		l = open()
		if l.Step(t.Context()); c.desired("web") != 3 {
			t.Errorf("desired is %d under a ceiling of 3", c.desired("web"))
		}
		time.Sleep(time.Minute)
		if state := l.Step(t.Context()); c.desired("web") != 8 || len(state.Overrides) != 0 {
			t.Errorf("after it ended desired is %d, the overrides %+v", c.desired("web"), state.Overrides)
		}
		for _, err := range []error{
			l.SetCeiling("wbe", 1, time.Now().Add(time.Hour)), l.SetCeiling("web", 10, time.Now().Add(time.Hour)),
			l.SetCeiling("web", -1, time.Now().Add(time.Hour)), l.SetCeiling("web", 1, time.Now().Add(-time.Hour)),
		} {
			if err == nil {
				t.Error("a ceiling that cannot hold is taken")
			}
		}
	})
}
