package discovery_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"plimsoll/discovery"
)

// serve starts a server on a free port and gives its address.
func serve(t *testing.T, o discovery.Options) (*discovery.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Skipf("the free TCP port is taken for UDP: %v", err)
	}
	s := discovery.NewServer(o)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(packets, l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-ended
	})
	// The listeners are open; the server's own start is not awaited by them.
	for i := 0; ; i++ {
		if _, err := exchange("udp", l.Addr().String(), question("x.", dns.TypeA)); err == nil {
			return s, l.Addr().String()
		} else if i == 50 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func question(name string, kind uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, kind)
}

func exchange(network, address string, q *dns.Msg) (*dns.Msg, error) {
	c := &dns.Client{Net: network, Timeout: 2 * time.Second}
	reply, _, err := c.Exchange(q, address)
	return reply, err
}

func ask(t *testing.T, address, name string, kind uint16) *dns.Msg {
	t.Helper()
	reply, err := exchange("udp", address, question(name, kind))
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// instance is one healthy task on 127.64.1.n.
func instance(n int, ports ...discovery.Port) discovery.Instance {
	return discovery.Instance{
		ID: fmt.Sprintf("task%d", n), Zone: "us-east-1a", Healthy: true, Ports: ports,
		Address: netip.AddrFrom4([4]byte{127, 64, byte(n >> 8), byte(n)}),
	}
}

func shop(web ...discovery.Instance) discovery.Directory {
	return discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{"web": web, "idle": nil}}
}

func set(t *testing.T, s *discovery.Server, d discovery.Directory) {
	t.Helper()
	if err := s.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
}

func addresses(m *dns.Msg) []string {
	var out []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return out
}

func TestAServiceAnswersWithTheAddressesOfItsHealthyTasksOnly(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	sick := instance(3)
	sick.Healthy = false
	set(t, s, shop(instance(1), instance(2), sick))
	reply := ask(t, address, "WEB.Shop.plimsoll.internal.", dns.TypeA)
	got := addresses(reply)
	slices.Sort(got)
	if want := []string{"127.64.0.1", "127.64.0.2"}; !slices.Equal(got, want) {
		t.Errorf("addresses %q, want %q", got, want)
	}
	if !reply.Authoritative || reply.Answer[0].Header().Ttl != 1 {
		t.Errorf("authoritative %t, TTL %d; want true, 1", reply.Authoritative, reply.Answer[0].Header().Ttl)
	}
}

func TestSRVTellsTheDynamicPortAndTheHostsAddress(t *testing.T) {
	s, address := serve(t, discovery.Options{TTL: 5 * time.Second})
	set(t, s, shop(instance(1, discovery.Port{Container: 8080, Host: 32768}, discovery.Port{Container: 9090, Host: 32769})))
	for name, port := range map[string]uint16{"_web._tcp.shop.plimsoll.internal.": 32768, "_9090._tcp.web.shop.plimsoll.internal.": 32769} {
		reply := ask(t, address, name, dns.TypeSRV)
		if len(reply.Answer) != 1 || len(reply.Extra) != 1 {
			t.Fatalf("%s: %d answers and %d more, want 1 and 1", name, len(reply.Answer), len(reply.Extra))
		}
		srv := reply.Answer[0].(*dns.SRV)
		if srv.Port != port || srv.Hdr.Ttl != 5 {
			t.Errorf("%s: port %d, TTL %d; want %d, 5", name, srv.Port, srv.Hdr.Ttl, port)
		}
		if a := reply.Extra[0].(*dns.A); a.Hdr.Name != srv.Target || a.A.String() != "127.64.0.1" {
			t.Errorf("%s: the address comes as %v for the target %q", name, a, srv.Target)
		}
		if got := addresses(ask(t, address, srv.Target, dns.TypeA)); !slices.Equal(got, []string{"127.64.0.1"}) {
			t.Errorf("%s: the target's address is %q", name, got)
		}
	}
}

func TestAnswersRotateSoThatTheFirstIsShared(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1), instance(2), instance(3)))
	first := map[string]int{}
	for range 30 {
		first[addresses(ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA))[0]]++
	}
	for a, n := range first {
		if n != 10 || len(first) != 3 {
			t.Errorf("%s came first %d times of 30 (%d addresses), want 10 of 3", a, n, len(first))
		}
	}
}

