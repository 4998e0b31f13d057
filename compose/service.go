package compose

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"
	"github.com/xhit/go-str2duration/v2"
	"go.yaml.in/yaml/v4"

	"plimsoll"
)

// projectName is, as compose has it, COMPOSE_PROJECT_NAME, else the key name,
// else the name of the file's folder.
func (r *report) projectName(root *node, dir string, variables map[string]string) string {
	if name := variables["COMPOSE_PROJECT_NAME"]; name != "" {
		if name != loader.NormalizeProjectName(name) {
			r.add(0, 0, "", "the environment's COMPOSE_PROJECT_NAME is %q, allowed: lower-case letters, digits, - and _", name)
		}
		return name
	}
	if n := root.get("name"); n != nil {
		if n.kind == yaml.ScalarNode && n.text != loader.NormalizeProjectName(n.text) {
			r.at(n, "found %q, allowed: lower-case letters, digits, - and _, a letter or digit first", n.text)
		}
		return n.text
	}
	if name := loader.NormalizeProjectName(filepath.Base(dir)); name != "" {
		return name
	}
	return "default"
}

// serviceNames checks what services are called by ECS's rule.
func (r *report) serviceNames(root *node) {
	services := root.get("services")
	if services == nil || services.kind != yaml.MappingNode || len(services.entries) == 0 {
		if len(r.errors) == 0 {
			r.at(root, "there are no services; add services with at least one")
		}
		return
	}
	rule := regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	for _, e := range services.entries {
		if !rule.MatchString(e.key) {
			r.atKey(e, "%q cannot be the name of a service; allowed: letters, digits, - and _", e.key)
		}
	}
}

// scalings reads every x-plimsoll section. The scalings are by service.
func (r *report) scalings(p *Project, root *node) map[string]*Scaling {
	d := &decoder{r}
	var top extension
	d.structs(root.get("x-plimsoll"), &top)
	d.hostBounds(root.get("x-plimsoll").get("hosts"), &top.Hosts)
	most := max(top.Hosts.Count, top.Hosts.Max)
	if zones := root.get("x-plimsoll").get("hosts").get("zones"); zones == nil {
		top.Hosts.Zones = min(top.Hosts.Zones, most)
	} else if top.Hosts.Zones > most && most > 0 {
		d.at(zones, "%d zones for %d hosts leaves zones empty; allowed: 1 to %d", top.Hosts.Zones, most, most)
	}
	p.Prices, p.Eviction, p.Budget = top.Prices, top.Eviction, top.Budget
	p.DeregistrationDelay = top.DeregistrationDelay
	p.Hosts = Hosts{
		Count: top.Hosts.Count, Zones: top.Hosts.Zones,
		Each: plimsoll.Resources{CPU: top.Hosts.CPU, Memory: int64(top.Hosts.Memory)},
		Min:  top.Hosts.Min, Max: top.Hosts.Max, LaunchTime: top.Hosts.LaunchTime, Groups: top.Hosts.Groups,
		Headroom: top.Hosts.Headroom, LaunchAtOnce: top.Hosts.LaunchAtOnce, ScaleIn: top.Hosts.ScaleIn,
	}
	scalings := map[string]*Scaling{}
	services := root.get("services")
	if services == nil {
		return scalings
	}
	for _, e := range services.entries {
		s, before := &Scaling{}, len(r.errors)
		section := e.value.get("x-plimsoll")
		d.structs(section, s)
		if len(r.errors) == before && section != nil {
			s.check(check{r, section})
		}
		scalings[e.key] = s
	}
	return scalings
}

// hostBounds settles the number of hosts that come and go.
func (r *report) hostBounds(at *node, h *hosts) {
	switch {
	case h.Max == 0:
		if lowest := at.get("min"); lowest != nil {
			r.at(lowest, "min is of hosts that come and go: add max, or use count for a fixed number")
		}
		return
	case h.Max < h.Min:
		r.at(at.get("max"), "found %d, allowed: min (%d) and more", h.Max, h.Min)
	case at.get("count") == nil:
		h.Count = h.Min
	case h.Count < h.Min || h.Count > h.Max:
		r.at(at.get("count"), "found %d, allowed: min to max (%d to %d)", h.Count, h.Min, h.Max)
	}
}

