package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"plimsoll"
	"plimsoll/place"
)

// runTask starts standalone tasks at once or says which could not be.
func (m *Machine) runTask(c RunTask) (*RunTaskResult, *Error) {
	if m.halted != "" {
		return nil, refuse(codeServer, "No task can be started any more: %s.", m.halted)
	}
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if c.Count == 0 {
		c.Count = 1
	}
	if c.Count < 1 || c.Count > 10 {
		return nil, refuse(codeInvalid, "count %d is invalid: 1 to 10 is allowed.", c.Count)
	}
	if refusal := checkToken(c.ClientToken, 64); refusal != nil {
		return nil, refusal
	}
	digest := c.digest()
	if result, refusal := home.repeated(c.ClientToken, digest); result != nil || refusal != nil {
		return result, refusal
	}
	d, refusal := m.usable(c.TaskDefinition)
	if refusal != nil {
		return nil, refusal
	}
	as, refusal := d.checkOverride(c.Override)
	if refusal != nil {
		return nil, refusal
	}
	priority, refusal := priorityOf(c.Tags)
	if refusal != nil {
		return nil, refusal
	}
	if !slices.ContainsFunc(home.instances, func(i *instance) bool { return !i.draining() }) {
		return nil, refuse(codeInvalid, "No Container Instances were found in your cluster.")
	}
	n, shares, refusal := runTerms(home, d, c)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkOrigin(c.Group, c.StartedBy); refusal != nil {
		return nil, refusal
	}
	from := origin{
		override: c.Override, reserved: as.Reserved(), priority: priority,
		group: n.group, startedBy: c.StartedBy, launch: launchEC2,
		tags:  standaloneTags(home, d, c.Tags, c.PropagateTags, c.ManagedTags),
		token: c.ClientToken, request: digest,
	}
	return m.runNow(home, d, from, n, shares, c.Count), nil
}

// standaloneTags are the tags of a task that is of no service; its own count
// most.
func standaloneTags(home *cluster, d *definition, own map[string]string, propagate string, managed bool) map[string]string {
	if propagate == propagateDefinition {
		own = merged(d.Tags, own)
	}
	if managed {
		own = merged(own, map[string]string{tagCluster: home.Name})
	}
	return own
}

// runTerms are how a RunTask's tasks are to be placed, and by which capacity
// providers.
func runTerms(home *cluster, d *definition, c RunTask) (terms, []ProviderShare, *Error) {
	if refusal := checkStrategies(c.Strategies); refusal != nil {
		return terms{}, nil, refusal
	}
	if refusal := checkConstraints("placementConstraints", c.Constraints, true); refusal != nil {
		return terms{}, nil, refusal
	}
	shares, refusal := home.shares(c.LaunchType, c.ProviderStrategy)
	if refusal != nil {
		return terms{}, nil, refusal
	}
	n := terms{strategies: c.Strategies, constraints: slices.Concat(d.Constraints, c.Constraints), group: c.Group}
	if n.group == "" {
		n.group = "family:" + d.Family
	}
	return n, shares, nil
}

