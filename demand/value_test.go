package demand_test

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"plimsoll/demand"
)

func TestADemandIsOneFiniteNumberThatIsNotNegative(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, " 12\n": 12, "3.5": 3.5, "1e3": 1000, "+4": 4, "0x10p0": 16, "-0": 0} {
		got, err := demand.ParseValue(text)
		if err != nil || got != want {
			t.Errorf("ParseValue(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "many", "1 2", "1,5", "NaN", "nan", "Inf", "-inf", "1e999", "-1", "-0.001", "12 messages", "null"} {
		got, err := demand.ParseValue(text)
		if err == nil {
			t.Errorf("ParseValue(%q) = %v, want an error", text, got)
		} else if quoted := strings.TrimSpace(text); !strings.Contains(err.Error(), `"`+quoted+`"`) {
			t.Errorf("ParseValue(%q): %v; want an error that quotes it", text, err)
		}
	}
}

func TestWhateverIsReadIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value, err := demand.ParseValue(rapid.String().Draw(t, "text"))
		if err == nil && !demand.Valid(value) {
			t.Fatalf("%v was read", value)
		}
	})
}

func TestNoOtherNumberIsADemand(t *testing.T) {
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -math.SmallestNonzeroFloat64} {
		if demand.Valid(value) {
			t.Errorf("%v is taken for a demand", value)
		}
	}
}

func TestAForeignTextIsCutBetweenRunes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		short := demand.Shorten(text)
		if len(short) > 130 || !utf8.ValidString(short) && utf8.ValidString(text) {
			t.Fatalf("%q became %q", text, short)
		}
		if len(text) <= 120 && short != text {
			t.Fatalf("%q became %q, want it whole", text, short)
		}
	})
}