// services turns what compose-go has read into services, in the file's order.
func (r *report) services(p *Project, root *node, parsed *types.Project, scalings map[string]*Scaling) {
	for _, e := range root.get("services").entries {
		from, ok := parsed.Services[e.key]
		if !ok {
			r.warn(e.line, e.column, e.value.path, "left out: none of its profiles is in COMPOSE_PROFILES")
			continue
		}
		s := Service{
			Name: e.key, Line: e.line,
			Image: from.Image, EntryPoint: from.Entrypoint, Command: from.Command,
			WorkingDir: from.WorkingDir, User: from.User,
			Environment: map[string]string{},
			Reserved:    reserved(from),
			Scaling:     *scalings[e.key],
		}
		for name, value := range from.Environment {
			if value != nil {
				s.Environment[name] = *value
			}
		}
		if s.Image == "" {
			if len(s.Command)+len(s.EntryPoint) == 0 {
				r.atKey(e, "neither command nor image is there; give the program that runs by command, or an image")
			}
			if !filepath.IsAbs(s.WorkingDir) {
				s.WorkingDir = filepath.Join(p.Dir, s.WorkingDir)
			}
		}
		r.container(e, from, parsed, &s)
		s.StopTimeout = stopTimeout(from)
		s.Ports = r.ports(e.value, from)
		r.counts(e, from, &s)
		p.Services = append(p.Services, s)
	}
	if len(p.Services) == 0 {
		r.at(root.get("services"), "every service is left out by its profiles; set COMPOSE_PROFILES")
	}
}

// formats checks the texts of the services that have a format of their own, so
// that a slip in one is told with its place.
func (r *report) formats(p *Project, root *node) {
	services := root.get("services")
	if services == nil {
		return
	}
	for _, e := range services.entries {
		reservations := e.value.get("deploy").get("resources").get("reservations")
		r.format(reservations.get("cpus"), `a number of CPUs over 0, such as "0.25"`, func(text string) bool {
			cpus, err := strconv.ParseFloat(text, 64)
			return err == nil && cpus > 0 && cpus <= 1<<20
		})
		for _, memory := range []*node{reservations.get("memory"), e.value.get("mem_reservation")} {
			r.format(memory, "an amount of memory, such as 64M", func(text string) bool {
				bytes, err := units.RAMInBytes(text)
				return err == nil && bytes > 0
			})
		}
		r.format(e.value.get("stop_grace_period"), "a duration of whole seconds, at least 1s", func(text string) bool {
			d, err := str2duration.ParseDuration(text)
			return err == nil && d >= time.Second && d%time.Second == 0
		})
		if ports := e.value.get("ports"); ports != nil {
			for _, port := range ports.items {
				r.format(port, `a port such as "8080" (container) or "8080:80" (host:container)`, func(text string) bool {
					_, err := types.ParsePortConfig(text)
					return err == nil
				})
			}
		}
		r.envFiles(p, e.value.get("env_file"))
	}
}

// format reports a scalar whose text is not as it should be; what is no scalar
// is left to the schema.
func (r *report) format(n *node, want string, good func(text string) bool) {
	if n != nil && n.kind == yaml.ScalarNode && !good(n.text) {
		r.at(n, "found %s, allowed: %s", n.describe(), want)
	}
}

// envFiles reports the files of env_file that are not there.
func (r *report) envFiles(p *Project, n *node) {
	if n == nil {
		return
	}
	for _, item := range append([]*node{n}, n.items...) {
		if item.kind == yaml.MappingNode && (item.get("required") == nil || item.get("required").text != "false") {
			item = item.get("path")
		}
		if item == nil || item.kind != yaml.ScalarNode || item.isNull() {
			continue
		}
		path := item.text
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, path)
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			r.at(item, "there is no file %q; write it, or remove the key", item.text)
		}
	}
}

