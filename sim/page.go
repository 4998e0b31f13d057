package sim

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	_ "embed"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"two": func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) },
}).Parse(pageText))

// chart is one picture of the page: a line for each of its figures.
type chart struct {
	Title, Unit string
	Lines       []line
	// Top is the value of the upper edge; Rows are the heights of its lines.
	Top     string
	Half    string
	Days    []tick
	Nothing bool
}

type line struct {
	Name, Colour, Points string
	Most                 string
}

type tick struct {
	X    float64
	Text string
}

// The size of a chart's plane, in its own units.
const (
	planeWidth  = 1000.0
	planeHeight = 200.0
)

// colours are told apart by people who see few of them, too (Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// figures are what is drawn of each policy.
var figures = []struct {
	title, unit string
	of          func(Point) float64
}{
	{"Wanted", "tasks", func(p Point) float64 { return p.Wanted }},
	{"Running", "tasks", func(p Point) float64 { return p.Running }},
	{"Pending", "tasks", func(p Point) float64 { return p.Pending }},
	{"Unmet demand", "tasks", func(p Point) float64 { return p.Unmet }},
	{"Backlog", "work", func(p Point) float64 { return p.Backlog }},
	{"Hosts", "hosts", func(p Point) float64 { return p.Hosts }},
	{"Cost", "task-hours", func(p Point) float64 { return p.Cost }},
}

// WritePage writes the results of one trace as one page, which needs nothing from
// anywhere else.
func WritePage(w io.Writer, results []Result) error {
	data := struct {
		Results []Result
		Charts  []chart
		Colours []string
	}{Results: results, Colours: colours}
	first := results[0].Series
	data.Charts = append(data.Charts,
		draw("Demand", "work in a second", []named{{"arrivals", first}}, func(p Point) float64 { return p.Demand }),
	)
	for _, f := range figures {
		var lines []named
		if f.title == "Running" {
			lines = append(lines, named{"needed", needs(first)})
		}
		for _, r := range results {
			lines = append(lines, named{r.Policy, r.Series})
		}
		data.Charts = append(data.Charts, draw(f.title, f.unit, lines, f.of))
	}
	return page.Execute(w, data)
}

// named is a series under a name.
type named struct {
	name   string
	points []Point
}

// needs are the points with the tasks that are needed in the place of those that
// run.
func needs(points []Point) []Point {
	out := make([]Point, len(points))
	for i, p := range points {
		out[i] = Point{At: p.At, Running: p.Needed}
	}
	return out
}

// draw makes a chart; every line is stepped, as counts are.
func draw(title, unit string, all []named, of func(Point) float64) chart {
	c := chart{Title: title, Unit: unit}
	top, length := 0.0, time.Duration(1)
	for _, n := range all {
		for _, p := range n.points {
			top, length = max(top, of(p)), max(length, p.At)
		}
	}
	c.Nothing = top == 0
	scale := roundUp(top)
	c.Top, c.Half = short(scale), short(scale/2)
	for i, n := range all {
		var b strings.Builder
		y, most := math.NaN(), 0.0
		for _, p := range n.points {
			x, now := planeWidth*float64(p.At)/float64(length), planeHeight*(1-of(p)/scale)
			most = max(most, of(p))
			if now == y {
				continue
			}
			if !math.IsNaN(y) {
				fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
			}
			fmt.Fprintf(&b, "%.1f,%.1f ", x, now)
			y = now
		}
		if !math.IsNaN(y) {
			fmt.Fprintf(&b, "%.1f,%.1f", planeWidth, y)
		}
		colour := colours[i%len(colours)]
		if n.name == "needed" {
			colour = "#999999"
		} else if len(all) > 0 && all[0].name == "needed" {
			colour = colours[(i-1)%len(colours)]
		}
		c.Lines = append(c.Lines, line{Name: n.name, Colour: colour, Points: b.String(), Most: short(most)})
	}
	c.Days = ticks(length)
	return c
}

// ticks are marks of time: at most about ten.
func ticks(length time.Duration) (out []tick) {
	every := time.Minute
	for _, d := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour} {
		if length/every <= 10 {
			break
		}
		every = d
	}
	for at := time.Duration(0); at <= length; at += every {
		text := fmt.Sprintf("%dd", at/(24*time.Hour))
		if every < 24*time.Hour {
			text = fmt.Sprintf("%d:%02d", int(at.Hours()), int(at.Minutes())%60)
		}
		out = append(out, tick{X: planeWidth * float64(at) / float64(length), Text: text})
	}
	return out
}

// roundUp gives the next of 1, 2, 5, 10, … that is not below a value.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*base >= v {
			return f * base
		}
	}
	return 10 * base
}

func short(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }
