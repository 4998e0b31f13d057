package app_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// TestHostsLaunchAndTerminateByAutoScaling drives a group through the SDK's own
// client, as a scaler on AWS would.
func TestHostsLaunchAndTerminateByAutoScaling(t *testing.T) {
	s := newEngine(t, t.TempDir())
	ctx, c := t.Context(), s.config("us-east-1")
	tasks, groups := ecs.NewFromConfig(c), autoscaling.NewFromConfig(c)
	shop, fleet := aws.String("shop"), aws.String("fleet")
	_, err := tasks.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: shop})
	s.must(err)
	_, err = groups.CreateLaunchConfiguration(ctx, &autoscaling.CreateLaunchConfigurationInput{
		LaunchConfigurationName: aws.String("host"), InstanceType: aws.String("m5.large"), ImageId: aws.String("ami-1"),
		UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/bash\necho ECS_CLUSTER=shop >> /etc/ecs/ecs.config\n"))),
	})
	s.must(err)
	create := &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: fleet, LaunchConfigurationName: aws.String("host"), MinSize: aws.Int32(1), MaxSize: aws.Int32(3), DesiredCapacity: aws.Int32(2),
		AvailabilityZones: []string{"us-east-1a", "us-east-1b"},
		Tags:              []types.Tag{{Key: aws.String("plimsoll:launch-time"), Value: aws.String("300ms")}},
	}
	_, err = groups.CreateAutoScalingGroup(ctx, create)
	s.must(err)
	if _, err = groups.CreateAutoScalingGroup(ctx, create); code(err) != "AlreadyExists" {
		t.Errorf("the same group again: %v", err)
	}
	create.AutoScalingGroupName, create.PlacementGroup = aws.String("other"), aws.String("near")
	if _, err = groups.CreateAutoScalingGroup(ctx, create); code(err) != "ValidationError" {
		t.Errorf("what is not supported: %v", err)
	}
	describe := func() types.AutoScalingGroup {
		t.Helper()
		out, err := groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"fleet"}})
		s.must(err)
		return out.AutoScalingGroups[0]
	}
	hosts := func() []string {
		t.Helper()
		out, err := tasks.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: shop})
		s.must(err)
		return out.ContainerInstanceArns
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: waited for in vain; the group is %+v", what, describe().Instances)
			}
		}
	}
	if g := describe(); len(g.Instances) != 2 || g.Instances[0].LifecycleState != types.LifecycleStatePending && g.Instances[0].LifecycleState != types.LifecycleStateInService {
		t.Errorf("instances %+v", g.Instances)
	}
	await("two hosts", func() bool { return len(hosts()) == 2 })
	_, err = groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: fleet, DesiredCapacity: aws.Int32(3)})
	s.must(err)
	await("three hosts", func() bool { return len(hosts()) == 3 })
	_, err = groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: fleet, DesiredCapacity: aws.Int32(4)})
	if code(err) != "ValidationError" {
		t.Errorf("over the maximum: %v", err)
	}
	out, err := groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: describe().Instances[0].InstanceId, ShouldDecrementDesiredCapacity: aws.Bool(true),
	})
	s.must(err)
	if out.Activity == nil || out.Activity.StartTime == nil {
		t.Errorf("activity %+v", out.Activity)
	}
	await("two hosts again", func() bool { return len(hosts()) == 2 && *describe().DesiredCapacity == 2 })
	one := describe().Instances[0].InstanceId
	_, err = groups.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: fleet, InstanceIds: []string{*one}, ProtectedFromScaleIn: aws.Bool(true)})
	s.must(err)
	instances, err := groups.DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: []string{*one}})
	s.must(err)
	if len(instances.AutoScalingInstances) != 1 || !*instances.AutoScalingInstances[0].ProtectedFromScaleIn {
		t.Errorf("instances %+v", instances.AutoScalingInstances)
	}
	activities, err := groups.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: fleet})
	s.must(err)
	if n := len(activities.Activities); n != 4 || activities.Activities[0].StartTime.Before(*activities.Activities[n-1].StartTime) {
		t.Errorf("%d activities, the newest is to be the first: %+v", n, activities.Activities)
	}
	_, err = groups.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: fleet, ForceDelete: aws.Bool(true)})
	s.must(err)
	await("no hosts", func() bool { return len(hosts()) == 0 })
}
