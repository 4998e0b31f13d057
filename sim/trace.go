package sim

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Curve is a rate over time: between its points it is on straight lines, and
// after the last it begins anew. Two points at the same moment are a step. The
// zero value is no work at all.
type Curve struct {
	times []time.Duration
	rates []float64
}

// Length is the time of one round.
func (c Curve) Length() time.Duration {
	if len(c.times) == 0 {
		return 0
	}
	return c.times[len(c.times)-1]
}

// At is the rate, per second, at a time.
func (c Curve) At(t time.Duration) float64 {
	rate, _ := c.near(t, 0)
	return rate
}

// near is At, beginning to look at a segment; it gives the one that it found.
func (c Curve) near(t time.Duration, segment int) (rate float64, found int) {
	if c.Length() <= 0 {
		return 0, 0
	}
	t %= c.Length()
	i := segment
	if i+1 >= len(c.times) || t < c.times[i] || t >= c.times[i+1] {
		i = sort.Search(len(c.times), func(i int) bool { return c.times[i] > t }) - 1
	}
	from, to := c.times[i], c.times[i+1]
	share := float64(t-from) / float64(to-from)
	return c.rates[i] + share*(c.rates[i+1]-c.rates[i]), i
}

// Times gives the curve with its rates multiplied.
func (c Curve) Times(factor float64) Curve {
	rates := slices.Clone(c.rates)
	for i := range rates {
		rates[i] *= factor
	}
	return Curve{c.times, rates}
}

// Later gives the curve as it is a time after its beginning.
func (c Curve) Later(by time.Duration) Curve {
	if c.Length() <= 0 || by%c.Length() == 0 {
		return c
	}
	by %= c.Length()
	out := Curve{times: []time.Duration{0}, rates: []float64{c.At(by)}}
	for i, t := range c.times {
		if t > by {
			out.times, out.rates = append(out.times, t-by), append(out.rates, c.rates[i])
		}
	}
	for i, t := range c.times {
		if t <= by {
			out.times, out.rates = append(out.times, t+c.Length()-by), append(out.rates, c.rates[i])
		}
	}
	if last := out.Length(); last < c.Length() {
		out.times, out.rates = append(out.times, c.Length()), append(out.rates, c.At(by))
	}
	return out
}

// Trace is the demand on a world: a curve for each column of its file.
type Trace struct {
	Columns map[string]Curve
}

// The columns of a trace that is meant for whichever services fit.
const (
	Requests = "requests_per_second"
	Messages = "messages_per_second"
)

// Length is the time of its longest curve.
func (t Trace) Length() time.Duration {
	length := time.Duration(0)
	for _, c := range t.Columns {
		length = max(length, c.Length())
	}
	return length
}

// Bounds of a trace's values: far past any use, and small enough to compute with.
const (
	mostSeconds = 10 * 365 * 24 * 3600
	mostRate    = 1e9
	mostRows    = 10_000_000
)

// ReadTrace reads a trace from CSV: a line of column names (seconds, and then
// requests_per_second and perhaps messages_per_second, or the names of
// services), then at least two rows, the first at 0 seconds. Lines that begin
// with # are comments. name is the file's, for errors.
func ReadTrace(r io.Reader, name string) (Trace, error) {
	reader := csv.NewReader(r)
	reader.Comment, reader.TrimLeadingSpace, reader.ReuseRecord, reader.FieldsPerRecord = '#', true, true, -1
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return Trace{}, fmt.Errorf("%s: the file is empty; it begins with the line \"seconds,%s\"", name, Requests)
	}
	if err != nil {
		return Trace{}, fmt.Errorf("%s: %w", name, err)
	}
	columns := make([]string, len(header))
	for i, text := range header {
		columns[i] = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
		if columns[i] == "" || slices.Contains(columns[:i], columns[i]) {
			return Trace{}, fmt.Errorf("%s:1: column %d is named %q; each needs a name of its own", name, i+1, columns[i])
		}
	}
	if len(columns) < 2 || columns[0] != "seconds" {
		return Trace{}, fmt.Errorf("%s:1: the columns are %q; they must be \"seconds\" and at least one more: %q, %q or services' names", name, columns, Requests, Messages)
	}
	return readRows(reader, name, columns)
}

func readRows(reader *csv.Reader, name string, columns []string) (Trace, error) {
	var times []time.Duration
	rates := make([][]float64, len(columns))
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Trace{}, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := reader.FieldPos(0)
		if len(row) != len(columns) {
			return Trace{}, fmt.Errorf("%s:%d: %d values; the line of names has %d columns", name, line, len(row), len(columns))
		}
		if len(times) == mostRows {
			return Trace{}, fmt.Errorf("%s: more than %d rows; a trace has at most as many", name, mostRows)
		}
		for i, text := range row {
			most := float64(mostRate)
			if i == 0 {
				most = mostSeconds
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil || !(v >= 0 && v <= most) {
				return Trace{}, fmt.Errorf("%s:%d: column %d (%s): %q is not a number from 0 to %g", name, line, i+1, columns[i], text, most)
			}
			if i > 0 {
				rates[i] = append(rates[i], v)
				continue
			}
			at := time.Duration(math.Round(v * float64(time.Second)))
			if len(times) == 0 && at != 0 {
				return Trace{}, fmt.Errorf("%s:%d: the first row is at %s seconds; it must be at 0", name, line, text)
			}
			if len(times) > 0 && at < times[len(times)-1] {
				return Trace{}, fmt.Errorf("%s:%d: %s seconds is before the row above; times must not go back", name, line, text)
			}
			times = append(times, at)
		}
	}
	if len(times) < 2 || times[len(times)-1] == 0 {
		return Trace{}, fmt.Errorf("%s: a trace needs at least two rows, the last later than the first", name)
	}
	t := Trace{Columns: map[string]Curve{}}
	for i, column := range columns[1:] {
		t.Columns[column] = Curve{times, rates[i+1]}
	}
	return t, nil
}

// WriteTrace writes a trace of points as CSV that ReadTrace reads: one column for
// each service, sorted. Rows are by time; a missing value is the last one.
func WriteTrace(w io.Writer, services []string, seconds []float64, rates map[string][]float64) error {
	out := csv.NewWriter(w)
	if err := out.Write(append([]string{"seconds"}, services...)); err != nil {
		return err
	}
	for i, at := range seconds {
		row := []string{strconv.FormatFloat(at, 'f', -1, 64)}
		for _, s := range services {
			row = append(row, strconv.FormatFloat(rates[s][i], 'f', -1, 64))
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
