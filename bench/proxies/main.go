// Command proxies compares Plimsoll's router with its peers before the same four
// backends, for `make bench-router`. Plimsoll is run as its users run it (`plimsoll
// up`), with all that comes with it; the backends are the tasks of its compose
// file. Only the cost of many routes is measured on the router alone. It prints
// medians, and as its last line JSON.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "backend":
			return serveBackend()
		case "reverseproxy":
			return serveReverseProxy(args[1], args[2:])
		case "router":
			return serveRouter(args[1], args[2], args[3:])
		}
	}
	flags := flag.NewFlagSet("proxies", flag.ContinueOnError)
	o := options{}
	flags.IntVar(&o.rounds, "rounds", 5, "rounds, in each of which every proxy is measured once in every case")
	flags.DurationVar(&o.each, "each", 3*time.Second, "time for each measurement")
	flags.IntVar(&o.connections, "connections", 64, "clients' connections")
	flags.IntVar(&o.loads, "loads", len(loads), "how many of the loads, from the first on")
	flags.StringVar(&o.only, "only", "", "names of the proxies to compare, with semicolons between them; empty: all")
	flags.StringVar(&o.fabio, "fabio", "fabio", "fabio's program; left out if it is not there")
	flags.SetOutput(os.Stderr)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if o.rounds < 1 || o.loads < 1 || o.loads > len(loads) {
		return fmt.Errorf("-rounds %d -loads %d: at least 1 each, and %d loads at most", o.rounds, o.loads, len(loads))
	}
	loads = loads[:o.loads]
	return compare(o)
}

type options struct {
	rounds, connections int
	loads               int
	each                time.Duration
	only, fabio         string
}

// load is what the clients do in a measurement.
type load struct {
	name  string
	path  string
	close bool // a new connection for each request
}

var loads = []load{
	{"128 bytes, kept connections", "/128", false},
	{"16 KiB, kept connections", "/16384", false},
	{"128 bytes, a connection each", "/128", true},
}

// figures are those of one measurement.
type figures struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // of the proxy, for a request
	memory   int64
}

func compare(o options) error {
	dir, err := os.MkdirTemp("", "bench-router-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	proxies, err := beginAll(o, dir)
	defer func() {
		for _, p := range slices.Backward(proxies) {
			p.end()
		}
	}()
	if err != nil {
		return err
	}
	results := map[string]map[string][]figures{} // by load, by proxy
	for _, l := range loads {
		results[l.name] = map[string][]figures{}
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for _, l := range loads {
			for i := range proxies {
				p := proxies[(i+round)%len(proxies)] // nobody is always first
				f, err := measure(o, p, l)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, l.name, err)
				}
				fmt.Fprintf(os.Stderr, "  %-20s %6.0f/s p50 %v p99 %v cpu %v %d MB\n", p.name, f.rate, f.p50, f.p99, f.cpu, f.memory/1e6)
				results[l.name][p.name] = append(results[l.name][p.name], f)
			}
		}
	}
	return report(os.Stdout, proxies, results)
}

// beginAll starts what is compared. What it gives must be ended, also where
// there is an error.
func beginAll(o options, dir string) (proxies []*proxy, err error) {
	plimsoll, backends, err := beginPlimsoll(dir)
	if err != nil {
		return nil, err
	}
	proxies = []*proxy{plimsoll}
	if o.wants("direct") {
		proxies = append(proxies, &proxy{name: "direct", address: backends[0]})
	}
	ways := []struct {
		name  string
		begin func(name string) (*proxy, error)
	}{
		{"nginx", func(string) (*proxy, error) { return beginNginx(dir, backends) }},
		{"haproxy", func(string) (*proxy, error) { return beginHaproxy(dir, backends) }},
		{"fabio", func(string) (*proxy, error) { return beginFabio(o.fabio, backends) }},
		{"reverseproxy", func(name string) (*proxy, error) { return beginSelf(name, []string{name}, backends) }},
		{"router, 10 routes", func(name string) (*proxy, error) { return beginSelf(name, []string{"router", "10"}, backends) }},
		{"router, 10000 routes", func(name string) (*proxy, error) { return beginSelf(name, []string{"router", "10000"}, backends) }},
	}
	for _, way := range ways {
		if !o.wants(way.name) {
			continue
		}
		p, err := way.begin(way.name)
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintf(os.Stderr, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return proxies, err
		}
		proxies = append(proxies, p)
	}
	return proxies, nil
}

