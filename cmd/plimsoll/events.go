package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/control"
)

// followEvery is the time between two questions for new events.
const followEvery = 500 * time.Millisecond

// events is `plimsoll events`.
func (c *console) events() *cobra.Command {
	var format string
	var follow bool
	var limit int
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "List what happened in the cluster and to the readings",
		Long:    "List the last events, oldest first. With --follow and -o json, each event is a line of JSON.",
		GroupID: groupLook,
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			if err := between("limit", int64(limit), 1, 1000); err != nil {
				return err
			}
			api, err := c.client(f)
			if err != nil {
				return err
			}
			path := fmt.Sprintf("/v1/events?limit=%d", limit)
			if follow {
				return c.followEvents(cmd.Context(), api, path, format)
			}
			text, err := api.raw(cmd.Context(), path)
			if err != nil {
				return err
			}
			if format == formatJSON {
				_, err := c.out.Write(text)
				return err
			}
			var answer struct{ Events []control.Event }
			if err := json.Unmarshal(text, &answer); err != nil {
				return err
			}
			return c.eventTable(answer.Events).write(c.out)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "the most events of the past, 1 to 1000")
	outputFlag(cmd, &format)
	f.add(cmd)
	return cmd
}

func (c *console) eventTable(events []control.Event) *table {
	t := newTable("TIME", "KIND", "SERVICE", "TASK", "HOST", "EVENT")
	for _, e := range events {
		t.row(c.clock(e.At), e.Kind, e.Service, short(e.Task), e.Host, e.Message)
	}
	return t
}

// followEvents prints events as they come, until ctx is done.
func (c *console) followEvents(ctx context.Context, api *client, path, format string) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		var answer struct{ Events []control.Event }
		err := api.get(ctx, path, &answer)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		if err != nil {
			return err
		}
		for _, e := range answer.Events {
			if err := c.printEvent(e, format); err != nil {
				return err
			}
			path = fmt.Sprintf("/v1/events?since=%d", e.Seq)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *console) printEvent(e control.Event, format string) error {
	if format == formatJSON {
		return json.NewEncoder(c.out).Encode(e)
	}
	_, err := fmt.Fprintf(c.out, "%s  %-16s  %s\n", c.clock(e.At), e.Kind, plain(e.Message))
	return err
}
