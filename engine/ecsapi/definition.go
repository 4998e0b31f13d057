package ecsapi

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/place"
)

// maxDefinition is ECS's quota of a task definition's size.
const maxDefinition = 64 << 10

func (a *api) registerTaskDefinition(ctx context.Context, call *awsapi.Call, in *ecs.RegisterTaskDefinitionInput) (*ecs.RegisterTaskDefinitionOutput, error) {
	if err := a.refuseBeyond(codeClient, in, a.able.known); err != nil {
		return nil, err
	}
	if err := a.able.check(in.RequiresCompatibilities, in.NetworkMode, in.RuntimePlatform); err != nil {
		return nil, err
	}
	if err := a.able.checkModes(in.PidMode, in.IpcMode); err != nil {
		return nil, err
	}
	d, err := a.definitionIn(in)
	if err != nil {
		return nil, err
	}
	kept := kept(in, call.ARN)
	if d.Raw, err = a.codec.Encode(&kept); err != nil {
		return nil, err
	}
	if n := len(d.Raw); n > maxDefinition {
		return nil, awsapi.Refuse(codeClient, "Actual length: '%d'. Max allowed length is '%d' bytes.", n, maxDefinition)
	}
	made, err := do[*engine.TaskDefinition](ctx, a.engine, engine.RegisterTaskDefinition{Definition: d})
	if err != nil {
		return nil, err
	}
	described, err := a.definitionOut(made)
	return &ecs.RegisterTaskDefinitionOutput{TaskDefinition: described, Tags: tagsOut(made.Tags)}, err
}

// definitionIn is the definition as far as the engine acts on it.
func (a *api) definitionIn(in *ecs.RegisterTaskDefinitionInput) (engine.TaskDefinition, error) {
	d := engine.TaskDefinition{
		Family: value(in.Family), NetworkMode: string(in.NetworkMode), TaskRoleARN: value(in.TaskRoleArn),
		PIDMode: string(in.PidMode), IPCMode: string(in.IpcMode),
	}
	for _, c := range in.PlacementConstraints {
		d.Constraints = append(d.Constraints, place.Constraint{Type: string(c.Type), Expression: value(c.Expression)})
	}
	var err error
	if d.Volumes, err = a.volumesIn(in.Volumes); err != nil {
		return d, err
	}
	if d.Tags, err = tagsIn(in.Tags); err != nil {
		return d, err
	}
	if d.CPU, err = amount(codeClient, "cpu", value(in.Cpu), "vcpu"); err != nil {
		return d, err
	}
	if d.Memory, err = amount(codeClient, "memory", value(in.Memory), "gb"); err != nil {
		return d, err
	}
	for i := range in.ContainerDefinitions {
		c, err := a.containerIn(i, &in.ContainerDefinitions[i])
		if err != nil {
			return d, err
		}
		d.Containers = append(d.Containers, c)
	}
	return d, nil
}

// amount reads a task's cpu or memory: a whole number, or a number with a unit
// of 1024 ("1 vCPU", "0.5 GB").
func amount(code, name, text, unit string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, large := strings.CutSuffix(strings.ToLower(text), unit)
	if !large {
		if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32); err == nil && n > 0 {
			return n, nil
		}
	} else if f, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil && f > 0 && f < math.MaxInt32/1024 {
		return int64(math.Round(f * 1024)), nil
	}
	return 0, awsapi.Refuse(code, "Invalid '%s' setting for task: %q. A whole number over 0, or a number with its unit, is allowed.", name, text)
}

func (a *api) containerIn(i int, c *types.ContainerDefinition) (engine.ContainerDefinition, error) {
	out := engine.ContainerDefinition{
		Name: value(c.Name), Image: value(c.Image), EntryPoint: c.EntryPoint, Command: c.Command,
		WorkingDirectory: value(c.WorkingDirectory), User: value(c.User),
		CPU: int64(c.Cpu), Memory: int64(value(c.Memory)), MemoryReservation: int64(value(c.MemoryReservation)),
		Essential: c.Essential == nil || *c.Essential, Labels: c.DockerLabels,
	}
	if err := a.able.checkContainer(i, c); err != nil {
		return out, err
	}
	at := fmt.Sprintf("containerDefinitions[%d]", i)
	if err := orderIn(at, c, &out); err != nil {
		return out, err
	}
	var err error
	if out.Setting, err = a.settingIn(at, c); err != nil {
		return out, err
	}
	for j, e := range c.Environment {
		if !validVariable(e) {
			return out, awsapi.Refuse(codeClient, "containerDefinitions[%d].environment[%d].name %q is invalid: %s.", i, j, value(e.Name), variableRule)
		}
		if out.Environment == nil {
			out.Environment = map[string]string{}
		}
		out.Environment[*e.Name] = value(e.Value)
	}
	for j, p := range c.PortMappings {
		if p.ContainerPort == nil {
			return out, awsapi.Refuse(codeClient, "containerDefinitions[%d].portMappings[%d].containerPort is required.", i, j)
		}
		if p.Protocol != "" && !slices.Contains(p.Protocol.Values(), p.Protocol) {
			return out, awsapi.Refuse(codeClient, "containerDefinitions[%d].portMappings[%d].protocol %q is invalid: %v are allowed.",
				i, j, p.Protocol, p.Protocol.Values())
		}
		out.PortMappings = append(out.PortMappings, engine.PortMapping{
			ContainerPort: int(*p.ContainerPort), HostPort: int(value(p.HostPort)), Protocol: string(p.Protocol),
		})
	}
	return out, nil
}