// shares are the capacity provider strategy of what names a launch type, a
// strategy, or neither.
func (c *cluster) shares(launch string, strategy []ProviderShare) ([]ProviderShare, *Error) {
	switch {
	case launch != "" && len(strategy) > 0:
		return nil, refuse(codeInvalid, "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	case launch != "":
		return nil, nil
	case len(strategy) == 0:
		return c.DefaultStrategy, nil
	}
	return checkShares(strategy, c.CapacityProviders)
}

// runNow places up to count tasks; what finds no room is a failure.
func (m *Machine) runNow(home *cluster, d *definition, from origin, n terms, shares []ProviderShare, count int) *RunTaskResult {
	result := &RunTaskResult{}
	have := map[string]int{}
	// Tasks are placed as they are made: none of them ever waits.
	r := place.Request{Group: "family:" + d.Family, Reserved: from.reserved, Ports: d.fixedPorts()}
	for range count {
		if len(shares) > 0 {
			n.provider = shareOf(shares, have)
			have[n.provider]++
			from.provider = n.provider
		}
		i, ok := m.pick(home, r, n)
		if !ok {
			lack := m.shortage(home, r, n)
			result.Failures = append(result.Failures, Failure{Reason: lack.Reason(), Detail: lack.String()})
			continue
		}
		t := m.createTask(home, d, from)
		m.assign(t, i)
		result.Tasks = append(result.Tasks, t.Task)
	}
	return result
}

// startTask puts a task on each of the instances named, if it fits there.
func (m *Machine) startTask(c StartTask) (*RunTaskResult, *Error) {
	if m.halted != "" {
		return nil, refuse(codeServer, "No task can be started any more: %s.", m.halted)
	}
	home, refusal := m.cluster(c.Cluster)
	if refusal != nil {
		return nil, refusal
	}
	if n := len(c.Instances); n < 1 || n > 10 {
		return nil, refuse(codeInvalid, "containerInstances has %d items: 1 to 10 are allowed.", n)
	}
	d, refusal := m.usable(c.TaskDefinition)
	if refusal != nil {
		return nil, refusal
	}
	as, refusal := d.checkOverride(c.Override)
	if refusal != nil {
		return nil, refusal
	}
	priority, refusal := priorityOf(c.Tags)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkOrigin(c.Group, c.StartedBy); refusal != nil {
		return nil, refusal
	}
	from := origin{
		override: c.Override, reserved: as.Reserved(), priority: priority,
		group: c.Group, startedBy: c.StartedBy, launch: launchEC2,
		tags: standaloneTags(home, d, c.Tags, c.PropagateTags, c.ManagedTags),
	}
	if from.group == "" {
		from.group = "family:" + d.Family
	}
	result := &RunTaskResult{}
	for _, ref := range c.Instances {
		i := m.findInstance(home, ref)
		if i == nil {
			result.Failures = append(result.Failures, Failure{ARN: m.arn("container-instance", home.Name+"/"+named(ref)), Reason: reasonMissing})
			continue
		}
		if lack := i.lacks(from.reserved, d.fixedPorts()); lack != "" {
			result.Failures = append(result.Failures, Failure{ARN: i.ARN, Reason: lack})
			continue
		}
		t := m.createTask(home, d, from)
		m.assign(t, i)
		result.Tasks = append(result.Tasks, t.Task)
	}
	return result, nil
}

// lacks is ECS's word for why a task does not go on the instance; empty if it
// does.
func (i *instance) lacks(r plimsoll.Resources, ports []int) string {
	free := i.home.fleet.Free(i.ARN)
	switch {
	case i.draining():
		return "INACTIVE"
	case r.CPU > free.CPU:
		return "RESOURCE:CPU"
	case r.Memory > free.Memory:
		return "RESOURCE:MEMORY"
	}
	for _, p := range ports {
		taken := slices.Contains(i.ReservedPorts, p) ||
			slices.ContainsFunc(i.tasks, func(t *task) bool { return slices.Contains(t.FixedPorts, p) })
		if taken {
			return "RESOURCE:PORTS"
		}
	}
	return ""
}

// repeated gives the result of a former call with the same token.
func (c *cluster) repeated(token, digest string) (*RunTaskResult, *Error) {
	if token == "" || len(c.byToken[token]) == 0 {
		return nil, nil
	}
	result := &RunTaskResult{}
	for _, t := range c.byToken[token] {
		if t.Request != digest {
			refusal := refuse(codeConflict, "The client token %q is in use with a different RunTask request.", token)
			for _, t := range c.byToken[token] {
				refusal.Resources = append(refusal.Resources, t.ARN)
			}
			return nil, refusal
		}
		result.Tasks = append(result.Tasks, t.Task)
	}
	return result, nil
}

// digest tells one request from another; the client token is no part of it. A
// request without a token needs none.
func (c RunTask) digest() string {
	if c.ClientToken == "" {
		return ""
	}
	c.ClientToken = ""
	data, err := json.Marshal(c)
	if err != nil {
		return "" // plain values: it cannot be
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
