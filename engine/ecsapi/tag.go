package ecsapi

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

func (a *api) listTagsForResource(_ context.Context, _ *awsapi.Call, in *ecs.ListTagsForResourceInput) (*ecs.ListTagsForResourceOutput, error) {
	arn := value(in.ResourceArn)
	var tags map[string]string
	var err error
	a.engine.Read(func(v engine.View) { tags, err = tagsOf(v, arn) })
	if err != nil {
		return nil, err
	}
	return &ecs.ListTagsForResourceOutput{Tags: tagsOut(tags)}, nil
}

// tagsOf finds the tags of whatever the ARN names.
func tagsOf(v engine.View, arn string) (map[string]string, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "ecs" {
		return nil, awsapi.Refuse(codeInvalid, "Invalid identifier: %q is not the ARN of an ECS resource.", arn)
	}
	kind, _, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "cluster":
		if c, ok := v.Cluster(arn); ok {
			return c.Tags, nil
		}
		return nil, awsapi.Refuse(codeClusterNotFound, "Cluster not found.")
	case "service":
		if s, ok := v.Service("", arn); ok {
			return s.Tags, nil
		}
		return nil, awsapi.Refuse(codeServiceNotFound, "Service not found.")
	case "task":
		if t, ok := v.Task("", arn); ok {
			return t.Tags, nil
		}
	case "task-definition":
		if d, ok := v.TaskDefinition(arn); ok {
			return d.Tags, nil
		}
	case "capacity-provider":
		for _, p := range v.CapacityProviders() {
			if p.ARN == arn {
				return p.Tags, nil
			}
		}
	case "container-instance":
		if i, ok := v.Instance("", arn); ok {
			return i.Tags, nil
		}
	}
	return nil, awsapi.Refuse(codeInvalid, "The specified %s was not found: %q. Specify a valid ARN and try again.", kind, arn)
}

func (a *api) tagResource(ctx context.Context, _ *awsapi.Call, in *ecs.TagResourceInput) (*ecs.TagResourceOutput, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, awsapi.Refuse(codeInvalid, "Tags cannot be empty.")
	}
	if err := a.retag(ctx, engine.TagResource{ARN: value(in.ResourceArn), Set: tags}); err != nil {
		return nil, err
	}
	return &ecs.TagResourceOutput{}, nil
}

func (a *api) untagResource(ctx context.Context, _ *awsapi.Call, in *ecs.UntagResourceInput) (*ecs.UntagResourceOutput, error) {
	if len(in.TagKeys) == 0 {
		return nil, awsapi.Refuse(codeInvalid, "TagKeys cannot be empty.")
	}
	if err := a.retag(ctx, engine.TagResource{ARN: value(in.ResourceArn), Remove: in.TagKeys}); err != nil {
		return nil, err
	}
	return &ecs.UntagResourceOutput{}, nil
}

// retag changes tags. What the ARN names is looked for first, so that a refusal
// is in the words of its kind.
func (a *api) retag(ctx context.Context, c engine.TagResource) error {
	var err error
	a.engine.Read(func(v engine.View) { _, err = tagsOf(v, c.ARN) })
	if err != nil {
		return err
	}
	_, err = do[map[string]string](ctx, a.engine, c)
	return err
}
