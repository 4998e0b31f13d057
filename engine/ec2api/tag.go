package ec2api

import (
	"context"
	"maps"
	"slices"

	"plimsoll/engine/awsapi"
)

type tagsInput struct {
	Resources []string `query:"ResourceId"`
	Tags      []tag    `query:"Tag"`
	DryRun    bool
}

// resourceTypes are EC2's names of the kinds.
var resourceTypes = map[string]string{
	kindVPC: "vpc", kindSubnet: "subnet", kindGroup: "security-group", kindKey: "key-pair", kindHost: "instance",
}

// tagAll changes the tags of resources, all of which have to be there.
func (a *api) tagAll(ids []string, change func(map[string]string)) error {
	instances, err := a.hosts()
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, known := a.resources.Get(id)
		if !known && !slices.ContainsFunc(instances, func(h host) bool { return h.EC2InstanceID == id }) || known && resourceTypes[r.kind()] == "" {
			return awsapi.Refuse("InvalidID", "The ID '%s' is not valid", id)
		}
	}
	for _, id := range ids {
		err := a.resources.Update(id, func(r resource, there bool) (resource, error) {
			if !there {
				r = resource{ID: id, Created: a.o.Now().UTC()}
			}
			r.Tags = maps.Clone(r.Tags)
			if r.Tags == nil {
				r.Tags = map[string]string{}
			}
			change(r.Tags)
			return r, checkTags(r.Tags)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *api) createTags(_ context.Context, _ *awsapi.Call, in *tagsInput) (*done, error) {
	if len(in.Resources) == 0 || len(in.Tags) == 0 {
		return nil, awsapi.Refuse("MissingParameter", "The request must contain the parameters ResourceId and Tag")
	}
	return yes, a.tagAll(in.Resources, func(tags map[string]string) {
		for _, t := range in.Tags {
			tags[value(t.Key)] = value(t.Value)
		}
	})
}

func (a *api) deleteTags(_ context.Context, _ *awsapi.Call, in *tagsInput) (*done, error) {
	return yes, a.tagAll(in.Resources, func(tags map[string]string) {
		if len(in.Tags) == 0 {
			clear(tags)
		}
		for _, t := range in.Tags {
			if key := value(t.Key); t.Value == nil || tags[key] == *t.Value {
				delete(tags, key)
			}
		}
	})
}

type tagDescription struct{ Key, Value, ResourceId, ResourceType *string }

type describeTagsInput struct {
	Filters    []filter `query:"Filter"`
	MaxResults *int32
	NextToken  *string
	DryRun     bool
}

type describeTagsOutput struct {
	Tags      []tagDescription `xml:"tagSet"`
	NextToken *string
}

func (a *api) describeTags(_ context.Context, _ *awsapi.Call, in *describeTagsInput) (*describeTagsOutput, error) {
	type one struct{ id, kind, key, text string }
	var all []one
	instances, err := a.hosts()
	if err != nil {
		return nil, err
	}
	for _, h := range instances {
		for key, text := range h.tags {
			all = append(all, one{h.EC2InstanceID, "instance", key, text})
		}
	}
	for _, r := range a.resources.All() {
		if r.kind() == kindHost {
			continue
		}
		for key, text := range r.Tags {
			all = append(all, one{r.ID, resourceTypes[r.kind()], key, text})
		}
	}
	page, next, err := choose(all, func(o one) string { return o.id + " " + o.key }, func(o one) facts {
		return facts{"key": {o.key}, "value": {o.text}, "resource-id": {o.id}, "resource-type": {o.kind}}
	}, listing{name: "DescribeTags", filters: in.Filters, max: in.MaxResults, token: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &describeTagsOutput{Tags: []tagDescription{}, NextToken: next}
	for _, o := range page {
		out.Tags = append(out.Tags, tagDescription{Key: of(o.key), Value: of(o.text), ResourceId: of(o.id), ResourceType: of(o.kind)})
	}
	return out, nil
}
