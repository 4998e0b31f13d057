package ec2api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// The tags of a group that say what its hosts are, in the place of an image with
// an agent. Cluster and instance type may be those of the launch configuration;
// CPU and memory are those of the instance type where no tag names them.
const (
	tagCluster = "plimsoll:cluster"
	tagType    = "plimsoll:instance-type"
	tagLaunch  = "plimsoll:launch-time"
)

const (
	groupHostType = "m5.large"
	groupPage     = 100
)

// groupExtra is what a group is given back with, beside the engine's own.
type groupExtra struct {
	LaunchConfiguration, Subnets string
	Policies                     []string
	Cooldown                     *int32
}

func (a *api) autoScaling() *awsapi.Service {
	a.scalingCodec = awsapi.NewCodec(nil)
	return &awsapi.Service{
		Name: "autoscaling", Version: "2011-01-01", Namespace: "http://autoscaling.amazonaws.com/doc/2011-01-01/", Codec: a.scalingCodec,
		Operations: []awsapi.Operation{
			scalingOp("CreateAutoScalingGroup", a.createScalingGroup),
			scalingOp("UpdateAutoScalingGroup", a.updateScalingGroup),
			scalingOp("DeleteAutoScalingGroup", a.deleteScalingGroup),
			scalingOp("DescribeAutoScalingGroups", a.describeScalingGroups),
			scalingOp("SetDesiredCapacity", a.setDesiredCapacity),
			scalingOp("TerminateInstanceInAutoScalingGroup", a.terminateInGroup),
			scalingOp("DescribeAutoScalingInstances", a.describeScalingInstances),
			scalingOp("SetInstanceProtection", a.setInstanceProtection),
			scalingOp("DescribeScalingActivities", a.describeActivities),
			scalingOp("CreateOrUpdateTags", a.tagGroups),
			scalingOp("DeleteTags", a.untagGroups),
			scalingOp("CreateLaunchConfiguration", a.createLaunchConfiguration),
			scalingOp("DescribeLaunchConfigurations", a.describeLaunchConfigurations),
			scalingOp("DeleteLaunchConfiguration", a.deleteLaunchConfiguration),
		},
	}
}

func scalingOp[In, Out any](name string, f func(context.Context, *In) (*Out, error)) awsapi.Operation {
	return awsapi.Op(name, func(ctx context.Context, _ *awsapi.Call, in *In) (*Out, error) {
		out, err := f(ctx, in)
		return out, wireError(err)
	})
}

func invalidScaling(format string, args ...any) error {
	return awsapi.Refuse("ValidationError", format, args...)
}

// supported refuses members that say something and are not acted on.
func (a *api) supported(in any, known ...string) error {
	set := make(map[string]bool, len(known))
	for _, name := range known {
		set[name] = true
	}
	if beyond := a.scalingCodec.Beyond(in, set); len(beyond) > 0 {
		return invalidScaling("%s: this engine does not support it; leave it out", strings.Join(beyond, ", "))
	}
	return nil
}

// launchConfiguration says what instances are launched as.
type launchConfiguration struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Image    string    `json:"image,omitempty"`
	UserData string    `json:"userData,omitempty"`
	Key      string    `json:"key,omitempty"`
	Groups   []string  `json:"groups,omitempty"`
	Profile  string    `json:"profile,omitempty"`
	Created  time.Time `json:"created"`
}

var clusterSetting = regexp.MustCompile(`ECS_CLUSTER=["']?([A-Za-z0-9_-]+)`)

// cluster is the cluster that the user data has the agent join.
func (l launchConfiguration) cluster() string {
	text, err := base64.StdEncoding.DecodeString(l.UserData)
	if err != nil {
		return ""
	}
	if found := clusterSetting.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}

func (a *api) createLaunchConfiguration(_ context.Context, in *autoscaling.CreateLaunchConfigurationInput) (*autoscaling.CreateLaunchConfigurationOutput, error) {
	l := launchConfiguration{
		Name: value(in.LaunchConfigurationName), Type: value(in.InstanceType), Image: value(in.ImageId), UserData: value(in.UserData),
		Key: value(in.KeyName), Groups: in.SecurityGroups, Profile: value(in.IamInstanceProfile), Created: a.o.Now().UTC(),
	}
	if _, there := a.launches.Get(l.Name); there {
		return nil, awsapi.Refuse("AlreadyExists", "Launch Configuration by this name already exists - A launch configuration already exists with the name %s", l.Name)
	}
	if _, known := findType(l.Type); !known {
		return nil, invalidScaling("Invalid instance type %q: this engine knows %s", l.Type, typeNames())
	}
	return &autoscaling.CreateLaunchConfigurationOutput{}, a.launches.Put(l.Name, l)
}

