package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
)

// stateCommand is `plimsoll state`: its commands look after the folder that a
// run keeps everything in.
func (c *console) stateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "state",
		Short:   "Check, back up and restore the folder of the state",
		GroupID: groupSteer,
		Long: `Look after the folder of the state (--state): every log of every account and
region, queues, tenants and keys, and what the scaler remembers.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.stateCheck(), c.stateBackup(), c.stateRestore())
	return cmd
}

func (c *console) stateCheck() *cobra.Command {
	var state, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read everything in the state, and say what is damaged, where, and what helps",
		Long: `Read every log and file of a state and compare the checksums; nothing is
changed. It may be in use. Exit status 1 tells of damage: the file, the offset
and what to do about it are printed.`,
		Args: arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			parts, err := app.CheckState(state)
			if err != nil {
				return err
			}
			if err := c.showParts(parts, output); err != nil {
				return err
			}
			damaged := 0
			for _, p := range parts {
				if p.Damage != "" {
					damaged++
				}
			}
			if damaged > 0 {
				return fmt.Errorf("%d of %d parts of the state are damaged; a backup is put back by plimsoll state restore FILE --overwrite --state %q", damaged, len(parts), state)
			}
			return nil
		},
	}
	stateFlag(cmd, &state)
	outputFlag(cmd, &output)
	return cmd
}

func (c *console) showParts(parts []app.Part, output string) error {
	if output == formatJSON {
		type part struct {
			Name   string `json:"name"`
			Log    bool   `json:"log"`
			Keys   int    `json:"keys"`
			Bytes  int64  `json:"bytes"`
			Note   string `json:"note,omitempty"`
			Damage string `json:"damage,omitempty"`
			Remedy string `json:"remedy,omitempty"`
		}
		list := []part{}
		for _, p := range parts {
			list = append(list, part{p.Name, p.Log, p.Keys, p.Size, p.Note, p.Damage, p.Remedy})
		}
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"parts": list})
	}
	t := newTable("PART", "STATUS", "RECORDS", "BYTES")
	for _, p := range parts {
		status, keys := "sound", "-"
		if p.Damage != "" {
			status = "DAMAGED"
		}
		if p.Log {
			keys = fmt.Sprint(p.Keys)
		}
		t.row(p.Name, status, keys, fmt.Sprint(p.Size))
	}
	err := t.write(c.out)
	for _, p := range parts {
		if p.Note != "" {
			_, more := fmt.Fprintf(c.out, "\n%s: %s\n", p.Name, p.Note)
			err = errors.Join(err, more)
		}
		if p.Damage != "" {
			_, more := fmt.Fprintf(c.out, "\n%s: %s\n  restore a backup, or %s\n", p.Name, p.Damage, p.Remedy)
			err = errors.Join(err, more)
		}
	}
	return err
}

func (c *console) stateBackup() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the whole state to a file, from a running engine too",
		Long: `Write a state to a compressed tar file that must not be there yet. The engine may
run: each log is copied as it is at one moment, with all that was answered
before, and the queues last, so that no event is missing. The file holds access
keys; only its owner can read it. What the tasks themselves wrote is not in it.`,
		Args: arguments(1, 1, "the backup's file"),
		RunE: func(_ *cobra.Command, args []string) error {
			parts, err := app.BackupState(state, args[0], c.now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "wrote %d parts of the state to %s\n", parts, args[0])
			return err
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func (c *console) stateRestore() *cobra.Command {
	var state string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of a state that nothing uses",
		Long: `Put a backup in the place of a state. The backup is read and checked whole first.
It is refused while an engine uses the state, and where there is a state already
unless --overwrite is given: that one is kept in a folder beside the new one.
Tasks that still run and that the backup knows are adopted by the next start;
others are ended.`,
		Args: arguments(1, 1, "the backup's file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if run, err := running(state); err == nil {
				return fmt.Errorf("process %d runs with the state %q; stop it first (plimsoll down)", run.PID, state)
			}
			done, err := app.RestoreState(state, args[0], overwrite, c.now())
			if err != nil {
				return err
			}
			if done.Replaced != "" {
				_, err = fmt.Fprintf(c.out, "what was there before is in %s\n", done.Replaced)
			}
			_, more := fmt.Fprintf(c.out, "restored the state of %s\n", done.Taken.Format(time.RFC3339))
			return errors.Join(err, more)
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace the state that is there; it is kept beside the new one")
	return cmd
}
