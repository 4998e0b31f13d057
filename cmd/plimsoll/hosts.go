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
	t := newTable("HOST", "ZONE", "ADDRESS", "STATUS", "CPU RESERVED", "CPU USED", "MEMORY RESERVED", "MEMORY USED", "RUNNING", "PENDING").
		numbers("CPU RESERVED", "CPU USED", "MEMORY RESERVED", "MEMORY USED", "RUNNING", "PENDING")
	for _, h := range hosts {
		status := h.Status
		if !h.Connected {
			status += ", not connected"
		}
		t.row(h.ID, h.Zone, h.Address, status,
			fmt.Sprintf("%d/%d", h.CPU-h.CPUFree, h.CPU), usedCPU(h.Used),
			fmt.Sprintf("%d/%d MiB", h.Memory-h.MemoryFree, h.Memory), usedMemory(h.Used),
			strconv.Itoa(h.Running), strconv.Itoa(h.Pending))
	}
	return t
}

// usedCPU is the CPU that tasks use, in CPU units; empty while it is not known.
func usedCPU(u *api.UsedView) string {
	if u == nil || u.CPU == nil {
		return ""
	}
	return strconv.FormatFloat(*u.CPU, 'f', 0, 64)
}

// usedMemory is the memory that tasks use; empty while it is not known.
func usedMemory(u *api.UsedView) string {
	if u == nil {
		return ""
	}
	return strconv.FormatFloat(u.Memory, 'f', 0, 64) + " MiB"
}
