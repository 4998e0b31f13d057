package ecs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/platform"
)

// tagPrefix begins the keys of the tags that are Plimsoll's to change and remove.
const tagPrefix = "plimsoll:"

// Deploy makes the service exist as the specification says. A task definition is
// registered only if the service's own and its family's latest are other than
// that: each carries the digest of what it was made from, as the tag
// plimsoll:digest (on the definition, so that what runs and its digest are
// changed by one call). The desired count of a service that exists is kept, and
// tags that others have put on it stay. A service of that name which is still
// being deleted is waited for, as long as ctx allows.
func (c *Cluster) Deploy(ctx context.Context, spec platform.ServiceSpec) error {
	if err := c.deploy(ctx, spec); err != nil {
		return c.problem(fmt.Sprintf("deploy service %q", spec.Name), err)
	}
	return nil
}

func (c *Cluster) deploy(ctx context.Context, spec platform.ServiceSpec) error {
	if spec.Name == "" {
		return fmt.Errorf("the specification names no service")
	}
	if spec.Desired < 0 {
		return fmt.Errorf("desired count %d: it cannot be below 0", spec.Desired)
	}
	digest, err := digestOf(spec)
	if err != nil {
		return err
	}
	current, err := c.deployable(ctx, spec.Name)
	if err != nil {
		return err
	}
	definition, err := c.ensureDefinition(ctx, spec, digest, current)
	if err != nil {
		return err
	}
	wanted := map[string]string{}
	maps.Copy(wanted, spec.Tags)
	if c.project != "" {
		wanted[plimsoll.TagProject] = c.project
	}
	if current == nil {
		return c.createService(ctx, spec, definition, wanted)
	}
	if aws.ToString(current.TaskDefinition) != definition {
		_, err := call(ctx, c, c.api.UpdateService, &awsecs.UpdateServiceInput{
			Cluster: &c.name, Service: &spec.Name, TaskDefinition: &definition,
		})
		if err != nil {
			return err
		}
		c.log.Info("service updated", "service", spec.Name, "taskDefinition", definition)
	}
	return c.retag(ctx, current, wanted)
}

// deployable gives the service, nil if there is none, after one that is still
// being deleted is gone: ECS refuses to create a service beside it.
func (c *Cluster) deployable(ctx context.Context, name string) (*types.Service, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		current, err := c.findService(ctx, name)
		if err != nil || current == nil || isActive(current) {
			return current, err
		}
		if aws.ToString(current.Status) == "INACTIVE" {
			return nil, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("the service that is being deleted still has %d tasks: %w", current.RunningCount, ctx.Err())
		}
	}
}

// findService gives nil for a service that is unknown, and refuses one that
// belongs to another project.
func (c *Cluster) findService(ctx context.Context, name string) (*types.Service, error) {
	found, err := c.describeServices(ctx, []string{name})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	s := &found[0]
	owner := tagMap(s.Tags)[plimsoll.TagProject]
	if isActive(s) && c.project != "" && owner != "" && owner != c.project {
		return nil, fmt.Errorf("it belongs to project %q, this is %q: give one of them another name or cluster", owner, c.project)
	}
	return s, nil
}

// ensureDefinition gives the ARN of a task definition with this digest: the one
// that the service has, the latest of its family (left by an earlier Deploy
// that did not get further, or by a service that was removed), or a new one.
func (c *Cluster) ensureDefinition(ctx context.Context, spec platform.ServiceSpec, digest string, current *types.Service) (string, error) {
	candidates := []string{spec.Name}
	if current != nil {
		candidates = []string{aws.ToString(current.TaskDefinition), spec.Name}
	}
	for _, candidate := range candidates {
		out, err := call(ctx, c, c.api.DescribeTaskDefinition, &awsecs.DescribeTaskDefinitionInput{
			TaskDefinition: &candidate, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
		})
		if isClientException(err) {
			continue // there is none
		}
		if err != nil {
			return "", err
		}
		if t := out.TaskDefinition; t != nil && t.Status != types.TaskDefinitionStatusInactive &&
			tagMap(out.Tags)[plimsoll.TagDigest] == digest {
			return aws.ToString(t.TaskDefinitionArn), nil
		}
	}
	in := taskDefinition(spec)
	in.Tags = tags(map[string]string{plimsoll.TagDigest: digest})
	out, err := call(ctx, c, c.api.RegisterTaskDefinition, in)
	if err != nil {
		return "", err
	}
	if out.TaskDefinition == nil {
		return "", fmt.Errorf("the answer to RegisterTaskDefinition has no task definition in it")
	}
	return aws.ToString(out.TaskDefinition.TaskDefinitionArn), nil
}

