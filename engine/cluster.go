package engine

import (
	"cmp"
	"maps"
	"slices"

	"plimsoll/place"
)

// cluster is a cluster with the indexes over what is in it.
type cluster struct {
	*Cluster
	dirty bool

	fleet *place.Fleet // hosts are named by their ARN
	// board is for placements that the fleet does not serve; nil until there is
	// one, and whenever the instances have changed.
	board     *place.Board
	instances []*instance // in order of creation
	byARN     map[string]*instance
	services  map[string]*service // by name, INACTIVE ones included
	daemons   []*service          // those of them with a task on each instance
	tasks     []*task             // all that are kept, in order of creation
	byToken   map[string][]*task  // RunTask's by client token

	lines map[*service]bool // the services with waiting tasks

	// freed tells that capacity has come free; fresh are the services whose
	// tasks have begun to wait since. Nothing else waits that could be placed.
	freed bool
	fresh []*service
	roomy bool
}

func newCluster(c *Cluster) *cluster {
	return &cluster{
		Cluster:  c,
		fleet:    place.NewFleet(nil),
		byARN:    map[string]*instance{},
		services: map[string]*service{},
		byToken:  map[string][]*task{},
		lines:    map[*service]bool{},
	}
}

func (m *Machine) createCluster(c CreateCluster) (*Cluster, *Error) {
	name := c.Name
	if name == "" {
		name = defaultCluster
	}
	if !validName(name) {
		return nil, refuse(codeInvalid, "Cluster name %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", name)
	}
	if old, ok := m.clusters[name]; ok {
		return old.Cluster, nil
	}
	providers, refusal := m.providerNames(c.CapacityProviders)
	if refusal != nil {
		return nil, refusal
	}
	strategy, refusal := checkShares(c.DefaultStrategy, providers)
	if refusal != nil {
		return nil, refusal
	}
	made := newCluster(&Cluster{
		Name: name, ARN: m.arn("cluster", name), Status: "ACTIVE",
		Tags: maps.Clone(c.Tags), CreatedAt: m.now,
		CapacityProviders: providers, DefaultStrategy: strategy,
	})
	m.clusters[name] = made
	made.dirty = true
	m.changed.clusters = append(m.changed.clusters, made)
	return made.Cluster, nil
}

// cluster finds a cluster by name or ARN.
func (m *Machine) cluster(ref string) (*cluster, *Error) {
	if c := m.findCluster(ref); c != nil {
		return c, nil
	}
	return nil, refuse(codeClusterNotFound, "Cluster not found.")
}

func (m *Machine) findCluster(ref string) *cluster {
	name := named(ref)
	if name == "" {
		name = defaultCluster
	}
	if c := m.clusters[name]; c != nil && means(ref, c.ARN) {
		return c
	}
	return nil
}

func (m *Machine) sortedClusters() []*cluster {
	return slices.SortedFunc(maps.Values(m.clusters), func(a, b *cluster) int {
		return cmp.Compare(a.Name, b.Name)
	})
}

// live are the tasks that are not stopped: a list of its own.
func (c *cluster) live() []*task {
	var live []*task
	for _, t := range c.tasks {
		if t.alive() {
			live = append(live, t)
		}
	}
	return live
}

// makeRoom has waiting tasks looked at before the step goes on: all of them if
// capacity came free, else those of one service.
func (m *Machine) makeRoom(c *cluster, freed bool, s *service) {
	if freed {
		c.freed = true
	} else if !slices.Contains(c.fresh, s) {
		c.fresh = append(c.fresh, s)
	}
	if !c.roomy {
		c.roomy = true
		m.roomy = append(m.roomy, c)
	}
}

// validName tells whether ECS takes the name for a cluster, service or family.
func validName(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}
