package ecsapi_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine/ecsapi"
)

func TestWhatTheRuntimeCannotHonourIsRefusedByName(t *testing.T) {
	stands := map[string]*stand{"process": newStand(t, "process", 0), "docker": newStand(t, "docker", 0)}
	for path, test := range map[string]struct {
		runtime string
		spoil   func(*ecs.RegisterTaskDefinitionInput, *types.ContainerDefinition)
	}{
		"containerDefinitions[1].linuxParameters.capabilities": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Capabilities: &types.KernelCapabilities{Add: []string{"NET_RAW"}}}
		}},
		"containerDefinitions[1].linuxParameters.tmpfs": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Tmpfs: []types.Tmpfs{{ContainerPath: aws.String("/t"), Size: 1}}}
		}},
		"containerDefinitions[1].linuxParameters.devices": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Devices: []types.Device{{HostPath: aws.String("/dev/kvm")}}}
		}},
		"--allow-capability SYS_ADMIN": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Capabilities: &types.KernelCapabilities{Add: []string{"SYS_ADMIN"}}}
		}},
		"\"FLY\" is no capability": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LinuxParameters = &types.LinuxParameters{Capabilities: &types.KernelCapabilities{Drop: []string{"FLY"}}}
		}},
		"--allow host-network": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeHost
		}},
		"--allow-host-path /etc": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), Host: &types.HostVolumeProperties{SourcePath: aws.String("/etc")}}}
		}},
		"--allow-host-path /var": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{
				DriverOpts: map[string]string{"type": "none", "o": "bind", "device": "/var/lib/../"},
			}}}
		}},
		"the device \"sda1\"": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{
				DriverOpts: map[string]string{"type": "ext4", "device": "sda1"},
			}}}
		}},
		"volumes[0].efsVolumeConfiguration": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{FileSystemId: aws.String("fs")}}}
		}},
		"volumes[0].dockerVolumeConfiguration.autoprovision": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{Autoprovision: aws.Bool(true)}}}
		}},
		"Unknown volume 'w'": {"docker", func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v")}}
			c.MountPoints = []types.MountPoint{{SourceVolume: aws.String("w"), ContainerPath: aws.String("/w")}}
		}},
		"containerDefinitions[1].logConfiguration.logDriver \"awslogs\"": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverAwslogs}
		}},
		"containerDefinitions[1].systemControls[0].namespace": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.SystemControls = []types.SystemControl{{Namespace: aws.String("kernel.panic"), Value: aws.String("1")}}
		}},
		"containerDefinitions[1].environmentFiles": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("arn:aws:s3:::b/f.env")}}
		}},
		"containerDefinitions[1].hostname": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Hostname = aws.String("h")
		}},
		"containerDefinitions[1].readonlyRootFilesystem": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.ReadonlyRootFilesystem = aws.Bool(true)
		}},
		"containerDefinitions[1].pseudoTerminal": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.PseudoTerminal = aws.Bool(true)
		}},
		"containerDefinitions[1].dnsServers[0]": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.DnsServers = []string{"dns.example.com"}
		}},
		"containerDefinitions[1].ulimits[0]": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Ulimits = []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 10, HardLimit: 5}}
		}},
		"containerDefinitions[1].healthCheck.command": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.HealthCheck = &types.HealthCheck{Command: []string{"curl", "localhost"}}
		}},
		"healthCheck.interval 1 is not from 5 to 300": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "x"}, Interval: aws.Int32(1)}
		}},
		"restartPolicy.restartAttemptPeriod 5": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(true), RestartAttemptPeriod: aws.Int32(5)}
		}},
		"depends on container x, which is not in the task": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("x"), Condition: types.ContainerConditionStart}}
		}},
		"in a circle": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("b"), Condition: types.ContainerConditionStart}}
		}},
		"Container 'a' has no healthCheck": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("a"), Condition: types.ContainerConditionHealthy}}
		}},
		"cannot be set on container 'a', which is essential": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("a"), Condition: types.ContainerConditionSuccess}}
		}},
		"host ports and container ports in port mappings must match": {"process", func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeHost
			c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(81)}}
		}},
		"placementConstraints[0]": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: types.TaskDefinitionPlacementConstraintTypeMemberOf, Expression: aws.String("attribute:x = y")}}
		}},
		"at most 10 are allowed": {"process", func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			for i := range 9 {
				made := *c
				made.Name = aws.String(fmt.Sprint("c", i))
				in.ContainerDefinitions = append(in.ContainerDefinitions, made)
			}
		}},
		"containerDefinitions[1].portMappings[0].containerPortRange": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.PortMappings = []types.PortMapping{{ContainerPortRange: aws.String("1-2")}}
		}},
		"containerDefinitions[1].mountPoints": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.MountPoints = []types.MountPoint{{ContainerPath: aws.String("/data")}}
		}},
		"containerDefinitions[1].privileged is not allowed by this engine: privileged has to be allowed at its start (--allow privileged)": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Privileged = aws.Bool(true)
		}},
		"containerDefinitions[1].secrets": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Secrets = []types.Secret{{Name: aws.String("A"), ValueFrom: aws.String("b")}}
		}},
		"containerDefinitions[1].resourceRequirements": {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.ResourceRequirements = []types.ResourceRequirement{{Type: types.ResourceTypeGpu, Value: aws.String("1")}}
		}},
		"containerDefinitions[1].command": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Command = nil }},
		"containerDefinitions[1].image":   {"docker", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Image = nil }},
		"containerDefinitions[1].stopTimeout": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.StopTimeout = aws.Int32(4000)
		}},
		"containerDefinitions[1].environment[0].name": {"process", func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Environment = []types.KeyValuePair{{Name: aws.String("A=B")}}
		}},
		"volumes": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v")}}
		}},
		"requiresCompatibilities[0]": {"docker", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.RequiresCompatibilities = []types.Compatibility{types.CompatibilityFargate}
		}},
		"networkMode": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeAwsvpc
		}},
		"runtimePlatform.cpuArchitecture": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.RuntimePlatform = &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureArm64}
		}},
		"'cpu'": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) { in.Cpu = aws.String("much") }},
		"pidMode": {"process", func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.PidMode = types.PidModeTask
		}},
	} {
		in := &ecs.RegisterTaskDefinitionInput{Family: aws.String("web")}
		for _, name := range []string{"a", "b"} {
			in.ContainerDefinitions = append(in.ContainerDefinitions, types.ContainerDefinition{
				Name: aws.String(name), Image: aws.String("i"), Command: []string{"c"}, Memory: aws.Int32(1),
			})
		}
		test.spoil(in, &in.ContainerDefinitions[1])
		_, err := stands[test.runtime].RegisterTaskDefinition(t.Context(), in)
		wants(t, path, err, "ClientException", path)
	}
	got, err := stands["process"].ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{})
	if err != nil || len(got.TaskDefinitionArns) != 0 {
		t.Errorf("refused, and registered all the same: %+v, %v", got, err)
	}
}