func TestNoSuchNameIsNotTheSameAsNoRecords(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1)))
	for name, want := range map[string]int{
		"idle.shop.plimsoll.internal.": dns.RcodeSuccess, "nobody.shop.plimsoll.internal.": dns.RcodeNameError,
		"_tcp.shop.plimsoll.internal.": dns.RcodeSuccess, "shop.plimsoll.internal.": dns.RcodeSuccess,
	} {
		reply := ask(t, address, name, dns.TypeA)
		if reply.Rcode != want || len(reply.Answer) != 0 {
			t.Errorf("%s: %s with %d answers, want %s with none", name, dns.RcodeToString[reply.Rcode], len(reply.Answer), dns.RcodeToString[want])
		}
		if len(reply.Ns) != 1 || reply.Ns[0].(*dns.SOA).Minttl != 1 {
			t.Errorf("%s: a no must say for how long, by one SOA: %v", name, reply.Ns)
		}
	}
	if reply := ask(t, address, "web.shop.plimsoll.internal.", dns.TypeAAAA); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 {
		t.Errorf("AAAA of a service with IPv4 addresses: %v", reply)
	}
}

func TestNamesOfOtherClustersAndOtherNamesAreRefused(t *testing.T) {
	s, address := serve(t, discovery.Options{Forward: []string{"127.0.0.1:1"}})
	if reply := ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("before there is a directory: %s, want SERVFAIL", dns.RcodeToString[reply.Rcode])
	}
	set(t, s, shop(instance(1)))
	for _, name := range []string{"web.bank.plimsoll.internal.", "plimsoll.internal.", "webshop.plimsoll.internal."} {
		if reply := ask(t, address, name, dns.TypeA); reply.Rcode != dns.RcodeRefused {
			t.Errorf("%s: %s, want REFUSED, and never forwarded", name, dns.RcodeToString[reply.Rcode])
		}
	}
	_, alone := serve(t, discovery.Options{})
	if reply := ask(t, alone, "example.com.", dns.TypeA); reply.Rcode != dns.RcodeRefused {
		t.Errorf("another name without a resolver: %s, want REFUSED", dns.RcodeToString[reply.Rcode])
	}
}

func TestOtherNamesAreForwardedOnlyIfAsked(t *testing.T) {
	other, upstream := serve(t, discovery.Options{Suffix: "example"})
	set(t, other, shop(instance(9)))
	_, address := serve(t, discovery.Options{Forward: []string{"127.0.0.1:1", upstream}})
	if got := addresses(ask(t, address, "web.shop.example.", dns.TypeA)); !slices.Equal(got, []string{"127.64.0.9"}) {
		t.Errorf("the forwarded answer is %q", got)
	}
}

func TestAQuestionThatComesRoundIsNotForwardedForEver(t *testing.T) {
	// A resolver that asks the server in its turn, as one in resolv.conf may.
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var address atomic.Value // known when the first such question comes
	var asked atomic.Int64
	round := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		if q.Question[0].Name == "round.example." {
			asked.Add(1)
			var err error
			if reply, err = exchange("udp", address.Load().(string), q.Copy()); err != nil {
				return
			}
		}
		_ = w.WriteMsg(reply)
	})}
	ended := make(chan error, 1)
	go func() { ended <- round.ActivateAndServe() }()
	defer func() {
		_ = round.Shutdown()
		<-ended
	}()
	_, own := serve(t, discovery.Options{Forward: []string{packets.LocalAddr().String()}})
	address.Store(own)
	reply := ask(t, own, "round.example.", dns.TypeA)
	if reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("%s, want SERVFAIL", dns.RcodeToString[reply.Rcode])
	}
	if n := asked.Load(); n > 250 {
		t.Errorf("one question was forwarded %d times", n)
	}
}

