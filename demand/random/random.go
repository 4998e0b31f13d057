// Package random is a demand for trying things out: a generator whose value is a
// pure function of its seed and the time, so that a run can be repeated. It must
// not know of anything but the clock it is given.
package random

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"plimsoll/demand"
)

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// Seed chooses the sequence; the same seed gives the same values at the
	// same times.
	Seed uint64
	// Min and Max bound the value, both included; 0 <= Min <= Max.
	Min, Max int
	// Period is how long a value holds; over 0. Default 10 s.
	Period time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source gives whole numbers, evenly spread from Min to Max, a new one in each
// period. Periods are counted from the Unix epoch.
type Source struct{ o Options }

var _ demand.Source = (*Source)(nil)

// New checks the options.
func New(o Options) (*Source, error) {
	if o.Period == 0 {
		o.Period = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Min < 0:
		return nil, fmt.Errorf("random: min %d: it must be 0 or more", o.Min)
	case o.Max < o.Min || o.Max > math.MaxInt32:
		return nil, fmt.Errorf("random: max %d: it must be from min (%d) to %d", o.Max, o.Min, math.MaxInt32)
	case o.Period < 0:
		return nil, fmt.Errorf("random: period %q: it must be over 0", o.Period)
	}
	return &Source{o}, nil
}

// Read gives the value of the present period; it cannot fail.
func (s *Source) Read(context.Context) (demand.Sample, error) {
	now := s.o.Now()
	return demand.Sample{
		Value:  float64(s.At(now)),
		At:     now,
		Detail: fmt.Sprintf("random from %d to %d, seed %d", s.o.Min, s.o.Max, s.o.Seed),
	}, nil
}

// At is the value at a time.
func (s *Source) At(now time.Time) int {
	step := now.UnixNano() / int64(s.o.Period)
	// A generator for each step, keyed by seed and step: no state to keep.
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:8], s.o.Seed)
	binary.LittleEndian.PutUint64(key[8:16], uint64(step))
	return s.o.Min + rand.New(rand.NewChaCha8(key)).IntN(s.o.Max-s.o.Min+1)
}