func TestWhatTheEngineDoesNotDoIsRefusedByName(t *testing.T) {
	s := newStand(t, "process", 1)
	s.register("web")
	create := func(f func(*ecs.CreateServiceInput)) error {
		in := &ecs.CreateServiceInput{ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(1)}
		f(in)
		_, err := s.CreateService(t.Context(), in)
		return err
	}
	for words, err := range map[string]error{
		"launchType": create(func(in *ecs.CreateServiceInput) { in.LaunchType = types.LaunchTypeFargate }),
		"loadBalancers": create(func(in *ecs.CreateServiceInput) {
			in.LoadBalancers = []types.LoadBalancer{{ContainerName: aws.String("a")}}
		}),
		"placementConstraints[0]: invalid expression \"attribute:x = y\": position 13": create(func(in *ecs.CreateServiceInput) {
			in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:x = y")}}
		}),
		"placementStrategy[0]": create(func(in *ecs.CreateServiceInput) {
			in.PlacementStrategy = []types.PlacementStrategy{{Type: types.PlacementStrategyTypeSpread, Field: aws.String("rack")}}
		}),
		"FARGATE": create(func(in *ecs.CreateServiceInput) {
			in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE"), Weight: 1}}
		}),
		"schedulingStrategy": create(func(in *ecs.CreateServiceInput) { in.SchedulingStrategy = "TWICE" }),
		"does not support a desired count": create(func(in *ecs.CreateServiceInput) {
			in.SchedulingStrategy = types.SchedulingStrategyDaemon
		}),
		"desiredCount": create(func(in *ecs.CreateServiceInput) { in.DesiredCount = nil }),
		"deploymentController": create(func(in *ecs.CreateServiceInput) {
			in.DeploymentController = &types.DeploymentController{Type: "EXTERNAL"}
		}),
		"propagateTags": create(func(in *ecs.CreateServiceInput) { in.PropagateTags = "ALL" }),
		"deploymentConfiguration.strategy": create(func(in *ecs.CreateServiceInput) {
			in.DeploymentConfiguration = &types.DeploymentConfiguration{Strategy: types.DeploymentStrategyBlueGreen}
		}),
		"given twice": create(func(in *ecs.CreateServiceInput) {
			in.Tags = []types.Tag{{Key: aws.String("a")}, {Key: aws.String("a")}}
		}),
		"plimsoll:priority": create(func(in *ecs.CreateServiceInput) {
			in.Tags = []types.Tag{{Key: aws.String("plimsoll:priority"), Value: aws.String("first")}}
		}),
	} {
		wants(t, words, err, "InvalidParameterException", words)
	}
	if err := create(func(in *ecs.CreateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{}}
		in.PlacementStrategy = []types.PlacementStrategy{
			{Type: types.PlacementStrategyTypeSpread, Field: aws.String("attribute:ecs.availability-zone")},
			{Type: types.PlacementStrategyTypeBinpack, Field: aws.String("memory")},
		}
	}); err != nil {
		t.Errorf("what the engine does anyway: %v", err)
	}
	if got := s.service("web").PlacementStrategy; len(got) != 2 {
		t.Errorf("the strategy is described as %+v", got)
	}
}