func typeNames() string {
	names := make([]string, len(instanceTypes))
	for i, t := range instanceTypes {
		names[i] = t.name
	}
	return strings.Join(names, ", ")
}

func (a *api) describeLaunchConfigurations(_ context.Context, in *autoscaling.DescribeLaunchConfigurationsInput) (*autoscaling.DescribeLaunchConfigurationsOutput, error) {
	all := slices.DeleteFunc(a.launches.All(), func(l launchConfiguration) bool {
		return len(in.LaunchConfigurationNames) > 0 && !slices.Contains(in.LaunchConfigurationNames, l.Name)
	})
	page, next, err := scalingPage(all, func(l launchConfiguration) string { return l.Name }, "DescribeLaunchConfigurations", in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &autoscaling.DescribeLaunchConfigurationsOutput{LaunchConfigurations: []types.LaunchConfiguration{}, NextToken: next}
	for _, l := range page {
		out.LaunchConfigurations = append(out.LaunchConfigurations, types.LaunchConfiguration{
			LaunchConfigurationName: of(l.Name), InstanceType: of(l.Type), ImageId: of(l.Image), UserData: of(l.UserData), CreatedTime: of(l.Created),
			KeyName: of(l.Key), SecurityGroups: l.Groups, IamInstanceProfile: optional(l.Profile), BlockDeviceMappings: []types.BlockDeviceMapping{},
			EbsOptimized: of(false), InstanceMonitoring: &types.InstanceMonitoring{Enabled: of(false)},
			LaunchConfigurationARN: of(fmt.Sprintf("arn:aws:autoscaling:%s:%s:launchConfiguration:0:launchConfigurationName/%s", a.o.Region, a.o.Account, l.Name)),
		})
	}
	return out, nil
}

func (a *api) deleteLaunchConfiguration(_ context.Context, in *autoscaling.DeleteLaunchConfigurationInput) (*autoscaling.DeleteLaunchConfigurationOutput, error) {
	name := value(in.LaunchConfigurationName)
	if _, there := a.launches.Get(name); !there {
		return nil, invalidScaling("Launch configuration name not found - Launch configuration %s not found", name)
	}
	return &autoscaling.DeleteLaunchConfigurationOutput{}, a.launches.Delete(name)
}

func scalingPage[T any](items []T, key func(T) string, list string, most *int32, token *string) ([]T, *string, error) {
	p := awsapi.Paging{List: list, Max: groupPage, Token: value(token)}
	if most != nil && *most > 0 {
		p.Max = min(int(*most), groupPage)
	}
	slices.SortFunc(items, func(x, y T) int { return strings.Compare(key(x), key(y)) })
	page, next, err := awsapi.Page(items, key, p)
	if err != nil {
		return nil, nil, awsapi.Refuse("InvalidNextToken", "The NextToken value is not valid.")
	}
	return page, optional(next), nil
}

// hostsOf says what a group's hosts are, by its launch configuration and tags.
func (a *api) hostsOf(g *engine.Group, launch string) error {
	g.Type = groupHostType
	if launch != "" {
		l, there := a.launches.Get(launch)
		if !there {
			return invalidScaling("Launch configuration name not found - Launch configuration %s not found", launch)
		}
		g.Type, g.Cluster = l.Type, l.cluster()
	}
	if name := g.Tags[tagCluster]; name != "" {
		g.Cluster = name
	}
	if g.Cluster == "" {
		g.Cluster = "default"
	}
	if name := g.Tags[tagType]; name != "" {
		g.Type = name
	}
	known, ok := findType(g.Type)
	g.Each = known.resources()
	for key, to := range map[string]*int64{plimsoll.TagHostCPU: &g.Each.CPU, plimsoll.TagHostMemory: &g.Each.Memory} {
		if text := g.Tags[key]; text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n <= 0 {
				return invalidScaling("the tag %s is %q: a whole number over 0 is allowed", key, text)
			}
			*to = n
		}
	}
	if !ok && (g.Each.CPU <= 0 || g.Each.Memory <= 0) {
		return invalidScaling("Invalid instance type %q: this engine knows %s; for another, say what it has by the tags %s and %s", g.Type, typeNames(), plimsoll.TagHostCPU, plimsoll.TagHostMemory)
	}
	if text := g.Tags[tagLaunch]; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return invalidScaling("the tag %s is %q: a time over 0 such as 30s is allowed", tagLaunch, text)
		}
		g.LaunchTime = d
	}
	return nil
}

