package process

import (
	"testing"

	"plimsoll/engine/runtime"
)

func TestAPortJustGivenBackIsTheLastToBeGivenOutAgain(t *testing.T) {
	p := NewPorts(31000, 31015, "")
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

// takes gives out so many dynamic ports.
func takes(t *testing.T, p *Ports, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		b, err := p.take("127.64.7.8", runtime.Container{Ports: []runtime.Port{{ContainerPort: 80}}})
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, b[0].HostPort)
	}
	return ports
}

func TestEnginesOnOneMachineGiveOutOtherPortsAlthoughNothingListensYet(t *testing.T) {
	given := map[int]string{}
	for _, owner := range []string{"/srv/a/.plimsoll", "/srv/b/.plimsoll", "/home/c/.plimsoll"} {
		for _, port := range takes(t, NewPorts(DefaultFirstPort, DefaultLastPort, owner), 20) {
			if port < DefaultFirstPort || port > DefaultLastPort {
				t.Errorf("port %d is out of the range", port)
			}
			if other := given[port]; other != "" {
				t.Errorf("port %d is given out by %s and by %s", port, owner, other)
			}
			given[port] = owner
		}
	}
}

func TestAnOwnersPortsBeginWhereTheyBeganBefore(t *testing.T) {
	a, b := NewPorts(31100, 31999, "/srv/a"), NewPorts(31100, 31999, "/srv/a")
	if a.begin != b.begin {
		t.Errorf("%d and %d", a.begin, b.begin)
	}
}

func TestEveryPortOfTheRangeIsGivenOutWhereverItBegins(t *testing.T) {
	for _, owner := range []string{"", "a", "b", "c", "d"} {
		p := NewPorts(31200, 31203, owner)
		seen := map[int]bool{}
		for {
			b, err := p.take("127.64.7.8", runtime.Container{Ports: []runtime.Port{{ContainerPort: 80}}})
			if err != nil {
				break
			}
			if port := b[0].HostPort; seen[port] || port < 31200 || port > 31203 {
				t.Fatalf("owner %q: port %d again, or out of the range", owner, port)
			}
			seen[b[0].HostPort] = true
		}
		for port := 31200; port <= 31203; port++ {
			if !seen[port] && bindable("", port) {
				t.Errorf("owner %q: port %d was not given out", owner, port)
			}
		}
	}
}

func TestAfterARestartThePortsGoOnAfterThoseThatTasksHave(t *testing.T) {
	for _, owner := range []string{"", "a", "b", "c", "d"} {
		before := NewPorts(31300, 31399, owner)
		given := takes(t, before, 90) // round the end of the range, for some
		after := NewPorts(31300, 31399, owner)
		after.adopt("127.64.7.8", given[40])
		after.adopt("127.64.7.8", given[20])
		if got := takes(t, after, 49); got[0] != given[41] || got[48] != given[89] {
			t.Errorf("owner %q: goes on with %d to %d, want %d to %d", owner, got[0], got[48], given[41], given[89])
		}
	}
}
