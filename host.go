package plimsoll

import (
	"slices"
	"strings"
)

// HostGroup is a group of like hosts (an Auto Scaling group).
type HostGroup struct {
	Name string
	// Types are the kinds of host that the group launches. With several the
	// platform chooses: then a launch counts as the least of them in each
	// dimension, at the highest price.
	Types []HostType
	// Zones are those that it launches in; it keeps them even itself.
	Zones []string
	// Min and Max bound the number of hosts.
	Min, Max int
	// Desired is the number that the platform has been asked for.
	Desired int
	// Hosts are its instances as the platform has them, in the cluster or not
	// yet.
	Hosts []GroupHost
}

// HostType is a kind of host.
type HostType struct {
	Name      string
	Resources Resources
	// Price is that of an hour; all zero: hosts cost what they have.
	Price float64
}

// burstable are the families of EC2's burstable performance instances: their CPUs
// are whole only as long as they have credits.
var burstable = []string{"t1", "t2", "t3", "t3a", "t4g"}

// Burstable tells whether the type is one of those whose CPUs are throttled once
// their credits are used up.
func (t HostType) Burstable() bool {
	family, _, _ := strings.Cut(t.Name, ".")
	return slices.Contains(burstable, family)
}

// GroupHost is an instance of a group.
type GroupHost struct {
	InstanceID, Zone string
	// Protected instances are not to be terminated by scale-in.
	Protected bool
	// Interrupted instances are about to be taken away.
	Interrupted bool
	// Leaving instances are being terminated.
	Leaving bool
}
