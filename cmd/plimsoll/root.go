package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/compose"
)

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitMisuse  = 2
)

// misusef is an error of the one who typed the command.
func misusef(format string, args ...any) error { return app.Misuse{Err: fmt.Errorf(format, args...)} }

// run carries out the command line and gives the exit status. An error is told
// once, on stderr.
func (c *console) run(ctx context.Context) int {
	begun := false
	root := c.root(&begun)
	root.SetArgs(c.args)
	err := root.ExecuteContext(ctx)
	var bad app.Misuse
	var file *compose.FileError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &file):
		c.tellFile(file)
		return exitMisuse
	case errors.As(err, &bad) || !begun:
		c.tell(err)
		return exitMisuse
	default:
		c.tell(err)
		return exitFailure
	}
}

func (c *console) tell(err error) {
	_, _ = fmt.Fprintf(c.err, "plimsoll: %s\n", strings.TrimSpace(err.Error()))
}

// tellFile puts each problem of a file on a line of its own that begins with
// the place, as editors follow it.
func (c *console) tellFile(e *compose.FileError) {
	what := "a problem in the file"
	if len(e.Problems) > 1 {
		what = fmt.Sprintf("%d problems in the file", len(e.Problems))
	}
	_, _ = fmt.Fprintf(c.err, "plimsoll: %s\n%v\n", what, e)
}

// root builds the whole tree of commands. begun is set once the arguments are
// understood and the command's own work begins.
func (c *console) root(begun *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "plimsoll",
		Short: "Scale containers to meet demand, in order of priority",
		Long: `Plimsoll scales containers in seconds to meet demand, in order of priority, on
the capacity that is there, and routes traffic straight to each of them.

  plimsoll up -f compose.yaml      a live cluster on this machine
  plimsoll run --cluster NAME      the scaler alone, for an ECS cluster of AWS
  plimsoll router --cluster NAME   the router alone, for an ECS cluster of AWS
  plimsoll engine                  the ECS endpoint alone
  plimsoll work --queue Q -- CMD   a queue's messages, a command for each

The other commands ask the Plimsoll that runs with the same --state, or the one
at --ui (or $PLIMSOLL_UI).`,
		Version:          c.version,
		SilenceErrors:    true,
		SilenceUsage:     true,
		PersistentPreRun: func(*cobra.Command, []string) { *begun = true },
	}
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetIn(c.in)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misusef("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "To run:"},
		&cobra.Group{ID: groupLook, Title: "To look:"},
		&cobra.Group{ID: groupSteer, Title: "To steer:"},
		&cobra.Group{ID: groupFile, Title: "To write the file:"},
	)
	root.AddCommand(
		c.up(), c.engine(), c.runScaler(), c.route(), c.work(), c.put(), c.down(), c.envCommand(),
		c.ps(), c.services(), c.hosts(), c.events(), c.explain(), c.logs(),
		c.scale(), c.pause(), c.resume(), c.tenants(), c.stateCommand(),
		c.sim(), c.validate(), c.schema(), c.versionCommand(),
	)
	return root
}

// The groups of commands in the help.
const (
	groupRun   = "run"
	groupLook  = "look"
	groupSteer = "steer"
	groupFile  = "file"
)

// arguments says how many arguments a command takes, in words that name them.
func arguments(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		if names == "" {
			return misusef("%s takes no arguments, found %q", cmd.CommandPath(), strings.Join(args, " "))
		}
		found := "none"
		if len(args) > 0 {
			found = fmt.Sprintf("%q", strings.Join(args, " "))
		}
		return misusef("%s takes %s, found %s", cmd.CommandPath(), names, found)
	}
}

// oneOf checks the value of a flag that takes certain words.
func oneOf(flag, value string, allowed ...string) error {
	for _, word := range allowed {
		if value == word {
			return nil
		}
	}
	return misusef("--%s is %q; allowed: %s", flag, value, strings.Join(allowed, ", "))
}

// logger writes to stderr what is at least of the level.
func (c *console) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := oneOf("log-level", level, "debug", "info", "warn", "error"); err != nil {
		return nil, err
	}
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, app.Misuse{Err: err}
	}
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: l})), nil
}