// zonesOf are the zones named, or those of the subnets.
func (a *api) zonesOf(zones []string, subnets *string) ([]string, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	for _, zone := range zones {
		if !slices.Contains(a.zones(), zone) {
			return nil, invalidScaling("Invalid availability zone %q: %s are allowed", zone, strings.Join(a.zones(), ", "))
		}
	}
	list := slices.Clone(zones)
	for _, id := range strings.Split(value(subnets), ",") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		subnet, err := a.find(kindSubnet, id, "ValidationError")
		if err != nil {
			return nil, invalidScaling("The subnet ID '%s' does not exist", id)
		}
		if !slices.Contains(list, subnet.Zone) {
			list = append(list, subnet.Zone)
		}
	}
	return list, nil
}

func (a *api) createScalingGroup(ctx context.Context, in *autoscaling.CreateAutoScalingGroupInput) (*autoscaling.CreateAutoScalingGroupOutput, error) {
	if err := a.supported(in, "AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity", "AvailabilityZones", "VPCZoneIdentifier", "Tags",
		"LaunchConfigurationName", "NewInstancesProtectedFromScaleIn", "TerminationPolicies", "DefaultCooldown", "HealthCheckType", "HealthCheckGracePeriod"); err != nil {
		return nil, err
	}
	zones, err := a.zonesOf(in.AvailabilityZones, in.VPCZoneIdentifier)
	if err != nil {
		return nil, err
	}
	g := engine.Group{
		Name: value(in.AutoScalingGroupName), Min: int(value(in.MinSize)), Max: int(value(in.MaxSize)), Desired: int(value(in.MinSize)),
		Zones: zones, ProtectNew: value(in.NewInstancesProtectedFromScaleIn), Tags: map[string]string{},
	}
	if in.DesiredCapacity != nil {
		g.Desired = int(*in.DesiredCapacity)
	}
	for _, t := range in.Tags {
		g.Tags[value(t.Key)] = value(t.Value)
	}
	if err := a.hostsOf(&g, value(in.LaunchConfigurationName)); err != nil {
		return nil, err
	}
	extra := groupExtra{
		LaunchConfiguration: value(in.LaunchConfigurationName), Subnets: value(in.VPCZoneIdentifier), Policies: in.TerminationPolicies, Cooldown: in.DefaultCooldown,
	}
	if g.Raw, err = json.Marshal(extra); err != nil {
		return nil, err
	}
	_, err = a.o.Commands.Do(ctx, engine.CreateGroup{Group: g})
	return &autoscaling.CreateAutoScalingGroupOutput{}, err
}

func (a *api) updateScalingGroup(ctx context.Context, in *autoscaling.UpdateAutoScalingGroupInput) (*autoscaling.UpdateAutoScalingGroupOutput, error) {
	if err := a.supported(in, "AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity", "AvailabilityZones", "VPCZoneIdentifier",
		"LaunchConfigurationName", "NewInstancesProtectedFromScaleIn", "TerminationPolicies", "DefaultCooldown", "HealthCheckType", "HealthCheckGracePeriod"); err != nil {
		return nil, err
	}
	g, err := a.scalingGroup(value(in.AutoScalingGroupName))
	if err != nil {
		return nil, err
	}
	zones, err := a.zonesOf(in.AvailabilityZones, in.VPCZoneIdentifier)
	if err != nil {
		return nil, err
	}
	c := engine.UpdateGroup{
		Name: g.Name, Min: number(in.MinSize), Max: number(in.MaxSize), Desired: number(in.DesiredCapacity), Zones: zones, ProtectNew: in.NewInstancesProtectedFromScaleIn,
	}
	extra := extraOf(g)
	if in.VPCZoneIdentifier != nil {
		extra.Subnets = *in.VPCZoneIdentifier
	}
	if in.TerminationPolicies != nil {
		extra.Policies = in.TerminationPolicies
	}
	if in.DefaultCooldown != nil {
		extra.Cooldown = in.DefaultCooldown
	}
	if launch := value(in.LaunchConfigurationName); launch != "" {
		next := *g
		if err := a.hostsOf(&next, launch); err != nil {
			return nil, err
		}
		extra.LaunchConfiguration, c.Each = launch, &next.Each
	}
	if c.Raw, err = json.Marshal(extra); err != nil {
		return nil, err
	}
	_, err = a.o.Commands.Do(ctx, c)
	return &autoscaling.UpdateAutoScalingGroupOutput{}, err
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	return of(int(*n))
}

