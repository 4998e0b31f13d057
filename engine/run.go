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
	digest := c.digest()
	if result, refusal := home.repeated(c.ClientToken, digest); result != nil || refusal != nil {
		return result, refusal
	}
	d, refusal := m.usable(c.TaskDefinition)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkOverrides(d, c.Overrides); refusal != nil {
		return nil, refusal
	}
	priority, refusal := priorityOf(c.Tags)
	if refusal != nil {
		return nil, refusal
	}
	if !slices.ContainsFunc(home.instances, func(i *instance) bool { return !i.draining() }) {
		return nil, refuse(codeInvalid, "No Container Instances were found in your cluster.")
	}
	from := origin{
		overrides: c.Overrides, reserved: reservedWith(d, c.Overrides), priority: priority,
		group: c.Group, startedBy: c.StartedBy, launch: c.LaunchType, tags: c.Tags,
		token: c.ClientToken, request: digest,
	}
	if from.group == "" {
		from.group = "family:" + d.Family
	}
	return m.runNow(home, d, from, c.Count), nil
}

// runNow places up to count tasks; what finds no room is a failure.
func (m *Machine) runNow(home *cluster, d *definition, from origin, count int) *RunTaskResult {
	result := &RunTaskResult{}
	// Tasks are placed as they are made: none of them ever waits.
	r := place.Request{Group: "family:" + d.Family, Reserved: from.reserved, Ports: d.fixedPorts()}
	for range count {
		host, ok := home.fleet.Pick(r)
		if !ok {
			lack := home.fleet.Shortage(r)
			result.Failures = append(result.Failures, Failure{Reason: lack.Reason(), Detail: lack.String()})
			continue
		}
		t := m.createTask(home, d, from)
		m.assign(t, home.byARN[host])
		result.Tasks = append(result.Tasks, t.Task)
	}
	return result
}

// repeated gives the result of a former call with the same token.
func (c *cluster) repeated(token, digest string) (*RunTaskResult, *Error) {
	if token == "" || len(c.byToken[token]) == 0 {
		return nil, nil
	}
	result := &RunTaskResult{}
	for _, t := range c.byToken[token] {
		if t.Request != digest {
			return nil, refuse(codeConflict, "The client token %q is in use with a different RunTask request.", token)
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

func checkOverrides(d *definition, overrides []ContainerOverride) *Error {
	for _, o := range overrides {
		if !slices.ContainsFunc(d.Containers, func(c ContainerDefinition) bool { return c.Name == o.Name }) {
			return refuse(codeInvalid, "Override for container named %s is not a container in the TaskDefinition.", o.Name)
		}
		if o.CPU < 0 || o.Memory < 0 {
			return refuse(codeInvalid, "Override for container named %s: cpu (%d) and memory (%d) can not be negative.", o.Name, o.CPU, o.Memory)
		}
	}
	return nil
}

// overridden gives the containers of a definition with the overrides applied.
func overridden(containers []ContainerDefinition, overrides []ContainerOverride) []ContainerDefinition {
	if len(overrides) == 0 {
		return containers
	}
	changed := slices.Clone(containers)
	for _, o := range overrides {
		for i := range changed {
			c := &changed[i]
			if c.Name != o.Name {
				continue
			}
			if o.Command != nil {
				c.Command = o.Command
			}
			c.Environment = merged(c.Environment, o.Environment)
			if o.CPU > 0 {
				c.CPU = o.CPU
			}
			if o.Memory > 0 {
				c.Memory = o.Memory
				c.MemoryReservation = min(c.MemoryReservation, o.Memory)
			}
		}
	}
	return changed
}

// reservedWith is what a task with these overrides reserves.
func reservedWith(d *definition, overrides []ContainerOverride) plimsoll.Resources {
	changed := *d.TaskDefinition
	changed.Containers = overridden(d.Containers, overrides)
	return changed.Reserved()
}

// merged gives both maps as one; what the later says holds.
func merged(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}
