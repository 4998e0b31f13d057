package ecsapi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plimsoll"
)

func TestAServiceIsDescribedAsECSDescribesIt(t *testing.T) {
	s := newStand(t, "process", 3)
	definition := s.register("web")
	s.createService("web", definition, 3)
	got := s.steady("web")
	if *got.ServiceArn != prefix+"service/default/web" || *got.ClusterArn != prefix+"cluster/default" ||
		*got.TaskDefinition != definition || *got.Status != "ACTIVE" || got.DesiredCount != 3 || got.RunningCount != 3 ||
		got.LaunchType != types.LaunchTypeEc2 || got.SchedulingStrategy != types.SchedulingStrategyReplica ||
		*got.DeploymentConfiguration.MaximumPercent != 200 || *got.DeploymentConfiguration.MinimumHealthyPercent != 100 {
		t.Errorf("got %+v", got)
	}
	d := got.Deployments[0]
	if *d.Status != "PRIMARY" || d.RolloutState != types.DeploymentRolloutStateCompleted || d.RunningCount != 3 ||
		!strings.HasPrefix(*d.Id, "ecs-svc/") || *d.TaskDefinition != definition {
		t.Errorf("deployment %+v", d)
	}
	if len(got.Events) == 0 || !strings.Contains(*got.Events[0].Message, "web") {
		t.Errorf("events %+v", got.Events)
	}
	if len(got.Tags) != 1 || *got.Tags[0].Key != plimsoll.TagPriority {
		t.Errorf("tags %+v", got.Tags)
	}
	untagged, err := s.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{prefix + "service/default/web", "none"}})
	if err != nil || len(untagged.Services) != 1 || untagged.Services[0].Tags != nil || len(untagged.Failures) != 1 ||
		*untagged.Failures[0].Reason != "MISSING" || *untagged.Failures[0].Arn != prefix+"service/default/none" {
		t.Errorf("%+v, %v", untagged, err)
	}
}

func TestATaskIsDescribedAsECSDescribesIt(t *testing.T) {
	s := newStand(t, "process", 1)
	definition := s.register("job")
	run, err := s.RunTask(t.Context(), &ecs.RunTaskInput{
		TaskDefinition: aws.String("job"), StartedBy: aws.String("me"), Group: aws.String("batch"),
		Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
		Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{
			Name: aws.String("main"), Command: []string{"x"}, Environment: []types.KeyValuePair{{Name: aws.String("K"), Value: aws.String("V")}},
		}}},
	})
	if err != nil || len(run.Tasks) != 1 || len(run.Failures) != 0 {
		t.Fatalf("%+v, %v", run, err)
	}
	arn := *run.Tasks[0].TaskArn
	s.until("the task runs", func() bool { return *s.task(arn).LastStatus == "RUNNING" })
	got := s.task(arn)
	if *got.TaskDefinitionArn != definition || *got.Group != "batch" || *got.StartedBy != "me" || *got.Cpu != "256" ||
		*got.Memory != "128" || *got.AvailabilityZone != "us-east-1a" || *got.DesiredStatus != "RUNNING" ||
		got.StartedAt == nil || got.StoppedReason != nil || got.StopCode != "" || got.Connectivity != types.ConnectivityConnected ||
		got.Version == 0 || *got.Tags[0].Key != "a" || got.Overrides.ContainerOverrides[0].Command[0] != "x" ||
		*got.Overrides.ContainerOverrides[0].Environment[0].Value != "V" {
		t.Errorf("got %+v", got)
	}
	c := got.Containers[0]
	if *c.Name != "main" || *c.LastStatus != "RUNNING" || *c.Cpu != "256" || *c.Memory != "128" || *c.TaskArn != arn || c.ExitCode != nil {
		t.Errorf("container %+v", c)
	}
	b := c.NetworkBindings[0]
	if *b.BindIP != "127.64.1.1" || *b.ContainerPort != 8080 || *b.HostPort < 20000 || b.Protocol != types.TransportProtocolTcp {
		t.Errorf("binding %+v", b)
	}
	stopped, err := s.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn, Reason: aws.String("enough")})
	if err != nil || *stopped.Task.DesiredStatus != "STOPPED" || *stopped.Task.StoppedReason != "enough" {
		t.Fatalf("%+v, %v", stopped, err)
	}
	s.until("the task has stopped", func() bool { return *s.task(arn).LastStatus == "STOPPED" })
	got = s.task(arn)
	if got.StopCode != types.TaskStopCodeUserInitiated || got.StoppedAt == nil || got.Containers[0].ExitCode == nil {
		t.Errorf("got %+v", got)
	}
}

