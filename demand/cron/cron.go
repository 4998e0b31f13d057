// Package cron is a demand by the clock: a number of tasks between two points
// of a schedule, none outside. It must not know of anything but time.
package cron

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // time zones on machines that have no such files

	"github.com/robfig/cron/v3"

	"plimsoll/demand"
)

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// Start and End are cron expressions of five fields (minute, hour, day of
	// month, month, day of week), or @daily and the like.
	Start, End string
	// Timezone is a name of the IANA database, such as "Europe/Berlin".
	Timezone string
	// DesiredReplicas is the value inside the window; over 0.
	DesiredReplicas int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source gives DesiredReplicas from a start up to, and without, the next end.
// A start and an end at the same moment leave the window open.
//
// Schedules are read on the wall clock of the zone. What falls into an hour that
// is skipped in spring takes place when it is skipped; what falls into an hour
// that comes twice in autumn takes place the first time only.
type Source struct {
	o          Options
	start, end cron.Schedule
	zone       *time.Location
}

var _ demand.Source = (*Source)(nil)

// horizon is how far back and ahead an occurrence is looked for: longer than
// from one 29th of February to the next.
const horizon = 8 * 365 * 24 * time.Hour

// New checks the options.
func New(o Options) (*Source, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timezone == "" {
		return nil, fmt.Errorf(`cron: timezone is missing: it must be a name of the IANA database, such as "Europe/Berlin" or "UTC"`)
	}
	zone, err := time.LoadLocation(o.Timezone)
	if err != nil || o.Timezone == "Local" {
		return nil, fmt.Errorf(`cron: timezone %q: it must be a name of the IANA database, such as "Europe/Berlin" or "UTC"`, o.Timezone)
	}
	s := &Source{o: o, zone: zone}
	if s.start, err = parse("start", o.Start); err != nil {
		return nil, err
	}
	if s.end, err = parse("end", o.End); err != nil {
		return nil, err
	}
	if o.Start == o.End {
		return nil, fmt.Errorf("cron: end %q: it must differ from start, or the window has no length", o.End)
	}
	if o.DesiredReplicas <= 0 {
		return nil, fmt.Errorf("cron: desiredReplicas %d: it must be over 0", o.DesiredReplicas)
	}
	return s, nil
}

// parse reads an expression on a clock without zone changes: UTC stands for the
// wall clock, whatever the zone.
func parse(key, expression string) (cron.Schedule, error) {
	const allowed = "five fields (minute, hour, day of month, month, day of week), as in \"0 8 * * 1-5\""
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	schedule, err := parser.Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("cron: %s %q: it must be %s: %w", key, expression, allowed, err)
	}
	spec, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron: %s %q: it must be %s; an interval has no fixed points", key, expression, allowed)
	}
	if spec.Location != time.Local {
		return nil, fmt.Errorf("cron: %s %q: the zone is given by timezone, not here", key, expression)
	}
	spec.Location = time.UTC
	if spec.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("cron: %s %q: there is no such day", key, expression)
	}
	return spec, nil
}

// Read gives the value at this moment; it cannot fail.
func (s *Source) Read(context.Context) (demand.Sample, error) {
	now := s.o.Now()
	window := fmt.Sprintf("the window from %q to %q (%s)", s.o.Start, s.o.End, s.o.Timezone)
	if s.inside(now) {
		return demand.Sample{Value: float64(s.o.DesiredReplicas), At: now, Detail: "inside " + window}, nil
	}
	return demand.Sample{At: now, Detail: "outside " + window}, nil
}

// inside tells whether the last start is not before the last end.
func (s *Source) inside(now time.Time) bool {
	wall := s.wall(now)
	start, ok := last(s.start, wall)
	if !ok {
		return false
	}
	end, ok := last(s.end, wall)
	return !ok || !start.Before(end)
}

// Next is the first moment after now at which a start or an end takes place;
// zero if there is none within years.
func (s *Source) Next(now time.Time) time.Time {
	wall := s.wall(now)
	next := s.start.Next(wall)
	if end := s.end.Next(wall); next.IsZero() || (!end.IsZero() && end.Before(next)) {
		next = end
	}
	if next.IsZero() {
		return time.Time{}
	}
	// The wall clock runs evenly up to the zone's next change, then jumps.
	for at := now; at.Sub(now) < horizon; {
		due := at.Add(next.Sub(local(at, s.zone)))
		_, change := at.In(s.zone).ZoneBounds()
		if change.IsZero() || due.Before(change) {
			return due
		}
		if at = change; !s.wall(at).Before(next) {
			return at
		}
	}
	return time.Time{}
}

// wall is the highest that the zone's wall clock has shown up to t, as a time in
// UTC: it stands still while an hour comes for the second time.
func (s *Source) wall(t time.Time) time.Time {
	wall := local(t, s.zone)
	if since, _ := t.In(s.zone).ZoneBounds(); !since.IsZero() {
		before := since.Add(-time.Nanosecond)
		if shown := local(before, s.zone); shown.After(wall) {
			return shown
		}
	}
	return wall
}

// local is what the zone's clock shows at t, as a time in UTC.
func local(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// last is the latest occurrence that is not after wall. A schedule only tells
// what comes next; but the moments after which something comes up to wall are
// those before the last occurrence, so that halving finds it.
func last(schedule cron.Schedule, wall time.Time) (time.Time, bool) {
	comes := func(t time.Time) bool {
		next := schedule.Next(t)
		return !next.IsZero() && !next.After(wall)
	}
	for back := time.Hour; back <= horizon; back *= 4 {
		before, after := wall.Add(-back), wall
		if !comes(before) {
			continue
		}
		for after.Sub(before) > time.Second {
			if middle := before.Add(after.Sub(before) / 2); comes(middle) {
				before = middle
			} else {
				after = middle
			}
		}
		return schedule.Next(before), true
	}
	return time.Time{}, false
}
