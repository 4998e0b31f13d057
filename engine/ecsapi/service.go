package ecsapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
	"plimsoll/place"
)

var createServiceKnown = set("cluster", "serviceName", "taskDefinition", "desiredCount", "launchType", "tags",
	"clientToken", "schedulingStrategy", "placementStrategy", "deploymentController", "propagateTags",
	"deploymentConfiguration.minimumHealthyPercent", "deploymentConfiguration.maximumPercent",
	"deploymentConfiguration.strategy", "deploymentConfiguration.deploymentCircuitBreaker", "availabilityZoneRebalancing",
	"placementConstraints", "capacityProviderStrategy", "enableECSManagedTags", "healthCheckGracePeriodSeconds")

var updateServiceKnown = set("cluster", "service", "taskDefinition", "desiredCount", "forceNewDeployment",
	"placementStrategy", "deploymentController", "propagateTags",
	"deploymentConfiguration.minimumHealthyPercent", "deploymentConfiguration.maximumPercent",
	"deploymentConfiguration.strategy", "deploymentConfiguration.deploymentCircuitBreaker", "availabilityZoneRebalancing",
	"placementConstraints", "capacityProviderStrategy", "enableECSManagedTags", "healthCheckGracePeriodSeconds")

func (a *api) createService(ctx context.Context, call *awsapi.Call, in *ecs.CreateServiceInput) (*ecs.CreateServiceOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, createServiceKnown); err != nil {
		return nil, err
	}
	daemon := in.SchedulingStrategy == types.SchedulingStrategyDaemon
	if in.DesiredCount == nil && !daemon {
		return nil, awsapi.Refuse(codeInvalid, "desiredCount is required for a service with the scheduling strategy REPLICA.")
	}
	if s := in.SchedulingStrategy; s != "" && !slices.Contains(s.Values(), s) {
		return nil, awsapi.Refuse(codeInvalid, "schedulingStrategy %q is invalid: %v are allowed.", s, s.Values())
	}
	if err := checkLaunchType(in.LaunchType); err != nil {
		return nil, err
	}
	if err := checkRollout(in.DeploymentController, in.DeploymentConfiguration, in.AvailabilityZoneRebalancing); err != nil {
		return nil, err
	}
	if err := noFargate(nil, in.CapacityProviderStrategy); err != nil {
		return nil, err
	}
	propagate, err := propagateIn(in.PropagateTags, types.PropagateTagsService, types.PropagateTagsTaskDefinition)
	if err != nil {
		return nil, err
	}
	grace, err := graceIn(in.HealthCheckGracePeriodSeconds)
	if err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	c := engine.CreateService{
		Cluster: value(in.Cluster), Name: value(in.ServiceName), TaskDefinition: value(in.TaskDefinition),
		Desired: int(value(in.DesiredCount)), LaunchType: string(in.LaunchType), Tags: tags, ClientToken: value(in.ClientToken),
		Scheduling: string(in.SchedulingStrategy), Strategies: strategiesIn(in.PlacementStrategy),
		Constraints: constraintsIn(in.PlacementConstraints), ProviderStrategy: sharesIn(in.CapacityProviderStrategy),
		HealthGrace: grace, PropagateTags: propagate, ManagedTags: in.EnableECSManagedTags,
		CreatedBy: call.ARN,
	}
	c.MinimumHealthyPercent, c.MaximumPercent = percents(in.DeploymentConfiguration)
	if b := breakerIn(in.DeploymentConfiguration); b != nil {
		c.Breaker = *b
	}
	s, err := do[*engine.Service](ctx, a.engine, c)
	if err != nil {
		return nil, err
	}
	described, err := a.oneService(s)
	return &ecs.CreateServiceOutput{Service: described}, err
}

