package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// pause is `plimsoll pause`.
func (c *console) pause() *cobra.Command {
	return c.hold("pause", "Keep the desired count of services as it is", "paused")
}

// resume is `plimsoll resume`.
func (c *console) resume() *cobra.Command {
	return c.hold("resume", "Let the count of services follow the demand again", "resumed")
}

func (c *console) hold(verb, summary, done string) *cobra.Command {
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     verb + " SERVICE…",
		Short:   summary,
		GroupID: groupSteer,
		Args:    arguments(1, -1, "a SERVICE, or several"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client(f)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := api.post(cmd.Context(), servicePath(name, verb), nil, nil); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(c.out, "%s: %s\n", name, done)
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = c.completeService(f, "")
	f.add(cmd)
	return cmd
}
