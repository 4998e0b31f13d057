package random_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll/demand/random"
)

func open(t interface{ Fatal(...any) }, o random.Options) *random.Source {
	s, err := random.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSameSeedGivesTheSameValuesWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.IntRange(0, 100).Draw(t, "min")
		o := random.Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Min: low, Max: low + rapid.IntRange(0, 100).Draw(t, "spread"),
			Period: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "period")),
		}
		one, other := open(t, o), open(t, o)
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		value := one.At(at)
		if value < o.Min || value > o.Max {
			t.Fatalf("%d is not within %d and %d", value, o.Min, o.Max)
		}
		if again := other.At(at); again != value {
			t.Fatalf("%d, then %d from the same seed", value, again)
		}
		if start := at.Add(-time.Duration(at.UnixNano() % int64(o.Period))); one.At(start) != value {
			t.Fatalf("%d at the start of the period, %d within", one.At(start), value)
		}
	})
}

func TestEveryValueComesAndSeedsDiffer(t *testing.T) {
	one, other := open(t, random.Options{Seed: 1, Min: 2, Max: 5}), open(t, random.Options{Seed: 2, Min: 2, Max: 5})
	seen, differ := map[int]int{}, 0
	start := time.Unix(1_700_000_000, 0)
	for i := range 400 {
		at := start.Add(time.Duration(i) * 10 * time.Second)
		seen[one.At(at)]++
		if one.At(at) != other.At(at) {
			differ++
		}
	}
	for value := 2; value <= 5; value++ {
		if seen[value] < 60 {
			t.Errorf("%d came %d times of 400, want about 100: %v", value, seen[value], seen)
		}
	}
	if differ < 200 {
		t.Errorf("two seeds differ in %d of 400 values, want about 300", differ)
	}
}

func TestAReadingIsTheValueOfItsTime(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := open(t, random.Options{Seed: 7, Max: 1000, Now: func() time.Time { return now }})
	sample, err := s.Read(t.Context())
	if err != nil || sample.Value != float64(s.At(now)) || !sample.At.Equal(now) {
		t.Errorf("sample %+v, error %v; want %d at %s", sample, err, s.At(now), now)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]random.Options{
		"min -1":         {Min: -1, Max: 3},
		"max 3":          {Min: 4, Max: 3},
		"max 2147483648": {Max: 1 << 31},
		`period "-1s"`:   {Max: 3, Period: -time.Second},
	} {
		if _, err := random.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v): error %v, want one that says %q", o, err, want)
		}
	}
}
