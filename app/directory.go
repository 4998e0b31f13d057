package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/discovery"
	"plimsoll/router"
)

// telling makes the directory of a snapshot: the services of the file, or those with
// a route by their tags, and their tasks that may get new work.
type telling struct {
	project *compose.Project // nil: none
	// only are the services of the file that are told; nil: all of them.
	only map[string]bool
	// tagged tells of the services with a route by their tags, too.
	tagged bool
	routes *routed
	// standings are what the router's checks say of a routed service's tasks, by id;
	// nil where there is no router.
	standings func(service string) map[string]router.Standing
	// checker checks the tasks that no router does; nil: nobody, and they are taken to be well.
	checker  *router.Checker
	unproven map[string]time.Time // services of which no task has passed a check, and since when
	log      *slog.Logger
	unnamed  map[string]bool // services that have been complained of
}

// tellUnproven is how long no task of a service passes a check until that is logged.
const tellUnproven = 30 * time.Second

// newTelling tells of the services of a file, all of whose tasks are checked or none;
// project may be nil.
func newTelling(project *compose.Project, unchecked bool, log *slog.Logger) (*telling, error) {
	routes := &routed{log: slog.New(slog.DiscardHandler), told: map[string]bool{}} // the router's own complain
	var err error
	if routes.file, err = fileRoutes(project); err != nil {
		return nil, err
	}
	t := &telling{project: project, routes: routes, log: log, unproven: map[string]time.Time{}, unnamed: map[string]bool{}}
	if unchecked {
		return t, nil
	}
	t.checker = router.NewChecker(router.Health{}, log)
	// That a file for the checks is not there is said at the start.
	if err := t.check(t.services(plimsoll.Cluster{}), plimsoll.Cluster{}); err != nil {
		return nil, errors.Join(fmt.Errorf("the tasks cannot be checked: %w", err), t.close())
	}
	return t, nil
}

// close ends the checks.
func (t *telling) close() error {
	if t.checker == nil {
		return nil
	}
	return t.checker.Close()
}

// check has those tasks checked that no router checks.
func (t *telling) check(services map[string]told, cluster plimsoll.Cluster) error {
	checked := map[string]router.Checked{}
	for name, s := range services {
		if !s.routed || t.standings == nil {
			checked[name] = router.Checked{Upstream: s.upstream, Check: s.check}
		}
	}
	for _, task := range cluster.Tasks {
		c, ours := checked[task.Service]
		if e, found := endpointOf(task, services[task.Service].checkPort()); ours && found && task.Serving() {
			target := targetOf(task, e)
			target.Host = task.ContainerInstance
			c.Targets = append(c.Targets, target)
			checked[task.Service] = c
		}
	}
	return t.checker.Set(checked)
}

// told is what is told of a service besides its tasks.
type told struct {
	routed bool
	port   int      // its own, the first route's; 0: the first that there is
	tags   []string // its routes, as fabio reads them from Consul
	// Where it has no route: the port that is registered in AWS.
	registered int
	upstream   router.Upstream
	check      router.Check
}

// checkPort is the container port that is checked.
func (s told) checkPort() int { return cmp.Or(s.port, s.registered) }

// services are those that are told.
func (t *telling) services(cluster plimsoll.Cluster) map[string]told {
	out := map[string]told{}
	if t.project != nil {
		for _, s := range t.project.Services {
			if t.only != nil && !t.only[s.Name] {
				continue
			}
			one := told{}
			for _, r := range s.Scaling.AllRegisters() {
				one.registered = cmp.Or(one.registered, r.Port)
			}
			out[s.Name] = one
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
			one.check, one.upstream = cmp.Or(one.check, r.Route.Check), cmp.Or(one.upstream, r.Route.Upstream)
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
	for name, s := range services {
		d.Services[name] = nil
		if len(s.tags) > 0 {
			d.Tags[name] = s.tags
		}
	}
	standings := t.judge(services, cluster)
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
		if judged, ok := standings[task.Service]; ok && i.Healthy {
			standing := judged[id]
			i.Healthy = standing == router.Used
			d.Unsure[id] = standing == router.Unchecked || standing == router.Unproven
			unchecked = unchecked || standing == router.Unchecked
		}
		d.Services[task.Service] = append(d.Services[task.Service], i)
	}
	maps.DeleteFunc(d.Unsure, func(_ string, unsure bool) bool { return !unsure })
	return d, unchecked
}

// judge gives what is known of the tasks' health, by service and task; services of
// which nobody judges are not in it.
func (t *telling) judge(services map[string]told, cluster plimsoll.Cluster) map[string]map[string]router.Standing {
	out := map[string]map[string]router.Standing{}
	if t.checker != nil {
		if err := t.check(services, cluster); err != nil {
			t.log.Error("the tasks are not checked as they should be", "err", err)
		}
	}
	for name, s := range services {
		switch {
		case s.routed && t.standings != nil:
			out[name] = t.standings(name)
		case t.checker != nil:
			out[name] = t.checker.Standings(name)
			t.noteUnproven(name, out[name])
		}
	}
	return out
}

// noteUnproven says so, once, where no task of a service has passed a check for long.
func (t *telling) noteUnproven(service string, standings map[string]router.Standing) {
	since, noted := t.unproven[service]
	for _, standing := range standings {
		if standing == router.Used || standing == router.LeftOut {
			delete(t.unproven, service)
			return
		}
	}
	switch {
	case len(standings) == 0:
		delete(t.unproven, service)
	case !noted:
		t.unproven[service] = time.Now()
	case !since.IsZero() && time.Since(since) > tellUnproven:
		t.unproven[service] = time.Time{}
		t.log.Warn("no task of a service has passed a check from here, and none is told of: can its port be reached from here? plimsoll run --unchecked tells of all running tasks",
			"service", service, "tasks", len(standings))
	}
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
