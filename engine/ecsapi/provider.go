package ecsapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

var createProviderKnown = set("name", "tags", "autoScalingGroupProvider")
var updateProviderKnown = set("name", "autoScalingGroupProvider")

func (a *api) createCapacityProvider(ctx context.Context, _ *awsapi.Call, in *ecs.CreateCapacityProviderInput) (*ecs.CreateCapacityProviderOutput, error) {
	if err := a.refuseBeyond(codeUnsupported, in, createProviderKnown); err != nil {
		return nil, err
	}
	g := in.AutoScalingGroupProvider
	if g == nil || value(g.AutoScalingGroupArn) == "" {
		return nil, awsapi.Refuse(codeClient, "autoScalingGroupProvider.autoScalingGroupArn is required.")
	}
	if err := checkGroupProvider(g.ManagedScaling, g.ManagedTerminationProtection, g.ManagedDraining); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	kept := *g
	fillGroupProvider(&kept)
	raw, err := a.codec.Encode(&kept)
	if err != nil {
		return nil, err
	}
	p, err := do[*engine.CapacityProvider](ctx, a.engine, engine.CreateCapacityProvider{
		Name: value(in.Name), Group: groupName(*g.AutoScalingGroupArn), Tags: tags, Raw: raw,
	})
	if err != nil {
		return nil, err
	}
	out, err := a.providerOut(p, true)
	return &ecs.CreateCapacityProviderOutput{CapacityProvider: &out}, err
}

// groupName is the Auto Scaling group's name, of its ARN or of itself.
func groupName(ref string) string {
	if _, name, ok := strings.Cut(ref, ":autoScalingGroupName/"); ok {
		return name
	}
	return ref
}

// checkGroupProvider refuses what only an Auto Scaling group of EC2 would do.
func checkGroupProvider(s *types.ManagedScaling, t types.ManagedTerminationProtection, d types.ManagedDraining) error {
	if s != nil && s.Status == types.ManagedScalingStatusEnabled {
		return awsapi.Refuse(codeUnsupported, "autoScalingGroupProvider.managedScaling.status ENABLED is not supported by this engine: "+
			"its hosts are given to it, and Plimsoll's own loop asks for more or fewer. Use DISABLED.")
	}
	if t == types.ManagedTerminationProtectionEnabled {
		return awsapi.Refuse(codeUnsupported, "autoScalingGroupProvider.managedTerminationProtection ENABLED needs managed scaling, "+
			"which is not supported by this engine. Use DISABLED.")
	}
	if d == types.ManagedDrainingDisabled {
		return awsapi.Refuse(codeUnsupported, "autoScalingGroupProvider.managedDraining DISABLED is not supported by this engine: "+
			"a host always drains before it goes. Use ENABLED.")
	}
	return nil
}

// fillGroupProvider gives what was left out the value that it has.
func fillGroupProvider(g *types.AutoScalingGroupProvider) {
	if g.ManagedScaling == nil {
		g.ManagedScaling = &types.ManagedScaling{}
	}
	s := *g.ManagedScaling
	s.Status = types.ManagedScalingStatusDisabled
	g.ManagedScaling = &s
	g.ManagedTerminationProtection = types.ManagedTerminationProtectionDisabled
	g.ManagedDraining = types.ManagedDrainingEnabled
}

func (a *api) providerOut(p *engine.CapacityProvider, withTags bool) (types.CapacityProvider, error) {
	out := types.CapacityProvider{
		Name: &p.Name, CapacityProviderArn: &p.ARN, Status: types.CapacityProviderStatus(p.Status),
		Type: types.CapacityProviderTypeEc2Autoscaling, AutoScalingGroupProvider: &types.AutoScalingGroupProvider{}, Tags: []types.Tag{},
	}
	if err := a.codec.Decode(p.Raw, out.AutoScalingGroupProvider); err != nil {
		return out, fmt.Errorf("capacity provider %s: what was kept of it cannot be read: %w", p.ARN, err)
	}
	switch {
	case p.Status == "INACTIVE":
		out.UpdateStatus = types.CapacityProviderUpdateStatusDeleteComplete
	case p.Updated:
		out.UpdateStatus = types.CapacityProviderUpdateStatusUpdateComplete
	}
	if withTags {
		out.Tags = tagsOut(p.Tags)
	}
	return out, nil
}