// wants tells whether a proxy is to be compared. Plimsoll always is: the others'
// backends are its tasks.
func (o options) wants(name string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ";"), name)
}

var (
	requests = regexp.MustCompile(`(\d+) requests in `)
	rate     = regexp.MustCompile(`Requests/sec: +([\d.]+)`)
	quantile = regexp.MustCompile(`(50|99)% +([\d.]+)(us|ms|s)\s`)
	wrong    = regexp.MustCompile(`(Non-2xx.*|Socket errors: .*)`)
)

// measure lets wrk send requests for a time.
func measure(o options, p *proxy, l load) (figures, error) {
	args := []string{"-t", "2", "-c", strconv.Itoa(o.connections), "-d", strconv.Itoa(int(o.each.Seconds())) + "s", "--latency"}
	if l.close {
		args = append(args, "-H", "Connection: close")
	}
	before := p.cpu()
	out, err := exec.Command("wrk", append(args, "http://"+p.address+l.path)...).Output()
	if err != nil {
		return figures{}, fmt.Errorf("wrk: %w", err)
	}
	f := figures{memory: p.memory()}
	used := p.cpu() - before
	// The end of the run cuts connections; that is no error of the proxy's.
	if w := wrong.FindString(string(out)); w != "" && (strings.HasPrefix(w, "Non") || !l.close) {
		return figures{}, errors.New(w)
	}
	n := requests.FindSubmatch(out)
	r := rate.FindSubmatch(out)
	if n == nil || r == nil {
		return figures{}, fmt.Errorf("wrk said %q", out)
	}
	count, _ := strconv.Atoi(string(n[1]))
	f.rate, _ = strconv.ParseFloat(string(r[1]), 64)
	f.cpu = used / time.Duration(max(count, 1))
	for _, q := range quantile.FindAllSubmatch(out, -1) {
		d, err := time.ParseDuration(string(q[2]) + string(q[3]))
		if err != nil {
			return figures{}, err
		}
		if string(q[1]) == "50" {
			f.p50 = d
		} else {
			f.p99 = d
		}
	}
	return f, nil
}

// median is that of one figure of several measurements.
func median[T int64 | float64 | time.Duration](all []figures, of func(figures) T) T {
	values := make([]T, 0, len(all))
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func report(w io.Writer, proxies []*proxy, results map[string]map[string][]figures) error {
	cpu := func(all []figures) float64 {
		return float64(median(all, func(f figures) time.Duration { return f.cpu })) / float64(time.Microsecond)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, l := range loads {
		fmt.Fprintf(w, "\n%s\n%-22s %10s %8s %8s %9s %7s %s\n", l.name, "", "requests/s", "p50 ms", "p99 ms", "CPU us", "MB", "plimsoll's CPU is")
		own := cpu(results[l.name]["plimsoll"])
		for _, p := range proxies {
			all := results[l.name][p.name]
			fmt.Fprintf(w, "%-22s %10.0f %8.2f %8.2f", p.name, median(all, func(f figures) float64 { return f.rate }),
				ms(median(all, func(f figures) time.Duration { return f.p50 })), ms(median(all, func(f figures) time.Duration { return f.p99 })))
			if p.cmd != nil {
				fmt.Fprintf(w, " %9.1f %7.1f %.2f of it", cpu(all), float64(median(all, func(f figures) int64 { return f.memory }))/1e6, own/cpu(all))
			}
			fmt.Fprintln(w)
		}
	}
	summary := struct {
		CPU map[string]float64 `json:"cpu_us_per_request"`
		P99 map[string]float64 `json:"p99_ms"`
	}{map[string]float64{}, map[string]float64{}}
	for _, p := range proxies {
		all := results[loads[0].name][p.name]
		if p.cmd != nil && !strings.HasPrefix(p.name, "router, ") {
			summary.CPU[p.name] = cpu(all)
			summary.P99[p.name] = ms(median(all, func(f figures) time.Duration { return f.p99 }))
		}
	}
	fmt.Fprintln(w)
	return json.NewEncoder(w).Encode(summary)
}