// reserved is what one task reserves. CPU is rounded up to whole units, memory
// to whole MiB.
func reserved(s types.ServiceConfig) plimsoll.Resources {
	r := DefaultReserved
	memory := s.MemReservation
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil {
		given := s.Deploy.Resources.Reservations
		if given.NanoCPUs > 0 {
			r.CPU = int64(math.Ceil(float64(given.NanoCPUs) * 1024))
		}
		if given.MemoryBytes > 0 {
			memory = given.MemoryBytes
		}
	}
	if memory > 0 {
		const mib = 1 << 20
		r.Memory = (int64(memory) + mib - 1) / mib
	}
	return r
}

// stopTimeout is ECS's: whole seconds, as formats has checked.
func stopTimeout(s types.ServiceConfig) time.Duration {
	if s.StopGracePeriod == nil {
		return 0
	}
	return time.Duration(*s.StopGracePeriod)
}

// ports reads the ports; what asks for more than a container port and a host
// port is refused.
func (r *report) ports(n *node, s types.ServiceConfig) []Port {
	list := n.get("ports")
	var ports []Port
	for i, from := range s.Ports {
		at := list
		if len(list.items) == len(s.Ports) {
			at = list.items[i]
		}
		port := Port{ContainerPort: int(from.Target), Protocol: from.Protocol}
		if port.Protocol == "" {
			port.Protocol = "tcp"
		}
		if from.HostIP != "" {
			r.at(at, "the address %q cannot be kept: host ports are those of the task's host; write %q", from.HostIP, short(from))
		}
		if from.Published != "" {
			host, err := strconv.Atoi(from.Published)
			if err != nil {
				r.at(at, "the host ports %q are no single port; leave them out for a dynamic host port: %q", from.Published, fmt.Sprint(from.Target))
			}
			port.HostPort = host
		}
		if port.Protocol != "tcp" && port.Protocol != "udp" {
			r.at(at, "the protocol %q is not supported; allowed: tcp, udp", port.Protocol)
		}
		if port.ContainerPort < 1 || port.ContainerPort > 65535 || port.HostPort > 65535 {
			r.at(at, "found %s, allowed: ports from 1 to 65535", at.describe())
		}
		ports = append(ports, port)
	}
	return ports
}

// short is a port without its address.
func short(p types.ServicePortConfig) string {
	if p.Published == "" {
		return fmt.Sprint(p.Target)
	}
	return p.Published + ":" + fmt.Sprint(p.Target)
}

// counts settles min and max: those of the file, else deploy.replicas, else 1.
func (r *report) counts(e entry, from types.ServiceConfig, s *Service) {
	section := e.value.get("x-plimsoll")
	replicas, given := from.GetScale(), e.value.get("deploy").get("replicas")
	if given == nil {
		given = e.value.get("scale")
	} else if scale := e.value.get("scale"); scale != nil && from.Deploy.Replicas != nil && *from.Deploy.Replicas != replicas {
		r.at(scale, "scale %d and deploy.replicas %d differ; keep one of them", replicas, *from.Deploy.Replicas)
	}
	hasMin, hasMax := section.get("min"), section.get("max")
	if hasMin == nil {
		s.Scaling.Min = replicas
		if hasMax != nil && given == nil {
			s.Scaling.Min = min(replicas, s.Scaling.Max)
		}
	}
	if hasMax == nil {
		s.Scaling.Max = max(replicas, s.Scaling.Min)
	}
	if s.Scaling.Min < 1 && len(s.Scaling.Triggers) > 0 && !slices.ContainsFunc(s.Scaling.Triggers, func(t Trigger) bool { return !t.uses() }) {
		r.at(section.get("triggers"), "min is 0, and at 0 tasks no use can be measured that would start one; set min to 1, or add a trigger of another type")
	}
	switch {
	case given != nil && replicas < 0:
		r.at(given, "found %d, allowed: a whole number of at least 0", replicas)
	case hasMin != nil && hasMax != nil && s.Scaling.Min > s.Scaling.Max:
		r.at(hasMin, "min %d is over max %d (line %d)", s.Scaling.Min, s.Scaling.Max, hasMax.line)
	case given != nil && (replicas < s.Scaling.Min || replicas > s.Scaling.Max):
		r.at(given, "%d replicas are not within min %d and max %d of x-plimsoll; remove the key, or change them", replicas, s.Scaling.Min, s.Scaling.Max)
	}
}