const variableRule = "it has to be there, without = and without zero bytes"

// validVariable tells whether a program can be given the variable.
func validVariable(e types.KeyValuePair) bool {
	return value(e.Name) != "" && !strings.ContainsAny(*e.Name, "=\x00") && !strings.Contains(value(e.Value), "\x00")
}

// kept is the definition as it is described later: what came in, and the
// defaults that ECS fills in.
func kept(in *ecs.RegisterTaskDefinitionInput, caller string) types.TaskDefinition {
	d := types.TaskDefinition{
		Family: in.Family, TaskRoleArn: in.TaskRoleArn, ExecutionRoleArn: in.ExecutionRoleArn,
		NetworkMode: in.NetworkMode, Cpu: in.Cpu, Memory: in.Memory,
		RequiresCompatibilities: in.RequiresCompatibilities, RuntimePlatform: in.RuntimePlatform,
		Compatibilities:      []types.Compatibility{types.CompatibilityExternal, types.CompatibilityEc2},
		ContainerDefinitions: slices.Clone(in.ContainerDefinitions),
		Volumes:              slices.Clone(orEmpty(in.Volumes)),
		PlacementConstraints: orEmpty(in.PlacementConstraints),
		PidMode:              in.PidMode, IpcMode: in.IpcMode,
		RegisteredBy: optional(caller),
	}
	for i := range d.Volumes {
		v := &d.Volumes[i]
		if v.DockerVolumeConfiguration == nil && v.Host == nil {
			v.Host = &types.HostVolumeProperties{}
		} else if c := v.DockerVolumeConfiguration; c != nil && c.Scope == "" {
			made := *c
			made.Scope = types.ScopeTask
			v.DockerVolumeConfiguration = &made
		}
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		defaults(c)
		if c.Essential == nil {
			c.Essential = of(true)
		}
		c.Environment = orEmpty(c.Environment)
		c.MountPoints = orEmpty(c.MountPoints)
		c.VolumesFrom = orEmpty(c.VolumesFrom)
		c.SystemControls = orEmpty(c.SystemControls)
		c.PortMappings = slices.Clone(orEmpty(c.PortMappings))
		for j := range c.PortMappings {
			p := &c.PortMappings[j]
			if p.HostPort == nil {
				p.HostPort = of(int32(0))
				if in.NetworkMode == types.NetworkModeHost {
					p.HostPort = p.ContainerPort
				}
			}
			if p.Protocol == "" {
				p.Protocol = types.TransportProtocolTcp
			}
		}
	}
	return d
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *api) definitionOut(d *engine.TaskDefinition) (*types.TaskDefinition, error) {
	out := &types.TaskDefinition{}
	if err := a.codec.Decode(d.Raw, out); err != nil {
		return nil, fmt.Errorf("task definition %s: what was kept of it cannot be read: %w", d.ARN, err)
	}
	out.TaskDefinitionArn, out.Revision = &d.ARN, int32(d.Revision)
	out.Status = types.TaskDefinitionStatus(d.Status)
	out.RegisteredAt, out.DeregisteredAt = &d.RegisteredAt, moment(d.DeregisteredAt)
	return out, nil
}

