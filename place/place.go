// Package place decides on which host a task goes: spread over the zones, then
// bin pack. It is pure (no clock, no randomness, no I/O) and the one placement
// that the engine, the arbitration in scale and the simulator share. It must
// not know of services' demand, of the engine or of any wire format.
package place

import "plimsoll"

// Host is what placement knows of a container instance.
type Host struct {
	// ID names the host; ties are broken by it, so that the same input gives
	// the same placement.
	ID   string
	Zone string
	// Free is what is left for more tasks.
	Free plimsoll.Resources
	// Closed hosts (draining, disconnected) keep what they have and get no more.
	Closed bool
	// Ports are the fixed host ports in use.
	Ports []int
}

// Request is one task to be placed.
type Request struct {
	// Group is what spreading counts, usually the service: a group's tasks are
	// spread over the zones.
	Group    string
	Reserved plimsoll.Resources
	// Ports are the fixed host ports that the task needs; no two tasks of a
	// host have the same.
	Ports []int
}
