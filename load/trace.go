package load

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The columns of a trace, in their order; the last may be absent.
var columns = []string{"seconds", "requests_per_second", "messages_per_second"}

// Bounds of a trace's values: far past any use, and small enough to compute with.
const (
	maxSeconds = 7 * 24 * 3600
	maxRate    = 1e6
	maxRows    = 1_000_000
)

// ReadTrace reads a curve from CSV: a line of column names (seconds,
// requests_per_second and, if wanted, messages_per_second), then at least two
// rows, the first at 0 seconds. Between rows the rates are on straight lines; two
// rows at the same second are a step. Lines that begin with # are comments. name
// is the file's, for errors, which name line, column and value.
func ReadTrace(r io.Reader, name string) (Curve, error) {
	reader := csv.NewReader(r)
	reader.Comment = '#'
	reader.FieldsPerRecord = -1
	reader.TrimLeadingSpace = true
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return Curve{}, readError(name, err, "the file is empty; it begins with the line %q", strings.Join(columns, ","))
	}
	width := len(header)
	if width < 2 || width > len(columns) {
		return Curve{}, fmt.Errorf("%s:1: %d columns; they are %q, and %q if wanted", name, width, strings.Join(columns[:2], ","), columns[2])
	}
	for i, found := range header {
		if strings.ToLower(strings.TrimSpace(strings.TrimPrefix(found, "\ufeff"))) != columns[i] {
			line, _ := reader.FieldPos(i)
			return Curve{}, fmt.Errorf("%s:%d: column %d is named %q; it must be %q", name, line, i+1, found, columns[i])
		}
	}
	var points []Point
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Curve{}, readError(name, err, "")
		}
		p, err := readRow(reader, name, row, width, points)
		if err != nil {
			return Curve{}, err
		}
		if points = append(points, p); len(points) > maxRows {
			return Curve{}, fmt.Errorf("%s: more than %d rows; a trace has at most as many", name, maxRows)
		}
	}
	curve, err := NewCurve(points)
	if err != nil {
		return Curve{}, fmt.Errorf("%s: %w", name, err)
	}
	if round := curve.sums[len(curve.sums)-1]; round.Requests == 0 && round.Messages == 0 {
		return Curve{}, fmt.Errorf("%s: all rates are 0, so nothing would be sent; give at least one row a rate", name)
	}
	return curve, nil
}

func readRow(reader *csv.Reader, name string, row []string, width int, before []Point) (Point, error) {
	line, _ := reader.FieldPos(0)
	if len(row) != width {
		return Point{}, fmt.Errorf("%s:%d: %d values; the line of names has %d columns", name, line, len(row), width)
	}
	var values [3]float64
	for i, text := range row {
		limit := float64(maxRate)
		if i == 0 {
			limit = maxSeconds
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(v >= 0 && v <= limit) {
			return Point{}, fmt.Errorf("%s:%d: column %d (%s): %q is not a number from 0 to %g", name, line, i+1, columns[i], text, limit)
		}
		values[i] = v
	}
	p := Point{At: time.Duration(values[0] * float64(time.Second)), Requests: values[1], Messages: values[2]}
	switch {
	case len(before) == 0 && p.At != 0:
		return Point{}, fmt.Errorf("%s:%d: column 1 (seconds): %q; the first row must be at 0", name, line, row[0])
	case len(before) > 0 && p.At < before[len(before)-1].At:
		return Point{}, fmt.Errorf("%s:%d: column 1 (seconds): %q is before the row above, at %g; times must not go back", name, line, row[0], before[len(before)-1].At.Seconds())
	}
	return p, nil
}

func readError(name string, err error, empty string, args ...any) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: "+empty, append([]any{name}, args...)...)
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s:%d: character %d: %w", name, parse.Line, parse.Column, parse.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