func TestRunTaskWithoutRoomIsAFailureByName(t *testing.T) {
	s := newStand(t, "process", 1)
	s.register("job")
	run, err := s.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("job"), Count: aws.Int32(5)})
	if err != nil || len(run.Tasks) != 4 || len(run.Failures) != 1 || *run.Failures[0].Reason != "RESOURCE:CPU" {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestTasksAreListedByEachFilter(t *testing.T) {
	s := newStand(t, "process", 2)
	s.register("web")
	s.register("job")
	s.createService("web", "web", 3)
	s.steady("web")
	run, err := s.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("job"), StartedBy: aws.String("me")})
	if err != nil {
		t.Fatal(err)
	}
	job := *run.Tasks[0].TaskArn
	host := run.Tasks[0].ContainerInstanceArn
	for name, test := range map[string]struct {
		in   ecs.ListTasksInput
		want int
	}{
		"all":                 {ecs.ListTasksInput{}, 4},
		"of the service":      {ecs.ListTasksInput{ServiceName: aws.String("web")}, 3},
		"of the family":       {ecs.ListTasksInput{Family: aws.String("job")}, 1},
		"started by":          {ecs.ListTasksInput{StartedBy: aws.String("me")}, 1},
		"started by nobody":   {ecs.ListTasksInput{StartedBy: aws.String("you")}, 0},
		"of the launch type":  {ecs.ListTasksInput{LaunchType: types.LaunchTypeEc2}, 4},
		"of another type":     {ecs.ListTasksInput{LaunchType: types.LaunchTypeFargate}, 0},
		"stopped":             {ecs.ListTasksInput{DesiredStatus: types.DesiredStatusStopped}, 0},
		"pending":             {ecs.ListTasksInput{DesiredStatus: types.DesiredStatusPending}, 0},
		"job on its instance": {ecs.ListTasksInput{ContainerInstance: host, Family: aws.String("job")}, 1},
	} {
		if got := s.tasks(test.in); len(got) != test.want {
			t.Errorf("%s: %v, want %d", name, got, test.want)
		}
	}
	if _, err := s.StopTask(t.Context(), &ecs.StopTaskInput{Task: &job}); err != nil {
		t.Fatal(err)
	}
	if got := s.tasks(ecs.ListTasksInput{DesiredStatus: types.DesiredStatusStopped}); len(got) != 1 || got[0] != job {
		t.Errorf("stopped: %v", got)
	}
}

func TestContainerInstancesTellWhatTheyHaveAndHaveLeft(t *testing.T) {
	s := newStand(t, "process", 3)
	s.register("web")
	s.createService("web", "web", 3)
	s.steady("web")
	list, err := s.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	if err != nil || len(list.ContainerInstanceArns) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	first := list.ContainerInstanceArns[0]
	described, err := s.DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{
		ContainerInstances: []string{first, "none"},
	})
	if err != nil || len(described.ContainerInstances) != 1 || len(described.Failures) != 1 ||
		*described.Failures[0].Arn != prefix+"container-instance/default/none" {
		t.Fatalf("%+v, %v", described, err)
	}
	i := described.ContainerInstances[0]
	attributes := map[string]string{}
	for _, a := range i.Attributes {
		attributes[*a.Name] = aws.ToString(a.Value)
	}
	if !i.AgentConnected || *i.Status != "ACTIVE" || i.RunningTasksCount != 1 || !strings.HasPrefix(*i.Ec2InstanceId, "i-") ||
		attributes["ecs.availability-zone"] != "us-east-1a" || attributes["plimsoll.address"] != "127.64.1.1" {
		t.Errorf("got %+v, attributes %v", i, attributes)
	}
	for n, want := range []int32{1024 - 256, 1024 - 128} {
		if i.RegisteredResources[n].IntegerValue != 1024 || i.RemainingResources[n].IntegerValue != want {
			t.Errorf("%s: %d of %d", *i.RemainingResources[n].Name, i.RemainingResources[n].IntegerValue, i.RegisteredResources[n].IntegerValue)
		}
	}
	if ports := i.RemainingResources[2]; *ports.Name != "PORTS" || len(ports.StringSetValue) != 6 {
		t.Errorf("ports in use: %v", ports.StringSetValue)
	}
	updated, err := s.UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
		ContainerInstances: []string{first, "none"}, Status: types.ContainerInstanceStatusDraining,
	})
	if err != nil || len(updated.Failures) != 1 || *updated.ContainerInstances[0].Status != "DRAINING" {
		t.Fatalf("%+v, %v", updated, err)
	}
	for status, want := range map[types.ContainerInstanceStatus]int{"ACTIVE": 2, "DRAINING": 1, "": 3} {
		list, err := s.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Status: status})
		if err != nil || len(list.ContainerInstanceArns) != want {
			t.Errorf("%s: %+v, %v", status, list, err)
		}
	}
}

