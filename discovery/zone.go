package discovery

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// zone is a Directory made ready for lookup. It is never changed after it is
// published, but for the counters that its names point at.
type zone struct {
	apex  string // "shop.plimsoll.internal.", in lower case
	names map[string]*name
	// serial is that of the SOA: it grows with each directory.
	serial uint32
}

// name is one owner name of the zone. Names that only lead to others
// ("_tcp.shop.plimsoll.internal.") are there without records.
type name struct {
	addresses []address
	services  []server
	// turn has each answer begin with the next record.
	turn *atomic.Uint32
}

type address struct {
	ip   netip.Addr
	tell []*asked
}

// server is one SRV record.
type server struct {
	target string
	port   uint16
	ip     netip.Addr
	tell   *asked
}

// asked is when an instance was last told to somebody, in the server's time;
// it lives as long as the instance is listed.
type asked struct{ at atomic.Int64 }

// newZone builds the zone of a directory. turn and memory give the state of a
// name and an instance that outlives the zone.
func newZone(d Directory, suffix string, serial uint32, turn func(name string) *atomic.Uint32, memory func(id string) *asked) *zone {
	z := &zone{apex: strings.ToLower(d.Cluster) + "." + suffix, names: map[string]*name{}, serial: serial}
	z.at(z.apex)
	z.at("_tcp." + z.apex)
	for service, instances := range d.Services {
		low := strings.ToLower(service)
		home := low + "." + z.apex
		plain, first := z.at(home), z.at("_"+low+"._tcp."+z.apex)
		plain.turn, first.turn = turn(home), turn("_"+low)
		healthy := slices.DeleteFunc(slices.Clone(instances), func(i Instance) bool { return !i.Healthy })
		slices.SortFunc(healthy, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
		for _, i := range healthy {
			tell := memory(i.ID)
			plain.addAddress(i.Address, tell)
			own := strings.ToLower(i.ID) + "." + home
			z.at(own).addAddress(i.Address, tell)
			for n, p := range i.Ports {
				record := server{target: own, port: uint16(p.Host), ip: i.Address, tell: tell}
				if n == 0 {
					first.services = append(first.services, record)
				}
				z.at("_tcp." + home)
				port := z.at("_" + strconv.Itoa(p.Container) + "._tcp." + home)
				port.turn = turn("_" + strconv.Itoa(p.Container) + "." + low)
				port.services = append(port.services, record)
			}
		}
	}
	return z
}

// at gives the name, new if it is not there.
func (z *zone) at(owner string) *name {
	n := z.names[owner]
	if n == nil {
		n = &name{turn: &atomic.Uint32{}}
		z.names[owner] = n
	}
	return n
}

// addAddress adds one address once, however many tasks of a host have it.
func (n *name) addAddress(ip netip.Addr, tell *asked) {
	for i := range n.addresses {
		if n.addresses[i].ip == ip {
			n.addresses[i].tell = append(n.addresses[i].tell, tell)
			return
		}
	}
	n.addresses = append(n.addresses, address{ip: ip, tell: []*asked{tell}})
}

// contains tells whether the owner name is in the zone's part of the tree.
func (z *zone) contains(owner string) bool {
	return owner == z.apex || strings.HasSuffix(owner, "."+z.apex)
}

// rotated gives the items beginning with the one whose turn it is, so that
// clients that take the first spread evenly.
func rotated[T any](items []T, turn uint32) []T {
	if len(items) < 2 {
		return items
	}
	start := int(turn) % len(items)
	return append(slices.Clone(items[start:]), items[:start]...)
}
