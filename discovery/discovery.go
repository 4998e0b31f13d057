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
	"time"
)

// Directory is all that is told of one cluster: its services and where their
// tasks are. A service without instances is known and answers with nothing.
type Directory struct {
	// Cluster is the name of the cluster, a DNS label.
	Cluster  string
	Services map[string][]Instance
	// Tags are what a registry that knows tags is told of a service's own port.
	Tags map[string][]string
	// Unsure are tasks of which it is not known just now where they are, or whether
	// they are well: what is registered of them elsewhere stays.
	Unsure map[string]bool
	// Others are the cluster's other tasks that have not been asked to stop: those of
	// services that another process may tell of, and those that only start. Gone are
	// those that have been asked to stop, or have.
	Others, Gone map[string]bool
	// Sick are the instances that were left out of Services because they are not
	// healthy; the Keeper moves them here.
	Sick map[string]bool
	// At is when the reading of all this began.
	At time.Time
	// Kept are, by service, the ARNs of the registries in which the platform itself
	// registers its tasks.
	Kept map[string][]string
}

// Instance is one task that new work may be sent to.
type Instance struct {
	// ID is the task's id; a drain names it.
	ID   string
	Zone string
	// Address is where the task's ports are.
	Address netip.Addr
	// Host is the EC2 instance that has this address; empty for a task with an
	// address of its own.
	Host string
	// Ports are the task's, the first one being the service's own.
	Ports []Port
	// Healthy tells that work should be sent to it now.
	Healthy bool
}

// Port is a container port and the host port where it is reached.
type Port struct{ Container, Host int }

// Port is where a container port is reached; 0 is the service's own.
func (i Instance) Port(container int) (Port, bool) {
	for _, p := range i.Ports {
		if container == 0 || p.Container == container {
			return p, true
		}
	}
	return Port{}, false
}

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