func TestAnUpdateDeploysAndADeletionDrains(t *testing.T) {
	s := newStand(t, "process", 3)
	s.register("web")
	s.createService("web", "web", 2)
	s.steady("web")
	second := s.register("web")
	updated, err := s.UpdateService(t.Context(), &ecs.UpdateServiceInput{
		Service: aws.String("web"), TaskDefinition: &second, DesiredCount: aws.Int32(3),
		DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(50)},
	})
	if err != nil || len(updated.Service.Deployments) != 2 || updated.Service.DesiredCount != 3 {
		t.Fatalf("%+v, %v", updated, err)
	}
	if got := s.steady("web"); *got.TaskDefinition != second || *got.DeploymentConfiguration.MinimumHealthyPercent != 50 {
		t.Errorf("got %+v", got)
	}
	_, err = s.DeleteService(t.Context(), &ecs.DeleteServiceInput{Service: aws.String("web")})
	wants(t, "a deletion while scaled up", err, "InvalidParameterException", "scaled above 0")
	deleted, err := s.DeleteService(t.Context(), &ecs.DeleteServiceInput{Service: aws.String("web"), Force: aws.Bool(true)})
	if err != nil || *deleted.Service.Status != "DRAINING" {
		t.Fatalf("%+v, %v", deleted, err)
	}
	s.until("the service is inactive", func() bool { return *s.service("web").Status == "INACTIVE" })
	if list, err := s.ListServices(t.Context(), &ecs.ListServicesInput{}); err != nil || len(list.ServiceArns) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAClusterCountsWhatIsInIt(t *testing.T) {
	s := newStand(t, "process", 2)
	created, err := s.CreateCluster(t.Context(), &ecs.CreateClusterInput{
		ClusterName: aws.String("other"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	})
	if err != nil || *created.Cluster.ClusterArn != prefix+"cluster/other" || len(created.Cluster.Tags) != 1 {
		t.Fatalf("%+v, %v", created, err)
	}
	s.register("web")
	s.createService("web", "web", 2)
	s.steady("web")
	got, err := s.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{
		Clusters: []string{"default", prefix + "cluster/other", "none"},
		Include:  []types.ClusterField{types.ClusterFieldStatistics},
	})
	if err != nil || len(got.Clusters) != 2 || len(got.Failures) != 1 || *got.Failures[0].Arn != prefix+"cluster/none" {
		t.Fatalf("%+v, %v", got, err)
	}
	c := got.Clusters[0]
	if c.ActiveServicesCount != 1 || c.RunningTasksCount != 2 || c.RegisteredContainerInstancesCount != 2 || c.PendingTasksCount != 0 ||
		*c.Status != "ACTIVE" || *c.Statistics[0].Value != "2" {
		t.Errorf("got %+v", c)
	}
	list, err := s.ListClusters(t.Context(), &ecs.ListClustersInput{})
	if err != nil || len(list.ClusterArns) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestADefinitionComesBackAsItWentIn(t *testing.T) {
	s := newStand(t, "process", 1)
	in := &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), NetworkMode: types.NetworkModeBridge, Cpu: aws.String("0.5 vCPU"), Memory: aws.String("512"),
		TaskRoleArn:             aws.String("arn:aws:iam::123456789012:role/web"),
		ExecutionRoleArn:        aws.String("arn:aws:iam::123456789012:role/pull"),
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityEc2},
		RuntimePlatform:         &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureX8664},
		Tags:                    []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("web:1"), EntryPoint: []string{"sh", "-c"}, Command: []string{"./web"},
			Cpu: 100, Memory: aws.Int32(200), MemoryReservation: aws.Int32(100), StopTimeout: aws.Int32(20),
			WorkingDirectory: aws.String("/srv"), User: aws.String("1000"),
			Environment:  []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("é\"\n")}},
			DockerLabels: map[string]string{"l": "v"},
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80), Name: aws.String("http")}, {
				ContainerPort: aws.Int32(53), HostPort: aws.Int32(5353), Protocol: types.TransportProtocolUdp,
			}},
			// None of these says anything; tools that copy a description send them.
			MountPoints: []types.MountPoint{}, Links: []string{}, Privileged: aws.Bool(false),
			LinuxParameters: &types.LinuxParameters{}, Secrets: []types.Secret{},
		}, {Name: aws.String("side"), Command: []string{"./side"}, Essential: aws.Bool(false)}},
	}
	registered, err := s.RegisterTaskDefinition(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: aws.String("web"), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	if err != nil {
		t.Fatal(err)
	}
	same := cmpopts.IgnoreUnexported(types.TaskDefinition{}, types.ContainerDefinition{}, types.PortMapping{},
		types.KeyValuePair{}, types.RuntimePlatform{}, types.LinuxParameters{})
	if diff := cmp.Diff(registered.TaskDefinition, got.TaskDefinition, same); diff != "" {
		t.Errorf("registered and described differ: %s", diff)
	}
	want := in.ContainerDefinitions
	want[0].Essential = aws.Bool(true)
	want[0].PortMappings[0].HostPort, want[0].PortMappings[0].Protocol = aws.Int32(0), types.TransportProtocolTcp
	if diff := cmp.Diff(want, got.TaskDefinition.ContainerDefinitions, same, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("sent and described differ: %s", diff)
	}
	d := got.TaskDefinition
	if *d.TaskDefinitionArn != prefix+"task-definition/web:1" || d.Revision != 1 || d.Status != types.TaskDefinitionStatusActive ||
		*d.Cpu != "0.5 vCPU" || d.RegisteredAt == nil || *got.Tags[0].Value != "b" ||
		*d.RegisteredBy != "arn:aws:iam::123456789012:root" {
		t.Errorf("got %+v", d)
	}
	gone, err := s.DeregisterTaskDefinition(t.Context(), &ecs.DeregisterTaskDefinitionInput{TaskDefinition: d.TaskDefinitionArn})
	if err != nil || gone.TaskDefinition.Status != types.TaskDefinitionStatusInactive {
		t.Errorf("%+v, %v", gone, err)
	}
}

