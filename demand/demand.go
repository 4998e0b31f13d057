// Package demand is the seam to whatever tells how much work there is: a queue,
// the router, a schedule, a script. It knows how a reading is made and what a
// failed one is; it does not know what is done with it.
package demand

import (
	"context"
	"time"
)

// Sample is one successful reading of a source. A reading that failed is an
// error, never a Sample of zero.
type Sample struct {
	// Value is the reading, in the source's own unit (messages, requests in
	// flight, requests per second, …). It is finite and not negative.
	Value float64
	// At is when it was taken.
	At time.Time
	// Detail is what the value is made of, for people:
	// "12 visible + 3 in flight".
	Detail string
}

// Source reads one trigger's demand.
//
// Read takes one reading. Any error means that the demand is unknown; a source
// returns an error rather than a value that is not finite, is negative or is
// older than the source itself allows.
type Source interface {
	Read(ctx context.Context) (Sample, error)
}

// Notifier is the optional ability of a source to say that its value has
// changed, so that nobody has to wait for the next poll. Changed must not be
// closed, and holds at most one pending notice.
type Notifier interface {
	Changed() <-chan struct{}
}

// Pacer is the optional ability of a source to say itself when it is worth
// being read again, in place of a fixed interval.
type Pacer interface {
	// Next is the earliest time of the next Read, asked for after one has ended
	// at now.
	Next(now time.Time) time.Time
}

// Immediate is the optional ability of a source to be read in place: its Read
// looks at what is in memory, never waits, and ends at once.
type Immediate interface {
	Immediate()
}
