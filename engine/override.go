package engine

import (
	"slices"
	"strings"
)

// TaskOverride is what RunTask and StartTask change of the definition for the
// tasks that they start.
type TaskOverride struct {
	Containers []ContainerOverride `json:",omitzero"`
	// CPU and Memory are the task's own; 0: as defined.
	CPU    int64 `json:",omitzero"`
	Memory int64 `json:",omitzero"`
	// The roles' ARNs; empty: as defined.
	TaskRoleARN      string `json:",omitzero"`
	ExecutionRoleARN string `json:",omitzero"`
}

// ContainerOverride changes one container of a task.
type ContainerOverride struct {
	Name        string            `json:",omitzero"`
	Command     []string          `json:",omitzero"` // nil: as defined
	Environment map[string]string `json:",omitzero"`
	// CPU units and MiB; 0: as defined.
	CPU               int64 `json:",omitzero"`
	Memory            int64 `json:",omitzero"`
	MemoryReservation int64 `json:",omitzero"`
}

// plain tells whether nothing is overridden.
func (o *TaskOverride) plain() bool {
	return len(o.Containers) == 0 && o.CPU == 0 && o.Memory == 0 && o.TaskRoleARN == ""
}

// checkOverride refuses what can not be, and gives the definition as it is with
// the override.
func (d *TaskDefinition) checkOverride(o TaskOverride) (*TaskDefinition, *Error) {
	for _, c := range o.Containers {
		if !slices.ContainsFunc(d.Containers, func(of ContainerDefinition) bool { return of.Name == c.Name }) {
			return nil, refuse(codeInvalid, "Override for container named %s is not a container in the TaskDefinition.", c.Name)
		}
		if c.CPU < 0 || c.Memory < 0 || c.MemoryReservation < 0 {
			return nil, refuse(codeInvalid, "Override for container named %s: cpu (%d), memory (%d) and memoryReservation (%d) can not be negative.",
				c.Name, c.CPU, c.Memory, c.MemoryReservation)
		}
	}
	as := d.With(o)
	for _, c := range o.Containers {
		for _, of := range as.Containers {
			if of.Name == c.Name && of.Memory > 0 && of.MemoryReservation > of.Memory {
				return nil, refuse(codeInvalid, "Override for container named %s: memoryReservation (%d) must not exceed memory (%d).",
					c.Name, of.MemoryReservation, of.Memory)
			}
		}
	}
	return as, nil
}

// With is the definition as it is for a task with the override.
func (d *TaskDefinition) With(o TaskOverride) *TaskDefinition {
	if o.plain() {
		return d
	}
	as := *d
	as.Containers = slices.Clone(d.Containers)
	if o.CPU > 0 {
		as.CPU = o.CPU
	}
	if o.Memory > 0 {
		as.Memory = o.Memory
	}
	if o.TaskRoleARN != "" {
		as.TaskRoleARN = o.TaskRoleARN
	}
	for _, c := range o.Containers {
		for i := range as.Containers {
			if as.Containers[i].Name == c.Name {
				as.Containers[i].override(c)
			}
		}
	}
	return &as
}

func (c *ContainerDefinition) override(o ContainerOverride) {
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
	if o.MemoryReservation > 0 {
		c.MemoryReservation = o.MemoryReservation
	}
}

// maxStartedBy bounds what a task says of who has started it.
const maxStartedBy = 128

// checkOrigin refuses what no task can be said to be of: a group that would be
// counted as a service's, or a name of the starter that is too long.
func checkOrigin(group, startedBy string) *Error {
	if strings.HasPrefix(group, "service:") {
		return refuse(codeInvalid, "The group %q is invalid: those that begin with service: are of services.", group)
	}
	if len(startedBy) > maxStartedBy {
		return refuse(codeInvalid, "startedBy has %d characters: at most %d are allowed.", len(startedBy), maxStartedBy)
	}
	return nil
}

// checkToken refuses a client token that is none. Longest is the most characters
// that the operation allows.
func checkToken(token string, longest int) *Error {
	if len(token) > longest || strings.ContainsFunc(token, func(r rune) bool { return r < 33 || r > 126 }) {
		return refuse(codeInvalid, "clientToken %q is invalid: up to %d ASCII characters without spaces are allowed.", token, longest)
	}
	return nil
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
