package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// DefaultSuffix is what the names of all clusters end in.
const DefaultSuffix = "plimsoll.internal"

// drainMemory is how long a drained instance is remembered: a directory made
// from an older snapshot must not bring it back.
const drainMemory = 5 * time.Minute

// udpMost is the greatest answer by UDP, whatever the client says it takes:
// what passes every path without fragments (the DNS flag day of 2020).
const udpMost = 1232

// exchangeTimeout bounds one exchange, own or forwarded.
const exchangeTimeout = 2 * time.Second

// Options make a Server. The zero value is usable.
type Options struct {
	// Suffix is what the cluster's names end in after the cluster's own:
	// web.shop.SUFFIX. Default DefaultSuffix.
	Suffix string
	// TTL is how long an answer may be kept, in whole seconds. Default 1 s.
	TTL time.Duration
	// Forward are resolvers, host:port, asked for names outside of Suffix.
	// Without them such names are refused.
	Forward []string
	Log     *slog.Logger
}

// Server answers for one cluster, by UDP and TCP. Names of other clusters are
// refused: they are nobody's business here.
type Server struct {
	options Options
	suffix  string // with the last dot, in lower case
	ttl     uint32
	epoch   time.Time
	zone    atomic.Pointer[zone]
	servers []*dns.Server
	// answering is held while an answer is filled from the zone, so that a
	// drain knows of every answer that was filled from the zone before.
	answering sync.RWMutex
	// forwarding are the questions that other resolvers are being asked.
	forwarding atomic.Int64

	mu        sync.Mutex
	directory Directory
	serial    uint32
	turns     map[string]*atomic.Uint32
	memory    map[string]*asked
	drained   map[string]time.Time
}

// NewServer gives a server without a directory: it answers SERVFAIL until it
// has one, because unknown is not empty.
func NewServer(o Options) *Server {
	if o.Suffix == "" {
		o.Suffix = DefaultSuffix
	}
	if o.TTL <= 0 {
		o.TTL = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options: o, suffix: strings.ToLower(dns.Fqdn(o.Suffix)),
		ttl:   uint32((o.TTL + time.Second - 1) / time.Second),
		epoch: time.Now(), turns: map[string]*atomic.Uint32{}, memory: map[string]*asked{}, drained: map[string]time.Time{},
	}
}

// Serve answers on a packet connection and a listener of the same address
// until Shutdown. It returns when both have ended.
func (s *Server) Serve(packets net.PacketConn, l net.Listener) error {
	s.mu.Lock()
	udp := &dns.Server{PacketConn: packets, Handler: s}
	tcp := &dns.Server{Listener: l, Handler: s, ReadTimeout: exchangeTimeout, IdleTimeout: func() time.Duration { return 10 * time.Second }}
	s.servers = append(s.servers, udp, tcp)
	s.mu.Unlock()
	ended := make(chan error, 2)
	go func() { ended <- udp.ActivateAndServe() }()
	go func() { ended <- tcp.ActivateAndServe() }()
	return errors.Join(<-ended, <-ended)
}

// Shutdown ends the listeners; answers under way have until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	var problems []error
	for _, server := range servers {
		problems = append(problems, server.ShutdownContext(ctx))
	}
	return errors.Join(problems...)
}

// SetDirectory replaces the directory in one step. An error leaves the old one
// in force.
func (s *Server) SetDirectory(d Directory) error {
	if err := d.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.directory = d
	s.forget(d)
	s.publish()
	return nil
}

// publish builds the zone anew; s.mu is held.
func (s *Server) publish() {
	s.serial++
	d := Directory{Cluster: s.directory.Cluster, Services: make(map[string][]Instance, len(s.directory.Services))}
	for service, instances := range s.directory.Services {
		kept := make([]Instance, 0, len(instances))
		for _, i := range instances {
			if _, gone := s.drained[i.ID]; !gone {
				kept = append(kept, i)
			}
		}
		d.Services[service] = kept
	}
	s.zone.Store(newZone(d, s.suffix, s.serial, func(name string) *atomic.Uint32 {
		return kept(s.turns, name)
	}, func(id string) *asked { return kept(s.memory, id) }))
}

// forget drops what is known of instances and names that are not listed any
// more; s.mu is held.
func (s *Server) forget(d Directory) {
	listed := map[string]bool{}
	for _, instances := range d.Services {
		for _, i := range instances {
			listed[i.ID] = true
		}
	}
	maps.DeleteFunc(s.drained, func(id string, at time.Time) bool {
		return !listed[id] && time.Since(at) > drainMemory
	})
	maps.DeleteFunc(s.memory, func(id string, _ *asked) bool {
		_, draining := s.drained[id]
		return !listed[id] && !draining
	})
	if len(s.turns) > 4*(len(d.Services)+len(listed)+8) {
		clear(s.turns) // names of services that are gone
	}
}

// kept gives the map's entry, new if it is not there.
func kept[T any](m map[string]*T, key string) *T {
	v := m[key]
	if v == nil {
		v = new(T)
		m[key] = v
	}
	return v
}

// Drain takes the instance with this id out at once and until Restore, and returns
// when no answer that named it may still be kept by a client: at once if
// nobody was told of it lately, after the TTL at most. If ctx ends before, the
// error says so.
func (s *Server) Drain(ctx context.Context, id string) error {
	s.mu.Lock()
	s.drained[id] = time.Now()
	told := s.memory[id]
	s.answering.Lock() // answers from the zone before have set their time then
	s.publish()
	s.answering.Unlock()
	s.mu.Unlock()
	if told == nil || told.at.Load() == 0 {
		return nil
	}
	wait := time.Duration(told.at.Load()) + time.Duration(s.ttl)*time.Second - time.Since(s.epoch)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("task %q: DNS answers that name it may be kept for %s more: %w", id, wait, context.Cause(ctx))
	}
}

// Restore ends a drain: the instance is named again, if the directory has it.
func (s *Server) Restore(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.drained, id)
	s.publish()
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	reply := s.answer(q, isPacket(w))
	if err := w.WriteMsg(reply); err != nil {
		s.options.Log.Debug("dns: the answer was not sent", "client", w.RemoteAddr().String(), "err", err)
	}
}

func isPacket(w dns.ResponseWriter) bool {
	_, packet := w.RemoteAddr().(*net.UDPAddr)
	return packet
}
