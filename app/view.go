package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"plimsoll"
	"plimsoll/control"
)

// watched is what the view reads of the control loop.
type watched interface {
	State() control.State
	Decisions(since uint64) []control.Decision
	Subscribe() (<-chan struct{}, func())
}

// view shows the cluster as it lives: redrawn in place on a terminal, plain
// lines otherwise.
type view struct {
	out    io.Writer
	loop   watched
	header string
	// extra, if set, adds a line about the load under way.
	extra func() string
	// size gives the terminal's columns and rows; nil where out is none.
	size func() (int, int)

	seen uint64 // the last decision that was shown as a line
	last string // the last summary that was shown as a line
}

const (
	redrawEvery  = 250 * time.Millisecond
	summaryEvery = 5 * time.Second

	// The picture is drawn over the last one, line by line, so that nothing
	// flickers.
	toTop     = "\x1b[H"
	restLine  = "\x1b[K"
	restBelow = "\x1b[J"
	// A terminal that does not know its size is taken for one of this size.
	usualWidth, usualHeight = 100, 30
)

// run shows the state until ctx is done.
func (v *view) run(ctx context.Context) {
	changed, stop := v.loop.Subscribe()
	defer stop()
	every := summaryEvery
	if v.size != nil {
		every = redrawEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.tick()
		case <-changed:
			if v.size == nil {
				v.lines()
			}
		}
	}
}

func (v *view) tick() {
	if v.size != nil {
		width, height := v.size()
		if width <= 0 || height <= 0 {
			width, height = usualWidth, usualHeight
		}
		text := strings.ReplaceAll(clip(v.screen(height), width, height), "\n", restLine+"\r\n")
		_, _ = io.WriteString(v.out, toTop+text+restBelow)
		return
	}
	v.lines()
	if s := v.summary(); s != v.last {
		v.last = s
		_, _ = fmt.Fprintf(v.out, "%s  %s\n", time.Now().Format(time.TimeOnly), s)
	}
}

// lines prints the decisions that were not printed yet.
func (v *view) lines() {
	for _, d := range v.loop.Decisions(v.seen) {
		v.seen = d.Seq
		_, _ = fmt.Fprintf(v.out, "%s  %s %d -> %d  %s%s\n", d.At.Local().Format(time.TimeOnly), d.Service, d.From, d.To, d.Reason, outcome(d))
	}
}

func outcome(d control.Decision) string {
	if d.Outcome == "done" || d.Outcome == "" {
		return ""
	}
	return " [" + d.Outcome + "]"
}

// summary is the state in one line.
func (v *view) summary() string {
	state := v.loop.State()
	var parts []string
	for _, verdict := range state.Plan.Verdicts {
		parts = append(parts, fmt.Sprintf("%s %d/%d", verdict.Service, verdict.Running, verdict.Want))
	}
	line := "running/wanted: " + strings.Join(parts, "  ")
	if state.Problem != "" {
		line += "  problem: " + state.Problem
	}
	if v.extra != nil {
		line += "  " + v.extra()
	}
	return line
}

// screen is the whole picture for a terminal of so many rows.
func (v *view) screen(height int) string {
	state := v.loop.State()
	var b strings.Builder
	b.WriteString(v.header + "\n")
	if v.extra != nil {
		b.WriteString(v.extra() + "\n")
	}
	if state.Problem != "" {
		b.WriteString("problem: " + state.Problem + "\n")
	}
	b.WriteString("\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SERVICE\tPRIORITY\tDEMAND\tWANT\tGRANT\tDESIRED\tRUNNING\tPENDING\tPROTECTED")
	for _, d := range state.Plan.Verdicts {
		demand := "unknown"
		switch {
		case d.Demand != nil:
			demand = fmt.Sprintf("%.1f", *d.Demand)
		case len(d.Triggers) == 0:
			demand = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n",
			d.Service, d.Priority, demand, d.Want, d.Grant, d.Desired, d.Running, d.Pending, d.Protected)
	}
	_ = table.Flush()
	b.WriteString("\n" + hostBars(state.Cluster))
	b.WriteString("\n")
	room := max(height-strings.Count(b.String(), "\n")-2, 3)
	decisions := v.loop.Decisions(0)
	if len(decisions) > room {
		decisions = decisions[len(decisions)-room:]
	}
	for _, d := range decisions {
		fmt.Fprintf(&b, "%s  %s %d -> %d  %s%s\n", d.At.Local().Format(time.TimeOnly), d.Service, d.From, d.To, d.Reason, outcome(d))
	}
	return b.String()
}

// hostBars draws each host's reserved CPU as a bar, a letter for each task.
func hostBars(cluster plimsoll.Cluster) string {
	const width = 32
	letters := map[string]byte{}
	for i, s := range cluster.Services {
		letters[s.Name] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i%26]
	}
	var b strings.Builder
	for _, host := range slices.SortedFunc(slices.Values(cluster.Instances), byZone) {
		bar := []byte(strings.Repeat(".", width))
		at := 0
		for _, t := range cluster.Tasks {
			if t.ContainerInstance != host.ARN || !t.Live() || host.Registered.CPU == 0 {
				continue
			}
			cells := int(max(t.Reserved.CPU*width/host.Registered.CPU, 1))
			letter, ofService := letters[t.Service]
			switch {
			case !ofService:
				letter = '?'
			case t.Leaving():
				letter += 'a' - 'A'
			}
			for i := at; i < min(at+cells, width); i++ {
				bar[i] = letter
			}
			at += cells
		}
		fmt.Fprintf(&b, "%-12s %s  %s\n", host.Zone, bar, host.Remaining)
	}
	var legend []string
	for _, s := range cluster.Services {
		legend = append(legend, fmt.Sprintf("%c %s", letters[s.Name], s.Name))
	}
	if len(legend) > 0 {
		b.WriteString(strings.Join(legend, "  ") + "  (small letters: on their way out)\n")
	}
	return b.String()
}

func byZone(a, b plimsoll.ContainerInstance) int {
	return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Address, b.Address))
}

// clip cuts text to the terminal's size, so that nothing wraps.
func clip(text string, width, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > height-1 {
		lines = lines[:max(height-1, 0)]
	}
	for i, line := range lines {
		if runes := []rune(line); len(runes) > width {
			lines[i] = string(runes[:max(width-1, 0)]) + "…"
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
