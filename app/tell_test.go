package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/miekg/dns"

	"plimsoll/app"
	"plimsoll/platform/ecs"
)

// telling is an engine whose tasks do nothing, for which the test listens, and what
// tells others where they are.
type telling struct {
	*engineStand
	api   *awsecs.Client
	told  *directories
	tasks map[string]net.Listener // by id, where the test listens
	end   func()                  // ends the program that was started last
}

func newTelling(t *testing.T) *telling {
	t.Helper()
	s := newEngine(t, t.TempDir(), func(o *app.EngineOptions) { o.Hosts = 4 })
	c := s.config("us-east-1")
	s.environment(c)
	tell := &telling{engineStand: s, api: awsecs.NewFromConfig(c), told: newDirectories(t), tasks: map[string]net.Listener{}}
	t.Setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", tell.told.url)
	return tell
}

// service makes a service of so many tasks, one on each host, with a tag for a route if
// it has one. Its port is one that no other program of this machine is likely to use at
// the hosts' addresses: what is there is taken for the tasks.
func (s *telling) service(name string, tasks int32, route string) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	port := int32(l.Addr().(*net.TCPAddr).Port)
	s.must(l.Close())
	_, err = s.api.RegisterTaskDefinition(s.t.Context(), &awsecs.RegisterTaskDefinitionInput{
		Family: &name, ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("busybox"), Memory: aws.Int32(16), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080), HostPort: &port}},
		}},
	})
	s.must(err)
	in := &awsecs.CreateServiceInput{ServiceName: &name, TaskDefinition: &name, DesiredCount: &tasks}
	if route != "" {
		in.Tags = []types.Tag{{Key: aws.String("plimsoll:route"), Value: &route}}
	}
	_, err = s.api.CreateService(s.t.Context(), in)
	s.must(err)
}

// file writes a compose file.
func (s *telling) file(text string) string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "compose.yaml")
	s.must(os.WriteFile(name, []byte(text), 0o600))
	return name
}

