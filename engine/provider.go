package engine

import (
	"maps"
	"slices"
	"strings"
)

// The bounds of a capacity provider strategy.
const (
	maxShares = 20
	maxWeight = 1000
	maxBase   = 100_000
)

func (m *Machine) createCapacityProvider(c CreateCapacityProvider) (*CapacityProvider, *Error) {
	if !validName(c.Name) {
		return nil, refuse(codeClient, "The specified capacity provider name %q is invalid: up to 255 letters, digits, underscores and hyphens are allowed.", c.Name)
	}
	if name := strings.ToLower(c.Name); strings.HasPrefix(name, "aws") || strings.HasPrefix(name, "ecs") || strings.HasPrefix(name, "fargate") {
		return nil, refuse(codeClient, "The specified capacity provider name %q is invalid: it can not begin with aws, ecs or fargate.", c.Name)
	}
	if m.providers[c.Name] != nil {
		return nil, refuse(codeClient, "A capacity provider with the name %q already exists.", c.Name)
	}
	if c.Group == "" {
		return nil, refuse(codeClient, "The capacity provider %q names no Auto Scaling group.", c.Name)
	}
	p := &CapacityProvider{
		Name: c.Name, ARN: m.arn("capacity-provider", c.Name), Status: statusActive,
		Group: c.Group, Tags: maps.Clone(c.Tags), Raw: c.Raw,
	}
	m.keepProvider(p)
	return p, nil
}

// keepProvider puts a provider, or a new state of it, into the state.
func (m *Machine) keepProvider(p *CapacityProvider) {
	m.providers[p.Name] = p
	m.changedProvider(p.Name)
}

func (m *Machine) changedProvider(name string) {
	if !slices.Contains(m.changed.providers, name) {
		m.changed.providers = append(m.changed.providers, name)
	}
}

// provider finds a capacity provider by name or ARN.
func (m *Machine) provider(ref string) (*CapacityProvider, *Error) {
	if p := m.providers[named(ref)]; p != nil && means(ref, p.ARN) {
		return p, nil
	}
	return nil, refuse(codeInvalid, "The specified capacity provider %q was not found. Specify a valid name or ARN and try again.", ref)
}

func (m *Machine) updateCapacityProvider(c UpdateCapacityProvider) (*CapacityProvider, *Error) {
	p, refusal := m.provider(c.Name)
	if refusal != nil {
		return nil, refusal
	}
	changed := *p
	changed.Raw, changed.Updated = c.Raw, true
	m.keepProvider(&changed)
	return &changed, nil
}

func (m *Machine) deleteCapacityProvider(c DeleteCapacityProvider) (*CapacityProvider, *Error) {
	p, refusal := m.provider(c.Name)
	if refusal != nil {
		return nil, refusal
	}
	for _, home := range m.sortedClusters() {
		if slices.Contains(home.CapacityProviders, p.Name) {
			return nil, refuse(codeClient, "The capacity provider %q cannot be deleted because it is associated with the cluster %q. "+
				"Remove it from there with PutClusterCapacityProviders first.", p.Name, home.Name)
		}
	}
	delete(m.providers, p.Name)
	m.changedProvider(p.Name)
	ended := *p
	ended.Status = statusInactive
	return &ended, nil
}

func (m *Machine) putClusterCapacityProviders(c PutClusterCapacityProviders) (*Cluster, *Error) {
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	names, refusal := m.providerNames(c.CapacityProviders)
	if refusal != nil {
		return nil, refusal
	}
	strategy, refusal := checkShares(c.DefaultStrategy, names)
	if refusal != nil {
		return nil, refusal
	}
	for _, name := range home.CapacityProviders {
		if !slices.Contains(names, name) && home.uses(name) {
			return nil, refuse(codeInUse, "The capacity provider %q cannot be removed from the cluster: tasks or services use it.", name)
		}
	}
	m.editCluster(home, func(e *Cluster) { e.CapacityProviders, e.DefaultStrategy = names, strategy })
	return home.Cluster, nil
}

// providerNames are the names of capacity providers that are all there.
func (m *Machine) providerNames(refs []string) ([]string, *Error) {
	var names []string
	for _, ref := range refs {
		p, refusal := m.provider(ref)
		if refusal != nil {
			return nil, refusal
		}
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names, nil
}

// uses tells whether a service or a task of the cluster asks for the provider.
func (c *cluster) uses(provider string) bool {
	for _, t := range c.tasks {
		if t.alive() && t.CapacityProvider == provider {
			return true
		}
	}
	for _, s := range c.services {
		if s.Status == statusActive && slices.ContainsFunc(s.Strategy, func(p ProviderShare) bool { return p.Provider == provider }) {
			return true
		}
	}
	return false
}

// checkShares checks a strategy over the providers that a cluster has, and
// gives it with their names.
func checkShares(shares []ProviderShare, known []string) ([]ProviderShare, *Error) {
	if len(shares) > maxShares {
		return nil, refuse(codeInvalid, "A capacity provider strategy can have at most %d items, not %d.", maxShares, len(shares))
	}
	checked := slices.Clone(shares)
	bases, weights := 0, 0
	seen := map[string]bool{}
	for i := range checked {
		p := &checked[i]
		p.Provider = named(p.Provider)
		switch {
		case !slices.Contains(known, p.Provider):
			return nil, refuse(codeInvalid, "The specified capacity provider %q was not found: the cluster's are %q. "+
				"Put it there with PutClusterCapacityProviders.", p.Provider, known)
		case seen[p.Provider]:
			return nil, refuse(codeInvalid, "The capacity provider %q is in the strategy twice.", p.Provider)
		case p.Weight < 0 || p.Weight > maxWeight:
			return nil, refuse(codeInvalid, "The weight %d of capacity provider %q is invalid: 0 to %d is allowed.", p.Weight, p.Provider, maxWeight)
		case p.Base < 0 || p.Base > maxBase:
			return nil, refuse(codeInvalid, "The base %d of capacity provider %q is invalid: 0 to %d is allowed.", p.Base, p.Provider, maxBase)
		}
		seen[p.Provider] = true
		weights += p.Weight
		if p.Base > 0 {
			bases++
		}
	}
	if bases > 1 {
		return nil, refuse(codeInvalid, "Only one capacity provider of a strategy can have a base.")
	}
	if len(checked) > 0 && weights == 0 {
		return nil, refuse(codeInvalid, "At least one capacity provider of a strategy must have a weight over 0.")
	}
	return checked, nil
}

// shareOf chooses the provider of the next task, by how many each has: first
// the base, then whichever has the fewest tasks above its base for its weight;
// of equals the first of the strategy.
func shareOf(strategy []ProviderShare, have map[string]int) string {
	best, found := "", false
	var bestCount, bestWeight int
	for _, p := range strategy {
		n := have[p.Provider]
		if n < p.Base {
			return p.Provider
		}
		if p.Weight == 0 {
			continue
		}
		// n/weight < best/weight, without dividing.
		if n -= p.Base; !found || n*bestWeight < bestCount*p.Weight {
			best, bestCount, bestWeight, found = p.Provider, n, p.Weight, true
		}
	}
	return best
}
