package app

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"plimsoll/compose"
	"plimsoll/demand"
	"plimsoll/demand/cron"
	"plimsoll/demand/random"
	"plimsoll/scale"
	"plimsoll/sim"
	"plimsoll/sim/baseline"
)

// SimOptions are those of `plimsoll sim`.
type SimOptions struct {
	File string // compose file
	// Trace is a CSV file, or a generator with its parameters.
	Trace string
	// Times multiplies the trace's rates; 0 counts as 1.
	Times float64
	// Compare are the names of policies of the field.
	Compare []string
	// Rates are the work that a task does in a second: one for all ("10"), or by
	// service ("web=10").
	Rates  []string
	Delays sim.Delays
	// Faults is a script of what breaks; empty: nothing.
	Faults    string
	Step, For time.Duration // For 0: as long as the trace
	Seed      uint64
	// Progress, if there is one, is told now and then what is being run and how
	// far it is.
	Progress func(policy string, done, length time.Duration)
}

// defaultRate is the work of a task in a second where nothing says it; usualUse is
// the share of what a task bears that a target is taken to be.
const (
	defaultRate = 10
	usualUse    = 0.7
)

// Sim replays a trace through the file's policies, and through those of the field
// that are named, one after the other.
func Sim(ctx context.Context, o SimOptions) ([]sim.Result, error) {
	project, err := compose.Load(o.File, os.Environ())
	if err != nil {
		return nil, err
	}
	cfg, err := simConfig(project, o)
	if err != nil {
		return nil, err
	}
	policies := []baseline.Policy{nil}
	for _, name := range o.Compare {
		p, err := baseline.New(name)
		if err != nil {
			return nil, misusef("--compare: %w", err)
		}
		policies = append(policies, p)
	}
	var results []sim.Result
	for _, p := range policies {
		name := "plimsoll"
		if p != nil {
			name = p.Name()
		}
		cfg.Baseline = p
		cfg.Progress = func(done time.Duration) {
			if o.Progress != nil {
				o.Progress(name, done, cfg.Length)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := sim.Run(ctx, cfg)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

func simConfig(project *compose.Project, o SimOptions) (sim.Config, error) {
	trace, err := readTrace(o)
	if err != nil {
		return sim.Config{}, misusef("--trace: %w", err)
	}
	faults, err := sim.ParseFaults(o.Faults)
	if err != nil {
		return sim.Config{}, misusef("--faults: %w", err)
	}
	cfg := sim.Config{
		Cluster: project.Name, Eviction: scale.Eviction(project.Eviction),
		Hosts: sim.Hosts{
			Count: project.Hosts.Count, Zones: max(1, project.Hosts.Zones), Each: project.Hosts.Each,
			Min: project.Hosts.Min, Max: project.Hosts.Max, Rules: hostRules(project.Hosts),
		},
		Delays: o.Delays, Length: o.For, Step: o.Step, Seed: o.Seed, Faults: faults,
	}
	if cfg.Length == 0 {
		cfg.Length = trace.Length()
	}
	for _, s := range project.Services {
		service := sim.Service{Policy: policy(s, project.Prices), Cooperative: s.Scaling.Cooperative, Rate: ownRate(s)}
		for _, t := range s.Scaling.Triggers {
			service.Reads = append(service.Reads, reads(t))
		}
		cfg.Services = append(cfg.Services, service)
	}
	if err := setRates(cfg.Services, o.Rates); err != nil {
		return sim.Config{}, err
	}
	return cfg, setArrivals(cfg.Services, project, trace, o.Times)
}

func readTrace(o SimOptions) (sim.Trace, error) {
	if sim.IsGenerator(o.Trace) {
		return sim.Generate(o.Trace, o.Seed)
	}
	f, err := os.Open(o.Trace)
	if os.IsNotExist(err) {
		return sim.Trace{}, fmt.Errorf("%q is no file and no generator; generators are: %s", o.Trace, strings.Join(sim.Generators(), ", "))
	}
	if err != nil {
		return sim.Trace{}, err
	}
	defer func() { _ = f.Close() }()
	return sim.ReadTrace(f, o.Trace)
}

// ownRate is the work that a task does in a second, as far as its trigger says.
func ownRate(s compose.Service) float64 {
	for _, t := range s.Scaling.Triggers {
		if p, ok := t.Parameters.(*compose.Router); ok && p.RequestsPerSecond > 0 {
			return p.RequestsPerSecond / usualUse
		}
	}
	return defaultRate
}

// setRates applies --service-rate: those by name go before the one for all.
func setRates(services []sim.Service, rates []string) error {
	byName := map[string]float64{}
	for _, text := range rates {
		name, value, named := strings.Cut(text, "=")
		if !named {
			name, value = "", text
		}
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil || !(rate > 0 && rate <= 1e9) {
			return misusef("--service-rate is %q; allowed: a number over 0, or SERVICE=NUMBER", text)
		}
		known := slices.ContainsFunc(services, func(s sim.Service) bool { return s.Policy.Service == name })
		if named && !known {
			return misusef("--service-rate %q: there is no service %q in the file", text, name)
		}
		byName[name] = rate
	}
	for i := range services {
		for _, name := range []string{"", services[i].Policy.Service} {
			if rate, ok := byName[name]; ok {
				services[i].Rate = rate
			}
		}
	}
	return nil
}

// setArrivals gives each service its part of the trace: the column of its own
// name, or else a share of the requests or of the messages, by its load's share.
func setArrivals(services []sim.Service, project *compose.Project, trace sim.Trace, times float64) error {
	if times == 0 {
		times = 1
	}
	own := false
	for name := range trace.Columns {
		known := slices.ContainsFunc(services, func(s sim.Service) bool { return s.Policy.Service == name })
		if !known && name != sim.Requests && name != sim.Messages {
			return misusef("--trace: the column %q is neither a service of the file nor %q nor %q", name, sim.Requests, sim.Messages)
		}
		own = own || known
	}
	columns, sums := make([]string, len(services)), map[string]float64{}
	for i, s := range project.Services {
		columns[i] = column(s, trace, own)
		sums[columns[i]] += share(s)
	}
	for i, s := range project.Services {
		if curve, ok := trace.Columns[columns[i]]; ok {
			services[i].Arrivals = curve.Times(times * share(s) / sums[columns[i]])
		}
	}
	return nil
}

// column is that of the trace which a service's work comes from; empty: none.
func column(s compose.Service, trace sim.Trace, own bool) string {
	_, named := trace.Columns[s.Name]
	_, messages := trace.Columns[sim.Messages]
	switch {
	case named:
		return s.Name
	case own || len(s.Scaling.Triggers) == 0:
		return ""
	}
	if _, queue := s.Scaling.Triggers[0].Parameters.(*compose.SQSQueue); queue && messages {
		return sim.Messages
	}
	return sim.Requests
}

func share(s compose.Service) float64 {
	if s.Scaling.Load != nil {
		return s.Scaling.Load.Share
	}
	return 1
}

// reads is what a trigger reads in a simulated world: the work of its service,
// in the trigger's terms. What only the outside could tell, such as a script,
// reads the backlog.
func reads(t compose.Trigger) sim.Reads {
	r := sim.Reads{Kind: sim.Backlog, Interval: t.Interval}
	switch p := t.Parameters.(type) {
	case *compose.Router:
		r.Kind = sim.Latency
		switch {
		case p.Concurrency > 0:
			r.Kind = sim.Concurrency
		case p.RequestsPerSecond > 0:
			r.Kind = sim.Arrivals
		}
	case *compose.SQSQueue:
		if !p.ScaleOnInFlight {
			r.Kind = sim.Waiting
		}
	case *compose.Cron:
		r.Kind = sim.Other
		r.Source = func(now func() time.Time) (demand.Source, error) {
			return cron.New(cron.Options{Start: p.Start, End: p.End, Timezone: p.Timezone, DesiredReplicas: p.DesiredReplicas, Now: now})
		}
	case *compose.Random:
		r.Kind = sim.Other
		r.Source = func(now func() time.Time) (demand.Source, error) {
			return random.New(random.Options{Seed: uint64(p.Seed), Min: int(p.Min), Max: int(p.Max), Period: p.Period, Now: now})
		}
	}
	return r
}