func (a *api) describeTaskDefinition(_ context.Context, _ *awsapi.Call, in *ecs.DescribeTaskDefinitionInput) (*ecs.DescribeTaskDefinitionOutput, error) {
	var d *engine.TaskDefinition
	found := false
	ref := value(in.TaskDefinition)
	a.engine.Read(func(v engine.View) { d, found = v.TaskDefinition(ref) })
	// An ARN, with or without its revision, may be of another region's definition.
	if !found || strings.HasPrefix(ref, "arn:") && !strings.HasPrefix(d.ARN, ref) {
		return nil, awsapi.Refuse(codeClient, "Unable to describe task definition.")
	}
	described, err := a.definitionOut(d)
	out := &ecs.DescribeTaskDefinitionOutput{TaskDefinition: described}
	if slices.Contains(in.Include, types.TaskDefinitionFieldTags) {
		out.Tags = tagsOut(d.Tags)
	}
	return out, err
}

func (a *api) deregisterTaskDefinition(ctx context.Context, _ *awsapi.Call, in *ecs.DeregisterTaskDefinitionInput) (*ecs.DeregisterTaskDefinitionOutput, error) {
	ref := value(in.TaskDefinition)
	if !strings.Contains(ref[strings.LastIndexByte(ref, '/')+1:], ":") {
		return nil, awsapi.Refuse(codeClient, "Invalid revision number. Number: aws.ecs: %q names no revision; use family:revision.", ref)
	}
	d, err := do[*engine.TaskDefinition](ctx, a.engine, engine.DeregisterTaskDefinition{TaskDefinition: ref})
	if err != nil {
		return nil, err
	}
	described, err := a.definitionOut(d)
	return &ecs.DeregisterTaskDefinitionOutput{TaskDefinition: described}, err
}

// definitionKey orders definitions by family and revision.
func definitionKey(d *engine.TaskDefinition) string {
	return fmt.Sprintf("%s\x00%010d", d.Family, d.Revision)
}

func (a *api) listTaskDefinitions(_ context.Context, _ *awsapi.Call, in *ecs.ListTaskDefinitionsInput) (*ecs.ListTaskDefinitionsOutput, error) {
	family, status := value(in.FamilyPrefix), string(in.Status)
	if status == "" {
		status = string(types.TaskDefinitionStatusActive)
	}
	if !slices.Contains(in.Status.Values(), types.TaskDefinitionStatus(status)) {
		return nil, awsapi.Refuse(codeInvalid, "status %q is invalid: %v are allowed.", status, in.Status.Values())
	}
	if s := in.Sort; s != "" && !slices.Contains(s.Values(), s) {
		return nil, awsapi.Refuse(codeInvalid, "sort %q is invalid: %v are allowed.", s, s.Values())
	}
	var list []*engine.TaskDefinition
	a.engine.Read(func(v engine.View) {
		for _, d := range v.TaskDefinitions() {
			if d.Status == status && (family == "" || d.Family == family) {
				list = append(list, d)
			}
		}
	})
	p := awsapi.Paging{
		List: fmt.Sprintf("ListTaskDefinitions %q %s %s", family, status, in.Sort), Descending: in.Sort == types.SortOrderDesc,
	}
	if p.Descending {
		slices.Reverse(list)
	}
	got, next, err := page(list, definitionKey, p, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListTaskDefinitionsOutput{TaskDefinitionArns: []string{}, NextToken: next}
	for _, d := range got {
		out.TaskDefinitionArns = append(out.TaskDefinitionArns, d.ARN)
	}
	return out, nil
}

func (a *api) listTaskDefinitionFamilies(_ context.Context, _ *awsapi.Call, in *ecs.ListTaskDefinitionFamiliesInput) (*ecs.ListTaskDefinitionFamiliesOutput, error) {
	status := in.Status
	if status == "" {
		status = types.TaskDefinitionFamilyStatusAll
	}
	if !slices.Contains(status.Values(), status) {
		return nil, awsapi.Refuse(codeInvalid, "status %q is invalid: %v are allowed.", status, status.Values())
	}
	active := map[string]bool{}
	var families []string
	a.engine.Read(func(v engine.View) {
		for _, d := range v.TaskDefinitions() {
			if _, seen := active[d.Family]; !seen {
				families = append(families, d.Family)
			}
			active[d.Family] = active[d.Family] || d.Status == string(types.TaskDefinitionStatusActive)
		}
	})
	families = slices.DeleteFunc(families, func(family string) bool {
		return !strings.HasPrefix(family, value(in.FamilyPrefix)) ||
			status == types.TaskDefinitionFamilyStatusActive && !active[family] ||
			status == types.TaskDefinitionFamilyStatusInactive && active[family]
	})
	list := fmt.Sprintf("ListTaskDefinitionFamilies %q %s", value(in.FamilyPrefix), status)
	got, next, err := page(families, func(f string) string { return f }, awsapi.Paging{List: list}, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTaskDefinitionFamiliesOutput{Families: orEmpty(got), NextToken: next}, nil
}
