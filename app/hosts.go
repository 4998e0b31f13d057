package app

import (
	"fmt"

	"plimsoll"
	"plimsoll/engine"
)

// The second numbers of the hosts' loopback addresses: the home world has those
// from firstBlock on, for each 250 hosts of a zone one; every other world has
// one, from worldBlock on.
const (
	firstBlock = 64
	worldBlock = 128
	mostOfZone = 250
)

// hosts are a world's logical hosts: dealt out over the zones in turn, each with
// a loopback address of its own (127.64.zone.number).
func (w *world) hosts(count, zones int, each plimsoll.Resources) []engine.HostSpec {
	out := make([]engine.HostSpec, count)
	for i := range out {
		zone, number := i%zones, i/zones
		out[i] = engine.HostSpec{
			Name:      fmt.Sprintf("host-%d", i+1),
			Zone:      w.region + string(rune('a'+zone)),
			Address:   fmt.Sprintf("127.%d.%d.%d", w.block+number/mostOfZone, zone+1, number%mostOfZone+1),
			Resources: each,
		}
	}
	return out
}
