package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/control"
	"plimsoll/discovery"
	"plimsoll/discovery/consul"
)

// DiscoveryOptions say how other programs find the tasks. The zero value: not
// at all.
type DiscoveryOptions struct {
	// DNS is the listening address of the DNS server, host:port; empty: none.
	DNS string
	// Forward has it ask this machine's resolvers for other names.
	Forward bool
	// Consul is the URL of a Consul agent to register the tasks in; empty: none.
	Consul string
	// Register keeps the tasks registered where in AWS the file says.
	Register bool
}

// onDNS is the DNS server's flag.
const onDNS = "dns"

// systemResolvers names this machine's resolvers.
const systemResolvers = "/etc/resolv.conf"

// finder tells other programs where the tasks are. A nil finder tells nobody.
type finder struct {
	project *compose.Project
	dns     *discovery.Server
	address string // of the DNS server
	packets net.PacketConn
	streams net.Listener
	keepers []keeper
	// unwell gives the ids of a routed service's tasks that the router has
	// found to be unwell; nil where there is no router.
	unwell func(service string) map[string]bool
	log    *slog.Logger
}

// keeper is that of a registry of others' with the services that are registered there; nil:
// all of them.
type keeper struct {
	*discovery.Keeper
	services map[string]bool
}

// newFinder takes the ports that are asked for, and starts nothing yet. What has to
// be remembered is kept in dir.
func newFinder(o DiscoveryOptions, project *compose.Project, cluster, dir string, last int, log *slog.Logger) (*finder, error) {
	o.Register = o.Register && (registers(project) || fileLedger(dir).exists())
	if o == (DiscoveryOptions{}) {
		return nil, nil
	}
	f := &finder{project: project, log: log}
	var err error
	if o.Register {
		f.registries(dir)
	}
	if o.Consul != "" {
		agent, err := consul.New(consul.Options{Address: o.Consul, Tags: func(service string) []string { return routeTags(project, service) }, Log: log})
		if err != nil {
			return nil, misusef("--consul: %w", err)
		}
		f.keepers = append(f.keepers, keeper{agent, nil})
	}
	if o.DNS == "" {
		return f, nil
	}
	options := discovery.Options{Log: log}
	if o.Forward {
		if !isLoopback(o.DNS) {
			return nil, misusef("--dns-forward with --dns %s would answer everybody for every name: give a loopback address such as 127.0.0.1:5300, or leave --dns-forward out", o.DNS)
		}
		if options.Forward, err = discovery.SystemResolvers(systemResolvers); err != nil {
			return nil, fmt.Errorf("--dns-forward: %w", err)
		}
	}
	if err := (discovery.Directory{Cluster: plimsoll.ARNName(cluster)}).Check(); err != nil {
		return nil, misusef("--dns: %w", err)
	}
	if f.packets, f.streams, err = listenDNS(o.DNS, last); err != nil {
		return nil, err
	}
	f.address = f.streams.Addr().String()
	f.dns = discovery.NewServer(options)
	return f, nil
}

// listenDNS opens the same port for packets and for connections.
func listenDNS(address string, last int) (net.PacketConn, net.Listener, error) {
	var problem error
	for range 10 { // a free port of one kind may be taken as the other
		l, err := listen(onDNS, address, last)
		if err != nil {
			return nil, nil, err
		}
		packets, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return packets, l, nil
		}
		problem = errors.Join(fmt.Errorf("--%s %s: %w", onDNS, address, err), l.Close())
		last = 0
	}
	return nil, nil, problem
}

// serve answers DNS questions until the stack is closed.
func (f *finder) serve(s *stack) {
	if f == nil || f.dns == nil {
		return
	}
	go func() {
		if err := f.dns.Serve(f.packets, f.streams); err != nil {
			f.log.Error("the DNS server's listeners ended", "err", err)
		}
	}()
	s.push("the DNS server", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return f.dns.Shutdown(ctx)
	})
}

// start keeps the directory true, after each step of the loop and every second,
// until the stack is closed.
func (f *finder) start(s *stack, loop *control.Loop) {
	if f == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, k := range f.keepers {
		running.Go(func() { k.Run(ctx) })
	}
	stepped, unsubscribe := loop.Subscribe()
	running.Go(func() { f.follow(ctx, loop.State, stepped) })
	s.push("discovery", func(context.Context) error {
		stop()
		running.Wait()
		unsubscribe()
		return nil
	})
}

// follow gives the directory on. The router's own findings about a target's
// health change between the loop's steps: hence the second.
func (f *finder) follow(ctx context.Context, state func() control.State, stepped <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if now := state(); !now.Cluster.At.IsZero() {
			f.set(now.Cluster)
		}
		select {
		case <-ctx.Done():
			return
		case <-stepped:
		case <-tick.C:
		}
	}
}