func (c *Cluster) createService(ctx context.Context, spec platform.ServiceSpec, definition string, wanted map[string]string) error {
	_, err := call(ctx, c, c.api.CreateService, &awsecs.CreateServiceInput{
		Cluster: &c.name, ServiceName: &spec.Name, TaskDefinition: &definition,
		DesiredCount: aws.Int32(int32(spec.Desired)),
		LaunchType:   types.LaunchTypeEc2,
		Tags:         tags(wanted),
		// As the embedded engine places: spread over the zones, then fill up.
		PlacementStrategy: []types.PlacementStrategy{
			{Type: types.PlacementStrategyTypeSpread, Field: aws.String("attribute:ecs.availability-zone")},
			{Type: types.PlacementStrategyTypeBinpack, Field: aws.String("memory")},
		},
		// The SDK may send the call twice; the token makes it one creation.
		ClientToken: aws.String(rand.Text()),
	})
	if err != nil {
		return err
	}
	c.log.Info("service created", "service", spec.Name, "taskDefinition", definition, "desired", spec.Desired)
	return nil
}

// retag makes the service's tags be the wanted ones, and leaves alone those that
// are not Plimsoll's.
func (c *Cluster) retag(ctx context.Context, current *types.Service, wanted map[string]string) error {
	have := tagMap(current.Tags)
	changed := map[string]string{}
	for key, value := range wanted {
		if old, ok := have[key]; !ok || old != value {
			changed[key] = value
		}
	}
	var surplus []string
	for _, key := range sortedKeys(have) {
		if _, ok := wanted[key]; !ok && strings.HasPrefix(key, tagPrefix) {
			surplus = append(surplus, key)
		}
	}
	if len(changed) > 0 {
		_, err := call(ctx, c, c.api.TagResource, &awsecs.TagResourceInput{ResourceArn: current.ServiceArn, Tags: tags(changed)})
		if err != nil {
			return err
		}
	}
	if len(surplus) > 0 {
		_, err := call(ctx, c, c.api.UntagResource, &awsecs.UntagResourceInput{ResourceArn: current.ServiceArn, TagKeys: surplus})
		if err != nil {
			return err
		}
	}
	return nil
}

// Remove deletes a service whatever its desired count; ECS then stops its tasks.
// It is one call: with a desired count of 0 set first, a failure in between
// would leave a service that is neither removed nor what it was.
func (c *Cluster) Remove(ctx context.Context, service string) error {
	doing := fmt.Sprintf("remove service %q", service)
	current, err := c.findService(ctx, service)
	if err != nil {
		return c.problem(doing, err)
	}
	if current == nil || !isActive(current) {
		return nil
	}
	_, err = call(ctx, c, c.api.DeleteService, &awsecs.DeleteServiceInput{
		Cluster: &c.name, Service: &service, Force: aws.Bool(true),
	})
	if err != nil && !isNotFound(err) { // somebody else was quicker
		return c.problem(doing, err)
	}
	return nil
}

// digestOf is a digest of what a task definition is made from: neither the count
// nor the tags of a service ask for a new one.
func digestOf(spec platform.ServiceSpec) (string, error) {
	text, err := json.Marshal(struct {
		Name, TaskRoleARN string
		Container         platform.ContainerSpec
	}{spec.Name, spec.TaskRoleARN, spec.Container})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// taskDefinition translates a specification. Reserved memory becomes the soft
// limit: it is what the container is counted with, not what it is killed at.
func taskDefinition(spec platform.ServiceSpec) *awsecs.RegisterTaskDefinitionInput {
	from := spec.Container
	container := types.ContainerDefinition{
		Name: aws.String(spec.Name), Essential: aws.Bool(true),
		Image:      optional(from.Image),
		EntryPoint: from.EntryPoint, Command: from.Command,
		WorkingDirectory: optional(from.WorkingDir), User: optional(from.User),
		Cpu: int32(from.Reserved.CPU),
	}
	if from.Reserved.Memory > 0 {
		container.MemoryReservation = aws.Int32(int32(from.Reserved.Memory))
	}
	for _, key := range sortedKeys(from.Environment) {
		container.Environment = append(container.Environment,
			types.KeyValuePair{Name: aws.String(key), Value: aws.String(from.Environment[key])})
	}
	for _, p := range from.Ports {
		mapping := types.PortMapping{
			ContainerPort: aws.Int32(int32(p.ContainerPort)), HostPort: aws.Int32(int32(p.HostPort)),
			Protocol: types.TransportProtocol(p.Protocol),
		}
		if p.Protocol == "" {
			mapping.Protocol = types.TransportProtocolTcp
		}
		container.PortMappings = append(container.PortMappings, mapping)
	}
	if from.StopTimeout > 0 {
		container.StopTimeout = aws.Int32(int32((from.StopTimeout + time.Second - 1) / time.Second))
	}
	surround(&container, from)
	volumes, mounts := mountsOf(from.Mounts)
	container.MountPoints = mounts
	return &awsecs.RegisterTaskDefinitionInput{
		Family:               aws.String(spec.Name),
		ContainerDefinitions: []types.ContainerDefinition{container},
		Volumes:              volumes,
		TaskRoleArn:          optional(spec.TaskRoleARN),
		// The mode in which host ports can be dynamic.
		NetworkMode: types.NetworkModeBridge,
	}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
