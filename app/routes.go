package app

import (
	"bufio"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/router"
)

// routed makes the router's table of a snapshot, from the routes of the file
// and those that the services' tags ask for.
type routed struct {
	file []router.Tagged
	log  *slog.Logger
	told map[string]bool // tags that have been complained of
	// logAll writes the requests of every route to the access log.
	logAll bool
	// hosts is told the hosts that certificates may be asked for; nil: nobody is.
	hosts func([]string)
}

// newRouted reads the routes of the file and the files that they name. project
// may be nil.
func newRouted(project *compose.Project, log *slog.Logger, logAll bool) (*routed, error) {
	file, err := fileRoutes(project)
	if err != nil || project == nil {
		return &routed{log: log, told: map[string]bool{}, logAll: logAll}, err
	}
	n := 0
	for _, s := range project.Services {
		for _, r := range s.Scaling.AllRoutes() {
			if err := readFiles(&file[n].Route, r); err != nil {
				return nil, routeProblem(project, s, err)
			}
			n++
		}
	}
	return &routed{file: file, log: log, told: map[string]bool{}, logAll: logAll}, nil
}

// fileRoutes are the routes of the file, without what is in the files that they name;
// project may be nil.
func fileRoutes(project *compose.Project) (out []router.Tagged, err error) {
	if project == nil {
		return nil, nil
	}
	for _, s := range project.Services {
		for _, r := range s.Scaling.AllRoutes() {
			made, err := routeOf(s.Name, r)
			if err != nil {
				return nil, routeProblem(project, s, err)
			}
			out = append(out, router.Tagged{Route: made, Port: r.Port})
		}
	}
	return out, nil
}

func routeProblem(project *compose.Project, s compose.Service, err error) error {
	return fmt.Errorf("%s:%d: services.%s: route: %w", project.File, s.Line, s.Name, err)
}

// routeOf is a route of the file as the router has it, but for the files that it
// names.
func routeOf(service string, r *compose.Route) (router.Route, error) {
	out := router.Route{
		Host: r.Host, Path: r.Path, Service: service, Strip: r.Strip, Weight: r.Weight, TCP: r.TCP, TLS: router.TLSMode(r.TLS),
		HoldTimeout: r.Hold, Timeout: r.Timeout, Idle: r.Idle, Compress: r.Compress, Log: r.Log,
		Upstream: router.Upstream{ServerName: r.ServerName, CAFile: r.CA, Insecure: r.Insecure, Proxy: r.Proxy},
		Balance: router.Balance{
			Sticky: r.Balance.Sticky, AnyZone: r.Balance.AnyZone, SlowStart: r.Balance.SlowStart,
			MaxPerTarget: r.Balance.MaxPerTarget, MaxQueued: r.Balance.MaxQueued,
		},
		Check: router.Check{
			Kind: r.Check.Kind, Path: r.Health, Service: r.Check.Service, Interval: r.Check.Interval, Timeout: r.Check.Timeout,
			UnhealthyAfter: r.Check.Unhealthy, HealthyAfter: r.Check.Healthy, EjectErrors: r.Check.EjectErrors,
		},
		Limits: router.Limits{Rate: r.Limits.Rate, Burst: r.Limits.Burst, ClientRate: r.Limits.ClientRate, InFlight: r.Limits.InFlight},
		Access: router.Access{Forward: r.Access.Forward, ForwardFields: r.Access.ForwardFields},
	}
	if r.Connections() {
		out.Path = ""
	}
	if r.Protocol != "http" {
		out.Upstream.Protocol = router.Protocol(r.Protocol)
	}
	if r.Balance.Policy != "leastLoaded" {
		out.Balance.Policy = router.Policy(r.Balance.Policy)
	}
	if r.Mirror != nil {
		out.Mirror = router.Mirror{Service: r.Mirror.Service, Share: r.Mirror.Share}
	}
	if _, err := fmt.Sscanf(r.Check.Codes, "%d-%d", &out.Check.Codes[0], &out.Check.Codes[1]); err != nil {
		return out, fmt.Errorf("check.codes %q: %w", r.Check.Codes, err)
	}
	for _, list := range []struct {
		from []string
		to   *[]netip.Prefix
	}{{r.Access.Allow, &out.Access.Allow}, {r.Access.Deny, &out.Access.Deny}} {
		var err error
		if *list.to, err = prefixes(list.from); err != nil {
			return out, err
		}
	}
	return out, nil
}

// readFiles reads the files that a route names.
func readFiles(out *router.Route, r *compose.Route) (err error) {
	if r.Access.Users != "" {
		if out.Access.Users, err = readUsers(r.Access.Users); err != nil {
			return fmt.Errorf("access.users: %w", err)
		}
	}
	for _, page := range r.Pages {
		status, file, _ := strings.Cut(page, "=")
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("pages: %w", err)
		}
		if out.Pages == nil {
			out.Pages = map[int]string{}
		}
		code, err := strconv.Atoi(status)
		if err != nil {
			return fmt.Errorf("pages: status %q: %w", status, err)
		}
		out.Pages[code] = string(text)
	}
	return nil
}

// readUsers reads name:hash lines; only bcrypt's hashes are taken.
func readUsers(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	users := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || !strings.HasPrefix(hash, "$2") {
			return nil, fmt.Errorf("%s:%d: a name, a colon and a hash of bcrypt are needed, as htpasswd -B writes them", file, number)
		}
		users[name] = hash
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s names no user", file)
	}
	return users, nil
}

func prefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Tags of services that are routes.
const (
	routeTag  = "plimsoll:route" // and what begins so, for several: plimsoll:route:2
	fabioTag  = "urlprefix-"     // at the beginning of a key or a value
	maxTagged = 50               // routes of one service: as many as ECS has tags
)