func TestALongAnswerIsTruncatedByUDPAndWholeByTCP(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	var many []discovery.Instance
	for n := range 300 {
		many = append(many, instance(n+1))
	}
	set(t, s, shop(many...))
	small := ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA)
	small.Compress = true // as it came
	if !small.Truncated || small.Len() > dns.MinMsgSize {
		t.Errorf("without EDNS0: truncated %t, %d bytes; want true, at most 512", small.Truncated, small.Len())
	}
	q := question("web.shop.plimsoll.internal.", dns.TypeA)
	q.SetEdns0(4096, false)
	large, err := exchange("udp", address, q)
	if err != nil {
		t.Fatal(err)
	}
	large.Compress = true
	if !large.Truncated || large.Len() > 1232 || large.Len() <= dns.MinMsgSize || large.IsEdns0() == nil {
		t.Errorf("with EDNS0: truncated %t, %d bytes, OPT %v; want true, 513 to 1232, one", large.Truncated, large.Len(), large.IsEdns0())
	}
	whole, err := exchange("tcp", address, question("web.shop.plimsoll.internal.", dns.TypeA))
	if err != nil {
		t.Fatal(err)
	}
	if whole.Truncated || len(whole.Answer) != 300 {
		t.Errorf("by TCP: truncated %t, %d answers; want false, 300", whole.Truncated, len(whole.Answer))
	}
}

// Between the 512 bytes of plain DNS and what passes every path.
func TestAnAnswerOf800BytesIsWholeByUDPForThoseWhoTakeItAndByTCPForOthers(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	var some []discovery.Instance
	for n := range 46 {
		some = append(some, instance(n+1))
	}
	set(t, s, shop(some...))
	const name = "web.shop.plimsoll.internal."
	plain := question(name, dns.TypeA)
	extended := question(name, dns.TypeA)
	extended.SetEdns0(1232, false)
	little := question(name, dns.TypeA)
	little.SetEdns0(600, false)
	for what, c := range map[string]struct {
		network string
		q       *dns.Msg
		whole   bool
		most    int
	}{
		"UDP":                 {"udp", plain, false, 512},
		"UDP, 600 bytes":      {"udp", little, false, 600},
		"UDP, 1232 bytes":     {"udp", extended, true, 1232},
		"TCP":                 {"tcp", plain, true, 1232},
		"TCP, EDNS0":          {"tcp", extended, true, 1232},
		"TCP, EDNS0 for less": {"tcp", little, true, 1232},
	} {
		reply, err := exchange(c.network, address, c.q)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		reply.Compress = true // as it came
		if size := reply.Len(); size > c.most || c.whole && size < 750 {
			t.Errorf("%s: %d bytes, want at most %d, and about 800 whole", what, size, c.most)
		}
		if reply.Truncated == c.whole || (len(reply.Answer) == len(some)) != c.whole {
			t.Errorf("%s: truncated %t, %d of %d answers; whole is %t", what, reply.Truncated, len(reply.Answer), len(some), c.whole)
		}
		if (reply.IsEdns0() != nil) != (c.q.IsEdns0() != nil) {
			t.Errorf("%s: OPT %v for %v", what, reply.IsEdns0(), c.q.IsEdns0())
		}
	}
}

// What was answered before may be kept for the TTL; nothing that is answered once
// the directory has changed names what has gone.
func TestNoAnswerNamesWhatHasDied(t *testing.T) {
	port := func(n int) discovery.Port { return discovery.Port{Container: 80, Host: 32768 + n} }
	lone, two, three := instance(1, port(1)), instance(2, port(2)), instance(3, port(3))
	three.Address = two.Address // one host
	sick := lone
	sick.Healthy = false
	for what, c := range map[string]struct {
		after []discovery.Instance
		gone  []string // parts of records
	}{
		"a task is found to be unwell": {[]discovery.Instance{sick, two, three}, []string{"task1.", "127.64.0.1", "32769"}},
		"a task ends":                  {[]discovery.Instance{two, three}, []string{"task1.", "127.64.0.1", "32769"}},
		"a host goes":                  {[]discovery.Instance{lone}, []string{"task2.", "task3.", "127.64.0.2", "32770", "32771"}},
	} {
		s, address := serve(t, discovery.Options{})
		set(t, s, shop(lone, two, three))
		all := func(network string) (text string) {
			for _, name := range []string{"web.", "_web._tcp.", "_80._tcp.web.", "task1.web.", "task2.web.", "task3.web."} {
				for _, kind := range []uint16{dns.TypeA, dns.TypeSRV} {
					reply, err := exchange(network, address, question(name+"shop.plimsoll.internal.", kind))
					if err != nil {
						t.Fatal(err)
					}
					for _, rr := range append(reply.Answer, reply.Extra...) {
						if rr.Header().Ttl > 1 {
							t.Errorf("%s: %v may be kept for longer than the TTL", what, rr)
						}
						text += rr.String() + "\n"
					}
				}
			}
			return text
		}
		before := all("udp")
		set(t, s, shop(c.after...))
		for _, network := range []string{"udp", "tcp"} {
			after := all(network)
			for _, gone := range c.gone {
				if !strings.Contains(before, gone) || strings.Contains(after, gone) {
					t.Errorf("%s, by %s: %q is to be told before and not after:\n%s\n%s", what, network, gone, before, after)
				}
			}
		}
	}
}

