package process

import (
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"sync"

	"plimsoll/engine/runtime"
)

// Ports gives out host ports. A dynamic port is unique on the whole machine,
// not on its address only: a process may listen on all addresses. Runtimes that
// run side by side on one machine share one.
type Ports struct {
	first, count int
	begin        int // the first to be given out, counted from first

	mu    sync.Mutex
	next  int                     // counted from begin, going round
	inUse map[int]map[string]bool // by port: the addresses
}

// NewPorts gives out the dynamic ports from first to last, both included, going
// round. The owner's name says with which it begins: a port that was given out
// is not seen to be taken until its task listens, so that two engines on one
// machine that began with the same would give out the same.
func NewPorts(first, last int, owner string) *Ports {
	count := last - first + 1
	h := fnv.New64a()
	h.Write([]byte(owner))
	return &Ports{first: first, count: count, begin: int(h.Sum64() % uint64(count)), inUse: map[int]map[string]bool{}}
}

// take gives the bindings of a container. What it has taken before an error
// is in them too, to be released.
func (p *Ports) take(address string, c runtime.Container) ([]runtime.Binding, error) {
	var got []runtime.Binding
	for _, port := range c.Ports {
		b := runtime.Binding{
			Container: c.Name, ContainerPort: port.ContainerPort, Address: address,
			HostPort: port.HostPort, Protocol: port.Protocol,
		}
		if b.Protocol == "" {
			b.Protocol = "tcp"
		}
		var err error
		if b.HostPort == 0 {
			b.HostPort, err = p.free(address)
		} else {
			err = p.fixed(address, b.HostPort)
		}
		if err != nil {
			return got, err
		}
		got = append(got, b)
	}
	return got, nil
}

// free gives the next port that nobody has. Going round, a port that was just
// given back is the last to be given out again.
func (p *Ports) free(address string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.count {
		port := p.first + (p.begin+p.next)%p.count
		p.next = (p.next + 1) % p.count
		if len(p.inUse[port]) == 0 && bindable("", port) {
			p.mark(address, port)
			return port, nil
		}
	}
	return 0, fmt.Errorf("no host port from %d to %d is free", p.first, p.first+p.count-1)
}

func (p *Ports) fixed(address string, port int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inUse[port][address] || !bindable(address, port) {
		return fmt.Errorf("host port %d is already in use on %s; leave hostPort out for a dynamic one, or end what has it", port, address)
	}
	p.mark(address, port)
	return nil
}

// mark notes a port as given out. p.mu is held.
func (p *Ports) mark(address string, port int) {
	if p.inUse[port] == nil {
		p.inUse[port] = map[string]bool{}
	}
	p.inUse[port][address] = true
}

// adopt notes a port that a task of an earlier engine has. What was given out
// before it was so more recently than what comes after it.
func (p *Ports) adopt(address string, port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark(address, port)
	if port < p.first || port >= p.first+p.count {
		return
	}
	if i := (port - p.first - p.begin + p.count) % p.count; i >= p.next && i < p.count-1 {
		p.next = i + 1
	}
}

func (p *Ports) release(address string, port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inUse[port], address)
	if len(p.inUse[port]) == 0 {
		delete(p.inUse, port)
	}
}

// bindable tells whether nobody listens on the port (of all addresses, if
// address is empty).
func bindable(address string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
