// Package compose reads compose files with the x-plimsoll extension, once and
// strictly, into typed values. It must not know of any part that runs.
package compose

import (
	"time"

	"plimsoll"
)

// Project is one compose file, read and checked.
type Project struct {
	Name string
	// File and Dir are the file's absolute path and its folder, which relative
	// commands and paths start from.
	File, Dir string
	Hosts     Hosts
	Services  []Service // in the order of the file
	Prices    Prices
	Eviction  Eviction
	Budget    *Budget // nil without one
	// DeregistrationDelay is the longest time that a task which is to stop is
	// kept for the requests that it still has.
	DeregistrationDelay time.Duration
	// Warnings are about what has no effect; the file can be used all the same.
	Warnings []Problem
}

// Hosts are the logical hosts of the embedded engine.
type Hosts struct {
	Count, Zones int
	// Each is what one host has.
	Each plimsoll.Resources
	// Min and Max bound the number of hosts that come and go; Max 0: there are
	// always Count of them.
	Min, Max   int
	LaunchTime time.Duration
	// Groups are the Auto Scaling groups that plimsoll run scales.
	Groups       []string
	Headroom     Headroom
	LaunchAtOnce int
	ScaleIn      HostsIn
}

// Service is one service of the file.
type Service struct {
	Name string
	// Line is where the service stands in the file.
	Line        int
	Image       string
	EntryPoint  []string
	Command     []string
	WorkingDir  string // absolute; Dir where the file names none and no image is given
	User        string
	Environment map[string]string
	// Reserved is deploy.resources.reservations, with DefaultReserved where
	// the file names none.
	Reserved    plimsoll.Resources
	Ports       []Port
	StopTimeout time.Duration         // stop_grace_period; 0: the default
	HealthCheck *plimsoll.HealthCheck `json:",omitzero"`
	Ulimits     []plimsoll.Ulimit     `json:",omitzero"`
	Tmpfs       []plimsoll.Tmpfs      `json:",omitzero"`
	Mounts      []plimsoll.Mount      `json:",omitzero"`
	// CapAdd and CapDrop are Linux capabilities without CAP_.
	CapAdd   []string `json:",omitzero"`
	CapDrop  []string `json:",omitzero"`
	Init     *bool    `json:",omitzero"`
	ReadOnly bool     `json:",omitzero"`
	// NeedsDocker are the keys that plain processes cannot honour, as problems.
	NeedsDocker []Problem `json:",omitzero"`
	// Scaling is the service's x-plimsoll.
	Scaling Scaling
}

// DefaultReserved is what a task reserves if the file says nothing.
var DefaultReserved = plimsoll.Resources{CPU: 128, Memory: 64}

// Port is a container port; HostPort 0 is dynamic.
type Port struct {
	ContainerPort, HostPort int
	Protocol                string
}