func extraOf(g *engine.Group) (extra groupExtra) {
	if len(g.Raw) > 0 {
		_ = json.Unmarshal(g.Raw, &extra) // this package wrote it
	}
	return extra
}

func (a *api) deleteScalingGroup(ctx context.Context, in *autoscaling.DeleteAutoScalingGroupInput) (*autoscaling.DeleteAutoScalingGroupOutput, error) {
	_, err := a.o.Commands.Do(ctx, engine.DeleteGroup{Name: value(in.AutoScalingGroupName), Force: value(in.ForceDelete)})
	return &autoscaling.DeleteAutoScalingGroupOutput{}, err
}

func (a *api) setDesiredCapacity(ctx context.Context, in *autoscaling.SetDesiredCapacityInput) (*autoscaling.SetDesiredCapacityOutput, error) {
	if in.DesiredCapacity == nil {
		return nil, invalidScaling("DesiredCapacity is required")
	}
	_, err := a.o.Commands.Do(ctx, engine.UpdateGroup{Name: value(in.AutoScalingGroupName), Desired: number(in.DesiredCapacity)})
	return &autoscaling.SetDesiredCapacityOutput{}, err
}

func (a *api) terminateInGroup(ctx context.Context, in *autoscaling.TerminateInstanceInAutoScalingGroupInput) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error) {
	if in.ShouldDecrementDesiredCapacity == nil {
		return nil, invalidScaling("ShouldDecrementDesiredCapacity is required")
	}
	done, err := a.o.Commands.Do(ctx, engine.TerminateMember{InstanceID: value(in.InstanceId), Decrement: *in.ShouldDecrementDesiredCapacity})
	if err != nil {
		return nil, err
	}
	activity := a.activityOut(value(in.AutoScalingGroupName), *done.(*engine.Activity))
	return &autoscaling.TerminateInstanceInAutoScalingGroupOutput{Activity: &activity}, nil
}

func (a *api) setInstanceProtection(ctx context.Context, in *autoscaling.SetInstanceProtectionInput) (*autoscaling.SetInstanceProtectionOutput, error) {
	_, err := a.o.Commands.Do(ctx, engine.ProtectMembers{Name: value(in.AutoScalingGroupName), InstanceIDs: in.InstanceIds, Protected: value(in.ProtectedFromScaleIn)})
	return &autoscaling.SetInstanceProtectionOutput{}, err
}

func (a *api) tagGroups(ctx context.Context, in *autoscaling.CreateOrUpdateTagsInput) (*autoscaling.CreateOrUpdateTagsOutput, error) {
	for _, t := range in.Tags {
		if _, err := a.o.Commands.Do(ctx, engine.UpdateGroup{Name: value(t.ResourceId), SetTags: map[string]string{value(t.Key): value(t.Value)}}); err != nil {
			return nil, err
		}
	}
	return &autoscaling.CreateOrUpdateTagsOutput{}, nil
}

func (a *api) untagGroups(ctx context.Context, in *autoscaling.DeleteTagsInput) (*autoscaling.DeleteTagsOutput, error) {
	for _, t := range in.Tags {
		if _, err := a.o.Commands.Do(ctx, engine.UpdateGroup{Name: value(t.ResourceId), DropTags: []string{value(t.Key)}}); err != nil {
			return nil, err
		}
	}
	return &autoscaling.DeleteTagsOutput{}, nil
}

func (a *api) scalingGroups() (list []*engine.Group) {
	a.o.Engine.Read(func(v engine.View) { list = v.Groups() })
	return list
}

func (a *api) scalingGroup(name string) (*engine.Group, error) {
	for _, g := range a.scalingGroups() {
		if g.Name == name {
			return g, nil
		}
	}
	return nil, invalidScaling("AutoScalingGroup name not found - AutoScalingGroup %q not found", name)
}

