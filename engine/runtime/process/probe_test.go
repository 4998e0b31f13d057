package process

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"plimsoll/engine/runtime"
)

func TestATaskIsReachedWhereItListens(t *testing.T) {
	const host = "127.64.1.1"
	for _, c := range []struct {
		name      string
		listeners []string
		shared    bool
		want      string // empty: not known yet
	}{
		{"nobody listens yet", nil, false, ""},
		{"on its address", []string{host}, false, host},
		{"on all addresses", []string{"0.0.0.0"}, false, host},
		{"on all addresses of IPv6 too", []string{"::"}, false, host},
		{"on loopback only", []string{"127.0.0.1"}, false, "127.0.0.1"},
		{"on loopback of IPv6 only", []string{"::1"}, false, "::1"},
		{"on loopback and its address", []string{"127.0.0.1", host}, false, host},
		{"another host's task has the same fixed port", []string{"127.64.1.2"}, true, ""},
		{"its own beside another host's", []string{"127.64.1.2", host}, true, host},
	} {
		var listeners []netip.Addr
		for _, l := range c.listeners {
			listeners = append(listeners, netip.MustParseAddr(l))
		}
		if got, ok := reachable(host, listeners, c.shared); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func TestTheKernelsListOfListenersIsRead(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "127.64.7.9", "0.0.0.0", "::1", "::"} {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			t.Logf("%s cannot be listened on here: %v", address, err)
			continue
		}
		defer l.Close()
		at := l.Addr().(*net.TCPAddr)
		want, _ := netip.AddrFromSlice(at.IP)
		if got := listeners()[at.Port]; !slices.Contains(got, want.Unmap()) {
			t.Errorf("%s: port %d has %v, want %v", address, at.Port, got, want)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := listeners()[c.LocalAddr().(*net.TCPAddr).Port]; len(got) > 0 {
			t.Errorf("the port of a connection is taken for a listener's: %v", got)
		}
	}
}

func TestAPortJustGivenBackIsTheLastToBeGivenOutAgain(t *testing.T) {
	p := NewPorts(31000, 31015)
	take := func() int {
		t.Helper()
		b, err := p.take("127.64.7.8", runtime.Container{Ports: []runtime.Port{{ContainerPort: 80}}})
		if err != nil {
			t.Fatal(err)
		}
		return b[0].HostPort
	}
	first := take()
	p.release("127.64.7.8", first)
	seen := map[int]bool{}
	for range 8 { // some may be in use by others
		port := take()
		if port == first || seen[port] {
			t.Errorf("port %d again", port)
		}
		seen[port] = true
	}
}
