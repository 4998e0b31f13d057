package app

import (
	"fmt"

	"plimsoll"
	"plimsoll/engine"
)

// hosts are the logical hosts of this machine: dealt out over the zones in
// turn, each with a loopback address of its own (127.64.zone.number).
func hosts(region string, count, zones int, each plimsoll.Resources) []engine.HostSpec {
	out := make([]engine.HostSpec, count)
	for i := range out {
		zone, number := i%zones, i/zones
		out[i] = engine.HostSpec{
			Name:      fmt.Sprintf("host-%d", i+1),
			Zone:      region + string(rune('a'+zone)),
			Address:   fmt.Sprintf("127.%d.%d.%d", 64+number/250, zone+1, number%250+1),
			Resources: each,
		}
	}
	return out
}
