package main

import (
	"context"

	"github.com/spf13/cobra"
)

// list is a command that shows one list of the API: as the table that show
// makes of it, or as the JSON that came.
type list struct {
	use, short, long string
	args             cobra.PositionalArgs
	// path is where the list is.
	path func(args []string) string
	show func(ctx context.Context, text []byte) (*table, error)
}

// command makes the cobra command of a list.
func (c *console) list(l list) (*cobra.Command, *endpointFlags) {
	var format string
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use: l.use, Short: l.short, Long: l.long, GroupID: groupLook, Args: l.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			api, err := c.client(f)
			if err != nil {
				return err
			}
			text, err := api.raw(cmd.Context(), l.path(args))
			if err != nil {
				return err
			}
			if format == formatJSON {
				_, err := c.out.Write(text)
				return err
			}
			t, err := l.show(cmd.Context(), text)
			if err != nil {
				return err
			}
			return t.write(c.out)
		},
	}
	outputFlag(cmd, &format)
	f.add(cmd)
	return cmd, f
}