func (a *api) describeScalingGroups(_ context.Context, in *autoscaling.DescribeAutoScalingGroupsInput) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	var chosen []*engine.Group
	for _, g := range a.scalingGroups() {
		if len(in.AutoScalingGroupNames) > 0 && !slices.Contains(in.AutoScalingGroupNames, g.Name) {
			continue
		}
		filters := make([]filter, len(in.Filters))
		for i, f := range in.Filters {
			filters[i] = filter{Name: f.Name, Values: f.Values}
		}
		ok, err := passes(filters, facts{}.addTags(g.Tags))
		if err != nil {
			return nil, invalidScaling("%s", err.Error())
		}
		if ok {
			chosen = append(chosen, g)
		}
	}
	page, next, err := scalingPage(chosen, func(g *engine.Group) string { return g.Name }, "DescribeAutoScalingGroups", in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &autoscaling.DescribeAutoScalingGroupsOutput{AutoScalingGroups: []types.AutoScalingGroup{}, NextToken: next}
	for _, g := range page {
		out.AutoScalingGroups = append(out.AutoScalingGroups, scalingGroupOut(g))
	}
	return out, nil
}

func scalingGroupOut(g *engine.Group) types.AutoScalingGroup {
	extra := extraOf(g)
	out := types.AutoScalingGroup{
		AutoScalingGroupName: &g.Name, AutoScalingGroupARN: &g.ARN, AvailabilityZones: g.Zones, CreatedTime: &g.CreatedAt,
		MinSize: of(int32(g.Min)), MaxSize: of(int32(g.Max)), DesiredCapacity: of(int32(g.Desired)), DefaultCooldown: of(int32(300)),
		HealthCheckType: of("EC2"), HealthCheckGracePeriod: of(int32(0)), NewInstancesProtectedFromScaleIn: of(g.ProtectNew),
		LaunchConfigurationName: optional(extra.LaunchConfiguration), VPCZoneIdentifier: of(extra.Subnets), TerminationPolicies: extra.Policies,
		Instances: []types.Instance{}, Tags: []types.TagDescription{}, LoadBalancerNames: []string{}, TargetGroupARNs: []string{},
		SuspendedProcesses: []types.SuspendedProcess{}, EnabledMetrics: []types.EnabledMetric{},
	}
	if extra.Cooldown != nil {
		out.DefaultCooldown = extra.Cooldown
	}
	if len(out.TerminationPolicies) == 0 {
		out.TerminationPolicies = []string{"Default"}
	}
	if g.Deleting {
		out.Status = of("Delete in progress")
	}
	for _, i := range g.Members {
		out.Instances = append(out.Instances, types.Instance{
			InstanceId: of(i.InstanceID), AvailabilityZone: of(i.Zone), LifecycleState: types.LifecycleState(i.State), HealthStatus: of("Healthy"),
			ProtectedFromScaleIn: of(i.Protected), InstanceType: of(g.Type), LaunchConfigurationName: optional(extra.LaunchConfiguration),
		})
	}
	for _, t := range tagList(g.Tags) {
		out.Tags = append(out.Tags, types.TagDescription{
			Key: t.Key, Value: t.Value, ResourceId: &g.Name, ResourceType: of("auto-scaling-group"), PropagateAtLaunch: of(false),
		})
	}
	return out
}

func (a *api) describeScalingInstances(_ context.Context, in *autoscaling.DescribeAutoScalingInstancesInput) (*autoscaling.DescribeAutoScalingInstancesOutput, error) {
	var all []types.AutoScalingInstanceDetails
	for _, g := range a.scalingGroups() {
		for _, i := range g.Members {
			if len(in.InstanceIds) > 0 && !slices.Contains(in.InstanceIds, i.InstanceID) {
				continue
			}
			all = append(all, types.AutoScalingInstanceDetails{
				InstanceId: of(i.InstanceID), AutoScalingGroupName: of(g.Name), AvailabilityZone: of(i.Zone), LifecycleState: of(i.State),
				HealthStatus: of("HEALTHY"), ProtectedFromScaleIn: of(i.Protected), InstanceType: of(g.Type),
			})
		}
	}
	page, next, err := scalingPage(all, func(i types.AutoScalingInstanceDetails) string { return *i.InstanceId }, "DescribeAutoScalingInstances", in.MaxRecords, in.NextToken)
	return &autoscaling.DescribeAutoScalingInstancesOutput{AutoScalingInstances: page, NextToken: next}, err
}