func TestTagsAreListedForEachKindOfResource(t *testing.T) {
	s := newStand(t, "process", 1)
	definition := s.register("web")
	s.createService("web", definition, 1)
	s.steady("web")
	instances, err := s.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for arn, want := range map[string]int{
		prefix + "service/default/web":     1,
		prefix + "cluster/default":         0,
		definition:                         0,
		s.tasks(ecs.ListTasksInput{})[0]:   0,
		instances.ContainerInstanceArns[0]: 0,
	} {
		got, err := s.ListTagsForResource(t.Context(), &ecs.ListTagsForResourceInput{ResourceArn: &arn})
		if err != nil || len(got.Tags) != want {
			t.Errorf("%s: %+v, %v", arn, got, err)
		}
	}
	for arn, code := range map[string]string{
		"web": "InvalidParameterException", prefix + "service/default/none": "ServiceNotFoundException",
		prefix + "cluster/none": "ClusterNotFoundException", prefix + "task/default/none": "InvalidParameterException",
	} {
		_, err := s.ListTagsForResource(t.Context(), &ecs.ListTagsForResourceInput{ResourceArn: &arn})
		wants(t, arn, err, code, "")
	}
}

func TestTheTagsOfAServiceCanBeChanged(t *testing.T) {
	s := newStand(t, "process", 1)
	definition := s.register("web")
	s.createService("web", definition, 1)
	arn := aws.String(prefix + "service/default/web")
	if _, err := s.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{
		{Key: aws.String("team"), Value: aws.String("a")}, {Key: aws.String(plimsoll.TagPriority), Value: aws.String("1")},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UntagResource(t.Context(), &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team", "none"}}); err != nil {
		t.Fatal(err)
	}
	if tags := s.service("web").Tags; len(tags) != 1 || *tags[0].Key != plimsoll.TagPriority || *tags[0].Value != "1" {
		t.Errorf("tags %+v", tags)
	}
	one := []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
	if _, err := s.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: &definition, Tags: one}); err != nil {
		t.Errorf("a definition: %v", err)
	}
	_, err := s.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: aws.String(prefix + "service/default/none"), Tags: one})
	wants(t, "no service", err, "ServiceNotFoundException", "")
	_, err = s.UntagResource(t.Context(), &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{}})
	wants(t, "no keys", err, "InvalidParameterException", "empty")
}

func TestATokenInUseNamesTheTasksThatHaveIt(t *testing.T) {
	s := newStand(t, "process", 1)
	s.register("job")
	in := &ecs.RunTaskInput{TaskDefinition: aws.String("job"), ClientToken: aws.String("once")}
	first, err := s.RunTask(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.StartedBy = aws.String("another")
	_, err = s.RunTask(t.Context(), in)
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) || !slices.Equal(conflict.ResourceIds, []string{*first.Tasks[0].TaskArn}) {
		t.Errorf("got %v, resources %v", err, conflict)
	}
}
