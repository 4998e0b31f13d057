package control

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"plimsoll/demand"
	"plimsoll/scale"
)

// Defaults of a Source.
const (
	defaultReadTimeout = 5 * time.Second
	leastMaxAge        = 15 * time.Second
)

// noReading is the problem of a source whose first read has not ended.
const noReading = "no reading yet"

// readsAtOnce bounds how many sources are read at the same time.
const readsAtOnce = 64

// feed is one source and what it last gave. It is read on its own: a slow or
// failing source holds up no other.
type feed struct {
	service string
	name    string
	from    Source
	// immediate sources are read in place.
	immediate bool

	mu     sync.Mutex
	began  time.Time // of the last read; zero: none yet
	due    time.Time // of the next, as the source itself has it; zero: by Interval
	done   chan struct{}
	dirty  bool // the source says that it has changed
	late   bool // a step went on without the read under way
	sample demand.Sample
	readAt time.Time // when the last good sample came in
	err    error     // of the last read that ended

	// unknown is what the last step saw; only the step uses it.
	unknown bool
}

func newFeed(service string, trigger scale.Trigger, from Source) *feed {
	if from.Timeout <= 0 {
		from.Timeout = defaultReadTimeout
	}
	if from.MaxAge <= 0 {
		from.MaxAge = max(3*from.Interval, leastMaxAge)
	}
	_, immediate := from.Source.(demand.Immediate)
	return &feed{service: service, name: trigger.Name, from: from, immediate: immediate}
}

// begin starts a read if one is due, and gives the channel that is closed when
// the read under way ends; nil if there is none.
func (f *feed) begin(now time.Time, read func(*feed)) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != nil {
		return f.done
	}
	due := f.began.IsZero() || f.dirty
	switch {
	case !f.due.IsZero():
		due = due || !now.Before(f.due)
	default:
		due = due || f.from.Interval <= 0 || now.Sub(f.began) >= f.from.Interval
	}
	if !due {
		return nil
	}
	f.began, f.dirty, f.late = now, false, false
	if !f.immediate {
		f.done = make(chan struct{})
	}
	read(f)
	return f.done
}

// finish records what a read gave. It tells whether the loop has to look
// again: a step went on without this reading, or the source has changed since.
func (f *feed) finish(now time.Time, sample demand.Sample, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took(now, sample, err)
	close(f.done)
	f.done = nil
	return f.late || f.dirty
}

// took takes in what a read gave. The lock is held.
func (f *feed) took(now time.Time, sample demand.Sample, err error) {
	if err == nil && (math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) || sample.Value < 0) {
		err = fmt.Errorf("the reading %v is no number of 0 or more", sample.Value)
	}
	var due time.Time
	if p, ok := f.from.Source.(demand.Pacer); ok {
		due = p.Next(now)
	}
	f.err, f.due = err, due
	if err == nil {
		f.sample, f.readAt = sample, now
		if at := sample.At; !at.IsZero() && at.Before(now) {
			f.readAt = at
		}
	}
}

// changed marks the source for the next step, whatever its interval.
func (f *feed) changed() {
	f.mu.Lock()
	f.dirty = true
	f.mu.Unlock()
}

// leave tells a read under way that nobody waits for it any more.
func (f *feed) leave() {
	f.mu.Lock()
	f.late = f.done != nil
	f.mu.Unlock()
}

// next is when the source is to be read again of itself; zero: never.
func (f *feed) next() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.due.IsZero() && f.done == nil {
		return f.due
	}
	if f.from.Interval <= 0 || f.done != nil {
		return time.Time{}
	}
	return f.began.Add(f.from.Interval)
}

// reading is what a decision may use. A read that failed, or a sample that is
// too old, is unknown, whatever the value was.
func (f *feed) reading(now time.Time) scale.Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := scale.Reading{Value: f.sample.Value, Detail: f.sample.Detail, At: f.readAt}
	good := f.from.MaxAge
	if f.due.After(f.readAt) {
		good += f.due.Sub(f.readAt) // the source itself has it that nothing changes before
	}
	switch age := now.Sub(f.readAt); {
	case f.err != nil:
		r.Problem = f.err.Error()
	case f.readAt.IsZero():
		r.Problem = noReading
	case age > good:
		r.Problem = fmt.Sprintf("the last reading is %s old, and good for %s", age.Round(time.Second), good)
	default:
		r.Known = true
	}
	return r
}

// read takes one reading in its own goroutine.
func (l *Loop) read(ctx context.Context, f *feed) {
	l.reads.Go(func() {
		sample, err := l.readOne(ctx, f)
		if f.finish(l.now(), sample, err) {
			l.Wake()
		}
	})
}

func (l *Loop) readOne(ctx context.Context, f *feed) (demand.Sample, error) {
	select {
	case l.readers <- struct{}{}:
		defer func() { <-l.readers }()
	case <-ctx.Done():
		return demand.Sample{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, f.from.Timeout)
	defer cancel()
	return f.from.Source.Read(ctx)
}

// look reads the immediate sources that are due, and tells whether there are
// others.
func (l *Loop) look(ctx context.Context) (others bool) {
	now := l.now()
	for _, f := range l.feeds {
		if !f.immediate {
			others = true
			continue
		}
		f.begin(now, func(f *feed) {
			sample, err := f.from.Source.Read(ctx)
			f.took(now, sample, err)
		})
	}
	return others
}

// gather starts the reads that are due, and waits for those under way, though
// no longer than patience: what comes later wakes the loop.
func (l *Loop) gather(ctx context.Context, patience time.Duration) {
	now := l.now()
	read := func(f *feed) { l.read(ctx, f) }
	var waits []<-chan struct{}
	for _, f := range l.feeds {
		if f.immediate {
			continue // observe has read it
		}
		if done := f.begin(now, read); done != nil {
			waits = append(waits, done)
		}
	}
	if len(waits) == 0 {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for _, done := range waits {
		select {
		case <-done:
			continue
		case <-limit.C:
		case <-ctx.Done():
		}
		for _, f := range l.feeds {
			f.leave()
		}
		return
	}
}

// readings are those of all feeds at one moment, by service.
func (l *Loop) readings(now time.Time) map[string][]scale.Reading {
	all := make(map[string][]scale.Reading, len(l.services))
	for _, f := range l.feeds {
		r := f.reading(now)
		all[f.service] = append(all[f.service], r)
		if r.Problem != noReading && !r.Known != f.unknown {
			f.unknown = !r.Known
			l.sayDemand(now, f, r)
		}
	}
	return all
}

func (l *Loop) sayDemand(now time.Time, f *feed, r scale.Reading) {
	e := Event{At: now, Kind: EventDemandRecovered, Service: f.service, Message: f.name + " is known again"}
	if !r.Known {
		e.Kind, e.Message = EventDemandFailed, f.name+" is unknown: "+r.Problem
		l.log.Warn("demand is unknown", "service", f.service, "trigger", f.name, "problem", r.Problem)
	}
	l.journal.event(e)
}