func TestErrorsAreECSs(t *testing.T) {
	s := newStand(t, "process", 1)
	s.register("web")
	nowhere := aws.String("nowhere")
	ctx := t.Context()
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, test := range map[string]struct {
		call        func() error
		code, words string
	}{
		"a cluster that is not there": {func() error {
			_, err := s.ListTasks(ctx, &ecs.ListTasksInput{Cluster: nowhere})
			return err
		}, "ClusterNotFoundException", "Cluster not found."},
		"a run on it": {func() error {
			_, err := s.RunTask(ctx, &ecs.RunTaskInput{Cluster: nowhere, TaskDefinition: aws.String("web")})
			return err
		}, "ClusterNotFoundException", "Cluster not found."},
		"a service that is not there": {func() error {
			_, err := s.UpdateService(ctx, &ecs.UpdateServiceInput{Service: nowhere})
			return err
		}, "ServiceNotFoundException", "Service not found."},
		"the tasks of it": {func() error {
			_, err := s.ListTasks(ctx, &ecs.ListTasksInput{ServiceName: nowhere})
			return err
		}, "ServiceNotFoundException", "Service not found."},
		"a definition that is not there": {func() error {
			_, err := s.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: nowhere})
			return err
		}, "ClientException", "Unable to describe task definition."},
		"a deregistration without a revision": {func() error {
			_, err := s.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("web")})
			return err
		}, "ClientException", "revision"},
		"a task that is not there": {func() error {
			_, err := s.StopTask(ctx, &ecs.StopTaskInput{Task: nowhere})
			return err
		}, "InvalidParameterException", "The referenced task was not found."},
		"too many tasks": {func() error {
			_, err := s.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: many})
			return err
		}, "InvalidParameterException", "more than 100"},
		"too many services": {func() error {
			_, err := s.DescribeServices(ctx, &ecs.DescribeServicesInput{Services: many[:11]})
			return err
		}, "InvalidParameterException", "more than 10"},
		"no services": {func() error {
			_, err := s.DescribeServices(ctx, &ecs.DescribeServicesInput{Services: []string{}})
			return err
		}, "InvalidParameterException", "empty"},
		"eleven at once": {func() error {
			_, err := s.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("web"), Count: aws.Int32(11)})
			return err
		}, "InvalidParameterException", "between 1 and 10"},
		"none at once": {func() error {
			_, err := s.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("web"), Count: aws.Int32(0)})
			return err
		}, "InvalidParameterException", "between 1 and 10"},
		"a page of 101": {func() error {
			_, err := s.ListTasks(ctx, &ecs.ListTasksInput{MaxResults: aws.Int32(101)})
			return err
		}, "InvalidParameterException", "maxResults"},
		"a token of nobody's": {func() error {
			_, err := s.ListTasks(ctx, &ecs.ListTasksInput{NextToken: aws.String("x")})
			return err
		}, "InvalidParameterException", "token"},
		"a status of nobody's": {func() error {
			_, err := s.ListTasks(ctx, &ecs.ListTasksInput{DesiredStatus: "BUSY"})
			return err
		}, "InvalidParameterException", "BUSY"},
		"a filter that cannot be read": {func() error {
			_, err := s.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Filter: aws.String("attribute:x ==")})
			return err
		}, "InvalidParameterException", "filter \"attribute:x ==\": position 15"},
	} {
		wants(t, name, test.call(), test.code, test.words)
	}
}

