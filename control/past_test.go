package control_test

import (
	"bytes"
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

// foreseeing is a loop's options with one service that has a forecast.
func foreseeing(dir string, c *cluster, g *gauge) control.Options {
	s := service("web", 1, 100, g, 0)
	s.Policy.Forecast = &scale.Forecast{Lead: 5 * time.Minute, Quantile: 0.9, Seasons: []time.Duration{time.Hour}}
	return control.Options{Platform: c, Dir: dir, Services: []control.Service{s}}
}

// hourly lets a loop live for some hours, in steps of a slot, with 40 wanted in the
// second half of each hour and 4 in the first.
func hourly(t *testing.T, l *control.Loop, g *gauge, hours int) {
	t.Helper()
	for end := time.Now().Add(time.Duration(hours) * time.Hour); time.Now().Before(end); time.Sleep(scale.SlotLength) {
		g.set(4, nil)
		if time.Now().Minute() >= 30 {
			g.set(40, nil)
		}
		l.Step(t.Context())
	}
}

func pastOf(l *control.Loop) scale.Past {
	if m := l.State().Plan.Memory.Services["web"].Forecast; m != nil {
		return m.Past
	}
	return scale.Past{}
}

func TestWhatWasNeededOutlivesTheLoop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(100, "web"), newGauge(4)
		began := time.Now()
		l := newLoop(t, foreseeing(dir, c, g))
		hourly(t, l, g, 26)
		if l.State().Plan.Verdicts[0].Forecast.Off != "" {
			t.Fatalf("after a day: %s", l.State().Plan.Verdicts[0].Forecast)
		}
		before := pastOf(l)

		l = newLoop(t, foreseeing(dir, c, g))
		after := pastOf(l)
		same := 0
		for at := began; at.Before(time.Now()); at = at.Add(scale.SlotLength) {
			a, knownA := before.At(scale.SlotOf(at))
			b, knownB := after.At(scale.SlotOf(at))
			if a != b || knownA != knownB {
				t.Fatalf("at %s %v (%v) was needed, and %v (%v) is remembered", at, a, knownA, b, knownB)
			}
			same++
		}
		if same < 288 {
			t.Fatalf("%d slots compared", same)
		}
		g.set(4, nil)
		time.Sleep(26 * time.Minute)
		l.Step(t.Context())
		if v := l.State().Plan.Verdicts[0]; !v.Forecast.Raises {
			t.Errorf("four minutes before the half hour the next loop says: %s; %s", v.Reason, v.Forecast)
		}
	})
	if info, err := os.Stat(filepath.Join(dir, "forecast.jsonl")); err != nil || info.Size() > 20_000 {
		t.Errorf("the log is not begun anew each day: %v", err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "control.json")); err != nil || bytes.Contains(content, []byte("needs")) {
		t.Errorf("the past is in the file that is written every few seconds: %v", err)
	}
}

func TestATornOrDamagedPastLosesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "forecast.jsonl")
	synctest.Test(t, func(t *testing.T) {
		c, g := newCluster(100, "web"), newGauge(4)
		began := time.Now()
		hourly(t, newLoop(t, foreseeing(dir, c, g)), g, 2)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(content), "\n")
		lines[3] = "rubbish\n"
		torn := strings.TrimSuffix(strings.Join(lines, ""), "}}\n")
		if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		options := foreseeing(dir, c, g)
		options.Log = slog.New(slog.NewTextHandler(&said, nil))
		l := newLoop(t, options)
		if !strings.Contains(said.String(), "lines=2") {
			t.Errorf("the log says %q", &said)
		}
		known := func(l *control.Loop) (n int) {
			past := pastOf(l)
			for at := began; at.Before(time.Now()); at = at.Add(scale.SlotLength) {
				if _, ok := past.At(scale.SlotOf(at)); ok {
					n++
				}
			}
			return n
		}
		if got, want := known(l), len(lines)-1-2; got != want {
			t.Errorf("%d slots are known, not %d", got, want)
		}
		hourly(t, l, g, 1)
		if a, b := known(l), known(newLoop(t, foreseeing(dir, c, g))); a != b || a < 20 {
			t.Errorf("%d slots are known, and %d by the next loop", a, b)
		}
	})
}
