package scale

import "plimsoll/place"

// noCrew is the number of what is in no crew.
const noCrew int32 = -1

// berths are the places on the hosts, which are known by number here: the
// placement's own index, and how many of each crew the open hosts of each zone
// have. place.Fleet is the same by name; a pass asks too often to look up names.
type berths struct {
	index *place.Index
	// spread has a row for each crew, with a count for each of so many zones.
	spread       []int32
	crews, zones int
}

// request is a task that is to have a place.
type request struct {
	place.Request
	crew int32 // noCrew: it is not counted
}

// spot is a place that is kept on a host.
type spot struct {
	host int32
	request
}

func newBerths(members []member, crews int) berths {
	hosts := make([]place.Host, len(members))
	for i := range members {
		m := &members[i]
		hosts[i] = place.Host{ID: m.ARN, Zone: m.ContainerInstance.Zone, Free: m.Registered, Closed: m.closed}
	}
	b := berths{index: place.NewIndex(hosts), crews: crews}
	b.widen()
	return b
}

// add adds a host.
func (b *berths) add(h place.Host) {
	b.index.Add(h)
	b.widen()
}

// widen gives the rows a count for each zone of the hosts.
func (b *berths) widen() {
	zones := b.index.Zones()
	if zones <= b.zones {
		return
	}
	wide := make([]int32, b.crews*zones)
	for crew := range b.crews {
		copy(wide[crew*zones:], b.spread[crew*b.zones:(crew+1)*b.zones])
	}
	b.spread, b.zones = wide, zones
}

// pick chooses a host: of the zones in which the task fits the one with the fewest
// of its crew, and there the fullest.
func (b *berths) pick(r *request) (host int32, ok bool) {
	if r.crew == noCrew {
		return b.index.Pick(r.Request, nil)
	}
	return b.index.Pick(r.Request, b.spread[int(r.crew)*b.zones:(int(r.crew)+1)*b.zones])
}

// free tells whether none of the ports is taken on a host that is open.
func (b *berths) free(host int32, ports []int) bool {
	return len(ports) == 0 || b.index.Open(host, ports)
}

// take takes what the task needs from the host, give gives it back.
func (b *berths) take(host int32, r request) {
	b.index.Take(host, r.Request)
	b.counts(host, r.crew, 1)
}

func (b *berths) give(host int32, r request) {
	b.index.Give(host, r.Request)
	b.counts(host, r.crew, -1)
}

func (b *berths) counts(host, crew, by int32) {
	if b.index.Open(host, nil) {
		b.count(crew, b.index.Zone(host), by)
	}
}

// count adds to how many of a crew the open hosts of a zone have.
func (b *berths) count(crew int32, zone int, by int32) {
	if crew != noCrew {
		b.spread[int(crew)*b.zones+zone] += by
	}
}
