package cloudwatch

import (
	"cmp"
	"math"
	"slices"
)

// Values are samples of one moment: so many of this value.
type Values struct{ Value, Count float64 }

// Summary is what is kept of any number of samples.
type Summary struct{ Count, Sum, Min, Max float64 }

// add takes another summary in; one of nothing changes nothing.
func (s *Summary) add(o Summary) {
	if o.Count == 0 {
		return
	}
	if s.Count == 0 {
		*s = o
		return
	}
	s.Count += o.Count
	s.Sum += o.Sum
	s.Min = min(s.Min, o.Min)
	s.Max = max(s.Max, o.Max)
}

// mostValues bounds the different values of a bucket. With more, they are kept
// rounded to roundBits of their mantissa (within 1 %); with still more, not at all.
const (
	mostValues = 1000
	roundBits  = 6
)

// bucket is the samples of one series in one second, or in one minute.
type bucket struct {
	at int64 // seconds since 1970, of its beginning
	Summary
	// values are the different values in their order; nil where all samples have
	// the same one, and where the values are not known.
	values []Values
	// vague tells that only the summary is known.
	vague bool
	of    *series
}

// addValues takes samples in whose values are known.
func (b *bucket) addValues(more []Values) {
	known := b.known()
	for _, v := range more {
		b.add(Summary{Count: v.Count, Sum: v.Value * v.Count, Min: v.Value, Max: v.Value})
	}
	if b.vague {
		return
	}
	if b.Min == b.Max {
		b.values = nil
		return
	}
	b.values = merge(append(slices.Clip(known), more...))
	if len(b.values) > mostValues {
		for i := range b.values {
			b.values[i].Value = rounded(b.values[i].Value)
		}
		b.values = merge(b.values)
	}
	if len(b.values) > mostValues {
		b.values, b.vague = nil, true
	}
}

// addSummary takes samples in of which the summary alone is known.
func (b *bucket) addSummary(s Summary) {
	if s.Min == s.Max {
		b.addValues([]Values{{s.Min, s.Count}})
		return
	}
	b.add(s)
	b.values, b.vague = nil, true
}

// known are the values in their order; nil where they are not known.
func (b *bucket) known() []Values {
	if b.vague || b.Count == 0 || b.values != nil {
		return b.values
	}
	return []Values{{b.Min, b.Count}}
}

// size is what the bucket takes in bytes: itself, its places in the lists, its
// values.
func (b *bucket) size() int { return 112 + 16*cap(b.values) }

// merge sorts the values and adds up those that are the same.
func merge(values []Values) []Values {
	slices.SortFunc(values, func(a, b Values) int { return cmp.Compare(a.Value, b.Value) })
	out := values[:0]
	for _, v := range values {
		if n := len(out); n > 0 && out[n-1].Value == v.Value {
			out[n-1].Count += v.Count
			continue
		}
		out = append(out, v)
	}
	return slices.Clip(out)
}

// rounded is a value with fewer bits.
func rounded(value float64) float64 {
	fraction, exponent := math.Frexp(value)
	return math.Ldexp(math.Round(fraction*(1<<roundBits))/(1<<roundBits), exponent)
}
