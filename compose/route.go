package compose

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Route sends requests by host name and path, or whole connections by port or
// TLS server name, to a service.
type Route struct {
	Host  string `yaml:"host" jsonschema:"pattern=^([*][.])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$,example=shop.localhost" words:"a host name in lower case, without scheme or port, or *. and one" jsonschema_description:"The host name, without a port, in lower case; *.example.com is every name below example.com; without it every host matches. With tls: passthrough the TLS server name."`
	Path  string `yaml:"path" jsonschema:"default=/,pattern=^/" words:"a path that begins with /" jsonschema_description:"The path prefix; the longest match wins."`
	Port  int    `yaml:"port" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"The container port that requests go to; without it the first of ports."`
	Strip bool   `yaml:"strip" jsonschema:"default=false" jsonschema_description:"The prefix is removed before the request goes on."`
	// Weight 0 is no share; a route that has its place alone needs none.
	Weight int `yaml:"weight" jsonschema:"minimum=0,maximum=1000000" jsonschema_description:"The share of the requests where other services have a route at the same host and path: two versions with 90 and 10, say. 0 is none of them."`
	TCP    int `yaml:"tcp" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"A port of the router whose connections go to the service as they are, instead of requests."`
	// TLS is empty, terminate or passthrough.
	TLS string `yaml:"tls" jsonschema:"enum=terminate,enum=passthrough" jsonschema_description:"What becomes of the TLS of connections: with tcp, terminate ends it at the router; passthrough passes it on unread, by the server name in host, on the router's TLS address or on tcp. Requests come by the TLS address without it."`
	// Protocol is what the tasks speak.
	Protocol   string `yaml:"protocol" jsonschema:"default=http,enum=http,enum=h2c,enum=https,enum=h2" jsonschema_description:"What the tasks speak: HTTP/1.1, HTTP/2 without TLS, or either with TLS. Calls of gRPC go by HTTP/2 anyway."`
	ServerName string `yaml:"serverName" jsonschema_description:"The name that the tasks' certificates are for; needed with https and h2, unless insecure."`
	CA         string `yaml:"ca" jsonschema_description:"A file of certificates (PEM) that the tasks' must come from; without it the system's."`
	Insecure   bool   `yaml:"insecure" jsonschema:"default=false" jsonschema_description:"Any certificate of a task is taken."`
	Proxy      string `yaml:"proxy" jsonschema:"enum=v1,enum=v2" jsonschema_description:"With tcp or tls: the version of the PROXY protocol that tells a task where a connection came from."`
	// Health is empty where a TCP connection is enough.
	Health   string        `yaml:"health" jsonschema:"pattern=^/,example=/healthz" words:"a path that begins with /" jsonschema_description:"The path that health checks ask each task for; without it a TCP connection is enough."`
	Check    RouteCheck    `yaml:"check" jsonschema_description:"How the tasks are checked."`
	Hold     time.Duration `yaml:"hold" jsonschema:"default=30s,minimum=0s,maximum=1h" jsonschema_description:"The longest time that a request waits for a first task while the service has none, or for one with room."`
	Timeout  time.Duration `yaml:"timeout" jsonschema:"default=60s,minimum=1ms,maximum=24h" jsonschema_description:"The longest time from the end of a request to the head of its answer."`
	Idle     time.Duration `yaml:"idle" jsonschema:"default=0s,minimum=0s,maximum=24h" jsonschema_description:"The longest silence within an answer; 0s is no bound."`
	Balance  RouteBalance  `yaml:"balance" jsonschema_description:"How requests are shared out among the tasks."`
	Access   RouteAccess   `yaml:"access" jsonschema_description:"Who may use the route."`
	Limits   RouteLimits   `yaml:"limits" jsonschema_description:"How much the route takes. 0 is no bound."`
	Mirror   *RouteMirror  `yaml:"mirror" jsonschema_description:"Copies of requests for another service, whose answers are dropped. A request with a body over 64 KiB or of unknown length has none."`
	Compress bool          `yaml:"compress" jsonschema:"default=false" jsonschema_description:"Answers are compressed (gzip, zstd) for clients that take them so, but for events (text/event-stream), and where the task forbids it (no-transform)."`
	Log      bool          `yaml:"log" jsonschema:"default=false" jsonschema_description:"Requests are written to the access log (--access-log)."`
	Pages    []string      `yaml:"pages" jsonschema:"pattern=^[45][0-9][0-9]=.+,example=503=down.html" words:"a status, = and a file" jsonschema_description:"HTML files for the router's own answers, by status."`
}

