package ecsapi

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

func (a *api) putAttributes(ctx context.Context, _ *awsapi.Call, in *ecs.PutAttributesInput) (*ecs.PutAttributesOutput, error) {
	list, err := attributesIn(in.Attributes)
	if err != nil {
		return nil, err
	}
	put, err := do[[]engine.Attribute](ctx, a.engine, engine.PutAttributes{Cluster: value(in.Cluster), Attributes: list})
	if err != nil {
		return nil, err
	}
	return &ecs.PutAttributesOutput{Attributes: attributesOut(put)}, nil
}

func (a *api) deleteAttributes(ctx context.Context, _ *awsapi.Call, in *ecs.DeleteAttributesInput) (*ecs.DeleteAttributesOutput, error) {
	list, err := attributesIn(in.Attributes)
	if err != nil {
		return nil, err
	}
	deleted, err := do[[]engine.Attribute](ctx, a.engine, engine.DeleteAttributes{Cluster: value(in.Cluster), Attributes: list})
	if err != nil {
		return nil, err
	}
	return &ecs.DeleteAttributesOutput{Attributes: attributesOut(deleted)}, nil
}

func attributesIn(list []types.Attribute) ([]engine.Attribute, error) {
	var out []engine.Attribute
	for i, t := range list {
		if t.TargetType != "" && t.TargetType != types.TargetTypeContainerInstance {
			return nil, awsapi.Refuse(codeInvalid, "attributes[%d].targetType %q is invalid: %v are allowed.", i, t.TargetType, t.TargetType.Values())
		}
		out = append(out, engine.Attribute{Name: value(t.Name), Value: t.Value, Target: value(t.TargetId)})
	}
	return out, nil
}

func attributesOut(list []engine.Attribute) []types.Attribute {
	out := make([]types.Attribute, 0, len(list))
	for _, e := range list {
		t := types.Attribute{Name: of(e.Name), TargetType: types.TargetTypeContainerInstance, TargetId: of(e.Target)}
		if value(e.Value) != "" {
			t.Value = e.Value
		}
		out = append(out, t)
	}
	return out
}

func (a *api) listAttributes(_ context.Context, _ *awsapi.Call, in *ecs.ListAttributesInput) (*ecs.ListAttributesOutput, error) {
	if in.TargetType != types.TargetTypeContainerInstance {
		return nil, awsapi.Refuse(codeInvalid, "targetType %q is invalid: %v are allowed.", in.TargetType, in.TargetType.Values())
	}
	if value(in.AttributeValue) != "" && value(in.AttributeName) == "" {
		return nil, awsapi.Refuse(codeInvalid, "attributeValue needs an attributeName.")
	}
	type row struct {
		key string
		engine.Attribute
	}
	var rows []row
	listing := ""
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		listing = fmt.Sprintf("ListAttributes %q %q %q", c.Name, value(in.AttributeName), value(in.AttributeValue))
		for _, i := range v.Instances(c.Name) {
			for _, name := range slices.Sorted(maps.Keys(i.Attributes)) {
				text := i.Attributes[name]
				if in.AttributeName != nil && name != *in.AttributeName || in.AttributeValue != nil && text != *in.AttributeValue {
					continue
				}
				rows = append(rows, row{fmt.Sprintf("%020d %s", i.Seq, name), engine.Attribute{Name: name, Value: &text, Target: i.ARN}})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	got, next, err := page(rows, func(r row) string { return r.key }, awsapi.Paging{List: listing}, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListAttributesOutput{Attributes: []types.Attribute{}, NextToken: next}
	for _, r := range got {
		out.Attributes = append(out.Attributes, attributesOut([]engine.Attribute{r.Attribute})...)
	}
	return out, nil
}
