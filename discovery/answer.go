package discovery

import (
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// answer makes the reply to a question: from the zone, from other resolvers if
// that is asked for, or a refusal.
func (s *Server) answer(q *dns.Msg, packet bool) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	size := dns.MinMsgSize
	if o := q.IsEdns0(); o != nil {
		size = min(max(int(o.UDPSize()), dns.MinMsgSize), udpMost)
		reply.SetEdns0(udpMost, false)
		if o.Version() != 0 {
			reply.Rcode = dns.RcodeBadVers
			return reply
		}
	}
	if q.Opcode != dns.OpcodeQuery {
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	}
	if len(q.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	if !packet {
		size = dns.MaxMsgSize
	}
	question := q.Question[0]
	owner := strings.ToLower(dns.Fqdn(question.Name))
	z := s.zone.Load()
	switch {
	case question.Qclass != dns.ClassINET && question.Qclass != dns.ClassANY:
		reply.Rcode = dns.RcodeRefused
	case z == nil && s.owns(owner):
		reply.Rcode = dns.RcodeServerFailure
	case z != nil && z.contains(owner):
		s.fill(reply, owner, question)
	case s.owns(owner) || len(s.options.Forward) == 0:
		reply.Rcode = dns.RcodeRefused
	default:
		return s.forward(q, reply, packet, size)
	}
	reply.Truncate(size)
	return reply
}

// owns tells whether a name belongs to some cluster, ours or another.
func (s *Server) owns(owner string) bool {
	return owner == s.suffix || strings.HasSuffix(owner, "."+s.suffix)
}

// fill answers with authority from the zone. A name without records of the
// type is not the same as no such name (RFC 2308).
func (s *Server) fill(reply *dns.Msg, owner string, question dns.Question) {
	s.answering.RLock()
	defer s.answering.RUnlock()
	z := s.zone.Load()
	reply.Authoritative = true
	n := z.names[owner]
	if n == nil {
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{s.soa(z)}
		return
	}
	switch question.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		s.addresses(reply, n, question)
	case dns.TypeSRV:
		s.serviceRecords(reply, n, question.Name)
	case dns.TypeSOA:
		if owner == z.apex {
			reply.Answer = []dns.RR{s.soa(z)}
		}
	case dns.TypeNS:
		if owner == z.apex {
			reply.Answer = []dns.RR{&dns.NS{Hdr: s.header(z.apex, dns.TypeNS), Ns: "ns." + z.apex}}
		}
	case dns.TypeANY:
		// A short answer is allowed, and cannot be used to flood others (RFC 8482).
		reply.Answer = []dns.RR{&dns.HINFO{Hdr: s.header(question.Name, dns.TypeHINFO), Cpu: "RFC8482"}}
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{s.soa(z)}
	}
}

func (s *Server) addresses(reply *dns.Msg, n *name, question dns.Question) {
	for _, a := range rotated(n.addresses, n.turn.Add(1)-1) {
		rr := s.addressRecord(question.Name, net.IP(a.ip.AsSlice()), a.ip.Unmap().Is4())
		if rr.Header().Rrtype != question.Qtype {
			continue
		}
		for _, told := range a.tell {
			s.told(told)
		}
		reply.Answer = append(reply.Answer, rr)
	}
}

// serviceRecords answers with every task's host and port, of equal priority
// and weight, and with the hosts' addresses so that nobody needs to ask again.
func (s *Server) serviceRecords(reply *dns.Msg, n *name, owner string) {
	for _, r := range rotated(n.services, n.turn.Add(1)-1) {
		s.told(r.tell)
		reply.Answer = append(reply.Answer, &dns.SRV{Hdr: s.header(owner, dns.TypeSRV), Priority: 1, Weight: 1, Port: r.port, Target: r.target})
		reply.Extra = append([]dns.RR{s.addressRecord(r.target, net.IP(r.ip.AsSlice()), r.ip.Unmap().Is4())}, reply.Extra...)
	}
}

func (s *Server) addressRecord(owner string, ip net.IP, four bool) dns.RR {
	if four {
		return &dns.A{Hdr: s.header(owner, dns.TypeA), A: ip}
	}
	return &dns.AAAA{Hdr: s.header(owner, dns.TypeAAAA), AAAA: ip}
}

// told notes that a client may keep the instance's address from now on.
func (s *Server) told(a *asked) { a.at.Store(int64(time.Since(s.epoch))) }

func (s *Server) header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: s.ttl}
}

// soa is the start of authority; its last figure is how long a "no" may be
// kept (RFC 2308), no longer than a "yes".
func (s *Server) soa(z *zone) dns.RR {
	return &dns.SOA{
		Hdr: s.header(z.apex, dns.TypeSOA), Ns: "ns." + z.apex, Mbox: "hostmaster." + z.apex,
		Serial: z.serial, Refresh: s.ttl, Retry: s.ttl, Expire: s.ttl, Minttl: s.ttl,
	}
}

// forwardMost bounds the questions that are forwarded at a time: where a resolver
// forwards them here in its turn, or is this very server, they come round and round.
const forwardMost = 100

// forward asks the resolvers in turn. None that answers is a failure of the
// server, not a name that does not exist.
func (s *Server) forward(q, reply *dns.Msg, packet bool, size int) *dns.Msg {
	defer s.forwarding.Add(-1)
	if s.forwarding.Add(1) > forwardMost {
		s.options.Log.Warn("dns: too many names are asked of other resolvers; do they ask here?", "name", q.Question[0].Name)
		reply.Rcode = dns.RcodeServerFailure
		return reply
	}
	for _, address := range s.options.Forward {
		client := &dns.Client{Net: "udp", Timeout: exchangeTimeout, UDPSize: udpMost}
		got, _, err := client.Exchange(q.Copy(), address)
		if err == nil && got.Truncated && !packet {
			client.Net = "tcp"
			got, _, err = client.Exchange(q.Copy(), address)
		}
		if err != nil {
			s.options.Log.Warn("dns: a resolver did not answer", "resolver", address, "name", q.Question[0].Name, "err", err)
			continue
		}
		got.Id = q.Id
		got.Truncate(size)
		return got
	}
	reply.Rcode = dns.RcodeServerFailure
	return reply
}

// SystemResolvers are the resolvers of a resolv.conf, host:port.
func SystemResolvers(path string) ([]string, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, server := range conf.Servers {
		out = append(out, net.JoinHostPort(server, conf.Port))
	}
	return out, nil
}
