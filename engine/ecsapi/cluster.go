package ecsapi

import (
	"context"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

var createClusterKnown = set("clusterName", "tags", "settings", "capacityProviders", "defaultCapacityProviderStrategy")

var updateClusterKnown = set("cluster", "settings")

func (a *api) createCluster(ctx context.Context, _ *awsapi.Call, in *ecs.CreateClusterInput) (*ecs.CreateClusterOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, createClusterKnown); err != nil {
		return nil, err
	}
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := noFargate(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	c, err := do[*engine.Cluster](ctx, a.engine, engine.CreateCluster{
		Name: value(in.ClusterName), Tags: tags,
		CapacityProviders: in.CapacityProviders, DefaultStrategy: sharesIn(in.DefaultCapacityProviderStrategy),
	})
	if err != nil {
		return nil, err
	}
	return &ecs.CreateClusterOutput{Cluster: a.oneCluster(c)}, nil
}

// checkSettings refuses cluster settings that nothing here would act on.
func checkSettings(settings []types.ClusterSetting) error {
	for i, s := range settings {
		if s.Name != types.ClusterSettingNameContainerInsights || value(s.Value) != "disabled" {
			return awsapi.Refuse(codeInvalid, "settings[%d]: %s=%q is not supported by this engine: containerInsights=disabled is.",
				i, s.Name, value(s.Value))
		}
	}
	return nil
}

// oneCluster is a cluster with all that can be said of it.
func (a *api) oneCluster(c *engine.Cluster) *types.Cluster {
	var out types.Cluster
	a.engine.Read(func(v engine.View) {
		out = clusterOut(v, c, []types.ClusterField{types.ClusterFieldTags, types.ClusterFieldSettings})
	})
	return &out
}

func (a *api) deleteCluster(ctx context.Context, _ *awsapi.Call, in *ecs.DeleteClusterInput) (*ecs.DeleteClusterOutput, error) {
	if value(in.Cluster) == "" {
		return nil, awsapi.Refuse(codeInvalid, "Cluster can not be blank.")
	}
	c, err := do[*engine.Cluster](ctx, a.engine, engine.DeleteCluster{Cluster: *in.Cluster})
	if err != nil {
		return nil, err
	}
	return &ecs.DeleteClusterOutput{Cluster: a.oneCluster(c)}, nil
}

// changeCluster checks what UpdateCluster and UpdateClusterSettings have in
// common. The one setting that is taken is the one that every cluster has.
func (a *api) changeCluster(ref *string, settings []types.ClusterSetting) (*types.Cluster, error) {
	if value(ref) == "" {
		return nil, awsapi.Refuse(codeInvalid, "Cluster can not be blank.")
	}
	if err := checkSettings(settings); err != nil {
		return nil, err
	}
	var cluster *engine.Cluster
	err := a.withCluster(ref, func(_ engine.View, c *engine.Cluster) error {
		cluster = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.oneCluster(cluster), nil
}

func (a *api) updateCluster(_ context.Context, _ *awsapi.Call, in *ecs.UpdateClusterInput) (*ecs.UpdateClusterOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, updateClusterKnown); err != nil {
		return nil, err
	}
	c, err := a.changeCluster(in.Cluster, in.Settings)
	return &ecs.UpdateClusterOutput{Cluster: c}, err
}

func (a *api) updateClusterSettings(_ context.Context, _ *awsapi.Call, in *ecs.UpdateClusterSettingsInput) (*ecs.UpdateClusterSettingsOutput, error) {
	if len(in.Settings) == 0 {
		return nil, awsapi.Refuse(codeInvalid, "settings cannot be empty.")
	}
	c, err := a.changeCluster(in.Cluster, in.Settings)
	return &ecs.UpdateClusterSettingsOutput{Cluster: c}, err
}

func (a *api) describeClusters(_ context.Context, _ *awsapi.Call, in *ecs.DescribeClustersInput) (*ecs.DescribeClustersOutput, error) {
	names := in.Clusters
	if len(names) == 0 {
		names = []string{"default"}
	}
	if err := count("Clusters", names, 100); err != nil {
		return nil, err
	}
	out := &ecs.DescribeClustersOutput{Clusters: []types.Cluster{}, Failures: []types.Failure{}}
	a.engine.Read(func(v engine.View) {
		for _, name := range names {
			if c, ok := v.Cluster(name); ok {
				out.Clusters = append(out.Clusters, clusterOut(v, c, in.Include))
			} else {
				out.Failures = append(out.Failures, missing(arnOf(v, "cluster", "", name)))
			}
		}
	})
	return out, nil
}

func (a *api) listClusters(_ context.Context, _ *awsapi.Call, in *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
	var clusters []*engine.Cluster
	a.engine.Read(func(v engine.View) { clusters = v.Clusters() })
	got, next, err := page(clusters, func(c *engine.Cluster) string { return c.Name },
		awsapi.Paging{List: "ListClusters"}, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListClustersOutput{ClusterArns: []string{}, NextToken: next}
	for _, c := range got {
		out.ClusterArns = append(out.ClusterArns, c.ARN)
	}
	return out, nil
}

func clusterOut(v engine.View, c *engine.Cluster, include []types.ClusterField) types.Cluster {
	out := types.Cluster{
		ClusterArn: &c.ARN, ClusterName: &c.Name, Status: &c.Status,
		RegisteredContainerInstancesCount: int32(len(v.Instances(c.Name))),
		Tags:                              []types.Tag{}, Settings: []types.ClusterSetting{}, Statistics: []types.KeyValuePair{},
		CapacityProviders:               orEmpty(c.CapacityProviders),
		DefaultCapacityProviderStrategy: orEmpty(sharesOut(c.DefaultStrategy)),
	}
	for _, t := range v.Tasks(c.Name) {
		switch t.LastStatus {
		case plimsoll.StatusRunning:
			out.RunningTasksCount++
		case plimsoll.StatusProvisioning, plimsoll.StatusPending, plimsoll.StatusActivating:
			out.PendingTasksCount++
		}
	}
	draining := 0
	for _, s := range v.Services(c.Name) {
		switch s.Status {
		case "ACTIVE":
			out.ActiveServicesCount++
		case "DRAINING":
			draining++
		}
	}
	if slices.Contains(include, types.ClusterFieldTags) {
		out.Tags = tagsOut(c.Tags)
	}
	if slices.Contains(include, types.ClusterFieldSettings) {
		out.Settings = append(out.Settings, types.ClusterSetting{
			Name: types.ClusterSettingNameContainerInsights, Value: of("disabled"),
		})
	}
	if slices.Contains(include, types.ClusterFieldStatistics) {
		for _, s := range []struct {
			name string
			n    int
		}{
			{"runningEC2TasksCount", int(out.RunningTasksCount)}, {"runningFargateTasksCount", 0},
			{"pendingEC2TasksCount", int(out.PendingTasksCount)}, {"pendingFargateTasksCount", 0},
			{"activeEC2ServiceCount", int(out.ActiveServicesCount)}, {"activeFargateServiceCount", 0},
			{"drainingEC2ServiceCount", draining}, {"drainingFargateServiceCount", 0},
		} {
			out.Statistics = append(out.Statistics, types.KeyValuePair{Name: of(s.name), Value: of(strconv.Itoa(s.n))})
		}
	}
	return out
}
