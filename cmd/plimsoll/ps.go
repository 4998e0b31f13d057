package main

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"plimsoll/api"
)

// ps is `plimsoll ps`.
func (c *console) ps() *cobra.Command {
	var all bool
	cmd, f := c.list(list{
		use: "ps [SERVICE]", short: "List the tasks", args: arguments(0, 1, "at most one SERVICE"),
		path: func(args []string) string {
			query := url.Values{}
			if all {
				query.Set("all", "1")
			}
			if len(args) > 0 {
				query.Set("service", args[0])
			}
			return "/v1/tasks?" + query.Encode()
		},
		show: func(_ context.Context, text []byte) (*table, error) {
			var answer struct{ Tasks []api.TaskView }
			if err := json.Unmarshal(text, &answer); err != nil {
				return nil, err
			}
			return c.taskTable(answer.Tasks), nil
		},
	})
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list the stopped tasks too, for as long as they are kept")
	cmd.ValidArgsFunction = c.completeService(f, "")
	return cmd
}

func (c *console) taskTable(tasks []api.TaskView) *table {
	t := newTable("TASK", "SERVICE", "STATUS", "HOST", "ZONE", "ADDRESS", "AGE", "CPU", "MEMORY", "NOTE").numbers("AGE", "CPU", "MEMORY")
	for _, task := range tasks {
		var addresses []string
		for _, e := range task.Endpoints {
			addresses = append(addresses, net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
		}
		var used *api.UsedView
		if task.Used != nil {
			used = &api.UsedView{CPU: task.Used.CPU(), Memory: task.Used.Memory(), Tasks: 1}
		}
		t.row(short(task.ID), task.Service, string(task.LastStatus), task.Host, task.Zone,
			strings.Join(addresses, ","), age(c.now(), task.CreatedAt),
			usedCPU(used), usedMemory(used), taskNote(task))
	}
	return t
}

// taskNote is what else is worth knowing of a task.
func taskNote(task api.TaskView) string {
	var notes []string
	if task.Protected {
		notes = append(notes, "protected")
	}
	if task.ExitCode != nil {
		notes = append(notes, "exit "+strconv.Itoa(*task.ExitCode))
	}
	if task.StoppedReason != "" {
		notes = append(notes, task.StoppedReason)
	}
	return strings.Join(notes, ", ")
}