func (a *api) updateService(ctx context.Context, call *awsapi.Call, in *ecs.UpdateServiceInput) (*ecs.UpdateServiceOutput, error) {
	if err := a.refuseBeyond(codeInvalid, in, updateServiceKnown); err != nil {
		return nil, err
	}
	if err := checkRollout(in.DeploymentController, in.DeploymentConfiguration, in.AvailabilityZoneRebalancing); err != nil {
		return nil, err
	}
	if err := noFargate(nil, in.CapacityProviderStrategy); err != nil {
		return nil, err
	}
	c := engine.UpdateService{
		Cluster: value(in.Cluster), Service: value(in.Service), TaskDefinition: value(in.TaskDefinition),
		ForceNewDeployment: in.ForceNewDeployment, Caller: call.Session,
		Strategies: strategiesIn(in.PlacementStrategy), Constraints: constraintsIn(in.PlacementConstraints),
		ProviderStrategy: sharesIn(in.CapacityProviderStrategy), ManagedTags: in.EnableECSManagedTags,
		Breaker: breakerIn(in.DeploymentConfiguration),
	}
	var err error
	if c.HealthGrace, err = graceIn(in.HealthCheckGracePeriodSeconds); err != nil {
		return nil, err
	}
	if in.PropagateTags != "" {
		propagate, err := propagateIn(in.PropagateTags, types.PropagateTagsService, types.PropagateTagsTaskDefinition)
		if err != nil {
			return nil, err
		}
		c.PropagateTags = &propagate
	}
	c.MinimumHealthyPercent, c.MaximumPercent = percents(in.DeploymentConfiguration)
	if in.DesiredCount != nil {
		c.Desired = of(int(*in.DesiredCount))
	}
	if in.PlacementStrategy != nil {
		c.Raw = []byte("{}") // what an older engine kept there no longer holds
	}
	s, err := do[*engine.Service](ctx, a.engine, c)
	if err != nil {
		return nil, err
	}
	described, err := a.oneService(s)
	return &ecs.UpdateServiceOutput{Service: described}, err
}

func (a *api) deleteService(ctx context.Context, _ *awsapi.Call, in *ecs.DeleteServiceInput) (*ecs.DeleteServiceOutput, error) {
	s, err := do[*engine.Service](ctx, a.engine, engine.DeleteService{
		Cluster: value(in.Cluster), Service: value(in.Service), Force: value(in.Force),
	})
	if err != nil {
		return nil, err
	}
	described, err := a.oneService(s)
	return &ecs.DeleteServiceOutput{Service: described}, err
}

func checkLaunchType(l types.LaunchType) error {
	if l != "" && l != types.LaunchTypeEc2 {
		return awsapi.Refuse(codeInvalid, "launchType %q is not supported by this engine: its tasks run on container instances. Use EC2.", l)
	}
	return nil
}

// checkRollout refuses ways of deploying that the engine does not have.
func checkRollout(c *types.DeploymentController, d *types.DeploymentConfiguration, r types.AvailabilityZoneRebalancing) error {
	if c != nil && c.Type != types.DeploymentControllerTypeEcs {
		return awsapi.Refuse(codeInvalid, "deploymentController.type %q is not supported by this engine: ECS is.", c.Type)
	}
	if d != nil && d.Strategy != "" && d.Strategy != types.DeploymentStrategyRolling {
		return awsapi.Refuse(codeInvalid, "deploymentConfiguration.strategy %q is not supported by this engine: ROLLING is.", d.Strategy)
	}
	if r != "" && r != types.AvailabilityZoneRebalancingDisabled {
		return awsapi.Refuse(codeInvalid, "availabilityZoneRebalancing %q is not supported by this engine: DISABLED is.", r)
	}
	return nil
}

func strategiesIn(list []types.PlacementStrategy) []place.Strategy {
	if list == nil {
		return nil
	}
	out := make([]place.Strategy, 0, len(list))
	for _, s := range list {
		field := value(s.Field)
		switch {
		case s.Type == types.PlacementStrategyTypeSpread && field == "host":
			field = place.FieldInstance // another name for it
		case s.Type == types.PlacementStrategyTypeBinpack:
			field = strings.ToLower(field)
		}
		out = append(out, place.Strategy{Type: string(s.Type), Field: field})
	}
	return out
}

func strategiesOut(list []place.Strategy) []types.PlacementStrategy {
	out := make([]types.PlacementStrategy, 0, len(list))
	for _, s := range list {
		out = append(out, types.PlacementStrategy{Type: types.PlacementStrategyType(s.Type), Field: optional(s.Field)})
	}
	return out
}

func constraintsIn(list []types.PlacementConstraint) []place.Constraint {
	if list == nil {
		return nil
	}
	out := make([]place.Constraint, 0, len(list))
	for _, c := range list {
		out = append(out, place.Constraint{Type: string(c.Type), Expression: value(c.Expression)})
	}
	return out
}

func constraintsOut(list []place.Constraint) []types.PlacementConstraint {
	out := make([]types.PlacementConstraint, 0, len(list))
	for _, c := range list {
		out = append(out, types.PlacementConstraint{Type: types.PlacementConstraintType(c.Type), Expression: optional(c.Expression)})
	}
	return out
}