// listen has so many of a service's tasks answer, and gives their ids.
func (s *telling) listen(service string, tasks int) (ids []string) {
	s.t.Helper()
	cluster, err := ecs.New(s.t.Context(), ecs.Options{Cluster: "default"})
	s.must(err)
	s.await("the tasks of "+service, func() bool {
		now, err := cluster.Snapshot(s.t.Context())
		s.must(err)
		for _, task := range now.Tasks {
			if task.Service != service || !task.Serving() || s.tasks[task.ID()] != nil || len(ids) == tasks {
				continue
			}
			e := task.Endpoints[0]
			l, err := net.Listen("tcp", net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
			s.must(err)
			s.t.Cleanup(func() { _ = l.Close() })
			s.tasks[task.ID()] = l
			ids = append(ids, task.ID())
		}
		return len(ids) == tasks
	})
	slices.Sort(ids)
	return ids
}

func (s *telling) await(what string, so func() bool) {
	s.t.Helper()
	for range 300 {
		if so() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("%s: not within 30 s", what)
}

// route runs `plimsoll router` until the test ends, and gives its DNS server's
// address.
func (s *telling) route(change ...func(*app.RouteOptions)) string {
	s.t.Helper()
	out := &output{}
	o := app.RouteOptions{
		Platform: "ecs", Cluster: "default", Router: "127.0.0.1:0", State: s.t.TempDir(), Drain: time.Second, Out: out, Log: slog.New(slog.DiscardHandler),
		Edge: app.EdgeOptions{AccessFormat: "json"}, Discovery: app.DiscoveryOptions{DNS: "127.0.0.1:0", Consul: s.told.url},
	}
	for _, f := range change {
		f(&o)
	}
	s.background(func(ctx context.Context) error { return app.Route(ctx, o) })
	return s.dnsOf(out)
}

// background runs a program until the test ends.
func (s *telling) background(program func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- program(ctx) }()
	s.end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(s.end)
}

// dnsOf is the DNS server's address, from what a program prints.
func (s *telling) dnsOf(out *output) (address string) {
	s.t.Helper()
	s.await("the DNS server", func() bool {
		_, rest, found := strings.Cut(out.String(), "DNS           ")
		address, _, _ = strings.Cut(rest, " ")
		return found
	})
	return address
}

// named are the ids of the tasks that DNS names for a service; problem is its answer
// where it has none.
func (s *telling) named(address, service string) (ids []string, problem string) {
	s.t.Helper()
	if !strings.Contains(service, ".") {
		service += ".default.plimsoll.internal"
	}
	name, zone, _ := strings.Cut(service, ".")
	reply, err := dns.Exchange(new(dns.Msg).SetQuestion(fmt.Sprintf("_%s._tcp.%s.", name, zone), dns.TypeSRV), address)
	s.must(err)
	for _, rr := range reply.Answer {
		id, _, _ := strings.Cut(rr.(*dns.SRV).Target, ".")
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if reply.Rcode != dns.RcodeSuccess {
		problem = dns.RcodeToString[reply.Rcode]
	}
	return ids, problem
}

// names waits until DNS names these tasks for a service, and no others.
func (s *telling) names(address, service string, want ...string) {
	s.t.Helper()
	var got []string
	s.await(fmt.Sprintf("DNS names %q for %s", want, service), func() bool {
		got, _ = s.named(address, service)
		return slices.Equal(got, want)
	})
}

// inConsul are the tasks of the entries of a service.
func (d *directories) inConsulOf(service string) (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if e.Service == service {
			ids = append(ids, e.Meta["plimsoll-task"])
		}
	}
	slices.Sort(ids)
	return ids
}

func TestARouterAloneTellsDNSAndConsulOfTheTasksThatItSendsRequestsTo(t *testing.T) {
	s := newTelling(t)
	s.service("web", 3, "web.localhost/")
	s.service("batch", 1, "")                                   // no route: nobody is told
	s.service(strings.Repeat("long", 20), 1, "long.localhost/") // no name in DNS
	two := s.listen("web", 2)
	s.listen("batch", 1)
	address := s.route()
	s.names(address, "web", two...)
	for name, want := range map[string]string{"batch": "NXDOMAIN", "web.bank.plimsoll.internal": "REFUSED"} {
		if ids, problem := s.named(address, name); len(ids) > 0 || problem != want {
			t.Errorf("DNS answers for %s with %q %s", name, ids, problem)
		}
	}
	s.await("Consul has them", func() bool { return slices.Equal(s.told.inConsulOf("web"), two) })
	s.told.mu.Lock()
	for id, e := range s.told.entries {
		if !slices.Equal(e.Tags, []string{"urlprefix-web.localhost/"}) {
			t.Errorf("the entry %q has the tags %q", id, e.Tags)
		}
	}
	s.told.mu.Unlock()

	// The second router, by the first one's side, sees what the first one does.
	beside := s.route()
	s.names(beside, "web", two...)
	three := append(s.listen("web", 1), two...)
	slices.Sort(three)
	for _, dns := range []string{address, beside} {
		s.names(dns, "web", three...)
	}
	s.await("Consul has all", func() bool { return slices.Equal(s.told.inConsulOf("web"), three) })

	if err := s.tasks[three[0]].Close(); err != nil {
		t.Fatal(err)
	}
	for _, dns := range []string{address, beside} {
		s.names(dns, "web", three[1:]...)
	}
	s.await("it has left Consul", func() bool { return slices.Equal(s.told.inConsulOf("web"), three[1:]) })
	_, err := s.api.StopTask(t.Context(), &awsecs.StopTaskInput{Task: &three[1]})
	s.must(err)
	s.must(s.tasks[three[1]].Close()) // the next one may have its place
	for _, dns := range []string{address, beside} {
		s.names(dns, "web", three[2])
	}
	s.await("the stopped task has left Consul", func() bool { return slices.Equal(s.told.inConsulOf("web"), three[2:]) })
}

// scale runs `plimsoll run` until the test ends, and gives its DNS server's address.
func (s *telling) scale(file string, change ...func(*app.RunOptions)) string {
	s.t.Helper()
	out := &output{}
	o := app.RunOptions{
		Platform: "ecs", Cluster: "default", File: s.file(file), Out: out, Log: slog.New(slog.DiscardHandler),
		Discovery: app.DiscoveryOptions{DNS: "127.0.0.1:0", Consul: s.told.url},
	}
	for _, f := range change {
		f(&o)
	}
	s.background(func(ctx context.Context) error { return app.Run(ctx, o) })
	return s.dnsOf(out)
}

const checkedShop = `
name: default
services:
  web:
    command: [sleep, "9"]
    ports: ["8080"]
    x-plimsoll: {min: 3, max: 3, register: {cloudMap: srv-1}, route: {host: web.localhost, check: {interval: 200ms, timeout: 200ms}}}
  plain: {command: [sleep, "9"], ports: ["8080"], x-plimsoll: {min: 2, max: 2}}
`

// ECS holds all of the tasks to be RUNNING, and goes on doing so.
func TestARunWithoutARouterTellsOnlyOfTasksThatAnswer(t *testing.T) {
	s := newTelling(t)
	s.service("web", 3, "")
	s.service("plain", 2, "")
	plain, web := s.listen("plain", 1), s.listen("web", 2)
	address := s.scale(checkedShop)
	s.names(address, "web", web...)
	s.names(address, "plain", plain...) // without a route: a connection
	ids := func(tasks []string) (ids []string) {
		for _, task := range tasks {
			ids = append(ids, "plimsoll-"+task+"-8080")
		}
		return ids
	}
	s.await("Cloud Map and Consul have them", func() bool {
		return slices.Equal(s.told.ids(), ids(web)) && slices.Equal(s.told.inConsulOf("web"), web) && slices.Equal(s.told.inConsulOf("plain"), plain)
	})
	web = append(web, s.listen("web", 1)...)
	slices.Sort(web)
	s.names(address, "web", web...)

	s.must(s.tasks[web[0]].Close())
	s.names(address, "web", web[1:]...)
	s.await("Cloud Map and Consul have it no more", func() bool {
		return slices.Equal(s.told.ids(), ids(web[1:])) && slices.Equal(s.told.inConsulOf("web"), web[1:])
	})
	s.must(s.tasks[web[1]].Close())
	s.names(address, "web", web...) // more than half are unwell: all are told
	s.await("Cloud Map and Consul have all", func() bool {
		return slices.Equal(s.told.ids(), ids(web)) && slices.Equal(s.told.inConsulOf("web"), web)
	})
}

func TestARunThatStartsAnewTakesNothingOutThatItHasNotChecked(t *testing.T) {
	s := newTelling(t)
	s.service("web", 3, "")
	s.service("plain", 2, "")
	s.listen("web", 3)
	s.listen("plain", 2)
	s.scale(checkedShop)
	s.await("Cloud Map and Consul have all", func() bool {
		return len(s.told.ids()) == 3 && len(s.told.inConsulOf("web")) == 3 && len(s.told.inConsulOf("plain")) == 2
	})
	s.end()
	// From where the next one runs it reaches none of the tasks.
	for _, l := range s.tasks {
		s.must(l.Close())
	}
	address := s.scale(checkedShop)
	s.names(address, "web")
	time.Sleep(2 * time.Second) // several checks, and comparisons
	if s.told.mu.Lock(); len(s.told.left) > 0 {
		t.Errorf("Cloud Map has lost %v", s.told.left)
	}
	s.told.mu.Unlock()
	if got := s.told.inConsulOf("plain"); len(got) != 2 {
		t.Errorf("Consul has %q", got)
	}
	all := s.scale(checkedShop, func(o *app.RunOptions) { o.Discovery.Unchecked = true })
	s.await("--unchecked tells of all", func() bool { ids, _ := s.named(all, "web"); return len(ids) == 3 })
}

func TestDNSIsAnsweredFromBothSidesOfAHandover(t *testing.T) {
	s := newTelling(t)
	s.service("web", 3, "web.localhost/")
	web := s.listen("web", 2) // the third does not answer: what is known is known after some checks
	socket := filepath.Join(t.TempDir(), "h.sock")
	out := &output{}
	o := app.RouteOptions{
		Platform: "ecs", Cluster: "default", Router: "127.0.0.1:0", State: t.TempDir(), Drain: time.Second, Out: out, Log: slog.New(slog.DiscardHandler),
		Edge: app.EdgeOptions{AccessFormat: "json"}, Discovery: app.DiscoveryOptions{DNS: "127.0.0.1:0"}, Handover: socket,
	}
	old := make(chan struct{})
	s.background(func(ctx context.Context) error { defer close(old); return app.Route(ctx, o) })
	address := s.dnsOf(out)
	s.names(address, "web", web...)
	var next output
	o.Out = &next
	s.background(func(ctx context.Context) error { return app.Route(ctx, o) })
	for gone := false; !gone; {
		select {
		case <-old:
			gone = true
		default:
		}
		if ids, problem := s.named(address, "web"); problem != "" || !slices.Equal(ids, web) {
			t.Fatalf("DNS names %q %s", ids, problem)
		}
	}
	if again := s.dnsOf(&next); again != address {
		t.Errorf("the next process answers at %s, not at %s", again, address)
	}
}
