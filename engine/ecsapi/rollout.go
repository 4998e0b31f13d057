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

// The kinds of ARNs that a rollout is named by.
const (
	kindDeployment = "service-deployment"
	kindRevision   = "service-revision"
)

// rolloutARN is the ARN of a service deployment or a service revision.
func rolloutARN(v engine.View, kind string, s *engine.Service, id string) string {
	return arnOf(v, kind, s.Cluster+"/"+s.Name, engine.RevisionID(id))
}

// rolloutName is what such an ARN names.
type rolloutName struct{ cluster, service, id string }

// parseRollout takes an ARN apart; ok is false if it is not of that kind.
func parseRollout(arn, kind string) (n rolloutName, ok bool) {
	parts := strings.Split(arn, "/")
	if len(parts) != 4 || !strings.HasSuffix(parts[0], ":"+kind) {
		return n, false
	}
	return rolloutName{parts[1], parts[2], parts[3]}, true
}

// find gives the rollout that an ARN names.
func (n rolloutName) find(v engine.View) (*engine.Service, *engine.Rollout) {
	s, ok := v.Service(n.cluster, n.service)
	if !ok {
		return nil, nil
	}
	at := slices.IndexFunc(s.Rollouts, func(r engine.Rollout) bool { return engine.RevisionID(r.ID) == n.id })
	if at < 0 {
		return nil, nil
	}
	return s, &s.Rollouts[at]
}