func (a *api) describeActivities(_ context.Context, in *autoscaling.DescribeScalingActivitiesInput) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	name := value(in.AutoScalingGroupName)
	if name != "" {
		if _, err := a.scalingGroup(name); err != nil {
			return nil, err
		}
	}
	var all []types.Activity
	for _, g := range a.scalingGroups() {
		for _, one := range g.Activities {
			if (name == "" || g.Name == name) && (len(in.ActivityIds) == 0 || slices.Contains(in.ActivityIds, one.ID)) {
				all = append(all, a.activityOut(g.Name, one))
			}
		}
	}
	// The newest first: the key counts down.
	key := func(x types.Activity) string {
		return fmt.Sprintf("%020d %s", 1<<62-x.StartTime.UnixNano(), *x.ActivityId)
	}
	page, next, err := scalingPage(all, key, "DescribeScalingActivities "+name, in.MaxRecords, in.NextToken)
	return &autoscaling.DescribeScalingActivitiesOutput{Activities: page, NextToken: next}, err
}

func (a *api) activityOut(group string, one engine.Activity) types.Activity {
	out := types.Activity{
		ActivityId: of(one.ID), AutoScalingGroupName: optional(group), Description: of(one.Description),
		Cause:     of("At " + one.StartedAt.UTC().Format(time.RFC3339) + ": " + one.Cause + "."),
		StartTime: of(one.StartedAt), EndTime: moment(one.EndedAt), StatusCode: types.ScalingActivityStatusCodeInProgress, Progress: of(int32(50)),
		Details: of(fmt.Sprintf(`{"Availability Zone":%q}`, one.Zone)),
	}
	if !one.EndedAt.IsZero() {
		out.StatusCode, out.Progress = types.ScalingActivityStatusCodeSuccessful, of(int32(100))
	}
	return out
}

// launching are the groups' instances that are in no cluster yet, as hosts that
// EC2 shows as pending.
func (a *api) launching() (list []host) {
	for _, g := range a.scalingGroups() {
		for _, i := range g.Members {
			if i.State != engine.MemberPending {
				continue
			}
			list = append(list, host{
				ContainerInstance: &engine.ContainerInstance{EC2InstanceID: i.InstanceID, Zone: i.Zone, RegisteredAt: i.LaunchedAt, Registered: plimsoll.Resources(g.Each)},
				instanceType:      g.Type, network: a.networkOf(i.Zone), pending: true, tags: map[string]string{"aws:autoscaling:groupName": g.Name},
			})
		}
	}
	return list
}

type terminateInstancesInput struct {
	InstanceIds []string `query:"InstanceId"`
	DryRun      bool

	Force, SkipOsShutdown bool
}

type stateChange struct {
	InstanceId    *string
	CurrentState  *instanceState
	PreviousState *instanceState
}

type terminateInstancesOutput struct {
	Instances []stateChange `xml:"instancesSet"`
}

// terminateInstances terminates instances of groups, which launch others in their
// place, as Auto Scaling does.
func (a *api) terminateInstances(ctx context.Context, _ *awsapi.Call, in *terminateInstancesInput) (*terminateInstancesOutput, error) {
	grouped := map[string]bool{}
	for _, g := range a.scalingGroups() {
		for _, i := range g.Members {
			grouped[i.InstanceID] = true
		}
	}
	for _, id := range in.InstanceIds {
		if !grouped[id] {
			return nil, awsapi.Refuse("UnsupportedOperation", "The instance '%s' is of no Auto Scaling group: this engine terminates only those; "+
				"the others are the hosts of the file, or of a stack", id)
		}
	}
	out := &terminateInstancesOutput{Instances: []stateChange{}}
	for _, id := range in.InstanceIds {
		if _, err := a.o.Commands.Do(ctx, engine.TerminateMember{InstanceID: id}); err != nil {
			return nil, err
		}
		out.Instances = append(out.Instances, stateChange{
			InstanceId:   of(id),
			CurrentState: &instanceState{Code: of(int32(32)), Name: of("shutting-down")}, PreviousState: &instanceState{Code: of(int32(16)), Name: of("running")},
		})
	}
	return out, nil
}
