package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"plimsoll/api"
)

// services is `plimsoll services`.
func (c *console) services() *cobra.Command {
	cmd, _ := c.list(list{
		use: "services", short: "List the services: demand, want, grant and counts", args: arguments(0, 0, ""),
		path: func([]string) string { return "/v1/services" },
		show: func(_ context.Context, text []byte) (*table, error) {
			var answer struct{ Services []api.ServiceView }
			if err := json.Unmarshal(text, &answer); err != nil {
				return nil, err
			}
			return c.serviceTable(answer.Services), nil
		},
	})
	return cmd
}

func listServices(ctx context.Context, a *client) ([]api.ServiceView, error) {
	var answer struct{ Services []api.ServiceView }
	err := a.get(ctx, "/v1/services", &answer)
	return answer.Services, err
}

func (c *console) serviceTable(services []api.ServiceView) *table {
	t := newTable("SERVICE", "PRIORITY", "MIN", "MAX", "DEMAND", "WANT", "GRANT", "DESIRED", "RUNNING", "PENDING", "PROTECTED", "CPU", "MEMORY", "REASON").
		numbers("PRIORITY", "MIN", "MAX", "DEMAND", "WANT", "GRANT", "DESIRED", "RUNNING", "PENDING", "PROTECTED", "CPU", "MEMORY")
	for _, s := range services {
		demand := figure(s.Demand)
		if s.Demand == nil && len(s.Triggers) == 0 {
			demand = "-"
		}
		t.row(s.Name, strconv.Itoa(s.Priority), strconv.Itoa(s.Min), strconv.Itoa(s.Max), demand, count(s.Want), count(s.Grant),
			strconv.Itoa(s.Desired), strconv.Itoa(s.Running), strconv.Itoa(s.Pending), strconv.Itoa(s.Protected),
			usedCPU(s.Used), usedMemory(s.Used),
			strings.Join(append(c.byHand(s), s.Reason), "; "))
	}
	return t
}

// byHand is what people have set of a service.
func (c *console) byHand(s api.ServiceView) []string {
	var notes []string
	if s.Paused {
		notes = append(notes, "paused")
	}
	if s.Floor > 0 && s.FloorUntil != nil {
		notes = append(notes, fmt.Sprintf("at least %d until %s", s.Floor, c.clock(*s.FloorUntil)))
	}
	if s.Ceiling != nil && s.CeilingUntil != nil {
		notes = append(notes, fmt.Sprintf("at most %d until %s", *s.Ceiling, c.clock(*s.CeilingUntil)))
	}
	return notes
}
