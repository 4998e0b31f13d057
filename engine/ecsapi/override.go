package ecsapi

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// maxOverride is how many characters an override has at most, as JSON.
const maxOverride = 8192

func (a *api) overrideIn(o *types.TaskOverride) (engine.TaskOverride, error) {
	var out engine.TaskOverride
	if o == nil {
		return out, nil
	}
	text, err := a.codec.Encode(o)
	if err != nil {
		return out, err
	}
	if len(text) > maxOverride {
		return out, awsapi.Refuse(codeInvalid, "Container Overrides length must be at most %d, got %d.", maxOverride, len(text))
	}
	if out.CPU, err = amount(codeInvalid, "overrides.cpu", value(o.Cpu), "vcpu"); err != nil {
		return out, err
	}
	if out.Memory, err = amount(codeInvalid, "overrides.memory", value(o.Memory), "gb"); err != nil {
		return out, err
	}
	out.TaskRoleARN, out.ExecutionRoleARN = value(o.TaskRoleArn), value(o.ExecutionRoleArn)
	for i, c := range o.ContainerOverrides {
		over, err := containerOverrideIn(i, c)
		if err != nil {
			return out, err
		}
		out.Containers = append(out.Containers, over)
	}
	return out, nil
}

func containerOverrideIn(i int, c types.ContainerOverride) (engine.ContainerOverride, error) {
	over := engine.ContainerOverride{
		Name: value(c.Name), Command: c.Command, CPU: int64(value(c.Cpu)), Memory: int64(value(c.Memory)),
		MemoryReservation: int64(value(c.MemoryReservation)),
	}
	if over.Name == "" {
		return over, awsapi.Refuse(codeInvalid, "overrides.containerOverrides[%d].name is required.", i)
	}
	for j, e := range c.Environment {
		if !validVariable(e) {
			return over, awsapi.Refuse(codeInvalid, "overrides.containerOverrides[%d].environment[%d].name %q is invalid: %s.", i, j, value(e.Name), variableRule)
		}
		if over.Environment == nil {
			over.Environment = map[string]string{}
		}
		over.Environment[*e.Name] = value(e.Value)
	}
	return over, nil
}

func overrideOut(o engine.TaskOverride) *types.TaskOverride {
	out := &types.TaskOverride{
		ContainerOverrides: []types.ContainerOverride{},
		TaskRoleArn:        optional(o.TaskRoleARN), ExecutionRoleArn: optional(o.ExecutionRoleARN),
	}
	if o.CPU > 0 {
		out.Cpu = of(strconv.FormatInt(o.CPU, 10))
	}
	if o.Memory > 0 {
		out.Memory = of(strconv.FormatInt(o.Memory, 10))
	}
	for _, c := range o.Containers {
		over := types.ContainerOverride{
			Name: of(c.Name), Command: c.Command, Cpu: figure(c.CPU), Memory: figure(c.Memory), MemoryReservation: figure(c.MemoryReservation),
		}
		for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
			over.Environment = append(over.Environment, types.KeyValuePair{Name: of(name), Value: of(c.Environment[name])})
		}
		out.ContainerOverrides = append(out.ContainerOverrides, over)
	}
	return out
}

// figure is a number as the wire has it; nil if it is 0.
func figure(n int64) *int32 {
	if n == 0 {
		return nil
	}
	return of(int32(n))
}

// definitionOf is the definition of a task, with what the task overrides.
func definitionOf(v engine.View, t *engine.Task) (*engine.TaskDefinition, bool) {
	d, ok := v.TaskDefinition(t.TaskDefinition)
	if !ok {
		return nil, false
	}
	return d.With(t.Override), true
}
