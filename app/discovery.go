package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
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
	// Unchecked tells of all running tasks, whatever checks of them would say.
	Unchecked bool
}

// onDNS is the DNS server's flag.
const onDNS = "dns"

// systemResolvers names this machine's resolvers.
const systemResolvers = "/etc/resolv.conf"

// finder tells other programs where the tasks are. A nil finder tells nobody.
type finder struct {
	telling *telling
	dns     *discovery.Server
	address string // of the DNS server
	packets net.PacketConn
	streams net.Listener
	keepers []keeper
	settled chan struct{} // closed when the first directory is given on
	log     *slog.Logger
}

// firstChecks is how long the first directory waits for what checks say of its tasks:
// longer than one takes by itself.
const firstChecks = 3 * time.Second

// dnsSockets opens the DNS server's sockets at an address.
type dnsSockets func(address string) (net.PacketConn, net.Listener, error)

// keeper is that of a registry of others' with the services that are registered there; nil:
// all of them.
type keeper struct {
	*discovery.Keeper
	services map[string]bool
}

// newFinder takes the ports that are asked for, and starts nothing yet. What has to
// be remembered is kept in dir. A nil project has no services: those are told that
// have a route by their tags.
func newFinder(o DiscoveryOptions, project *compose.Project, cluster, dir string, open dnsSockets, log *slog.Logger) (*finder, error) {
	o.Register = o.Register && (registers(project) || fileLedger(dir).exists())
	if o.DNS == "" && o.Consul == "" && !o.Register {
		return nil, nil
	}
	f := &finder{settled: make(chan struct{}), log: log}
	var err error
	if f.telling, err = newTelling(project, o.Unchecked, log); err != nil {
		return nil, err
	}
	if o.Register {
		f.registries(project, dir)
	}
	if o.DNS == "" && o.Consul == "" {
		f.telling.only = map[string]bool{}
		for _, k := range f.keepers {
			maps.Copy(f.telling.only, k.services)
		}
	}
	if o.Consul != "" {
		agent, err := consul.New(consul.Options{Address: o.Consul, Log: log})
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
	if f.packets, f.streams, err = open(o.DNS); err != nil {
		return nil, err
	}
	f.address = f.streams.Addr().String()
	f.dns = discovery.NewServer(options)
	return f, nil
}

// dnsPort opens the DNS server's sockets, preferring for port 0 the one that the last
// run had.
func dnsPort(last int) dnsSockets {
	return func(address string) (net.PacketConn, net.Listener, error) { return listenDNS(address, last, false) }
}

// banner tells where the DNS server listens.
func (f *finder) banner(out io.Writer, cluster string) {
	if f != nil && f.dns != nil {
		_, _ = fmt.Fprintf(out, "DNS           %s (SERVICE.%s.%s)\n", f.address, plimsoll.ARNName(cluster), discovery.DefaultSuffix)
	}
}

// listenDNS opens the same port for packets and for connections; shared lets other
// processes do so, too.
func listenDNS(address string, last int, shared bool) (net.PacketConn, net.Listener, error) {
	var more []func(fd uintptr) error
	config := net.ListenConfig{}
	if shared {
		more = append(more, reusePort)
		config.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) { failed = reusePort(fd) })
			return errors.Join(err, failed)
		}
	}
	var problem error
	for range 10 { // a free port of one kind may be taken as the other
		l, err := listen(onDNS, address, last, more...)
		if err != nil {
			return nil, nil, err
		}
		packets, err := config.ListenPacket(context.Background(), "udp", l.Addr().String())
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

// start keeps the directory true, after each notice of a new snapshot and every
// second, until the stack is closed. Of a snapshot without a time nothing is told.
func (f *finder) start(s *stack, snapshot func() plimsoll.Cluster, changed <-chan struct{}) {
	if f == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, k := range f.keepers {
		running.Go(func() { k.Run(ctx) })
	}
	running.Go(func() { f.follow(ctx, snapshot, changed) })
	s.push("discovery", func(context.Context) error {
		stop()
		running.Wait()
		return f.telling.close()
	})
}

// startLoop is start with the snapshots of a control loop.
func (f *finder) startLoop(s *stack, loop *control.Loop) {
	if f == nil {
		return
	}
	stepped, unsubscribe := loop.Subscribe()
	s.push("discovery's notices", func(context.Context) error { unsubscribe(); return nil })
	f.start(s, func() plimsoll.Cluster { return loop.State().Cluster }, stepped)
}

// follow gives the directory on. What checks say of a target's health changes between
// two snapshots: hence the second. The first directory waits for the first checks:
// unknown is not empty.
func (f *finder) follow(ctx context.Context, snapshot func() plimsoll.Cluster, changed <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var began time.Time
	for settled := false; ; {
		now := snapshot()
		if !now.At.IsZero() && began.IsZero() {
			began = time.Now()
		}
		if !now.At.IsZero() {
			d, unchecked := f.telling.directory(now)
			first := !settled && (!unchecked || time.Since(began) > firstChecks)
			if settled = settled || first; settled {
				f.set(d)
			}
			if first {
				tick.Reset(time.Second)
				close(f.settled)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// await waits for the first directory of a snapshot that is there.
func (f *finder) await(ctx context.Context) {
	if f == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-f.settled:
	}
}

// set gives a directory on.
func (f *finder) set(d discovery.Directory) {
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

// restore ends the drain of a task that stays.
func (f *finder) restore(task string) {
	if f == nil {
		return
	}
	if f.dns != nil {
		f.dns.Restore(task)
	}
	for _, k := range f.keepers {
		k.Restore(task)
	}
}

// tells tells whether others find the tasks of a service of the file by it.
func (f *finder) tells(service string) bool {
	if f == nil {
		return false
	}
	return f.dns != nil || slices.ContainsFunc(f.keepers, func(k keeper) bool { return k.services == nil || k.services[service] })
}

// port is the DNS server's port, for the next start.
func (f *finder) port() int {
	if f == nil || f.streams == nil {
		return 0
	}
	_, port, _ := net.SplitHostPort(f.address) // it is a listener's
	n, _ := strconv.Atoi(port)
	return n
}
