package cron_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/demand/cron"
)

// window is a source of 5 tasks with a clock that the test sets.
type window struct {
	*cron.Source
	now time.Time
}

func open(t testing.TB, start, end, zone string) *window {
	t.Helper()
	w := &window{}
	s, err := cron.New(cron.Options{
		Start: start, End: end, Timezone: zone, DesiredReplicas: 5, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Source = s
	return w
}

func (w *window) isOpen(t testing.TB, now time.Time) bool {
	t.Helper()
	w.now = now
	sample, err := w.Read(t.Context())
	if err != nil || !sample.At.Equal(now) || (sample.Value != 0 && sample.Value != 5) || sample.Detail == "" {
		t.Fatalf("sample %+v, error %v", sample, err)
	}
	return sample.Value == 5
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestWhenAWindowIsOpen(t *testing.T) {
	const office, night, berlin = "0 8 * * 1-5", "0 22 * * *", "Europe/Berlin"
	tests := []struct {
		name, start, end, zone string
		now                    string
		want                   bool
	}{
		{"it opens at its start", office, "0 18 * * 1-5", "UTC", "2026-11-23T08:00:00Z", true},
		{"not a moment earlier", office, "0 18 * * 1-5", "UTC", "2026-11-23T07:59:59.999999999Z", false},
		{"it is open up to its end", office, "0 18 * * 1-5", "UTC", "2026-11-23T17:59:59.999999999Z", true},
		{"and closed at its end", office, "0 18 * * 1-5", "UTC", "2026-11-23T18:00:00Z", false},
		{"closed at the weekend", office, "0 18 * * 1-5", "UTC", "2026-11-22T12:00:00Z", false},
		{"in its own zone", office, "0 18 * * 1-5", berlin, "2026-11-23T07:00:00Z", true},
		{"and there alone", office, "0 18 * * 1-5", berlin, "2026-11-23T17:00:00Z", false},
		{"over midnight, before", night, "0 6 * * *", "UTC", "2026-11-22T23:59:00Z", true},
		{"over midnight, after", night, "0 6 * * *", "UTC", "2026-11-23T00:01:00Z", true},
		{"over midnight, by day", night, "0 6 * * *", "UTC", "2026-11-23T12:00:00Z", false},
		{"several ends close it once", "0 8 * * 1", "0 18 * * 1-5", "UTC", "2026-11-25T10:00:00Z", false},
		{"several starts keep it open", "0 8-16 * * *", "0 18 * * *", "UTC", "2026-11-25T12:30:00Z", true},
		{"an end and a start at once", "0 8,18 * * *", "0 18,20 * * *", "UTC", "2026-11-25T18:00:00Z", true},
		{"over the turn of the year", "0 0 24 12 *", "0 0 2 1 *", "UTC", "2027-01-01T00:00:00Z", true},
		{"a year's one window, after", "0 0 24 12 *", "0 0 2 1 *", "UTC", "2027-06-01T00:00:00Z", false},
		{"three years after a leap day", "0 0 29 2 *", "0 0 1 1 *", "UTC", "2027-03-01T00:00:00Z", false},
		{"on a leap day", "0 0 29 2 *", "0 0 1 1 *", "UTC", "2028-02-29T12:00:00Z", true},
		{"by name", "@daily", "0 6 * * *", "UTC", "2026-11-23T05:00:00Z", true},

		// Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
		{"a start that is skipped", "30 2 * * *", "0 6 * * *", berlin, "2026-03-29T01:00:00Z", true},
		{"a start that is skipped, before", "30 2 * * *", "0 6 * * *", berlin, "2026-03-29T00:59:59Z", false},
		{"an end that is skipped", night, "30 2 * * *", berlin, "2026-03-29T01:00:00Z", false},
		{"an end that is skipped, before", night, "30 2 * * *", berlin, "2026-03-29T00:59:59Z", true},
		{"a whole window that is skipped", "10 2 * * *", "50 2 * * *", berlin, "2026-03-29T01:00:00Z", false},
		// Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
		{"an end that comes twice, first", night, "30 2 * * *", berlin, "2026-10-25T00:30:00Z", false},
		{"an end that comes twice, then", night, "30 2 * * *", berlin, "2026-10-25T01:10:00Z", false},
		{"a start that comes twice, first", "30 2 * * *", "0 6 * * *", berlin, "2026-10-25T00:30:00Z", true},
		{"a start that comes twice, then", "30 2 * * *", "0 6 * * *", berlin, "2026-10-25T01:10:00Z", true},
		{"a start that comes twice, end", "30 2 * * *", "0 6 * * *", berlin, "2026-10-25T05:00:00Z", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := open(t, test.start, test.end, test.zone).isOpen(t, at(t, test.now)); got != test.want {
				t.Errorf("open %t, want %t", got, test.want)
			}
		})
	}
}

func TestTheNextChangeIsWhenAnEventTakesPlace(t *testing.T) {
	const berlin = "Europe/Berlin"
	tests := []struct{ name, start, end, zone, now, want string }{
		{"the end", "0 8 * * *", "0 18 * * *", "UTC", "2026-11-23T08:00:00Z", "2026-11-23T18:00:00Z"},
		{"the start", "0 8 * * *", "0 18 * * *", "UTC", "2026-11-23T18:00:00.5Z", "2026-11-24T08:00:00Z"},
		{"in its zone", "0 8 * * *", "0 18 * * *", berlin, "2026-07-23T08:00:00Z", "2026-07-23T16:00:00Z"},
		{"skipped in spring", "30 2 * * *", "0 6 * * *", berlin, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"after the change in spring", "0 8 * * *", "0 18 * * *", berlin, "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z"},
		{"the first of two in autumn", "30 2 * * *", "0 6 * * *", berlin, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"not the second of two", "30 2 * * *", "0 6 * * *", berlin, "2026-10-25T01:10:00Z", "2026-10-25T05:00:00Z"},
		{"years ahead", "0 0 29 2 *", "0 12 29 2 *", "UTC", "2025-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := open(t, test.start, test.end, test.zone).Next(at(t, test.now)); !got.Equal(at(t, test.want)) {
				t.Errorf("next %s, want %s", got, test.want)
			}
		})
	}
}

