package process

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/order"
	"plimsoll/engine/runtime/process/shim"
)

// resources are the kernel's numbers of what a ulimit bounds (setrlimit(2)).
var resources = map[string]int{
	"cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7,
	"memlock": 8, "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}

func limits(ulimits []runtime.Ulimit) ([]shim.Limit, error) {
	var all []shim.Limit
	for _, u := range ulimits {
		number, known := resources[u.Name]
		if !known {
			return nil, fmt.Errorf("ulimit %q: %v are known", u.Name, slices.Sorted(maps.Keys(resources)))
		}
		// -1 is all bits set, which is the kernel's word for no bound.
		all = append(all, shim.Limit{Name: u.Name, Resource: number, Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	return all, nil
}

// healthCheck gives the check with the program that it runs.
func healthCheck(h *order.Health) (*order.Health, error) {
	if h == nil {
		return nil, nil
	}
	made := *h
	switch {
	case len(h.Command) > 1 && h.Command[0] == "CMD":
		made.Command = h.Command[1:]
	case len(h.Command) == 2 && h.Command[0] == "CMD-SHELL":
		made.Command = []string{"/bin/sh", "-c", h.Command[1]}
	default:
		return nil, errors.New("health check: CMD with a program and its arguments, or CMD-SHELL with one command line is needed")
	}
	return &made, nil
}