func TestListsPageToTheirEnd(t *testing.T) {
	s := newStand(t, "process", 7)
	for i := range 5 {
		s.register(fmt.Sprint("family-", i))
		s.createService(fmt.Sprint("service-", i), fmt.Sprint("family-", i), 1)
	}
	ctx := t.Context()
	three := aws.Int32(3)
	for name, test := range map[string]struct {
		page func(token *string) (int, *string, error)
		want int
	}{
		"services": {func(token *string) (int, *string, error) {
			out, err := s.ListServices(ctx, &ecs.ListServicesInput{MaxResults: three, NextToken: token})
			return len(out.ServiceArns), out.NextToken, err
		}, 5},
		"tasks": {func(token *string) (int, *string, error) {
			out, err := s.ListTasks(ctx, &ecs.ListTasksInput{MaxResults: three, NextToken: token})
			return len(out.TaskArns), out.NextToken, err
		}, 5},
		"instances": {func(token *string) (int, *string, error) {
			out, err := s.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{MaxResults: three, NextToken: token})
			return len(out.ContainerInstanceArns), out.NextToken, err
		}, 7},
		"definitions": {func(token *string) (int, *string, error) {
			out, err := s.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{MaxResults: three, NextToken: token, Sort: types.SortOrderDesc})
			return len(out.TaskDefinitionArns), out.NextToken, err
		}, 5},
		"families": {func(token *string) (int, *string, error) {
			out, err := s.ListTaskDefinitionFamilies(ctx, &ecs.ListTaskDefinitionFamiliesInput{MaxResults: three, NextToken: token, FamilyPrefix: aws.String("fam")})
			return len(out.Families), out.NextToken, err
		}, 5},
	} {
		total, pages := 0, 0
		var token *string
		for pages == 0 || token != nil {
			n, next, err := test.page(token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			total, token = total+n, next
			pages++
		}
		if total != test.want || pages != (test.want+2)/3 {
			t.Errorf("%s: %d in %d pages", name, total, pages)
		}
	}
	some, err := s.ListTasks(ctx, &ecs.ListTasksInput{MaxResults: three})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(aws.ToString(some.NextToken))
	if err != nil {
		t.Fatal(err)
	}
	sum, _, _ := strings.Cut(string(raw), ":")
	_, err = s.ListTasks(ctx, &ecs.ListTasksInput{MaxResults: three, NextToken: aws.String(base64.RawURLEncoding.EncodeToString([]byte(sum + ":x")))})
	wants(t, "a token of this listing with a key of nobody's", err, "InvalidParameterException", "token")
	first, err := s.ListServices(ctx, &ecs.ListServicesInput{MaxResults: three})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ListTasks(ctx, &ecs.ListTasksInput{NextToken: first.NextToken})
	wants(t, "a token of another list", err, "InvalidParameterException", "token")
}

func TestDefinitionsAreListedInTheOrderAskedFor(t *testing.T) {
	s := newStand(t, "process", 0)
	for range 11 {
		s.register("web")
	}
	s.register("job")
	for sort, want := range map[types.SortOrder]string{
		types.SortOrderAsc:  "job:1 web:1 web:2 web:3 web:4 web:5 web:6 web:7 web:8 web:9 web:10 web:11",
		types.SortOrderDesc: "web:11 web:10 web:9 web:8 web:7 web:6 web:5 web:4 web:3 web:2 web:1 job:1",
	} {
		out, err := s.ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{Sort: sort})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(strings.Join(out.TaskDefinitionArns, " "), prefix+"task-definition/", "")
		if got != want {
			t.Errorf("%s: %s", sort, got)
		}
	}
}

func TestTheServiceIsNotMadeWithoutAnEngineOrForAnUnknownRuntime(t *testing.T) {
	s := newStand(t, "fake", 0)
	for _, o := range []ecsapi.Options{{}, {Abilities: abilitiesOf("process")}, {Engine: s.engine}} {
		if _, err := ecsapi.New(o); err == nil {
			t.Errorf("made with %+v", o)
		}
	}
}
