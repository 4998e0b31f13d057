package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"plimsoll/control"
	"plimsoll/sim"
)

// recordEvery is how often a recording asks for what is new: well within the
// time for which the loop keeps it.
const recordEvery = 5 * time.Minute

// recording is the demand of a live run, by service and second.
type recording struct {
	rates map[string]map[int64]float64
}

// record writes what a live run keeps of its services' demand as a trace, and
// with a length goes on until so much is recorded.
func (c *console) record(ctx context.Context, f *endpointFlags, path string, length time.Duration) error {
	client, err := c.client(f)
	if err != nil {
		return err
	}
	r := recording{map[string]map[int64]float64{}}
	for end := c.now().Add(length); ; {
		if err := r.collect(ctx, client); err != nil {
			return err
		}
		rest := end.Sub(c.now())
		if rest <= 0 {
			break
		}
		select {
		case <-ctx.Done():
			rest = 0
		case <-time.After(min(rest, recordEvery)):
		}
		if rest == 0 {
			break // what is recorded is kept
		}
	}
	rows, err := r.write(path)
	if err == nil {
		_, err = fmt.Fprintf(c.out, "%s: %s of %s\n", path, plural(rows, "second"), plural(len(r.rates), "service"))
	}
	return err
}

// collect adds what the run has kept.
func (r *recording) collect(ctx context.Context, client *client) error {
	services, err := listServices(ctx, client)
	if err != nil {
		return err
	}
	for _, s := range services {
		var kept struct{ Points []control.Point }
		if err := client.get(ctx, "/v1/history/"+url.PathEscape(s.Name), &kept); err != nil {
			return err
		}
		for _, p := range kept.Points {
			if p.Demand == nil {
				continue // not known: the last value stands
			}
			if r.rates[s.Name] == nil {
				r.rates[s.Name] = map[int64]float64{}
			}
			r.rates[s.Name][p.At.Unix()] = *p.Demand
		}
	}
	return nil
}

// write makes the trace: a row for each second in which something was read.
func (r *recording) write(path string) (rows int, err error) {
	var at []int64
	var services []string
	for service, rates := range r.rates {
		services = append(services, service)
		for second := range rates {
			at = append(at, second)
		}
	}
	slices.Sort(services)
	slices.Sort(at)
	at = slices.Compact(at)
	if len(at) < 2 {
		return 0, fmt.Errorf("the run has read no demand for two seconds yet; try again later, or record with --for 10m")
	}
	seconds, filled := make([]float64, len(at)), map[string][]float64{}
	for i, second := range at {
		seconds[i] = float64(second - at[0])
		for _, s := range services {
			v, known := r.rates[s][second]
			if !known && i > 0 {
				v = filled[s][i-1]
			}
			filled[s] = append(filled[s], v)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	err = sim.WriteTrace(f, services, seconds, filled)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return len(at), err
}
