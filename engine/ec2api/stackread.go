package ec2api

import (
	"context"
	"slices"
	"time"

	"plimsoll/engine/awsapi"
)

type stackTag struct{ Key, Value *string }

type stackInfo struct {
	StackId, StackName, StackStatus, StackStatusReason *string
	Parameters                                         []stackParameterOut
	CreationTime, LastUpdatedTime, DeletionTime        *time.Time
	DisableRollback                                    *bool
	Capabilities                                       []string
	Tags                                               []stackTag
	Outputs                                            []stackTag
}

type stackParameterOut struct{ ParameterKey, ParameterValue *string }

type describeStacksInput struct{ StackName, NextToken *string }

type describeStacksOutput struct {
	Stacks    []stackInfo
	NextToken *string
}

func (s stack) out() stackInfo {
	info := stackInfo{
		StackId: &s.ID, StackName: &s.Name, StackStatus: &s.Status, StackStatusReason: optional(s.Reason), CreationTime: &s.Created,
		LastUpdatedTime: moment(s.Updated), DeletionTime: moment(s.Deleted), DisableRollback: of(false), Capabilities: []string{"CAPABILITY_IAM"},
		Parameters: []stackParameterOut{}, Tags: []stackTag{},
	}
	for _, t := range tagList(s.Parameters) {
		info.Parameters = append(info.Parameters, stackParameterOut{t.Key, t.Value})
	}
	for _, t := range tagList(s.Tags) {
		info.Tags = append(info.Tags, stackTag(t))
	}
	return info
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *api) describeStacks(ctx context.Context, _ *awsapi.Call, in *describeStacksInput) (*describeStacksOutput, error) {
	err := a.ready(ctx)
	a.changing.Unlock()
	if err != nil {
		return nil, err
	}
	out := &describeStacksOutput{Stacks: []stackInfo{}}
	if ref := value(in.StackName); ref != "" {
		s, err := a.findStack(ref)
		if err != nil {
			return nil, err
		}
		out.Stacks = append(out.Stacks, s.out())
		return out, nil
	}
	live := slices.DeleteFunc(a.stacks.All(), func(s stack) bool { return !s.Deleted.IsZero() })
	page, next, err := stackPage(live, func(s stack) string { return s.ID }, "DescribeStacks", in.NextToken)
	if err != nil {
		return nil, err
	}
	for _, s := range page {
		out.Stacks = append(out.Stacks, s.out())
	}
	out.NextToken = next
	return out, nil
}

func stackPage[T any](items []T, key func(T) string, list string, token *string) ([]T, *string, error) {
	page, next, err := awsapi.Page(items, key, awsapi.Paging{List: list, Max: 100, Token: value(token)})
	if err != nil {
		return nil, nil, invalidStack("the NextToken %q is not one that this listing gave", value(token))
	}
	return page, optional(next), nil
}

type describeEventsInput struct{ StackName, NextToken *string }

type stackEventInfo struct {
	StackId, StackName, EventId, LogicalResourceId, PhysicalResourceId *string
	ResourceType, ResourceStatus, ResourceStatusReason                 *string
	Timestamp                                                          *time.Time
}

type describeEventsOutput struct {
	StackEvents []stackEventInfo
	NextToken   *string
}

// describeStackEvents gives the newest first.
func (a *api) describeStackEvents(_ context.Context, _ *awsapi.Call, in *describeEventsInput) (*describeEventsOutput, error) {
	s, err := a.findStack(value(in.StackName))
	if err != nil {
		return nil, invalidStack("Stack [%s] does not exist", value(in.StackName))
	}
	out := &describeEventsOutput{StackEvents: []stackEventInfo{}}
	for _, e := range slices.Backward(s.Events) {
		out.StackEvents = append(out.StackEvents, stackEventInfo{
			StackId: &s.ID, StackName: &s.Name, EventId: of(e.ID), LogicalResourceId: of(e.Logical), PhysicalResourceId: optional(e.Physical),
			ResourceType: of(e.Type), ResourceStatus: of(e.Status), ResourceStatusReason: optional(e.Reason), Timestamp: of(e.At),
		})
	}
	return out, nil
}

type describeResourcesInput struct{ StackName, LogicalResourceId, PhysicalResourceId *string }

type stackResourceInfo struct {
	StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceType, ResourceStatus *string
	Timestamp                                                                               *time.Time
}

type describeResourcesOutput struct{ StackResources []stackResourceInfo }

func (a *api) describeStackResources(_ context.Context, _ *awsapi.Call, in *describeResourcesInput) (*describeResourcesOutput, error) {
	ref := value(in.StackName)
	if physical := value(in.PhysicalResourceId); ref == "" && physical != "" {
		for _, s := range a.stacks.All() {
			if s.Deleted.IsZero() && slices.ContainsFunc(s.Resources, func(r stackResource) bool { return r.Physical == physical }) {
				ref = s.ID
			}
		}
	}
	s, err := a.findStack(ref)
	if err != nil {
		return nil, err
	}
	out := &describeResourcesOutput{StackResources: []stackResourceInfo{}}
	for _, r := range s.Resources {
		if logical := value(in.LogicalResourceId); logical != "" && logical != r.Logical {
			continue
		}
		out.StackResources = append(out.StackResources, stackResourceInfo{
			StackId: &s.ID, StackName: &s.Name, LogicalResourceId: of(r.Logical), PhysicalResourceId: optional(r.Physical),
			ResourceType: of(r.Type), ResourceStatus: of(r.Status), Timestamp: of(r.At),
		})
	}
	return out, nil
}
