package docker

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestImagesGoByAgeCountAndSize(t *testing.T) {
	hours := func(h int) time.Time { return noon.Add(-time.Duration(h) * time.Hour) }
	all := []candidate{
		{"new", noon.Add(-59 * time.Minute), 100, true}, {"old", hours(3), 100, true}, {"older", hours(4), 100, true},
		{"just", hours(1), 100, true}, {"busy", hours(9), 100, false},
	}
	for _, c := range []struct {
		clean Cleaning
		want  []string
	}{
		{Cleaning{}, []string{"older", "old", "just"}},
		{Cleaning{PerCycle: 2}, []string{"older", "old"}},
		{Cleaning{MinAge: 4 * time.Hour}, []string{"older"}},
		{Cleaning{MaxImages: 3}, []string{"older"}},
		{Cleaning{MaxImages: 1}, []string{"older", "old", "just"}},
		{Cleaning{MaxBytes: 350}, []string{"older", "old"}},
		{Cleaning{MaxBytes: 350, MaxImages: 1}, []string{"older", "old", "just"}},
		{Cleaning{MaxBytes: 500}, nil},
		{Cleaning{MaxBytes: 1}, []string{"older", "old", "just"}}, // the rest is too new, or has a container
	} {
		var got []string
		for _, image := range unneeded(slices.Clone(all), c.clean.defaults(), noon) {
			got = append(got, image.ref)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.clean, got, c.want)
		}
	}
}

func TestNoCycleTakesMoreThanItMayOrWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Cleaning{
			PerCycle: rapid.IntRange(1, 6).Draw(t, "per cycle"), MinAge: time.Duration(rapid.IntRange(1, 100).Draw(t, "age")) * time.Minute,
			MaxImages: rapid.IntRange(0, 5).Draw(t, "images"), MaxBytes: int64(rapid.IntRange(0, 500).Draw(t, "bytes")),
		}
		var all []candidate
		idle := 0
		for i := range rapid.IntRange(0, 12).Draw(t, "n") {
			one := candidate{
				fmt.Sprint(i), noon.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "used")) * time.Minute),
				int64(rapid.IntRange(0, 100).Draw(t, "size")), rapid.Bool().Draw(t, "idle"),
			}
			all = append(all, one)
			if one.idle {
				idle++
			}
		}
		gone := unneeded(all, c.defaults(), noon)
		if len(gone) > c.PerCycle {
			t.Errorf("%d at once", len(gone))
		}
		if c.MaxImages > 0 && c.MaxBytes == 0 && idle-len(gone) < min(idle, c.MaxImages) {
			t.Errorf("%d of %d are left", idle-len(gone), idle)
		}
		for _, image := range gone {
			if !image.idle || noon.Sub(image.used) < c.MinAge {
				t.Errorf("%+v goes", image)
			}
		}
	})
}

func TestStoppedTasksGoByAgeAndCount(t *testing.T) {
	var stopped []stoppedTask
	for i := range 10 {
		stopped = append(stopped, stoppedTask{fmt.Sprint(i), noon.Add(-time.Duration(i) * time.Hour)})
	}
	if got := tooOld(slices.Clone(stopped), Cleaning{}.defaults(), noon); len(got) != 7 || got[0].id != "9" || got[6].id != "3" {
		t.Errorf("%v", got)
	}
	if got := tooOld(stopped, Cleaning{MaxStopped: 2}.defaults(), noon); len(got) != 8 || got[7].id != "2" {
		t.Errorf("%v", got)
	}
}

func TestTheRecordOfImagesOutlivesTheEngineAndHoldsOnlyItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "images.json")
	r := openRecord(path, slog.New(slog.DiscardHandler))
	r.pulled("app:1", "app:1", "", "first", noon)
	r.pulled("theirs:1", "theirs:1", "same", "same", noon) // it was there before
	r.pulled("pinned@x", "mirror/pinned@x", "", "third", noon)
	r.pulled("app:1", "app:1", "first", "second", noon.Add(time.Hour))
	r.used([]string{"app:1", "theirs:1"}, noon.Add(2*time.Hour))
	r.flush()
	again := openRecord(path, slog.New(slog.DiscardHandler))
	want := map[string]pulledImage{
		"app:1":    {ID: "second", Used: noon.Add(2 * time.Hour)},
		"first":    {ID: "first", Used: noon}, // has lost its name
		"pinned@x": {ID: "third", Name: "mirror/pinned@x", Used: noon},
	}
	got := again.images()
	for ref, image := range want {
		if got[ref] != image {
			t.Errorf("%s: %+v, want %+v", ref, got[ref], image)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"null", `{"a":`, `[]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		broken := openRecord(path, slog.New(slog.DiscardHandler))
		if broken.pulled("b:1", "b:1", "", "id", noon); len(broken.images()) != 1 {
			t.Errorf("%s: %+v", text, broken.images())
		}
	}
}