// RouteCheck is how tasks are checked.
type RouteCheck struct {
	Kind        string        `yaml:"kind" jsonschema:"enum=tcp,enum=http,enum=grpc" jsonschema_description:"tcp connects, http asks for the path in health, grpc calls grpc.health.v1. Without it: http if there is a path, else tcp."`
	Service     string        `yaml:"service" jsonschema_description:"What grpc asks for; without it the server as a whole."`
	Codes       string        `yaml:"codes" jsonschema:"default=200-399,pattern=^[1-5][0-9][0-9]-[1-5][0-9][0-9]$" words:"two statuses with a - between" jsonschema_description:"The statuses that pass."`
	Interval    time.Duration `yaml:"interval" jsonschema:"default=2s,minimum=100ms,maximum=10m" jsonschema_description:"The time between two checks of a healthy task."`
	Timeout     time.Duration `yaml:"timeout" jsonschema:"default=2s,minimum=10ms,maximum=1m" jsonschema_description:"The longest time for one check."`
	Unhealthy   int           `yaml:"unhealthy" jsonschema:"default=2,minimum=1,maximum=100" jsonschema_description:"Failed checks in a row after which a task gets no requests."`
	Healthy     int           `yaml:"healthy" jsonschema:"default=1,minimum=1,maximum=100" jsonschema_description:"Passed checks in a row after which it gets them again."`
	EjectErrors int           `yaml:"ejectErrors" jsonschema:"default=0,minimum=0,maximum=1000" jsonschema_description:"Answers with 5xx in a row after which a task is left out for a while; 0 is never."`
}

// RouteBalance is how requests are shared out.
type RouteBalance struct {
	Policy       string        `yaml:"policy" jsonschema:"default=leastLoaded,enum=leastLoaded,enum=roundRobin,enum=weighted" jsonschema_description:"leastLoaded takes the less loaded of two tasks chosen at random, roundRobin each in turn, weighted at random by the CPU that each reserves."`
	Sticky       string        `yaml:"sticky" jsonschema:"pattern=^[A-Za-z0-9_-]+$" words:"letters, digits, - and _" jsonschema_description:"The name of a cookie that keeps a client at its task."`
	AnyZone      bool          `yaml:"anyZone" jsonschema:"default=false" jsonschema_description:"The router's own zone (--zone) does not come first."`
	SlowStart    time.Duration `yaml:"slowStart" jsonschema:"default=0s,minimum=0s,maximum=1h" jsonschema_description:"The time over which a new task, or one that comes back after failures, is brought to its whole share."`
	MaxPerTarget int           `yaml:"maxPerTarget" jsonschema:"default=0,minimum=0" jsonschema_description:"The most requests in flight at one task; those beyond wait. 0 is no bound."`
	MaxQueued    int           `yaml:"maxQueued" jsonschema:"default=1000,minimum=1,maximum=1000000" jsonschema_description:"The most requests that wait."`
}

// RouteAccess is who may use a route.
type RouteAccess struct {
	Allow         []string `yaml:"allow" jsonschema:"example=10.0.0.0/8" jsonschema_description:"Networks (CIDR) of clients; nobody else may use the route."`
	Deny          []string `yaml:"deny" jsonschema:"example=192.0.2.0/24" jsonschema_description:"Networks (CIDR) of clients that may not."`
	Users         string   `yaml:"users" jsonschema_description:"A file of names and bcrypt hashes, as htpasswd -B writes it, for basic authentication."`
	Forward       string   `yaml:"forward" jsonschema:"pattern=^https?://" words:"a URL" jsonschema_description:"A URL that each request's head is sent to: with an answer of 2xx the request goes on, any other is the client's answer."`
	ForwardFields []string `yaml:"forwardFields" jsonschema_description:"Header fields of that answer that the task gets."`
}

// RouteLimits bound what a route takes.
type RouteLimits struct {
	Rate       float64 `yaml:"rate" jsonschema:"default=0,minimum=0" jsonschema_description:"Requests or connections per second."`
	Burst      int     `yaml:"burst" jsonschema:"default=0,minimum=0" jsonschema_description:"How many may come at once; 0 is as many as in a second."`
	ClientRate float64 `yaml:"clientRate" jsonschema:"default=0,minimum=0" jsonschema_description:"Requests or connections per second from one address."`
	InFlight   int     `yaml:"inFlight" jsonschema:"default=0,minimum=0" jsonschema_description:"Requests or connections at a time."`
}

// RouteMirror is where copies go.
type RouteMirror struct {
	Service string  `yaml:"service" jsonschema:"required" jsonschema_description:"The service that gets them."`
	Share   float64 `yaml:"share" jsonschema:"default=1,minimum=0,maximum=1" jsonschema_description:"The share of the requests that is copied: 0.1 is 10 %."`
}

// Connections tells whether the route is one of whole connections, not of
// requests.
func (r *Route) Connections() bool { return r.TCP != 0 || r.TLS == "passthrough" }

// AllRoutes are the route and the routes of a service.
func (s *Scaling) AllRoutes() []*Route {
	var all []*Route
	if s.Route != nil {
		all = append(all, s.Route)
	}
	for i := range s.Routes {
		all = append(all, &s.Routes[i])
	}
	return all
}