// set gives the directory of a snapshot on.
func (f *finder) set(cluster plimsoll.Cluster) {
	d := directory(f.project, cluster, f.unwell)
	var err error
	if f.dns != nil {
		err = f.dns.SetDirectory(d)
	}
	for _, k := range f.keepers {
		err = errors.Join(err, k.SetDirectory(only(d, k.services)))
	}
	if err != nil {
		f.log.Error("the directory was not taken over", "err", err)
	}
}

// only is the directory of some services; nil: of all.
func only(d discovery.Directory, services map[string]bool) discovery.Directory {
	if services == nil {
		return d
	}
	all := d.Services
	d.Services = make(map[string][]discovery.Instance, len(services))
	for name := range services {
		d.Services[name] = all[name]
	}
	return d
}

// drain takes a task out of DNS and the registries, and returns when nobody has its
// address from there any more.
func (f *finder) drain(ctx context.Context, task string) error {
	if f == nil {
		return nil
	}
	problems := make([]error, 1+len(f.keepers))
	var all sync.WaitGroup
	if f.dns != nil {
		all.Go(func() { problems[0] = f.dns.Drain(ctx, task) })
	}
	for i, k := range f.keepers {
		all.Go(func() { problems[1+i] = k.Drain(ctx, task) })
	}
	all.Wait()
	return errors.Join(problems...)
}

// directory is what there is to be told of a snapshot: the tasks that may get
// new work, a service's routed port first.
func directory(project *compose.Project, cluster plimsoll.Cluster, unwell func(service string) map[string]bool) discovery.Directory {
	d := discovery.Directory{
		Cluster: plimsoll.ARNName(cluster.Name), Services: map[string][]discovery.Instance{},
		Unlocated: map[string]bool{}, Kept: map[string][]string{},
	}
	first := map[string]int{}
	sick := map[string]map[string]bool{}
	for _, s := range project.Services {
		d.Services[s.Name] = nil
		if s.Scaling.Route == nil {
			continue
		}
		first[s.Name] = s.Scaling.Route.Port
		if unwell != nil {
			sick[s.Name] = unwell(s.Name)
		}
	}
	for _, s := range cluster.Services {
		if _, ours := d.Services[s.Name]; ours && len(s.Registries) > 0 {
			d.Kept[s.Name] = s.Registries
		}
	}
	hosts := map[string]plimsoll.ContainerInstance{}
	for _, host := range cluster.Instances {
		hosts[host.ARN] = host
	}
	for _, task := range cluster.Tasks {
		if _, ours := d.Services[task.Service]; !ours || !task.Serving() {
			continue
		}
		i := discovery.Instance{ID: task.ID(), Zone: task.Zone, Healthy: !task.Unwell && !sick[task.Service][task.ID()]}
		for _, e := range task.Endpoints {
			ip, err := netip.ParseAddr(e.Host)
			if err != nil {
				continue // not known yet
			}
			i.Address = ip
			port := discovery.Port{Container: e.ContainerPort, Host: e.Port}
			if e.ContainerPort == first[task.Service] {
				i.Ports = append([]discovery.Port{port}, i.Ports...)
			} else {
				i.Ports = append(i.Ports, port)
			}
		}
		if !i.Address.IsValid() {
			d.Unlocated[task.ID()] = true
			continue
		}
		if host := hosts[task.ContainerInstance]; host.Address == i.Address.String() && strings.HasPrefix(host.InstanceID, "i-") {
			i.Host = host.InstanceID
		}
		d.Services[task.Service] = append(d.Services[task.Service], i)
	}
	return d
}

// routeTags are a service's route in the words that fabio reads from Consul.
func routeTags(project *compose.Project, service string) []string {
	for _, s := range project.Services {
		if s.Name != service || s.Scaling.Route == nil {
			continue
		}
		r := s.Scaling.Route
		tag := "urlprefix-" + r.Host + r.Path
		if r.Strip {
			tag += " strip=" + r.Path
		}
		return []string{tag}
	}
	return nil
}

// unwell gives the ids of a service's targets that the router does not send
// requests to by choice.
func (u *up) unwell(service string) map[string]bool {
	out := map[string]bool{}
	for _, t := range u.router.Targets(service) {
		if !t.Healthy {
			out[t.ID] = true
		}
	}
	return out
}

// ports is the DNS server's port, for the next start.
func (f *finder) port() int {
	if f == nil || f.streams == nil {
		return 0
	}
	_, port, _ := net.SplitHostPort(f.address) // it is a listener's
	n, _ := strconv.Atoi(port)
	return n
}
