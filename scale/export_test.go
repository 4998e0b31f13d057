package scale

import "plimsoll"

// Left is what a decision leaves on each host, by its own book-keeping: free of
// what starts now, and what will be free when all that is to go has gone and
// all that waits has come.
type Left struct{ Before, Free, Coming plimsoll.Resources }

// Leftovers makes the decision again and shows its book-keeping; nil if it
// had nothing to place.
func Leftovers(in Input) []Left {
	p := newPass(&in)
	before := make([]plimsoll.Resources, len(p.hosts))
	for i := range p.hosts {
		before[i] = p.hosts[i].free
	}
	for i := range p.controlled() {
		p.recommend(&p.services[i])
	}
	p.arbitrate()
	if p.room.spare == nil {
		return nil
	}
	list := make([]Left, len(p.hosts))
	for i := range p.hosts {
		list[i] = Left{Before: before[i], Free: p.hosts[i].free, Coming: p.room.coming.Free(int32(i))}
	}
	return list
}

// Pending is how many forecasts are remembered.
func Pending(m *ForecastMemory) int { return len(m.made) }
