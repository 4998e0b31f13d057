package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/api"
	"plimsoll/control"
	"plimsoll/router"
)

// explanation is all that the API tells of one service.
type explanation struct {
	api.ServiceView
	At        time.Time
	Problem   string
	Router    *api.RouterView
	Tasks     []api.TaskView
	Decisions []control.Decision
}

// explain is `plimsoll explain`.
func (c *console) explain() *cobra.Command {
	var format string
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     "explain SERVICE",
		Short:   "Say why a service has the count that it has",
		Long:    "Say why a service has this count: each reading, the want, the grant, and the reason with its numbers.",
		GroupID: groupLook,
		Args:    arguments(1, 1, "one SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			api, err := c.client(f)
			if err != nil {
				return err
			}
			text, err := api.raw(cmd.Context(), servicePath(args[0]))
			if err != nil {
				return err
			}
			if format == formatJSON {
				_, err := c.out.Write(text)
				return err
			}
			var e explanation
			if err := json.Unmarshal(text, &e); err != nil {
				return err
			}
			return c.printExplanation(c.out, e)
		},
	}
	cmd.ValidArgsFunction = c.completeService(f, "")
	outputFlag(cmd, &format)
	f.add(cmd)
	return cmd
}

func (c *console) printExplanation(w io.Writer, e explanation) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(plain(fmt.Sprintf(format, args...)) + "\n") }
	line("%s: priority %d, %d to %d tasks%s", e.Name, e.Priority, e.Min, e.Max, options(e.ServiceView))
	line("  running    %d, and %d on the way; %d protected", e.Running, e.Pending, e.Protected)
	line("  desired    %d, of a grant of %s, of a want of %s", e.Desired, count(e.Grant), count(e.Want))
	line("  because    %s", e.Reason)
	for _, note := range c.byHand(e.ServiceView) {
		line("  by hand    %s", note)
	}
	for i, t := range e.Triggers {
		label := ""
		if i == 0 {
			label = "readings"
		}
		line("  %-9s  %s: %s", label, t.Name, reading(t))
	}
	if f := e.Forecast; f != nil {
		line("  forecast   %s", strings.TrimPrefix(f.Reason, "forecast "))
	}
	if r := e.Router; r != nil {
		line("  router     %d in flight, %d held, %.1f requests/s, p50 %.1f ms, p99 %.1f ms", r.InFlight, r.Held, r.RequestsPerSecond, r.LatencyP50, r.LatencyP99)
		for _, note := range leftOut(r.Targets) {
			line("  left out   %s", note)
		}
	}
	if e.Problem != "" {
		line("  problem    the last step decided nothing: %s", e.Problem)
	}
	for i, d := range e.Decisions {
		label := ""
		if i == 0 {
			label = "decisions"
		}
		line("  %-9s  %s  %d -> %d  %s (%s)", label, c.clock(d.At), d.From, d.To, d.Reason, d.Outcome)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// maxLeftOut bounds the tasks that are shown one by one.
const maxLeftOut = 5

// leftOut says which tasks get no requests, and why.
func leftOut(targets []router.TargetState) (notes []string) {
	for _, t := range targets {
		if !t.Healthy && t.Reason != "" {
			notes = append(notes, short(t.ID)+": "+t.Reason)
		}
	}
	if more := len(notes) - maxLeftOut; more > 0 {
		notes = append(notes[:maxLeftOut], fmt.Sprintf("and %d more", more))
	}
	return notes
}

// options are the service's options of the file.
func options(s api.ServiceView) string {
	var words []string
	if s.Remainder {
		words = append(words, "remainder")
	}
	if s.Cooperative {
		words = append(words, "cooperative")
	}
	if s.URL != "" {
		words = append(words, s.URL)
	}
	if len(words) == 0 {
		return ""
	}
	return "; " + strings.Join(words, ", ")
}

// reading is what one trigger said.
func reading(t api.TriggerView) string {
	if !t.Known {
		return "unknown: " + t.Reason
	}
	return fmt.Sprintf("%s, wants %d: %s", figure(t.Value), t.Want, t.Reason)
}
