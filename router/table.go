package router

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// drainMemory is how long the id of a drained target is remembered after it was
// last seen in a table: a table made from an older snapshot must not bring the
// target back.
const drainMemory = 5 * time.Minute

// table is a Table made ready for lookup. It is never changed after it is
// published, but for the live state that its services point at.
type table struct {
	hosts    map[string]*paths
	wild     map[string]*paths // by what follows the star: ".example.com"
	any      *paths
	ports    map[int]*names // of TCP routes; port 0 is the TLS listener's
	services map[string]*service
}

// paths are the routes of one host. A lookup costs one probe for each slash of
// the request's path, up to depth, however many routes there are.
type paths struct {
	routes map[string]*route
	depth  int // the most slashes in any of the prefixes
}

type route struct {
	Route
	service *service
	gate    *gate
	// mirrored is the service that gets copies; nil without one.
	mirrored *service
	rare     bool   // see plain
	split    *split // of the place, on the first of its routes
}

// plain tells whether plain requests to the route need nothing but what client
// does by itself; whatever else a route can have is done in net/http's handler.
func (r *route) plain() bool { return !r.rare }

// SetTable replaces the table by t in one step. Requests see the old or the new
// one, never a mixture. Targets that stay (the same service, id and address)
// keep their counters and health. An error leaves the old table in force; it
// says which route or target is at fault.
func (r *Router) SetTable(t Table) error {
	if err := t.check(); err != nil {
		return err
	}
	settings := settingsOf(t.Routes)
	for name, s := range settings {
		if err := r.transports.prepare(s.upstream); err != nil {
			return fmt.Errorf("routes of service %q: %w", name, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	r.forgetDrained(t)
	next := &table{hosts: map[string]*paths{}, wild: map[string]*paths{}, any: newPaths(), ports: map[int]*names{}, services: r.ready(t)}
	for _, route := range t.Routes {
		next.add(r.readyRoute(route, next, settings[route.Service]))
	}
	r.fill(next.services, t, settings)
	r.forgetGates()
	r.openPorts(next)
	r.table.Store(next)
	r.closePorts(next)
	r.retireServices(next.services) // only now: a request that read the old table may still hold one
	return nil
}

// ready gives the live services of a table, new ones without targets; r.mu is held.
func (r *Router) ready(t Table) map[string]*service {
	live := make(map[string]*service, len(t.Services))
	for name := range t.Services {
		live[name] = r.named(name)
	}
	return live
}

// named is the live service of that name, a new one if there is none yet; r.mu is
// held.
func (r *Router) named(name string) *service {
	if s := r.services[name]; s != nil {
		return s
	}
	s := newService(r, name)
	r.services[name] = s
	if owner, _, ok := strings.Cut(name, ":"); ok {
		s.owner = r.named(owner)
		s.owner.further = append(s.owner.further, s)
		s.meter.pressure = s.owner.meter.pressure
	}
	return s
}

// fill gives live services their settings and targets; r.mu is held.
func (r *Router) fill(live map[string]*service, t Table, all map[string]settings) {
	for name, targets := range t.Services {
		said := all[name]
		live[name].settings.Store(&said)
		live[name].setTargets(targets, r.drained)
	}
}

// retireServices takes out those that are in no table any more; r.mu is held.
func (r *Router) retireServices(live map[string]*service) {
	for name, s := range r.services {
		if live[name] != nil {
			continue
		}
		s.setTargets(nil, r.drained)
		if s.watched || len(s.further) > 0 {
			continue // one with further ports goes after them, with the next table at the latest
		}
		delete(r.services, name)
		if s.owner != nil {
			s.owner.further = slices.DeleteFunc(s.owner.further, func(other *service) bool { return other == s })
		}
	}
}

// check finds what would make two readers of the table disagree.
func (t Table) check() error {
	type place struct {
		host, path string
		port       int
	}
	seen := map[place]Route{}
	weighed := map[place]bool{}
	var shared []place
	for _, route := range t.Routes {
		if _, ok := t.Services[route.Service]; !ok {
			return fmt.Errorf("route %q%s: service %q is not in the table; add it, with no targets if it has none", route.Host, route.Path, route.Service)
		}
		if err := route.check(); err != nil {
			return err
		}
		if _, ok := t.Services[route.Mirror.Service]; !ok && route.Mirror.Share > 0 {
			return fmt.Errorf("route %q%s: the service %q of its mirror is not in the table", route.Host, route.Path, route.Mirror.Service)
		}
		at := place{canonicalHost(route.Host), route.Path, route.TCP}
		weighed[at] = weighed[at] || route.Weight > 0
		if other, ok := seen[at]; ok && (other.Service == route.Service || route.connections()) {
			return fmt.Errorf("route %q%s: both %q and %q claim it; change the host or the path of one", route.Host, route.Path, other.Service, route.Service)
		} else if ok {
			shared = append(shared, at)
		}
		seen[at] = route
	}
	for _, at := range shared {
		if !weighed[at] {
			return fmt.Errorf("route %q%s: several services claim it; change the host or the path of all but one, or share it out by weights", at.host, at.path)
		}
	}
	for name, targets := range t.Services {
		ids := map[Target]bool{}
		for _, target := range targets {
			if _, _, err := net.SplitHostPort(target.Address); err != nil || target.ID == "" {
				return fmt.Errorf("target %q of service %q: address %q is not host:port, or the id is empty", target.ID, name, target.Address)
			}
			if ids[target] {
				return fmt.Errorf("target %q of service %q is listed twice", target.ID, name)
			}
			ids[target] = true
		}
	}
	return nil
}

// forgetDrained drops the ids that no table has named for drainMemory.
func (r *Router) forgetDrained(t Table) {
	now := time.Now()
	for _, targets := range t.Services {
		for _, target := range targets {
			if _, ok := r.drained[target.ID]; ok {
				r.drained[target.ID] = now
			}
		}
	}
	for id, last := range r.drained {
		if now.Sub(last) > drainMemory {
			delete(r.drained, id)
		}
	}
}

func newPaths() *paths { return &paths{routes: map[string]*route{}} }

// readyRoute makes the live form of a route; r.mu is held.
func (r *Router) readyRoute(from Route, t *table, s settings) *route {
	return &route{
		Route: from, service: t.services[from.Service], mirrored: t.services[from.Mirror.Service], gate: r.gateOf(from),
		rare: from.rare() || s.rare(),
	}
}

func (t *table) add(r *route) {
	if r.connections() {
		if t.ports[r.TCP] == nil {
			t.ports[r.TCP] = &names{hosts: map[string]*route{}, wild: map[string]*route{}}
		}
		t.ports[r.TCP].add(r)
		return
	}
	p := t.any
	if host := canonicalHost(r.Host); host != "" {
		names := t.hosts
		if suffix, ok := strings.CutPrefix(host, "*"); ok {
			names, host = t.wild, suffix
		}
		if names[host] == nil {
			names[host] = newPaths()
		}
		p = names[host]
	}
	if first := p.routes[r.Path]; first == nil {
		p.routes[r.Path] = r
	} else {
		if first.split == nil {
			first.split, first.rare = &split{}, true
			first.split.add(first)
		}
		first.split.add(r)
	}
	p.depth = max(p.depth, strings.Count(r.Path, "/"))
}

// match finds the route for a request's host (a port is ignored) and decoded
// path; nil if there is none. A host that has routes of its own, none of which
// fits the path, falls back to those of the wildcards, the longest first, and
// then to the routes of every host.
func (t *table) match(host, path string) *route {
	if len(t.hosts)+len(t.wild) > 0 {
		host = canonicalHost(host)
		if p := t.hosts[host]; p != nil {
			if r := p.match(path); r != nil {
				return r
			}
		}
		for len(t.wild) > 0 {
			dot := strings.IndexByte(host, '.')
			if dot < 0 {
				break
			}
			if p := t.wild[host[dot:]]; p != nil {
				if r := p.match(path); r != nil {
					return r
				}
			}
			host = host[dot+1:]
		}
	}
	if t.any == nil {
		return nil
	}
	return t.any.match(path)
}

// match tries the prefixes of the path that end at a slash or at its end,
// longest first.
func (p *paths) match(path string) *route {
	if len(p.routes) == 0 {
		return nil
	}
	// A prefix with n slashes cannot reach past the slash n+1 of the path; what
	// lies behind is cut, so that a path of nothing but slashes costs no more.
	cut := false
	for i, slashes := 0, 0; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if slashes++; slashes > p.depth {
			path, cut = path[:i+1], true
			break
		}
	}
	if !cut {
		if r := p.routes[path]; r != nil {
			return r
		}
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] != '/' {
			continue
		}
		if r := p.routes[path[:i+1]]; r != nil {
			return r
		}
		if i == 0 {
			break
		}
		if r := p.routes[path[:i]]; r != nil {
			return r
		}
	}
	return nil
}

// canonicalHost is a host name in lower case, without a port and without the
// dot of the root.
func canonicalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
