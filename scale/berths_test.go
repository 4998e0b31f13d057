package scale

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/place"
)

// TestBerthsChooseAsTheFleetDoes takes and gives back places on hosts that close,
// open and come, on the berths by number and on place.Fleet by name.
func TestBerthsChooseAsTheFleetDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		crews := rapid.IntRange(1, 4).Draw(t, "crews")
		members := make([]member, rapid.IntRange(1, 8).Draw(t, "hosts"))
		hosts := make([]place.Host, len(members))
		host := func(i int) place.Host {
			size := plimsoll.Resources{CPU: 100 * rapid.Int64Range(1, 4).Draw(t, "cpu"), Memory: 100 * rapid.Int64Range(1, 4).Draw(t, "memory")}
			return place.Host{ID: fmt.Sprint("h", i), Zone: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone"), Free: size}
		}
		for i := range members {
			hosts[i] = host(i)
			members[i] = member{number: int32(i), ContainerInstance: &plimsoll.ContainerInstance{ARN: hosts[i].ID, Zone: hosts[i].Zone, Registered: hosts[i].Free}}
		}
		fleet := place.NewFleet(hosts)
		p := &hostPass{berths: newBerths(members, crews)}
		s := &sparing{hostPass: p}
		t.Repeat(map[string]func(*rapid.T){
			"place": func(t *rapid.T) {
				r := request{crew: rapid.Int32Range(noCrew, int32(crews)-1).Draw(t, "crew")}
				r.Reserved = plimsoll.Resources{CPU: rapid.Int64Range(1, 200).Draw(t, "cpu"), Memory: rapid.Int64Range(1, 200).Draw(t, "memory")}
				r.Ports = rapid.SampledFrom([][]int{nil, nil, {80}, {80, 81}}).Draw(t, "ports")
				named := r.Request
				named.Group = fmt.Sprint(r.crew)
				if r.crew == noCrew {
					named.Group = fmt.Sprint("alone", len(p.spots)) // no two are of one group
				}
				id, fits := fleet.Pick(named)
				at, ok := p.berths.pick(&r)
				if ok != fits || ok && hosts[at].ID != id {
					t.Fatalf("the berths choose %d (%v), the fleet %q (%v)", at, ok, id, fits)
				}
				if !ok {
					return
				}
				if err := fleet.Reserve(id, named); err != nil || !p.berths.free(at, r.Ports) {
					t.Fatalf("the ports %v are to be free on %s: %v", r.Ports, id, err)
				}
				p.berths.take(at, r)
				r.Group = named.Group
				p.spots = append(p.spots, spot{at, r})
			},
			"give": func(t *rapid.T) {
				if len(p.spots) == 0 {
					return
				}
				last := p.spots[len(p.spots)-1]
				p.spots = p.spots[:len(p.spots)-1]
				fleet.Release(hosts[last.host].ID, last.Request)
				p.berths.give(last.host, last.request)
			},
			"close or open": func(t *rapid.T) {
				m := &members[rapid.IntRange(0, len(members)-1).Draw(t, "which")]
				m.closed = !m.closed
				s.close(m, m.closed)
				fleet.SetClosed(m.ARN, m.closed)
			},
			"come": func(t *rapid.T) {
				h := host(len(hosts))
				hosts = append(hosts, h)
				fleet.Add(h)
				p.berths.add(h)
			},
		})
	})
}
