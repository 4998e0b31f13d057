package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// logs is `plimsoll logs`.
func (c *console) logs() *cobra.Command {
	var follow bool
	var container string
	var tail int
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     "logs SERVICE|TASK",
		Short:   "Print what a task, or all tasks of a service, printed",
		Long:    "Print what a task printed, or all tasks of a service; a start of a task's id names it.",
		GroupID: groupLook,
		Args:    arguments(1, 1, "one SERVICE or TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if follow {
				query.Set("follow", "1")
			}
			if container != "" {
				query.Set("container", container)
			}
			if cmd.Flags().Changed("tail") {
				if err := between("tail", int64(tail), 0, 10000); err != nil {
					return err
				}
				query.Set("tail", strconv.Itoa(tail))
			}
			api, err := c.client(f)
			if err != nil {
				return err
			}
			return c.copyLogs(cmd.Context(), api, "/v1/logs/"+url.PathEscape(args[0])+"?"+query.Encode())
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task ends, or Ctrl-C")
	cmd.Flags().StringVar(&container, "container", "", "one container of the task (without it: all)")
	cmd.Flags().IntVar(&tail, "tail", 0, "only the last lines of the past, 0 to 10000")
	cmd.ValidArgsFunction = c.completeService(f, "")
	f.add(cmd)
	return cmd
}

func (c *console) copyLogs(ctx context.Context, api *client, path string) error {
	answer, err := api.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		return err
	}
	defer func() { _ = answer.Close() }()
	_, err = io.Copy(c.out, answer)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