func breakerIn(d *types.DeploymentConfiguration) *engine.Breaker {
	if d == nil || d.DeploymentCircuitBreaker == nil {
		return nil
	}
	in := d.DeploymentCircuitBreaker
	b := &engine.Breaker{Enable: in.Enable, Rollback: in.Rollback, KeepCount: in.ResetOnHealthyTask != nil && !*in.ResetOnHealthyTask}
	if t := in.ThresholdConfiguration; t != nil {
		b.Type, b.Threshold = string(t.Type), int(t.Value)
	}
	return b
}

func breakerOut(b engine.Breaker) *types.DeploymentCircuitBreaker {
	out := &types.DeploymentCircuitBreaker{Enable: b.Enable, Rollback: b.Rollback}
	if b.KeepCount {
		out.ResetOnHealthyTask = of(false)
	}
	if b.Type != "" {
		out.ThresholdConfiguration = &types.ThresholdConfiguration{Type: types.ThresholdType(b.Type), Value: int32(b.Threshold)}
	}
	return out
}

// maxGrace is the longest health check grace period in seconds.
const maxGrace = 2147483647

func graceIn(seconds *int32) (*time.Duration, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 {
		return nil, awsapi.Refuse(codeInvalid, "healthCheckGracePeriodSeconds %d is invalid: 0 to %d is allowed.", *seconds, maxGrace)
	}
	return of(time.Duration(*seconds) * time.Second), nil
}

func percents(d *types.DeploymentConfiguration) (low, high *int) {
	if d == nil {
		return nil, nil
	}
	if d.MinimumHealthyPercent != nil {
		low = of(int(*d.MinimumHealthyPercent))
	}
	if d.MaximumPercent != nil {
		high = of(int(*d.MaximumPercent))
	}
	return low, high
}

func (a *api) describeServices(_ context.Context, _ *awsapi.Call, in *ecs.DescribeServicesInput) (*ecs.DescribeServicesOutput, error) {
	if err := count("Services", in.Services, 10); err != nil {
		return nil, err
	}
	out := &ecs.DescribeServicesOutput{Services: []types.Service{}, Failures: []types.Failure{}}
	withTags := slices.Contains(in.Include, types.ServiceFieldTags)
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		for _, name := range in.Services {
			s, ok := v.Service(c.Name, name)
			if !ok {
				out.Failures = append(out.Failures, missing(arnOf(v, "service", c.Name, name)))
				continue
			}
			described, err := a.serviceOut(v, s, withTags)
			if err != nil {
				return err
			}
			out.Services = append(out.Services, described)
		}
		return nil
	})
	return out, err
}

func (a *api) oneService(s *engine.Service) (*types.Service, error) {
	var out types.Service
	var err error
	a.engine.Read(func(v engine.View) { out, err = a.serviceOut(v, s, true) })
	return &out, err
}

func (a *api) serviceOut(v engine.View, s *engine.Service, withTags bool) (types.Service, error) {
	out := types.Service{}
	if len(s.Raw) > 0 {
		if err := a.codec.Decode(s.Raw, &out); err != nil {
			return out, fmt.Errorf("service %s: what was kept of it cannot be read: %w", s.ARN, err)
		}
	}
	running, pending := v.ServiceCounts(s.Cluster, s.Name)
	out.ServiceArn, out.ServiceName, out.Status = &s.ARN, &s.Name, &s.Status
	out.ClusterArn = of(arnOf(v, "cluster", "", s.Cluster))
	out.TaskDefinition, out.LaunchType = &s.TaskDefinition, types.LaunchType(s.LaunchType)
	out.DesiredCount, out.RunningCount, out.PendingCount = int32(s.Desired), int32(running), int32(pending)
	out.CreatedAt, out.CreatedBy = &s.CreatedAt, optional(s.CreatedBy)
	out.SchedulingStrategy, out.PropagateTags = types.SchedulingStrategyReplica, types.PropagateTagsNone
	if s.Scheduling != "" {
		out.SchedulingStrategy = types.SchedulingStrategy(s.Scheduling)
	}
	if s.PropagateTags != "" {
		out.PropagateTags = types.PropagateTags(s.PropagateTags)
	}
	out.EnableECSManagedTags, out.CapacityProviderStrategy = s.ManagedTags, sharesOut(s.Strategy)
	if s.HealthGrace != nil {
		out.HealthCheckGracePeriodSeconds = of(int32(*s.HealthGrace / time.Second))
	}
	out.AvailabilityZoneRebalancing = types.AvailabilityZoneRebalancingDisabled
	out.DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeEcs}
	out.DeploymentConfiguration = configurationOut(s)
	out.CurrentServiceRevisions = currentRevisions(v, s)
	if len(s.Rollouts) > 0 {
		out.CurrentServiceDeployment = of(rolloutARN(v, kindDeployment, s, s.Rollouts[0].ID))
	}
	out.LoadBalancers, out.ServiceRegistries = []types.LoadBalancer{}, []types.ServiceRegistry{}
	out.PlacementConstraints, out.PlacementStrategy = constraintsOut(s.Constraints), orEmpty(out.PlacementStrategy)
	if len(s.Strategies) > 0 {
		out.PlacementStrategy = strategiesOut(s.Strategies)
	}
	out.Deployments = make([]types.Deployment, 0, len(s.Deployments))
	for i := range s.Deployments {
		out.Deployments = append(out.Deployments, deploymentOut(v, s, &s.Deployments[i]))
	}
	out.Events = make([]types.ServiceEvent, 0, len(s.Events))
	for i := range s.Events {
		e := &s.Events[i]
		out.Events = append(out.Events, types.ServiceEvent{Id: &e.ID, CreatedAt: &e.At, Message: &e.Message})
	}
	if withTags {
		out.Tags = tagsOut(s.Tags)
	}
	return out, nil
}

