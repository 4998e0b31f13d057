// Package discovery tells other programs where the tasks of a cluster are: by
// DNS here, by Consul in the leaf below. It is given its directory as a value
// and swaps it whole. It must not know of the engine, the platform or the
// router.
package discovery

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Directory is all that is told of one cluster: its services and where their
// tasks are. A service without instances is known and answers with nothing.
type Directory struct {
	// Cluster is the name of the cluster, a DNS label.
	Cluster  string
	Services map[string][]Instance
}

// Instance is one task that new work may be sent to.
type Instance struct {
	// ID is the task's id; a drain names it.
	ID   string
	Zone string
	// Address is where the task's ports are.
	Address netip.Addr
	// Ports are the task's, the first one being the service's own.
	Ports []Port
	// Healthy tells that work should be sent to it now.
	Healthy bool
}

// Port is a container port and the host port where it is reached.
type Port struct{ Container, Host int }

// label is what a name between two dots may be: RFC 1123's host names, and the
// underscore that ECS allows in the names of services.
var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// Check tells what in the directory could not be named in DNS.
func (d Directory) Check() error {
	if !label.MatchString(strings.ToLower(d.Cluster)) {
		return fmt.Errorf("the cluster's name %q cannot be part of a DNS name; allowed: 1 to 63 letters, digits, - and _", d.Cluster)
	}
	seen := map[string]string{}
	for name, instances := range d.Services {
		low := strings.ToLower(name)
		if !label.MatchString(low) {
			return fmt.Errorf("the service's name %q cannot be part of a DNS name; allowed: 1 to 63 letters, digits, - and _", name)
		}
		if other, taken := seen[low]; taken {
			return fmt.Errorf("the services %q and %q have one name in DNS, where case does not count; rename one", other, name)
		}
		seen[low] = name
		for _, i := range instances {
			if !i.Address.IsValid() || !label.MatchString(strings.ToLower(i.ID)) {
				return fmt.Errorf("service %q: the instance %q at %q has no valid id or address", name, i.ID, i.Address)
			}
		}
	}
	return nil
}
