package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table is aligned text: a header and rows of the same number of cells.
type table struct {
	header []string
	rows   [][]string
	// right are the columns of numbers, which end at the right.
	right map[string]bool
}

func newTable(header ...string) *table {
	return &table{header: header, right: map[string]bool{}}
}

// numbers names the columns that are aligned at the right.
func (t *table) numbers(columns ...string) *table {
	for _, column := range columns {
		t.right[column] = true
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = plain(cell)
		if cell == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

// plain is a text on one line without control characters: some of what is shown
// is printed by other people's programs.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
}

// write prints the table with two spaces between the columns and none at the
// ends of lines.
func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.header))
	lines := append([][]string{t.header}, t.rows...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			if i > 0 {
				b.WriteString("  ")
			}
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[t.header[i]] {
				b.WriteString(gap + cell)
			} else {
				b.WriteString(cell + gap)
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// figure is a number that may be unknown, to two decimals.
func figure(f *float64) string {
	if f == nil {
		return "unknown"
	}
	return strconv.FormatFloat(math.Round(*f*100)/100, 'f', -1, 64)
}

// count is a whole number that may be unknown.
func count(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

// age is the time since, in its largest unit.
func age(now, since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := max(0, now.Sub(since))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// clock is a time of day, in the zone of the one who looks.
func (c *console) clock(t time.Time) string { return t.In(c.now().Location()).Format(time.TimeOnly) }

// short is enough of a task's id to name it by.
func short(id string) string {
	const enough = 12
	if len(id) > enough {
		return id[:enough]
	}
	return id
}