func (a *api) listServiceDeployments(_ context.Context, _ *awsapi.Call, in *ecs.ListServiceDeploymentsInput) (*ecs.ListServiceDeploymentsOutput, error) {
	for _, status := range in.Status {
		if !slices.Contains(status.Values(), status) {
			return nil, awsapi.Refuse(codeInvalid, "status %q is invalid: %v are allowed.", status, status.Values())
		}
	}
	created := value(in.CreatedAt)
	after, before := value(created.After), value(created.Before)
	out := &ecs.ListServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeploymentBrief{}}
	err := a.withCluster(in.Cluster, func(v engine.View, c *engine.Cluster) error {
		s, ok := v.Service(c.Name, value(in.Service))
		if !ok {
			return awsapi.Refuse(codeServiceNotFound, "Service not found.")
		}
		list := slices.DeleteFunc(slices.Clone(s.Rollouts), func(r engine.Rollout) bool {
			return len(in.Status) > 0 && !slices.Contains(in.Status, types.ServiceDeploymentStatus(r.Status)) ||
				!after.IsZero() && r.CreatedAt.Before(after) || !before.IsZero() && r.CreatedAt.After(before)
		})
		key := func(r engine.Rollout) string { return r.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000000") + r.ID }
		slices.SortFunc(list, func(a, b engine.Rollout) int { return strings.Compare(key(b), key(a)) })
		p := awsapi.Paging{List: fmt.Sprintf("ListServiceDeployments %q %q %v %v %v", c.Name, s.Name, in.Status, after, before), Descending: true}
		got, next, err := page(list, key, p, in.MaxResults, 20, in.NextToken)
		for i := range got {
			out.ServiceDeployments = append(out.ServiceDeployments, rolloutBrief(v, s, &got[i]))
		}
		out.NextToken = next
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func rolloutBrief(v engine.View, s *engine.Service, r *engine.Rollout) types.ServiceDeploymentBrief {
	return types.ServiceDeploymentBrief{
		ClusterArn: of(arnOf(v, "cluster", "", s.Cluster)), ServiceArn: &s.ARN, CreatedAt: of(r.CreatedAt), StartedAt: of(r.CreatedAt),
		FinishedAt: moment(r.FinishedAt), Status: types.ServiceDeploymentStatus(r.Status), StatusReason: optional(r.Reason),
		ServiceDeploymentArn: of(rolloutARN(v, kindDeployment, s, r.ID)), TargetServiceRevisionArn: of(rolloutARN(v, kindRevision, s, r.ID)),
	}
}

func (a *api) describeServiceDeployments(_ context.Context, _ *awsapi.Call, in *ecs.DescribeServiceDeploymentsInput) (*ecs.DescribeServiceDeploymentsOutput, error) {
	if err := count("serviceDeploymentArns", in.ServiceDeploymentArns, 20); err != nil {
		return nil, err
	}
	out := &ecs.DescribeServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeployment{}, Failures: []types.Failure{}}
	var err error
	a.engine.Read(func(v engine.View) {
		err = eachRollout(v, kindDeployment, in.ServiceDeploymentArns, &out.Failures, func(s *engine.Service, r *engine.Rollout) {
			out.ServiceDeployments = append(out.ServiceDeployments, rolloutOut(v, s, r))
		})
	})
	return out, err
}

// eachRollout calls f with each rollout that is there; the others are failures.
func eachRollout(v engine.View, kind string, arns []string, failed *[]types.Failure, f func(*engine.Service, *engine.Rollout)) error {
	for _, arn := range arns {
		name, ok := parseRollout(arn, kind)
		if !ok {
			return awsapi.Refuse(codeInvalid, "%q is not the ARN of a %s.", arn, kind)
		}
		if s, r := name.find(v); r != nil {
			f(s, r)
		} else {
			*failed = append(*failed, missing(arn))
		}
	}
	return nil
}

func rolloutOut(v engine.View, s *engine.Service, r *engine.Rollout) types.ServiceDeployment {
	brief := rolloutBrief(v, s, r)
	out := types.ServiceDeployment{
		ClusterArn: brief.ClusterArn, ServiceArn: brief.ServiceArn, CreatedAt: brief.CreatedAt, StartedAt: brief.StartedAt,
		FinishedAt: brief.FinishedAt, Status: brief.Status, StatusReason: brief.StatusReason, ServiceDeploymentArn: brief.ServiceDeploymentArn,
		UpdatedAt: of(r.UpdatedAt), TargetServiceRevision: of(revisionSummary(v, s, r.ID)),
		SourceServiceRevisions: []types.ServiceRevisionSummary{}, DeploymentConfiguration: configurationOut(s),
		DeploymentCircuitBreaker: breakerState(s, r),
	}
	for _, id := range r.Sources {
		out.SourceServiceRevisions = append(out.SourceServiceRevisions, revisionSummary(v, s, id))
	}
	if r.Status == engine.RolloutStopped {
		out.StoppedAt = brief.FinishedAt
	}
	if r.BackTo != "" {
		out.Rollback = &types.Rollback{Reason: optional(r.Reason), ServiceRevisionArn: of(rolloutARN(v, kindRevision, s, r.BackTo)), StartedAt: of(r.RollbackAt)}
	}
	return out
}

// revisionSummary counts the tasks that a revision has now.
func revisionSummary(v engine.View, s *engine.Service, id string) types.ServiceRevisionSummary {
	out := types.ServiceRevisionSummary{Arn: of(rolloutARN(v, kindRevision, s, id))}
	for i := range s.Deployments {
		d := &s.Deployments[i]
		if d.RevisionOf() != id {
			continue
		}
		has := deploymentOut(v, s, d)
		out.RunningTaskCount += has.RunningCount
		out.PendingTaskCount += has.PendingCount
		out.RequestedTaskCount += has.DesiredCount
	}
	return out
}

// currentRevisions are the revisions that the service has tasks of.
func currentRevisions(v engine.View, s *engine.Service) []types.ServiceCurrentRevisionSummary {
	var out []types.ServiceCurrentRevisionSummary
	for i := range s.Deployments {
		sum := revisionSummary(v, s, s.Deployments[i].RevisionOf())
		out = append(out, types.ServiceCurrentRevisionSummary{
			Arn: sum.Arn, RunningTaskCount: sum.RunningTaskCount, PendingTaskCount: sum.PendingTaskCount, RequestedTaskCount: sum.RequestedTaskCount,
		})
	}
	return out
}

// breakerState is what the circuit breaker has seen of a rollout.
func breakerState(s *engine.Service, r *engine.Rollout) *types.ServiceDeploymentCircuitBreaker {
	out := &types.ServiceDeploymentCircuitBreaker{
		Status:       types.ServiceDeploymentRollbackMonitorsStatusDisabled,
		FailureCount: int32(s.FailedTasks(r)), Threshold: int32(s.Breaker.Failures(s.Desired)),
	}
	switch {
	case !s.Breaker.Enable:
	case r.BackTo != "" || r.Status == engine.RolloutRollbackFailed || out.FailureCount >= out.Threshold:
		out.Status = types.ServiceDeploymentRollbackMonitorsStatusTriggered
	case r.FinishedAt.IsZero():
		out.Status = types.ServiceDeploymentRollbackMonitorsStatusMonitoring
	default:
		out.Status = types.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
	}
	return out
}

func (a *api) describeServiceRevisions(_ context.Context, _ *awsapi.Call, in *ecs.DescribeServiceRevisionsInput) (*ecs.DescribeServiceRevisionsOutput, error) {
	if err := count("serviceRevisionArns", in.ServiceRevisionArns, 20); err != nil {
		return nil, err
	}
	out := &ecs.DescribeServiceRevisionsOutput{ServiceRevisions: []types.ServiceRevision{}, Failures: []types.Failure{}}
	var err error
	a.engine.Read(func(v engine.View) {
		err = eachRollout(v, kindRevision, in.ServiceRevisionArns, &out.Failures, func(s *engine.Service, r *engine.Rollout) {
			out.ServiceRevisions = append(out.ServiceRevisions, revisionOut(v, s, r))
		})
	})
	return out, err
}

func revisionOut(v engine.View, s *engine.Service, r *engine.Rollout) types.ServiceRevision {
	out := types.ServiceRevision{
		ClusterArn: of(arnOf(v, "cluster", "", s.Cluster)), ServiceArn: &s.ARN, ServiceRevisionArn: of(rolloutARN(v, kindRevision, s, r.ID)),
		TaskDefinition: of(r.TaskDefinition), CreatedAt: of(r.CreatedAt), LaunchType: types.LaunchTypeEc2,
		CapacityProviderStrategy: sharesOut(r.Strategy), ContainerImages: []types.ContainerImage{},
		LoadBalancers: []types.LoadBalancer{}, ServiceRegistries: []types.ServiceRegistry{},
	}
	if len(r.Strategy) > 0 {
		out.LaunchType = ""
	}
	if d, ok := v.TaskDefinition(r.TaskDefinition); ok {
		for _, c := range d.Containers {
			out.ContainerImages = append(out.ContainerImages, types.ContainerImage{ContainerName: of(c.Name), Image: optional(c.Image)})
		}
	}
	return out
}

func (a *api) stopServiceDeployment(ctx context.Context, _ *awsapi.Call, in *ecs.StopServiceDeploymentInput) (*ecs.StopServiceDeploymentOutput, error) {
	if in.StopType != "" && in.StopType != types.StopServiceDeploymentStopTypeRollback {
		return nil, awsapi.Refuse(codeInvalid, "stopType %q is not supported by this engine: ROLLBACK is.", in.StopType)
	}
	name, ok := parseRollout(value(in.ServiceDeploymentArn), kindDeployment)
	if !ok {
		return nil, awsapi.Refuse(codeInvalid, "serviceDeploymentArn %q is not the ARN of a %s.", value(in.ServiceDeploymentArn), kindDeployment)
	}
	_, err := do[*engine.Service](ctx, a.engine, engine.StopServiceDeployment{Cluster: name.cluster, Service: name.service, Deployment: name.id})
	if err != nil {
		return nil, err
	}
	return &ecs.StopServiceDeploymentOutput{ServiceDeploymentArn: in.ServiceDeploymentArn}, nil
}
