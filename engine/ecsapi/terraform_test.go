package ecsapi_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// provider does what Terraform's AWS provider does for the resources of
// examples/terraform: which calls, with what, and what it waits for.
type provider struct {
	*stand
	cluster, definition, service string // ARNs
}

// containers are those of examples/terraform/web.json.
func containers(t *testing.T) []types.ContainerDefinition {
	t.Helper()
	text, err := os.ReadFile("../../examples/terraform/web.json")
	if err != nil {
		t.Fatal(err)
	}
	in := &ecs.RegisterTaskDefinitionInput{}
	if err := codec.Decode([]byte(`{"containerDefinitions":`+string(text)+`}`), in); err != nil {
		t.Fatal(err)
	}
	return in.ContainerDefinitions
}

func (p *provider) applyCluster(t *testing.T) {
	t.Helper()
	made, err := p.CreateCluster(t.Context(), &ecs.CreateClusterInput{
		ClusterName: aws.String("demo"), Settings: []types.ClusterSetting{{Name: "containerInsights", Value: aws.String("disabled")}},
		Tags: []types.Tag{{Key: aws.String("env"), Value: aws.String("test")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.cluster = *made.Cluster.ClusterArn
	got := p.readCluster(t)
	if *got.Status != "ACTIVE" || *got.Settings[0].Value != "disabled" || *got.Tags[0].Value != "test" {
		t.Errorf("the cluster is read back as %+v", got)
	}
}

func (p *provider) readCluster(t *testing.T) types.Cluster {
	t.Helper()
	out, err := p.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{
		Clusters: []string{p.cluster},
		Include:  []types.ClusterField{types.ClusterFieldTags, types.ClusterFieldConfigurations, types.ClusterFieldSettings},
	})
	if err != nil || len(out.Clusters) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	return out.Clusters[0]
}

func (p *provider) applyDefinition(t *testing.T) {
	t.Helper()
	made, err := p.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), ContainerDefinitions: containers(t),
		PlacementConstraints: []types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("attribute:ecs.os-type == linux")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.definition = *made.TaskDefinition.TaskDefinitionArn
	got, err := p.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: &p.definition, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	if err != nil || got.TaskDefinition.Status != types.TaskDefinitionStatusActive ||
		!slices.Equal(got.TaskDefinition.ContainerDefinitions[0].Command, containers(t)[0].Command) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func (p *provider) applyService(t *testing.T) {
	t.Helper()
	made, err := p.CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: aws.String("web"), Cluster: &p.cluster, TaskDefinition: &p.definition, DesiredCount: aws.Int32(2),
		LaunchType: types.LaunchTypeEc2, SchedulingStrategy: types.SchedulingStrategyReplica, ClientToken: aws.String("terraform-1"),
		DeploymentController: &types.DeploymentController{Type: types.DeploymentControllerTypeEcs},
		DeploymentConfiguration: &types.DeploymentConfiguration{
			MinimumHealthyPercent: aws.Int32(50), MaximumPercent: aws.Int32(200),
			DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true},
		},
		// What the file leaves out comes as an empty list, which asks for nothing.
		LoadBalancers: []types.LoadBalancer{}, ServiceRegistries: []types.ServiceRegistry{},
		VolumeConfigurations: []types.ServiceVolumeConfiguration{}, VpcLatticeConfigurations: []types.VpcLatticeConfiguration{},
		AvailabilityZoneRebalancing: types.AvailabilityZoneRebalancingDisabled,
		PlacementStrategy:           []types.PlacementStrategy{{Type: "spread", Field: aws.String("attribute:ecs.availability-zone")}},
		Tags:                        []types.Tag{{Key: aws.String("plimsoll:priority"), Value: aws.String("1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.service = *made.Service.ServiceArn
	p.waitStable(t, 2)
}

// waitStable is the SDK's own waiter, which the provider has of its own too.
func (p *provider) waitStable(t *testing.T, running int32) {
	t.Helper()
	waiter := ecs.NewServicesStableWaiter(p.Client, func(o *ecs.ServicesStableWaiterOptions) { o.MinDelay = 20 * time.Millisecond })
	out, err := waiter.WaitForOutput(t.Context(), &ecs.DescribeServicesInput{
		Cluster: &p.cluster, Services: []string{p.service}, Include: []types.ServiceField{types.ServiceFieldTags},
	}, 20*time.Second)
	if err != nil || out.Services[0].RunningCount != running || len(out.Services[0].Deployments) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
}

func (p *provider) update(t *testing.T) {
	t.Helper()
	if _, err := p.UpdateService(t.Context(), &ecs.UpdateServiceInput{
		Cluster: &p.cluster, Service: &p.service, TaskDefinition: &p.definition, DesiredCount: aws.Int32(3),
		EnableExecuteCommand: aws.Bool(false), LoadBalancers: []types.LoadBalancer{}, ServiceRegistries: []types.ServiceRegistry{},
		DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(100), MaximumPercent: aws.Int32(200)},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: &p.cluster, Tags: []types.Tag{{Key: aws.String("env"), Value: aws.String("prod")}}}); err != nil {
		t.Fatal(err)
	}
	p.waitStable(t, 3)
	tags, err := p.ListTagsForResource(t.Context(), &ecs.ListTagsForResourceInput{ResourceArn: &p.cluster})
	if err != nil || *tags.Tags[0].Value != "prod" {
		t.Errorf("%+v, %v", tags, err)
	}
	if got := p.service0(t); !got.DeploymentConfiguration.DeploymentCircuitBreaker.Rollback {
		t.Error("an update that does not name the circuit breaker has changed it")
	}
}

func (p *provider) service0(t *testing.T) types.Service {
	t.Helper()
	out, err := p.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: &p.cluster, Services: []string{p.service}})
	if err != nil || len(out.Services) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	return out.Services[0]
}

func (p *provider) destroy(t *testing.T) {
	t.Helper()
	if _, err := p.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: &p.cluster, Service: &p.service, DesiredCount: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DeleteService(t.Context(), &ecs.DeleteServiceInput{Cluster: &p.cluster, Service: &p.service, Force: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	waiter := ecs.NewServicesInactiveWaiter(p.Client, func(o *ecs.ServicesInactiveWaiterOptions) { o.MinDelay = 20 * time.Millisecond })
	if err := waiter.Wait(t.Context(), &ecs.DescribeServicesInput{Cluster: &p.cluster, Services: []string{p.service}}, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DeregisterTaskDefinition(t.Context(), &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &p.definition}); err != nil {
		t.Fatal(err)
	}
	_, err := p.DeleteCluster(t.Context(), &ecs.DeleteClusterInput{Cluster: &p.cluster})
	wants(t, "while it has hosts", err, "ClusterContainsContainerInstancesException", "")
	hosts, err := p.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: &p.cluster})
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range hosts.ContainerInstanceArns {
		if _, err := p.DeregisterContainerInstance(t.Context(), &ecs.DeregisterContainerInstanceInput{Cluster: &p.cluster, ContainerInstance: &arn}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.DeleteCluster(t.Context(), &ecs.DeleteClusterInput{Cluster: &p.cluster}); err != nil {
		t.Fatal(err)
	}
	gone, err := p.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{Clusters: []string{p.cluster}})
	if err != nil || len(gone.Clusters) != 0 || *gone.Failures[0].Reason != "MISSING" {
		t.Errorf("%+v, %v", gone, err)
	}
}

func TestTheCallsOfTerraformsProviderHaveTheAnswersThatItWaitsFor(t *testing.T) {
	p := &provider{stand: newStand(t, "process", 0)}
	p.applyCluster(t)
	for range 3 {
		if _, err := p.RegisterContainerInstance(t.Context(), &ecs.RegisterContainerInstanceInput{
			Cluster: &p.cluster, TotalResources: []types.Resource{
				{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: 1024},
				{Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: 1024},
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	p.applyDefinition(t)
	p.applyService(t)
	p.update(t)
	p.destroy(t)
}
