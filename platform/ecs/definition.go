package ecs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"

	"plimsoll"
)

// definition is what a snapshot needs of a task definition. A revision never
// changes, so that each is read once.
type definition struct {
	// task are the task level's figures; 0 where the definition names none.
	task       plimsoll.Resources
	containers map[string]plimsoll.Resources // by name
	essential  string                        // the first essential container's name
	ports      []int                         // TCP container ports
	hostPorts  []int                         // the fixed ones of the host, sorted
	checked    time.Duration                 // the longest that a health check takes to tell; 0 without any
}

// readDefinitions gives the definitions of all services and tasks of a reading,
// and forgets those that are in use no more.
func (c *Cluster) readDefinitions(ctx context.Context, r *reading) (map[string]definition, error) {
	needed := map[string]bool{} // the ARN, and whether one that is gone is an error
	for i := range r.services {
		needed[aws.ToString(r.services[i].TaskDefinition)] = true
	}
	for _, t := range r.tasks {
		arn := aws.ToString(t.TaskDefinitionArn)
		needed[arn] = needed[arn] || aws.ToString(t.LastStatus) != string(plimsoll.StatusStopped)
	}
	result := map[string]definition{}
	g, ctx := errgroup.WithContext(ctx)
	c.mu.Lock()
	known := c.definitions
	c.mu.Unlock()
	var found gathered[func()]
	for arn, required := range needed {
		if def, ok := known[arn]; ok {
			result[arn] = def
			continue
		}
		g.Go(func() error {
			def, err := c.readDefinition(ctx, arn)
			if err != nil && (required || !isClientException(err)) {
				return fmt.Errorf("task definition %q: %w", arn, err)
			}
			found.add(func() { result[arn] = def })
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, put := range found.all {
		put()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.definitions = result
	return result, nil
}

func (c *Cluster) readDefinition(ctx context.Context, arn string) (definition, error) {
	out, err := call(ctx, c, c.api.DescribeTaskDefinition, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
	if err != nil {
		return definition{}, err
	}
	if out.TaskDefinition == nil {
		return definition{}, fmt.Errorf("the answer has no task definition in it")
	}
	return newDefinition(out.TaskDefinition)
}

func newDefinition(t *types.TaskDefinition) (definition, error) {
	def := definition{containers: map[string]plimsoll.Resources{}}
	var err error
	if def.task, err = taskResources(t.Cpu, t.Memory); err != nil {
		return definition{}, err
	}
	for _, c := range t.ContainerDefinitions {
		// A soft limit is what ECS subtracts from the host where there is one.
		memory := aws.ToInt32(c.MemoryReservation)
		if memory == 0 {
			memory = aws.ToInt32(c.Memory)
		}
		gpus, err := gpus(c.ResourceRequirements)
		if err != nil {
			return definition{}, fmt.Errorf("container %q: %w", aws.ToString(c.Name), err)
		}
		def.containers[aws.ToString(c.Name)] = plimsoll.Resources{CPU: int64(c.Cpu), Memory: int64(memory), GPU: gpus}
		if def.essential == "" && (c.Essential == nil || *c.Essential) {
			def.essential = aws.ToString(c.Name)
		}
		def.checked = max(def.checked, checkTime(c.HealthCheck))
		for _, p := range c.PortMappings {
			if p.ContainerPort != nil && p.Protocol != types.TransportProtocolUdp {
				def.ports = append(def.ports, int(*p.ContainerPort))
			}
			if port := hostPort(t.NetworkMode, p); port != 0 {
				def.hostPorts = append(def.hostPorts, port)
			}
		}
	}
	slices.Sort(def.hostPorts)
	def.hostPorts = slices.Compact(def.hostPorts)
	return def, nil
}

// checkTime is how long a health check may take to tell of a new container, with
// ECS's defaults; 0 without a check.
func checkTime(h *types.HealthCheck) time.Duration {
	if h == nil {
		return 0
	}
	or := func(given *int32, otherwise int32) int32 {
		if given == nil {
			return otherwise
		}
		return *given
	}
	seconds := or(h.StartPeriod, 0) + or(h.Retries, 3)*(or(h.Interval, 30)+or(h.Timeout, 5))
	return time.Duration(seconds) * time.Second
}

// gpus is how many GPUs a container requires.
func gpus(list []types.ResourceRequirement) (int64, error) {
	for _, r := range list {
		if r.Type != types.ResourceTypeGpu {
			continue
		}
		n, err := strconv.ParseInt(aws.ToString(r.Value), 10, 32)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%q is no number of GPUs", aws.ToString(r.Value))
		}
		return n, nil
	}
	return 0, nil
}

// hostPort is the fixed port of the host that a mapping takes, 0 if none: with
// awsvpc the ports are those of the task's own interface.
func hostPort(mode types.NetworkMode, p types.PortMapping) int {
	switch mode {
	case types.NetworkModeAwsvpc, types.NetworkModeNone:
		return 0
	case types.NetworkModeHost:
		return int(cmp.Or(aws.ToInt32(p.HostPort), aws.ToInt32(p.ContainerPort)))
	}
	return int(aws.ToInt32(p.HostPort))
}

// reserved is what a task reserves on a host: the task level's figures, else the
// sums over the containers; each as changed by a RunTask's overrides.
func (d definition) reserved(o *types.TaskOverride) plimsoll.Resources {
	result := d.task
	var sum plimsoll.Resources
	for _, r := range d.containers {
		sum = sum.Add(r)
	}
	if o != nil {
		for _, c := range o.ContainerOverrides {
			was := d.containers[aws.ToString(c.Name)]
			if c.Cpu != nil {
				sum.CPU += int64(*c.Cpu) - was.CPU
			}
			if c.MemoryReservation != nil {
				sum.Memory += int64(*c.MemoryReservation) - was.Memory
			} else if c.Memory != nil {
				sum.Memory += int64(*c.Memory) - was.Memory
			}
		}
		if over, err := taskResources(o.Cpu, o.Memory); err == nil {
			if over.CPU != 0 {
				result.CPU = over.CPU
			}
			if over.Memory != 0 {
				result.Memory = over.Memory
			}
		}
	}
	if result.CPU == 0 {
		result.CPU = sum.CPU
	}
	if result.Memory == 0 {
		result.Memory = sum.Memory
	}
	result.GPU = sum.GPU
	return result
}

// taskResources reads the task level's figures, which are texts: "512" or
// "0.5 vCPU", "1024" or "1 GB".
func taskResources(cpu, memory *string) (plimsoll.Resources, error) {
	units, err := quantity(aws.ToString(cpu), "vcpu")
	if err != nil {
		return plimsoll.Resources{}, fmt.Errorf("cpu: %w", err)
	}
	mib, err := quantity(aws.ToString(memory), "gb")
	if err != nil {
		return plimsoll.Resources{}, fmt.Errorf("memory: %w", err)
	}
	return plimsoll.Resources{CPU: units, Memory: mib}, nil
}

// quantity reads a number, or a number of a unit that is 1024 of the base.
func quantity(text, unit string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, hasUnit := strings.CutSuffix(strings.ToLower(text), unit)
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if hasUnit {
		value *= 1024
	}
	if err != nil || math.IsNaN(value) || value < 0 || value > math.MaxInt32 {
		return 0, fmt.Errorf("%q is neither a whole number nor a number of %s", text, unit)
	}
	return int64(math.Round(value)), nil
}