func TestNothingChangesBeforeTheNextChange(t *testing.T) {
	schedules := []string{"0 8 * * *", "30 2 * * *", "15 */7 * * *", "0 22 * * 1-5", "0 0 1 * *", "*/10 3 * * *", "45 1,2,3 * * *"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"}
	rapid.Check(t, func(r *rapid.T) {
		start := rapid.SampledFrom(schedules).Draw(r, "start")
		end := rapid.SampledFrom(schedules).Filter(func(s string) bool { return s != start }).Draw(r, "end")
		w := open(t, start, end, rapid.SampledFrom(zones).Draw(r, "zone"))
		now := time.Unix(rapid.Int64Range(1_500_000_000, 1_900_000_000).Draw(r, "now"), 0)
		next := w.Next(now)
		if !next.After(now) {
			r.Fatalf("next change %s is not after %s", next, now)
		}
		is := w.isOpen(t, now)
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(now))-1).Draw(r, "between")))
		if w.isOpen(t, between) != is {
			r.Fatalf("open %t at %s, %t at %s, before the change at %s", is, now, !is, between, next)
		}
	})
}

func TestBadOptionsAreNamed(t *testing.T) {
	const start, end = "0 8 * * *", "0 18 * * *"
	for want, o := range map[string]cron.Options{
		"timezone is missing":      {Start: start, End: end, DesiredReplicas: 1},
		`timezone "Mars/Olympus"`:  {Start: start, End: end, Timezone: "Mars/Olympus", DesiredReplicas: 1},
		`timezone "Local"`:         {Start: start, End: end, Timezone: "Local", DesiredReplicas: 1},
		`start ""`:                 {End: end, Timezone: "UTC", DesiredReplicas: 1},
		`start "soon"`:             {Start: "soon", End: end, Timezone: "UTC", DesiredReplicas: 1},
		`end "0 25 * * *"`:         {Start: start, End: "0 25 * * *", Timezone: "UTC", DesiredReplicas: 1},
		`end "@every 1h"`:          {Start: start, End: "@every 1h", Timezone: "UTC", DesiredReplicas: 1},
		"the zone is given by":     {Start: "CRON_TZ=UTC 0 8 * * *", End: end, Timezone: "UTC", DesiredReplicas: 1},
		"there is no such day":     {Start: "0 0 30 2 *", End: end, Timezone: "UTC", DesiredReplicas: 1},
		"it must differ":           {Start: start, End: start, Timezone: "UTC", DesiredReplicas: 1},
		"desiredReplicas 0":        {Start: start, End: end, Timezone: "UTC"},
		"five fields (minute, hou": {Start: "* * * * * *", End: end, Timezone: "UTC", DesiredReplicas: 1},
	} {
		if _, err := cron.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func BenchmarkReadYearlyBurst(b *testing.B) {
	w := open(b, "* * * 1 *", "0 0 1 2 *", "Europe/Berlin")
	now := at(b, "2026-07-01T00:00:00Z")
	for b.Loop() {
		w.isOpen(b, now)
	}
}
