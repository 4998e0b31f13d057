package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"plimsoll/api"
)

// hosts is `plimsoll hosts`.
func (c *console) hosts() *cobra.Command {
	cmd, _ := c.list(list{
		use: "hosts", short: "List the hosts (container instances) and what is used of them", args: arguments(0, 0, ""),
		path: func([]string) string { return "/v1/hosts" },
		show: func(_ context.Context, text []byte) (*table, error) {
			var answer struct{ Hosts []api.HostView }
			if err := json.Unmarshal(text, &answer); err != nil {
				return nil, err
			}
			return hostTable(answer.Hosts), nil
		},
	})
	return cmd
}

func hostTable(hosts []api.HostView) *table {
	t := newTable("HOST", "ZONE", "ADDRESS", "STATUS", "CPU USED", "MEMORY USED", "RUNNING", "PENDING").
		numbers("CPU USED", "MEMORY USED", "RUNNING", "PENDING")
	for _, h := range hosts {
		status := h.Status
		if !h.Connected {
			status += ", not connected"
		}
		t.row(h.ID, h.Zone, h.Address, status,
			fmt.Sprintf("%d/%d", h.CPU-h.CPUFree, h.CPU),
			fmt.Sprintf("%d/%d MiB", h.Memory-h.MemoryFree, h.Memory),
			strconv.Itoa(h.Running), strconv.Itoa(h.Pending))
	}
	return t
}