func configurationOut(s *engine.Service) *types.DeploymentConfiguration {
	return &types.DeploymentConfiguration{
		MinimumHealthyPercent: of(int32(s.MinimumHealthyPercent)), MaximumPercent: of(int32(s.MaximumPercent)),
		Strategy:                 types.DeploymentStrategyRolling,
		DeploymentCircuitBreaker: breakerOut(s.Breaker),
	}
}

// deploymentOut is a deployment. The primary one is to have the whole desired
// count; an older one is to have no more than it still has.
func deploymentOut(v engine.View, s *engine.Service, d *engine.Deployment) types.Deployment {
	running, pending := v.DeploymentCounts(s.Cluster, s.Name, d.ID)
	desired := running + pending
	if d.Status == "PRIMARY" {
		desired = s.Desired
	}
	reason := fmt.Sprintf("ECS deployment %s in progress.", d.ID)
	if d.Reason != "" {
		reason = d.Reason
	}
	if d.RolloutState == string(types.DeploymentRolloutStateCompleted) {
		reason = fmt.Sprintf("ECS deployment %s completed.", d.ID)
	}
	launch := types.LaunchTypeEc2
	if len(d.Strategy) > 0 {
		launch = ""
	}
	return types.Deployment{
		Id: &d.ID, Status: &d.Status, TaskDefinition: &d.TaskDefinition, LaunchType: launch,
		CapacityProviderStrategy: sharesOut(d.Strategy),
		DesiredCount:             int32(desired), RunningCount: int32(running), PendingCount: int32(pending),
		FailedTasks: int32(d.FailedTasks), CreatedAt: &d.CreatedAt, UpdatedAt: &d.UpdatedAt,
		RolloutState: types.DeploymentRolloutState(d.RolloutState), RolloutStateReason: &reason,
	}
}

func (a *api) listServices(_ context.Context, _ *awsapi.Call, in *ecs.ListServicesInput) (*ecs.ListServicesOutput, error) {
	if m := in.ResourceManagementType; m != "" && m != types.ResourceManagementTypeCustomer {
		return nil, awsapi.Refuse(codeInvalid, "resourceManagementType %q is not supported by this engine: CUSTOMER is.", m)
	}
	if l := in.LaunchType; l != "" && !slices.Contains(l.Values(), l) {
		return nil, awsapi.Refuse(codeInvalid, "launchType %q is invalid: %v are allowed.", l, l.Values())
	}
	if s := in.SchedulingStrategy; s != "" && !slices.Contains(s.Values(), s) {
		return nil, awsapi.Refuse(codeInvalid, "schedulingStrategy %q is invalid: %v are allowed.", s, s.Values())
	}
	var list []*engine.Service
	listing := ""
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		listing = fmt.Sprintf("ListServices %q %s %s", c.Name, in.LaunchType, in.SchedulingStrategy)
		for _, s := range v.Services(c.Name) {
			daemon := s.Scheduling == engine.Daemon
			if s.Status == "INACTIVE" || in.LaunchType != "" && string(in.LaunchType) != s.LaunchType ||
				in.SchedulingStrategy != "" && daemon != (in.SchedulingStrategy == types.SchedulingStrategyDaemon) {
				continue
			}
			list = append(list, s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	got, next, err := page(list, func(s *engine.Service) string { return s.Name }, awsapi.Paging{List: listing}, in.MaxResults, 10, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListServicesOutput{ServiceArns: []string{}, NextToken: next}
	for _, s := range got {
		out.ServiceArns = append(out.ServiceArns, s.ARN)
	}
	return out, nil
}