// tagged are the routes that a service's tags ask for. One that cannot be read
// is told once, and is left out.
func (r *routed) tagged(s plimsoll.Service) []router.Tagged {
	var out []router.Tagged
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		text := s.Tags[key]
		switch {
		case strings.HasPrefix(text, fabioTag), key == routeTag, strings.HasPrefix(key, routeTag+":"):
		case strings.HasPrefix(key, fabioTag):
			text = strings.TrimSpace(key + " " + text)
		default:
			continue
		}
		route, err := router.ParseTag(s.Name, text)
		if err != nil {
			if !r.told[text] {
				r.told[text] = true
				r.log.Warn("a tag is no route", "service", s.Name, "tag", key, "err", err)
			}
			continue
		}
		if len(out) < maxTagged {
			out = append(out, route)
		}
	}
	return out
}

// place is where a route is.
type place struct {
	host, path string
	port       int
}

func placeOf(r router.Route) place {
	return place{strings.ToLower(strings.TrimSuffix(r.Host, ".")), r.Path, r.TCP}
}

// unclaimed leaves out the tags whose place is taken, so that no tag can make a
// table that the router refuses, which would hold up every other service's tasks.
// The file's places are the file's. Requests at one place may be shared by several
// services, connections not: the first service by name has them.
func (r *routed) unclaimed(tags []router.Tagged) []router.Tagged {
	taken := map[place]string{} // by whom, where nobody else may be
	seen := map[place]map[string]bool{}
	for _, f := range r.file {
		taken[placeOf(f.Route)] = f.Route.Service
	}
	slices.SortStableFunc(tags, func(a, b router.Tagged) int { return cmp.Compare(a.Route.Service, b.Route.Service) })
	var out []router.Tagged
	for _, t := range tags {
		at, service := placeOf(t.Route), t.Route.Service
		if by, ok := taken[at]; ok && by != service {
			if text := fmt.Sprint(at, service); !r.told[text] {
				r.told[text] = true
				r.log.Warn("a tag's route is taken by another service", "service", service, "by", by, "host", at.host, "path", at.path, "port", at.port)
			}
			continue
		} else if ok || seen[at][service] {
			continue // said twice
		}
		if seen[at] == nil {
			seen[at] = map[string]bool{}
		}
		seen[at][service] = true
		if t.Route.TCP != 0 || t.Route.TLS != "" {
			taken[at] = service
		}
		out = append(out, t)
	}
	return out
}

// routes are those of the file and, of a snapshot, those by tags.
func (r *routed) routes(cluster plimsoll.Cluster) []router.Tagged {
	var byTag []router.Tagged
	for _, s := range cluster.Services {
		byTag = append(byTag, r.tagged(s)...)
	}
	byTag = r.unclaimed(byTag)
	router.ShareOut(byTag)
	return append(slices.Clone(r.file), byTag...)
}

// table is what the router serves of a snapshot: the tasks that may get new
// work, by the port that each route names.
func (r *routed) table(cluster plimsoll.Cluster) router.Table {
	all := r.routes(cluster)
	t := router.Table{Services: map[string][]router.Target{}}
	first := map[string]int{} // the port that the service's own name stands for
	ports := map[string]map[int]string{}
	for _, route := range all {
		name := route.Route.Service
		if _, ok := first[name]; !ok {
			first[name] = route.Port
			ports[name] = map[int]string{}
			t.Services[name] = nil
		}
		key := name
		if route.Port == 0 {
			route.Port = first[name] // no port of its own: the service's
		}
		if route.Port != first[name] {
			key = fmt.Sprintf("%s:%d", name, route.Port)
			t.Services[key] = nil
		}
		ports[name][route.Port] = key
		route.Route.Service = key
		route.Route.Log = route.Route.Log || r.logAll && route.Route.TCP == 0 && route.Route.TLS == ""
		t.Routes = append(t.Routes, route.Route)
	}
	for _, route := range t.Routes {
		// Copies go to a service that need not have a route of its own.
		if name := route.Mirror.Service; name != "" && ports[name] == nil {
			ports[name], t.Services[name] = map[int]string{0: name}, nil
		}
	}
	for _, task := range cluster.Tasks {
		if !task.Serving() {
			continue
		}
		for port, key := range ports[task.Service] {
			if e, ok := endpointOf(task, port); ok {
				t.Services[key] = append(t.Services[key], targetOf(task, e))
			}
		}
	}
	for _, targets := range t.Services {
		slices.SortFunc(targets, func(a, b router.Target) int { return cmp.Compare(a.ID, b.ID) })
	}
	return t
}

// targetOf is a task as the router has it, where it is reached.
func targetOf(task plimsoll.Task, e plimsoll.Endpoint) router.Target {
	return router.Target{
		ID: task.ID(), Zone: task.Zone, Address: net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), Weight: int(task.Reserved.CPU),
	}
}

// endpointOf is where a container port of a task is reached; port 0 is the
// first that there is.
func endpointOf(task plimsoll.Task, port int) (plimsoll.Endpoint, bool) {
	for _, e := range task.Endpoints {
		if e.Host != "" && (port == 0 || e.ContainerPort == port) {
			return e, true
		}
	}
	return plimsoll.Endpoint{}, false
}

// set gives the router the table of a snapshot. Where tags contradict the rest
// the router keeps its table and says so.
func (r *routed) set(to *router.Router, cluster plimsoll.Cluster) {
	t := r.table(cluster)
	err := to.SetTable(t)
	if err == nil && r.hosts != nil {
		r.hosts(publicHosts(t.Routes))
	}
	if err == nil {
		return
	}
	if text := err.Error(); !r.told[text] {
		r.told[text] = true
		r.log.Error("the router keeps its former table", "err", err)
	}
}