func TestOddQuestionsAreAnsweredByTheRules(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1)))
	version := question("web.shop.plimsoll.internal.", dns.TypeA)
	version.SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	chaos := question("web.shop.plimsoll.internal.", dns.TypeA)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	any := question("web.shop.plimsoll.internal.", dns.TypeANY)
	for name, c := range map[string]struct {
		q    *dns.Msg
		want int
	}{"EDNS version 1": {version, dns.RcodeBadVers}, "class CH": {chaos, dns.RcodeRefused}, "ANY": {any, dns.RcodeSuccess}} {
		reply, err := exchange("udp", address, c.q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if reply.Rcode != c.want || len(reply.Answer) > 1 {
			t.Errorf("%s: %s with %d answers, want %s with at most one", name, dns.RcodeToString[reply.Rcode], len(reply.Answer), dns.RcodeToString[c.want])
		}
	}
	for _, kind := range []uint16{dns.TypeSOA, dns.TypeNS} {
		if reply := ask(t, address, "shop.plimsoll.internal.", kind); len(reply.Answer) != 1 {
			t.Errorf("%s of the zone: %v", dns.TypeToString[kind], reply.Answer)
		}
	}
}

func TestADrainedTaskIsOutAtOnceAndUntilItIsRestored(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1), instance(2)))
	began := time.Now()
	if err := s.Drain(t.Context(), "task2"); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(began); waited > 500*time.Millisecond {
		t.Logf("nobody was told of task2, and the drain took %s", waited)
	}
	set(t, s, shop(instance(1), instance(2))) // from an older snapshot
	if got := addresses(ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA)); !slices.Equal(got, []string{"127.64.0.1"}) {
		t.Errorf("after the drain: %q", got)
	}
	s.Restore("task2")
	if got := addresses(ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA)); len(got) != 2 {
		t.Errorf("after it was restored: %q", got)
	}
}

func TestADrainWaitsAsLongAsAnAnswerMayBeKept(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1)))
	ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA)
	told := time.Now()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Drain(short, "task1"); err == nil || !strings.Contains(err.Error(), "may be kept") {
		t.Errorf("a drain with too little time says %v", err)
	}
	if err := s.Drain(t.Context(), "task1"); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(told); waited < 900*time.Millisecond {
		t.Errorf("the drain ended %s after the answer; it may be kept for a second", waited)
	}
}

func TestADirectoryThatCannotBeNamedIsRefusedAndTheOldOneStays(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	set(t, s, shop(instance(1)))
	for _, d := range []discovery.Directory{
		{Cluster: "a.b"},
		{Cluster: "shop", Services: map[string][]discovery.Instance{"-": nil}},
		{Cluster: "shop", Services: map[string][]discovery.Instance{"Web": nil, "web": nil}},
		{Cluster: "shop", Services: map[string][]discovery.Instance{"web": {{ID: "task1"}}}},
	} {
		if err := s.SetDirectory(d); err == nil {
			t.Errorf("%v was taken", d)
		}
	}
	if got := addresses(ask(t, address, "web.shop.plimsoll.internal.", dns.TypeA)); len(got) != 1 {
		t.Errorf("the old directory is gone: %q", got)
	}
}

func TestIPv6TasksAnswerToAAAA(t *testing.T) {
	s, address := serve(t, discovery.Options{})
	six := instance(1)
	six.Address = netip.MustParseAddr("::1")
	set(t, s, shop(six))
	if got := addresses(ask(t, address, "web.shop.plimsoll.internal.", dns.TypeAAAA)); !slices.Equal(got, []string{"::1"}) {
		t.Errorf("AAAA is %q", got)
	}
}