// check has the rules over several keys of one x-plimsoll section.
func (s *Scaling) check(c check) {
	if s.Remainder && len(s.Triggers) > 0 {
		c.key("triggers", "a remainder service has no triggers: it takes what nobody else wants; remove remainder or triggers")
	}
	s.Forecast.check(check{c.report, c.node.get("forecast")}, s.Triggers)
	s.Formula.check(check{c.report, c.node.get("formula")}, s.Triggers)
	if s.Spend != nil {
		check{c.report, c.node.get("spend")}.one("taskHours", "cost")
	}
	if !c.has("max") && (s.Remainder || len(s.Triggers) > 0) {
		c.at(c.node, "max is missing; a service with triggers or remainder names the most tasks that it may have")
	}
	s.checkRoutes(c)
	s.checkRegisters(c)
	for i, t := range s.Triggers {
		if t.Type == "router" && s.Route == nil {
			c.at(c.node.get("triggers").items[i], "a router trigger needs a route, which gives the router its requests; add route, such as {path: /}")
		}
	}
	for key, rate := range map[string]*Rate{"scaleUp": s.Behavior.ScaleUp.Rate, "scaleDown": s.Behavior.ScaleDown.Rate} {
		if rate != nil && rate.Percent == 0 && rate.Tasks == 0 {
			c.at(c.node.get("behavior").get(key).get("rate"), "nothing could ever change: set percent or tasks over 0")
		}
	}
	if s.Load == nil {
		return
	}
	load := check{c.report, c.node.get("load")}
	if len(s.Load.Paths) > 0 && s.Route == nil {
		load.key("paths", "paths are asked for through the router; add route")
	}
	if len(s.Load.Messages) > 0 && s.Queue() == "" {
		load.key("messages", "messages go to the queue of an aws-sqs-queue trigger; add one with queue")
	}
	if len(s.Load.Paths)+len(s.Load.Messages) == 0 {
		load.at(load.node, "nothing to send: add paths or messages")
	}
}

// Queue is the engine's queue of the service's first aws-sqs-queue trigger;
// empty without one.
func (s *Scaling) Queue() string {
	for _, t := range s.Triggers {
		if q, ok := t.Parameters.(*SQSQueue); ok && q.Queue != "" {
			return q.Queue
		}
	}
	return ""
}

// across has the rules over the whole file.
func (r *report) across(p *Project, root *node) {
	for i := range p.Services {
		s := &p.Services[i]
		n, _ := root.find("services", s.Name)
		r.priced(p, s, n)
		if !s.Reserved.Fits(p.Hosts.Each) {
			at, _ := n.find("deploy", "resources", "reservations")
			r.at(at, "a task reserves %s, a host has %s: none would ever start; reserve less, or give the hosts more (x-plimsoll.hosts)", s.Reserved, p.Hosts.Each)
		}
	}
	r.acrossRoutes(p, root)
	r.acrossRegisters(p, root)
}

// priced checks that a ceiling on the cost can ever be reached.
func (r *report) priced(p *Project, s *Service, n *node) {
	if spend := s.Scaling.Spend; spend != nil && spend.Cost > 0 && p.Prices.Hourly(s.Reserved) == 0 {
		r.at(n.get("x-plimsoll").get("spend"), "a task costs nothing; set x-plimsoll.prices at the top level, or use taskHours")
	}
}

// tcpPort settles which port of a service a part of the file is about.
func (r *report) tcpPort(s *Service, what string, chosen *int, at *node) {
	var tcp []int
	for _, port := range s.Ports {
		if port.Protocol == "tcp" {
			tcp = append(tcp, port.ContainerPort)
		}
	}
	switch {
	case len(tcp) == 0:
		r.at(at, "a %s needs a TCP port of the service; add ports, such as [\"8080\"]", what)
	case *chosen == 0:
		*chosen = tcp[0]
	case !slices.Contains(tcp, *chosen):
		r.at(at.get("port"), "found %d, allowed: a port of the service: %s", *chosen, strings.ReplaceAll(strings.Trim(fmt.Sprint(tcp), "[]"), " ", ", "))
	}
}
