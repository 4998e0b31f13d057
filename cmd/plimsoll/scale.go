package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/api"
)

// floor is one SERVICE=N.
type floor struct {
	service string
	count   int
}

// scale is `plimsoll scale`.
func (c *console) scale() *cobra.Command {
	var hold time.Duration
	var ceiling bool
	f := &endpointFlags{}
	cmd := &cobra.Command{
		Use:     "scale SERVICE=N [SERVICE=N…]",
		Short:   "Hold services at a least or a greatest count for a time",
		GroupID: groupSteer,
		Long: `Hold services at N tasks or more for a time, whatever the demand; N=0 ends it.
It is a floor within the file's max: capacity and priority hold, and demand may
ask for more. With --ceiling N is the most instead, no lower than the file's min;
N=max ends that.`,
		Example: "  plimsoll scale web=5 mailer=2 --for 10m\n  plimsoll scale filler=0 --ceiling --for 1h",
		Args:    arguments(1, -1, "SERVICE=N, once or more often"),
		RunE: func(cmd *cobra.Command, args []string) error {
			floors, err := parseFloors(args)
			if err != nil {
				return err
			}
			if hold <= 0 || hold > 7*24*time.Hour {
				return misusef("--for is %q; allowed: over 0, at most 168h", hold)
			}
			a, err := c.client(f)
			if err != nil {
				return err
			}
			if err := checkFloors(cmd.Context(), a, floors); err != nil {
				return err
			}
			return c.setBounds(cmd.Context(), a, floors, hold, ceiling)
		},
	}
	cmd.Flags().BoolVar(&ceiling, "ceiling", false, "hold at N tasks or fewer")
	cmd.Flags().DurationVar(&hold, "for", time.Hour, "how long it holds")
	cmd.ValidArgsFunction = c.completeService(f, "=")
	f.add(cmd)
	return cmd
}

func parseFloors(args []string) ([]floor, error) {
	var floors []floor
	for _, arg := range args {
		name, number, ok := strings.Cut(arg, "=")
		n, err := strconv.Atoi(number)
		if !ok || name == "" || err != nil || n < 0 {
			return nil, misusef("%q is not SERVICE=N with a whole number of at least 0, such as web=5", arg)
		}
		floors = append(floors, floor{name, n})
	}
	return floors, nil
}

// checkFloors refuses all before any is set if one of them cannot be.
func checkFloors(ctx context.Context, a *client, floors []floor) error {
	services, err := listServices(ctx, a)
	if err != nil {
		return err
	}
	known := map[string]api.ServiceView{}
	var names []string
	for _, s := range services {
		known[s.Name] = s
		names = append(names, s.Name)
	}
	for _, f := range floors {
		s, ok := known[f.service]
		if !ok {
			return fmt.Errorf("no service %q; the services are: %s", f.service, strings.Join(names, ", "))
		}
		if f.count > s.Max {
			return fmt.Errorf("%s=%d is over the max of %d in the file; raise x-plimsoll.max, or ask for less", f.service, f.count, s.Max)
		}
	}
	return nil
}

func (c *console) setBounds(ctx context.Context, a *client, floors []floor, hold time.Duration, ceiling bool) error {
	word, relation := "floor", "at least"
	if ceiling {
		word, relation = "ceiling", "at most"
	}
	for _, f := range floors {
		var answer struct{ Until time.Time }
		wish := map[string]any{word: f.count, "for": hold.String()}
		if err := a.post(ctx, servicePath(f.service, "scale"), wish, &answer); err != nil {
			return err
		}
		if answer.Until.IsZero() {
			_, _ = fmt.Fprintf(c.out, "%s: no %s\n", f.service, word)
			continue
		}
		_, _ = fmt.Fprintf(c.out, "%s: %s %d until %s\n", f.service, relation, f.count, c.clock(answer.Until))
	}
	return nil
}