func (a *api) describeCapacityProviders(_ context.Context, _ *awsapi.Call, in *ecs.DescribeCapacityProvidersInput) (*ecs.DescribeCapacityProvidersOutput, error) {
	if len(in.CapacityProviders) > 100 {
		return nil, awsapi.Refuse(codeInvalid, "capacityProviders cannot have more than 100 items, got %d.", len(in.CapacityProviders))
	}
	out := &ecs.DescribeCapacityProvidersOutput{CapacityProviders: []types.CapacityProvider{}, Failures: []types.Failure{}}
	var list []*engine.CapacityProvider
	pick := func(v engine.View) {
		all := v.CapacityProviders()
		if len(in.CapacityProviders) == 0 {
			list = all
			return
		}
		for _, ref := range in.CapacityProviders {
			i := slices.IndexFunc(all, func(p *engine.CapacityProvider) bool { return p.Name == ref || p.ARN == ref })
			if i < 0 {
				out.Failures = append(out.Failures, missing(arnOf(v, "capacity-provider", "", ref)))
			} else if !slices.Contains(list, all[i]) {
				list = append(list, all[i])
			}
		}
	}
	a.engine.Read(pick)
	if value(in.Cluster) != "" {
		err := a.withCluster(in.Cluster, func(_ engine.View, c *engine.Cluster) error {
			list = slices.DeleteFunc(slices.Clone(list), func(p *engine.CapacityProvider) bool { return !slices.Contains(c.CapacityProviders, p.Name) })
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b *engine.CapacityProvider) int { return strings.Compare(a.Name, b.Name) })
	got, next, err := page(list, func(p *engine.CapacityProvider) string { return p.Name },
		awsapi.Paging{List: fmt.Sprintf("DescribeCapacityProviders %q %q", value(in.Cluster), in.CapacityProviders)}, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out.NextToken = next
	withTags := slices.Contains(in.Include, types.CapacityProviderFieldTags)
	for _, p := range got {
		described, err := a.providerOut(p, withTags)
		if err != nil {
			return nil, err
		}
		out.CapacityProviders = append(out.CapacityProviders, described)
	}
	return out, nil
}

func (a *api) updateCapacityProvider(ctx context.Context, _ *awsapi.Call, in *ecs.UpdateCapacityProviderInput) (*ecs.UpdateCapacityProviderOutput, error) {
	if err := a.refuseBeyond(codeUnsupported, in, updateProviderKnown); err != nil {
		return nil, err
	}
	if in.AutoScalingGroupProvider == nil {
		return nil, awsapi.Refuse(codeClient, "autoScalingGroupProvider is required.")
	}
	u := in.AutoScalingGroupProvider
	if err := checkGroupProvider(u.ManagedScaling, u.ManagedTerminationProtection, u.ManagedDraining); err != nil {
		return nil, err
	}
	var was *engine.CapacityProvider
	a.engine.Read(func(v engine.View) {
		for _, p := range v.CapacityProviders() {
			if p.Name == value(in.Name) || p.ARN == value(in.Name) {
				was = p
			}
		}
	})
	c := engine.UpdateCapacityProvider{Name: value(in.Name)}
	if was != nil {
		var kept types.AutoScalingGroupProvider
		if err := a.codec.Decode(was.Raw, &kept); err != nil {
			return nil, err
		}
		if u.ManagedScaling != nil {
			kept.ManagedScaling = u.ManagedScaling
		}
		fillGroupProvider(&kept)
		var err error
		if c.Raw, err = a.codec.Encode(&kept); err != nil {
			return nil, err
		}
	}
	p, err := do[*engine.CapacityProvider](ctx, a.engine, c)
	if err != nil {
		return nil, err
	}
	out, err := a.providerOut(p, true)
	return &ecs.UpdateCapacityProviderOutput{CapacityProvider: &out}, err
}

func (a *api) deleteCapacityProvider(ctx context.Context, _ *awsapi.Call, in *ecs.DeleteCapacityProviderInput) (*ecs.DeleteCapacityProviderOutput, error) {
	if value(in.Cluster) != "" {
		return nil, awsapi.Refuse(codeUnsupported, "cluster is not supported by this engine: its capacity providers are the account's.")
	}
	p, err := do[*engine.CapacityProvider](ctx, a.engine, engine.DeleteCapacityProvider{Name: value(in.CapacityProvider)})
	if err != nil {
		return nil, err
	}
	out, err := a.providerOut(p, true)
	return &ecs.DeleteCapacityProviderOutput{CapacityProvider: &out}, err
}

func (a *api) putClusterCapacityProviders(ctx context.Context, call *awsapi.Call, in *ecs.PutClusterCapacityProvidersInput) (*ecs.PutClusterCapacityProvidersOutput, error) {
	if !call.Given("capacityProviders") || !call.Given("defaultCapacityProviderStrategy") {
		return nil, awsapi.Refuse(codeInvalid, "capacityProviders and defaultCapacityProviderStrategy are required; they may be empty.")
	}
	if err := noFargate(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	c, err := do[*engine.Cluster](ctx, a.engine, engine.PutClusterCapacityProviders{
		Cluster: value(in.Cluster), CapacityProviders: in.CapacityProviders, DefaultStrategy: sharesIn(in.DefaultCapacityProviderStrategy),
	})
	if err != nil {
		return nil, err
	}
	return &ecs.PutClusterCapacityProvidersOutput{Cluster: a.oneCluster(c)}, nil
}

// noFargate refuses the capacity that this machine has none of.
func noFargate(names []string, strategy []types.CapacityProviderStrategyItem) error {
	for _, s := range strategy {
		names = append(slices.Clip(names), value(s.CapacityProvider))
	}
	for _, name := range names {
		if name == "FARGATE" || name == "FARGATE_SPOT" {
			return awsapi.Refuse(codeInvalid, "The capacity provider %s is not supported by this engine: its tasks run on container instances. "+
				"Use an Auto Scaling group capacity provider, or the launch type EC2.", name)
		}
	}
	return nil
}

func sharesIn(strategy []types.CapacityProviderStrategyItem) []engine.ProviderShare {
	if strategy == nil {
		return nil
	}
	out := make([]engine.ProviderShare, 0, len(strategy))
	for _, s := range strategy {
		out = append(out, engine.ProviderShare{Provider: value(s.CapacityProvider), Weight: int(s.Weight), Base: int(s.Base)})
	}
	return out
}

// sharesOut is a strategy as it is described; nil if there is none.
func sharesOut(strategy []engine.ProviderShare) []types.CapacityProviderStrategyItem {
	var out []types.CapacityProviderStrategyItem
	for _, s := range strategy {
		out = append(out, types.CapacityProviderStrategyItem{CapacityProvider: of(s.Provider), Weight: int32(s.Weight), Base: int32(s.Base)})
	}
	return out
}
