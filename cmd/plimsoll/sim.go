package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/compose"
	"plimsoll/sim"
	"plimsoll/sim/baseline"
)

// sim is `plimsoll sim`.
func (c *console) sim() *cobra.Command {
	o := app.SimOptions{Seed: 1}
	var format, page, faults, record string
	endpoint := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     "sim [FILE]",
		Short:   "Replay demand through the file's policies, in virtual time",
		GroupID: groupFile,
		Long: `Replay a trace of demand through the policies of a compose file: days in
seconds, by the same control loop, decisions, engine and placement that run live.
The same arguments give the same output, to the byte.

A trace is a CSV file (seconds,requests_per_second[,messages_per_second], or a
column for each service), or a generator with parameters:

  --trace diurnal:peak=200,low=20,days=7    --trace spike:period=3600,width=300

generators: ` + strings.Join(sim.Generators(), ", ") + `; all have low, peak, noise, days and every.

aU and aO are the mean shares by which too few and too many tasks ran, tU and tO
the shares of the time in which that was so, jitter the changes above those that
the demand made, in an hour (SPEC RG). unmet is in task-hours.`,
		Args: arguments(0, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if record != "" {
				return c.record(cmd.Context(), endpoint, record, o.For)
			}
			if err := c.checkSim(&o, args, format, faults); err != nil {
				return err
			}
			// Each step leaves much behind, and little of it is kept.
			defer debug.SetGCPercent(debug.SetGCPercent(1600))
			o.Progress = c.simProgress()
			results, err := c.programs.Sim(cmd.Context(), o)
			if o.Progress != nil {
				_, _ = fmt.Fprint(c.err, "\r\x1b[K")
			}
			if err != nil {
				return err
			}
			if page != "" {
				if err := writePage(page, results); err != nil {
					return err
				}
			}
			if format == formatJSON {
				return printSimJSON(c.out, results)
			}
			return printSim(c.out, results)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Trace, "trace", "", "CSV file, or a generator")
	flags.Float64Var(&o.Times, "times", 1, "what the trace's rates are multiplied by")
	flags.StringSliceVar(&o.Compare, "compare", nil, "policies of the field to run beside: "+strings.Join(baseline.Names(), ", "))
	flags.StringSliceVar(&o.Rates, "service-rate", nil, "work that a task does in a second: NUMBER, or SERVICE=NUMBER (without it: requestsPerSecond is taken for 70 % of it; else 10)")
	flags.DurationVar(&o.Delays.TaskStart, "task-start", 20*time.Second, "time from a task's placement until it runs: image pull and warm-up")
	flags.DurationVar(&o.Delays.TaskStop, "task-stop", 5*time.Second, "time from a task's stop signal to its end")
	flags.DurationVar(&o.Delays.HostStart, "host-start", 90*time.Second, "time from a host's launch until it takes tasks")
	flags.DurationVar(&o.Step, "step", 10*time.Second, "time between two steps of the control loop")
	flags.DurationVar(&o.For, "for", 0, "length of the simulation (without it: that of the trace)")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the spread of the delays, of generators and of ids")
	flags.StringVar(&faults, "faults", "", `what breaks: a file, or lines such as "2h host; 3h zone a 20m; 4h metrics web 5m; 5h cluster 2m"`)
	flags.StringVar(&page, "html", "", "file to write a page with charts to")
	flags.StringVar(&record, "record", "", "file to write the demand of the Plimsoll that runs to, as a trace: the last 15 minutes, and with --for so much more.\nA service's column is the sum of its triggers' readings, in their unit")
	endpoint.add(cmd)
	_ = cmd.MarkFlagFilename("record", "csv")
	_ = cmd.MarkFlagFilename("trace", "csv")
	_ = cmd.MarkFlagFilename("html", "html")
	_ = cmd.RegisterFlagCompletionFunc("compare", cobra.FixedCompletions(baseline.Names(), cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd, &format)
	return cmd
}

func (c *console) checkSim(o *app.SimOptions, args []string, format, faults string) (err error) {
	if err := checkOutput(format); err != nil {
		return err
	}
	switch {
	case o.Trace == "":
		return misusef("--trace is missing: a CSV file or a generator (%s)", strings.Join(sim.Generators(), ", "))
	case o.Step < time.Millisecond || o.Step > time.Hour:
		return misusef("--step is %s; allowed: 1ms to 1h", o.Step)
	case o.For < 0:
		return misusef("--for is %s; allowed: 0s for the trace's length, or more", o.For)
	case !(o.Times > 0 && o.Times <= 1e9):
		return misusef("--times is %g; allowed: a number over 0", o.Times)
	}
	for flag, d := range map[string]time.Duration{"task-start": o.Delays.TaskStart, "task-stop": o.Delays.TaskStop, "host-start": o.Delays.HostStart} {
		if d < 0 || d > 24*time.Hour {
			return misusef("--%s is %s; allowed: 0s to 24h", flag, d)
		}
	}
	o.Faults = faults
	if text, err := os.ReadFile(faults); err == nil {
		o.Faults = string(text)
	}
	if len(args) == 1 {
		o.File = args[0]
		return nil
	}
	if o.File, err = compose.Find("."); err != nil {
		return app.Misuse{Err: err}
	}
	return nil
}

// simProgress tells how far a simulation is, on a terminal only.
func (c *console) simProgress() func(string, time.Duration, time.Duration) {
	f, ok := c.err.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	last := c.now()
	return func(policy string, done, length time.Duration) {
		if now := c.now(); now.Sub(last) >= 200*time.Millisecond {
			last = now
			_, _ = fmt.Fprintf(f, "\r\x1b[K%s: %.1f of %.1f days (%.0f %%)", policy, done.Hours()/24, length.Hours()/24, 100*done.Seconds()/length.Seconds())
		}
	}
}

// writePage writes the page with the charts, whole or not at all.
func writePage(path string, results []sim.Result) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".plimsoll-*")
	if err != nil {
		return err
	}
	err = sim.WritePage(f, results)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// simPolicy is a policy's line of the JSON output.
type simPolicy struct {
	Name string `json:"name"`
	sim.Measures
}

func printSimJSON(w io.Writer, results []sim.Result) error {
	out := struct {
		Policies []simPolicy `json:"policies"`
	}{}
	for _, r := range results {
		out.Policies = append(out.Policies, simPolicy{r.Policy, r.Measures})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func printSim(w io.Writer, results []sim.Result) error {
	columns := []string{"AU %", "AO %", "TU %", "TO %", "JITTER/H", "TASK HOURS", "HOST HOURS", "UNMET", "CHANGES"}
	row := func(m sim.Measures, changes int, names ...string) []string {
		for _, v := range []float64{m.AU, m.AO, m.TU, m.TO, m.Jitter, m.TaskHours, m.HostHours, m.Unmet} {
			names = append(names, strconv.FormatFloat(v, 'f', 2, 64))
		}
		return append(names, strconv.Itoa(changes))
	}
	all := newTable(append([]string{"POLICY"}, columns...)...).numbers(columns...)
	for _, r := range results {
		all.row(row(r.Measures, r.Changes, r.Policy)...)
	}
	if err := all.write(w); err != nil || len(results[0].Services) == 1 {
		return err
	}
	_, _ = fmt.Fprintln(w)
	each := newTable(append([]string{"SERVICE", "POLICY"}, columns...)...).numbers(columns...)
	for i := range results[0].Services {
		for _, r := range results {
			s := r.Services[i]
			cells := row(s.Measures, s.Changes, s.Name, r.Policy)
			cells[8] = "-" // hosts are nobody's own
			each.row(cells...)
		}
	}
	return each.write(w)
}
