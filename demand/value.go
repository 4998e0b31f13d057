package demand

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseValue reads a demand from a text that is one number, with white space
// around it at most. It refuses what no demand can be: nothing, more than a
// number, an infinity, NaN, a negative number.
func ParseValue(text string) (float64, error) {
	trimmed := strings.TrimSpace(text)
	value, err := strconv.ParseFloat(trimmed, 64)
	if err != nil || !Valid(value) {
		return 0, fmt.Errorf("%q is not a demand: one finite number that is not negative", Shorten(trimmed))
	}
	return value, nil
}

// Valid tells whether a value can be a Sample's: finite and not negative.
func Valid(value float64) bool {
	return value >= 0 && !math.IsInf(value, 0) // NaN is not >= 0
}

// Shorten cuts a foreign text to a length that is fit for an error.
func Shorten(text string) string {
	const most = 120
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