// checkRoutes has the rules over several keys of each route.
func (s *Scaling) checkRoutes(c check) {
	if s.Route == nil && len(s.Routes) > 0 {
		c.key("routes", "routes are for more than one: name the first in route")
	}
	nodes := []*node{c.node.get("route")}
	if s.Route == nil {
		nodes = nil
	}
	if list := c.node.get("routes"); list != nil {
		nodes = append(nodes, list.items...)
	}
	for i, r := range s.AllRoutes() {
		if i < len(nodes) {
			r.check(check{c.report, nodes[i]})
		}
	}
}

func (r *Route) check(c check) {
	if r.Connections() {
		for _, key := range []string{"path", "strip", "timeout", "idle", "compress", "log", "pages", "mirror", "weight"} {
			if c.has(key) {
				c.key(key, "%s is for requests; of a connection (tcp, tls) nothing is read", key)
			}
		}
		if r.Host != "" && r.TLS != "passthrough" {
			c.key("host", "a port's connections name no host; add tls: passthrough to route them by the TLS server name")
		}
		if r.TCP == 0 && r.Host == "" {
			c.key("tls", "passthrough on the router's TLS address needs host, which is the server name")
		}
		if c.has("access") && (r.Access.Users != "" || r.Access.Forward != "") {
			c.key("access", "users and forward are for requests; a connection knows allow and deny alone")
		}
	} else {
		if r.TLS == "terminate" {
			c.key("tls", "terminate is for tcp; requests come by the router's TLS address without it")
		}
		if r.Proxy != "" {
			c.key("proxy", "the PROXY protocol is for tcp and tls; requests carry X-Forwarded-For")
		}
	}
	if (r.Protocol == "https" || r.Protocol == "h2") && r.ServerName == "" && !r.Insecure && r.TLS != "passthrough" {
		c.key("protocol", "%s needs serverName, the name that the tasks' certificates are for", r.Protocol)
	}
	if r.Check.Kind == "http" && r.Health == "" {
		c.at(c.node.get("check"), "http needs health, the path to ask for")
	}
	if r.Health != "" && r.Check.Kind != "" && r.Check.Kind != "http" {
		c.key("health", "a check by %s asks for no path; remove one of them", r.Check.Kind)
	}
	if low, high, ok := strings.Cut(r.Check.Codes, "-"); ok && low > high {
		check{c.report, c.node.get("check")}.key("codes", "found %q, allowed: the smaller status first", r.Check.Codes)
	}
	if strings.Contains(r.Path+"/", "/../") {
		c.key("path", "found %q, allowed: the path that it leads to, without \"..\"", r.Path)
	}
	if r.Access.Forward != "" {
		check{c.report, c.node.get("access")}.link("forward", r.Access.Forward)
	}
	for key, list := range map[string][]string{"allow": r.Access.Allow, "deny": r.Access.Deny} {
		for i, text := range list {
			if _, err := netip.ParsePrefix(text); err != nil {
				c.at(c.node.get("access").get(key).items[i], "found %q, allowed: a network such as 10.0.0.0/8", text)
			}
		}
	}
}

// across checks the routes of all services together, and settles their ports
// and files.
func (r *report) acrossRoutes(p *Project, root *node) {
	type place struct {
		key    string
		weight int
		name   string
	}
	var places []place
	names := []string{}
	for _, s := range p.Services {
		names = append(names, s.Name)
	}
	for i := range p.Services {
		s := &p.Services[i]
		n, _ := root.find("services", s.Name)
		section := n.get("x-plimsoll")
		for j, route := range s.Scaling.AllRoutes() {
			at := section.get("route")
			if j > 0 {
				at = section.get("routes").items[j-1]
			}
			r.tcpPort(s, "route", &route.Port, at)
			for _, file := range []*string{&route.CA, &route.Access.Users} {
				*file = p.absolute(*file)
			}
			for k, page := range route.Pages {
				route.Pages[k] = page[:4] + p.absolute(page[4:])
			}
			if route.Mirror != nil && !slices.Contains(names, route.Mirror.Service) {
				r.at(at.get("mirror"), "there is no service %q to mirror to", route.Mirror.Service)
			}
			here := place{strconv.Itoa(route.TCP) + route.TLS + " " + route.Host + " " + strings.TrimSuffix(route.Path, "/"), route.Weight, s.Name}
			if route.Connections() {
				here.key = strconv.Itoa(route.TCP) + " " + route.Host
			}
			for _, other := range places {
				shared := other.weight+here.weight > 0 && other.name != here.name && !route.Connections()
				if other.key == here.key && !shared {
					r.at(at, "the service %q has this host and path already; change one of them, or share them out by weight", other.name)
				}
			}
			places = append(places, here)
		}
	}
}

// absolute is a file of the project as a whole path; empty stays empty.
func (p *Project) absolute(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(p.Dir, file)
}
