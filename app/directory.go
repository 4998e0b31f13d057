package app

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/discovery"
	"plimsoll/router"
)

// telling makes the directory of a snapshot: the services of the file, or those with
// a route by their tags, and their tasks that may get new work.
type telling struct {
	project *compose.Project // nil: none
	// tagged tells of the services with a route by their tags, too.
	tagged bool
	routes *routed
	// standings are what the router's checks say of a routed service's tasks, by id;
	// nil where there is no router.
	standings func(service string) map[string]router.Standing
	log       *slog.Logger
	unnamed   map[string]bool // services that have been complained of
}

// newTelling tells of the services of a file; project may be nil.
func newTelling(project *compose.Project, log *slog.Logger) (*telling, error) {
	routes := &routed{log: slog.New(slog.DiscardHandler), told: map[string]bool{}} // the router's own complain
	var err error
	if routes.file, err = fileRoutes(project); err != nil {
		return nil, err
	}
	return &telling{project: project, routes: routes, log: log, unnamed: map[string]bool{}}, nil
}

// told is what is told of a service besides its tasks.
type told struct {
	routed bool
	port   int      // its own, the first route's; 0: the first that there is
	tags   []string // its routes, as fabio reads them from Consul
}

// services are those that are told.
func (t *telling) services(cluster plimsoll.Cluster) map[string]told {
	out := map[string]told{}
	if t.project != nil {
		for _, s := range t.project.Services {
			out[s.Name] = told{}
		}
	}
	for _, r := range t.routes.routes(cluster) {
		name := r.Route.Service
		one, known := out[name]
		if !known && (!t.tagged || !t.nameable(out, name)) {
			continue
		}
		if !one.routed {
			one.routed, one.port = true, r.Port
		}
		if r.Port == 0 || r.Port == one.port {
			one.tags = append(one.tags, fabioTagOf(r.Route))
		}
		out[name] = one
	}
	return out
}

// nameable tells whether a service beside others could be named in DNS. ECS allows
// names that could not, and one of them must not hold up the rest.
func (t *telling) nameable(others map[string]told, name string) bool {
	d := discovery.Directory{Cluster: "any", Services: map[string][]discovery.Instance{name: nil}}
	for other := range others {
		if strings.EqualFold(other, name) {
			d.Services[other] = nil
		}
	}
	err := d.Check()
	if err != nil && !t.unnamed[name] {
		t.unnamed[name] = true
		t.log.Warn("a service is not told of", "service", name, "err", err)
	}
	return err == nil
}

// fabioTagOf is a route in the words that fabio reads from Consul.
func fabioTagOf(r router.Route) string {
	tag := fabioTag + r.Host + r.Path
	switch {
	case r.TLS == router.TLSPassthrough:
		tag += "/ proto=tcp+sni"
	case r.TCP != 0:
		tag = fabioTag + ":" + strconv.Itoa(r.TCP) + " proto=tcp"
	case r.Strip:
		tag += " strip=" + r.Path
	}
	return tag
}

// directory is what there is to be told of a snapshot, a service's routed port first.
// unchecked tells that no check has come to its end yet of some of the tasks.
func (t *telling) directory(cluster plimsoll.Cluster) (d discovery.Directory, unchecked bool) {
	d = discovery.Directory{
		Cluster: plimsoll.ARNName(cluster.Name), At: cluster.At, Services: map[string][]discovery.Instance{},
		Tags: map[string][]string{}, Unsure: map[string]bool{}, Kept: map[string][]string{},
		Others: map[string]bool{}, Gone: map[string]bool{},
	}
	services := t.services(cluster)
	standings := map[string]map[string]router.Standing{}
	for name, s := range services {
		d.Services[name] = nil
		if len(s.tags) > 0 {
			d.Tags[name] = s.tags
		}
		if s.routed && t.standings != nil {
			standings[name] = t.standings(name)
		}
	}
	for _, s := range cluster.Services {
		if _, ours := services[s.Name]; ours && len(s.Registries) > 0 {
			d.Kept[s.Name] = s.Registries
		}
	}
	hosts := map[string]plimsoll.ContainerInstance{}
	for _, host := range cluster.Instances {
		hosts[host.ARN] = host
	}
	for _, task := range cluster.Tasks {
		id := task.ID()
		service, ours := services[task.Service]
		if task.DesiredStatus == plimsoll.StatusStopped || !task.Live() {
			d.Gone[id] = true
			continue
		}
		if !ours || !task.Serving() {
			d.Others[id] = true
			continue
		}
		i := instanceOf(task, service.port, hosts[task.ContainerInstance])
		if !i.Address.IsValid() {
			d.Unsure[id] = true
			continue
		}
		if service.routed && t.standings != nil && i.Healthy {
			standing := standings[task.Service][id]
			i.Healthy = standing == router.Used
			d.Unsure[id] = standing == router.Unchecked || standing == router.Unproven
			unchecked = unchecked || standing == router.Unchecked
		}
		d.Services[task.Service] = append(d.Services[task.Service], i)
	}
	maps.DeleteFunc(d.Unsure, func(_ string, unsure bool) bool { return !unsure })
	return d, unchecked
}

// instanceOf is a task on its host, with the service's own port first. Its address is
// not valid where it is not known.
func instanceOf(task plimsoll.Task, own int, host plimsoll.ContainerInstance) discovery.Instance {
	i := discovery.Instance{ID: task.ID(), Zone: task.Zone, Healthy: !task.Unwell}
	for _, e := range task.Endpoints {
		ip, err := netip.ParseAddr(e.Host)
		if err != nil {
			continue // not known yet
		}
		i.Address = ip
		port := discovery.Port{Container: e.ContainerPort, Host: e.Port}
		if e.ContainerPort == own {
			i.Ports = slices.Insert(i.Ports, 0, port)
		} else {
			i.Ports = append(i.Ports, port)
		}
	}
	if i.Address.IsValid() && host.Address == i.Address.String() && strings.HasPrefix(host.InstanceID, "i-") {
		i.Host = host.InstanceID
	}
	return i
}
