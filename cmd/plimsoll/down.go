package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// down is `plimsoll down`.
func (c *console) down() *cobra.Command {
	var state string
	var purge bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Drain and stop the cluster that runs with a state",
		GroupID: groupRun,
		Long: `Ask the running Plimsoll to drain and stop all its tasks, and wait until it has
ended. Its state stays for the next start, unless --purge removes it.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return misusef("--timeout is %q; allowed: a duration over 0, such as 3m", timeout)
			}
			run, err := running(state)
			clean := errors.Is(err, errNotRunning) && !run.Ended.IsZero()
			if err != nil && !(purge && clean) {
				return err
			}
			if err == nil {
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				if err := c.end(ctx, run); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(c.out, "stopped")
			}
			if !purge {
				return nil
			}
			if err := purgeState(state); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(c.out, "removed %s\n", state)
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the state's folder as well: services, queues, logs and credentials")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for the end")
	return cmd
}

// end asks the process to stop, over its API or else by SIGTERM, and waits.
func (c *console) end(ctx context.Context, run app.RunFile) error {
	asked := false
	if run.UI != "" {
		api := &client{url: run.UI, token: run.Token}
		asked = api.post(ctx, "/v1/shutdown", nil, nil) == nil
	}
	if !asked {
		// The id was checked a moment ago to be the process that wrote the file.
		if err := syscall.Kill(run.PID, syscall.SIGTERM); err != nil {
			return fmt.Errorf("process %d: %w", run.PID, err)
		}
	}
	for wait := time.NewTicker(50 * time.Millisecond); ; {
		if !isProcess(run.PID, run.Started) {
			wait.Stop()
			return nil
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("process %d has not ended yet (%w); wait longer with --timeout, or end it with: kill -KILL %d", run.PID, ctx.Err(), run.PID)
		}
	}
}

// purgeState removes a folder that is a state's and nothing else.
func purgeState(state string) error {
	if _, err := os.Stat(filepath.Join(state, runFile)); err != nil {
		return fmt.Errorf("%q has no %s, so it is not taken for a state, and is left alone: %w", state, runFile, err)
	}
	return os.RemoveAll(state)
}
