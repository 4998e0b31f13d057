package place

import (
	"fmt"
	"strings"
)

// Shortage says why a task fits nowhere: each host of the fleet is counted once
// for every thing that it lacks.
type Shortage struct {
	// Hosts are all hosts; Closed those that take no new tasks. The rest of
	// the counts is over the open hosts.
	Hosts, Closed          int
	CPU, Memory, GPU, Port int
	// Apart do not satisfy a memberOf constraint, Taken have a task of the group
	// already where each is to have a host of its own.
	Apart, Taken int
	// Fits are the open hosts that lack nothing.
	Fits int
	// Request is what was asked for.
	Request Request
}

// Shortage tells why Pick fails for the request. It looks at every host.
func (x *Index) Shortage(r Request) Shortage {
	s := Shortage{Request: r}
	for i := range x.nodes {
		h := &x.nodes[i]
		if h.zone == none {
			continue
		}
		s.Hosts++
		if h.closed {
			s.Closed++
			continue
		}
		cpu, memory, port := r.Reserved.CPU > h.free.CPU, r.Reserved.Memory > h.free.Memory, !h.portsFree(r.Ports)
		gpu := r.Reserved.GPU > h.free.GPU
		if cpu {
			s.CPU++
		}
		if memory {
			s.Memory++
		}
		if gpu {
			s.GPU++
		}
		if port {
			s.Port++
		}
		if !cpu && !memory && !gpu && !port {
			s.Fits++
		}
	}
	return s
}

// Reason is ECS's word for what is short on most hosts: "RESOURCE:CPU",
// "RESOURCE:MEMORY", "RESOURCE:GPU" or "RESOURCE:PORTS", or its words for a constraint; empty if
// nothing is.
func (s Shortage) Reason() string {
	most := max(s.CPU, s.Memory, s.GPU, s.Port, s.Apart, s.Taken)
	switch {
	case most == 0:
		return ""
	case s.Apart == most:
		return "MemberOf placement constraint unsatisfied."
	case s.Taken == most:
		return "DistinctInstance placement constraint unsatisfied."
	case s.CPU == most:
		return "RESOURCE:CPU"
	case s.Memory == most:
		return "RESOURCE:MEMORY"
	case s.GPU == most:
		return "RESOURCE:GPU"
	}
	return "RESOURCE:PORTS"
}

// String says which resource is missing on how many hosts.
func (s Shortage) String() string {
	if s.Hosts == 0 {
		return "the cluster has no container instance"
	}
	var parts []string
	if s.Apart > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d do not satisfy the placement constraints", s.Apart, s.Hosts))
	}
	if s.Taken > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d have a task of the group already (distinctInstance)", s.Taken, s.Hosts))
	}
	if s.CPU > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d have less than %d CPU units free", s.CPU, s.Hosts, s.Request.Reserved.CPU))
	}
	if s.Memory > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d have less than %d MiB of memory free", s.Memory, s.Hosts, s.Request.Reserved.Memory))
	}
	if s.GPU > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d have less than %d GPU free", s.GPU, s.Hosts, s.Request.Reserved.GPU))
	}
	if s.Port > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d have a port in use that the task needs (%s)", s.Port, s.Hosts, portList(s.Request.Ports)))
	}
	if s.Closed > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d take no new tasks", s.Closed, s.Hosts))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%d of %d container instances have room", s.Fits, s.Hosts)
	}
	return "of the container instances " + strings.Join(parts, ", ")
}

func portList(ports []int) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprint(p)
	}
	return strings.Join(words, ", ")
}

// Room is how many tasks like this would fit, at most limit. It reserves
// nothing.
func (x *Index) Room(r Request, limit int) int {
	room := 0
	for i := range x.nodes {
		if room >= limit {
			return limit
		}
		h := &x.nodes[i]
		if h.zone == none || h.closed || !r.Reserved.Fits(h.free) || !h.portsFree(r.Ports) {
			continue
		}
		room += h.fit(r, limit)
	}
	return min(room, limit)
}

// fit is how many tasks like this one fit on a host where one does.
func (h *node) fit(r Request, limit int) int {
	if len(r.Ports) > 0 {
		return 1
	}
	n := int64(limit)
	if r.Reserved.CPU > 0 {
		n = min(n, h.free.CPU/r.Reserved.CPU)
	}
	if r.Reserved.Memory > 0 {
		n = min(n, h.free.Memory/r.Reserved.Memory)
	}
	if r.Reserved.GPU > 0 {
		n = min(n, h.free.GPU/r.Reserved.GPU)
	}
	return int(n)
}
