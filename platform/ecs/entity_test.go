package ecs

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"plimsoll"
)

// bound is a container with one binding for each address given.
func bound(containerPort, hostPort int32, addresses ...string) types.Container {
	c := types.Container{}
	for i, address := range addresses {
		b := types.NetworkBinding{
			ContainerPort: &containerPort, HostPort: aws.Int32(hostPort + int32(i)), Protocol: types.TransportProtocolTcp,
		}
		if address != "" {
			b.BindIP = aws.String(address)
		}
		c.NetworkBindings = append(c.NetworkBindings, b)
	}
	return c
}

func TestWhereATaskIsReached(t *testing.T) {
	const host = "10.0.0.7"
	udp := bound(53, 30000, "0.0.0.0")
	udp.NetworkBindings[0].Protocol = types.TransportProtocolUdp
	eni := types.Attachment{Type: aws.String("ElasticNetworkInterface"), Details: []types.KeyValuePair{
		{Name: aws.String("subnetId"), Value: aws.String("subnet-1")},
		{Name: aws.String("privateIPv4Address"), Value: aws.String("10.0.9.9")},
	}}
	tests := map[string]struct {
		task    types.Task
		address string
		want    []plimsoll.Endpoint
	}{
		"bound to an address of its own": {
			types.Task{Containers: []types.Container{bound(8080, 20001, "127.64.1.1")}}, host,
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 20001}},
		},
		"bound to all addresses of its host": {
			types.Task{Containers: []types.Container{bound(8080, 32768, "0.0.0.0")}}, host,
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: host, Port: 32768}},
		},
		"bound to nothing that is said": {
			types.Task{Containers: []types.Container{bound(8080, 32768, "")}}, host,
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: host, Port: 32768}},
		},
		"a host whose address is not known": {
			types.Task{Containers: []types.Container{bound(8080, 32768, "0.0.0.0")}}, "",
			[]plimsoll.Endpoint{{ContainerPort: 8080, Port: 32768}},
		},
		"both families": {
			types.Task{Containers: []types.Container{bound(8080, 32768, "0.0.0.0", "::")}}, host,
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: host, Port: 32768}},
		},
		"IPv4 before IPv6": {
			types.Task{Containers: []types.Container{bound(8080, 32768, "fd00::1", "10.1.1.1")}}, "",
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: "10.1.1.1", Port: 32769}},
		},
		"several containers": {
			types.Task{Containers: []types.Container{bound(8080, 20001, "127.64.1.1"), bound(9090, 20002, "127.64.1.1")}}, "",
			[]plimsoll.Endpoint{{ContainerPort: 8080, Host: "127.64.1.1", Port: 20001}, {ContainerPort: 9090, Host: "127.64.1.1", Port: 20002}},
		},
		"UDP": {types.Task{Containers: []types.Container{udp}}, host, nil},
		"network mode awsvpc": {
			types.Task{Attachments: []types.Attachment{eni}}, host,
			[]plimsoll.Endpoint{{ContainerPort: 80, Host: "10.0.9.9", Port: 80}},
		},
		"not started yet": {types.Task{}, host, nil},
	}
	def := definition{ports: []int{80}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, endpoints(&test.task, def, test.address)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStoppedTaskIsReachedNowhere(t *testing.T) {
	stopped := types.Task{LastStatus: aws.String("STOPPED"), Containers: []types.Container{bound(8080, 20001, "127.64.1.1")}}
	if got := task(&stopped, definition{}, "", time.Time{}); len(got.Endpoints) > 0 {
		t.Errorf("endpoints %v, want none", got.Endpoints)
	}
}

func TestWhatATaskReserves(t *testing.T) {
	two := []types.ContainerDefinition{
		{Name: aws.String("web"), Cpu: 100, Memory: aws.Int32(300), MemoryReservation: aws.Int32(200)},
		{Name: aws.String("log"), Cpu: 28, Memory: aws.Int32(56)},
	}
	tests := map[string]struct {
		definition types.TaskDefinition
		overrides  *types.TaskOverride
		want       plimsoll.Resources
	}{
		"the sums over the containers": {
			types.TaskDefinition{ContainerDefinitions: two}, nil, plimsoll.Resources{CPU: 128, Memory: 256},
		},
		"the task's own figures": {
			types.TaskDefinition{Cpu: aws.String("512"), Memory: aws.String("1024"), ContainerDefinitions: two}, nil,
			plimsoll.Resources{CPU: 512, Memory: 1024},
		},
		"figures with units": {
			types.TaskDefinition{Cpu: aws.String(".5 vCPU"), Memory: aws.String("1 GB")}, nil,
			plimsoll.Resources{CPU: 512, Memory: 1024},
		},
		"one of the two": {
			types.TaskDefinition{Memory: aws.String("512"), ContainerDefinitions: two}, nil,
			plimsoll.Resources{CPU: 128, Memory: 512},
		},
		"a container overridden": {
			types.TaskDefinition{ContainerDefinitions: two},
			&types.TaskOverride{ContainerOverrides: []types.ContainerOverride{
				{Name: aws.String("web"), Cpu: aws.Int32(400), MemoryReservation: aws.Int32(500)},
			}},
			plimsoll.Resources{CPU: 428, Memory: 556},
		},
		"the task overridden": {
			types.TaskDefinition{ContainerDefinitions: two}, &types.TaskOverride{Cpu: aws.String("256")},
			plimsoll.Resources{CPU: 256, Memory: 256},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			def, err := newDefinition(&test.definition)
			if err != nil {
				t.Fatal(err)
			}
			if got := def.reserved(test.overrides); got != test.want {
				t.Errorf("reserved %v, want %v", got, test.want)
			}
		})
	}
}

func TestTheExitCodeIsThatOfTheFirstEssentialContainer(t *testing.T) {
	def, err := newDefinition(&types.TaskDefinition{ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("init"), Essential: aws.Bool(false)}, {Name: aws.String("main")}, {Name: aws.String("side")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := types.Task{Containers: []types.Container{
		{Name: aws.String("init"), ExitCode: aws.Int32(0)},
		{Name: aws.String("side"), ExitCode: aws.Int32(143)},
		{Name: aws.String("main"), ExitCode: aws.Int32(7)},
	}}
	if got := exitCode(&ended, def); got == nil || *got != 7 {
		t.Errorf("exit code %v, want 7", got)
	}
	running := types.Task{Containers: []types.Container{{Name: aws.String("init"), ExitCode: aws.Int32(0)}, {Name: aws.String("main")}}}
	if got := exitCode(&running, def); got != nil {
		t.Errorf("exit code %d while the essential container runs", *got)
	}
}

func TestTheServiceOfATask(t *testing.T) {
	for group, want := range map[string]string{"service:web": "web", "family:batch": "", "": "", "web": "", "service:": ""} {
		if got := serviceOf(&types.Task{Group: aws.String(group)}); got != want {
			t.Errorf("group %q: service %q, want %q", group, got, want)
		}
	}
}

func TestATaskIsUnwellWhileItsCheckFailsOrHasNotPassedYet(t *testing.T) {
	started := time.Unix(1_700_000_000, 0)
	checked := types.ContainerDefinition{HealthCheck: &types.HealthCheck{Interval: aws.Int32(10), Retries: aws.Int32(2), StartPeriod: aws.Int32(30)}}
	for name, c := range map[string]struct {
		status    types.HealthStatus
		container types.ContainerDefinition
		after     time.Duration
		want      bool
	}{
		"it passes":                     {types.HealthStatusHealthy, checked, time.Second, false},
		"it fails":                      {types.HealthStatusUnhealthy, checked, time.Hour, true},
		"it has not passed yet":         {types.HealthStatusUnknown, checked, 59 * time.Second, true},
		"the agent does not tell":       {types.HealthStatusUnknown, checked, 61 * time.Second, false},
		"there is no check":             {types.HealthStatusUnknown, types.ContainerDefinition{}, time.Second, false},
		"nothing is said of its health": {"", checked, time.Second, false},
	} {
		def, err := newDefinition(&types.TaskDefinition{ContainerDefinitions: []types.ContainerDefinition{c.container}})
		if err != nil {
			t.Fatal(err)
		}
		got := task(&types.Task{HealthStatus: c.status, StartedAt: &started, LastStatus: aws.String("RUNNING")}, def, "", started.Add(c.after))
		if got.Unwell != c.want {
			t.Errorf("%s: unwell %t", name, got.Unwell)
		}
	}
}

func TestADeploymentReplacesTasksByItselfWhereECSDoesSo(t *testing.T) {
	by := func(controller types.DeploymentControllerType, strategy types.DeploymentStrategy) types.Service {
		return types.Service{
			DeploymentController:    &types.DeploymentController{Type: controller},
			DeploymentConfiguration: &types.DeploymentConfiguration{Strategy: strategy, MinimumHealthyPercent: aws.Int32(0)},
		}
	}
	for what, c := range map[string]struct {
		service types.Service
		rolling bool
		minimum int
	}{
		"nothing is said":    {types.Service{}, true, 100},
		"rolling":            {by(types.DeploymentControllerTypeEcs, types.DeploymentStrategyRolling), true, 0},
		"no strategy":        {by(types.DeploymentControllerTypeEcs, ""), true, 0},
		"ECS's blue/green":   {by(types.DeploymentControllerTypeEcs, types.DeploymentStrategyBlueGreen), false, 0},
		"CodeDeploy":         {by(types.DeploymentControllerTypeCodeDeploy, ""), false, 0},
		"another controller": {by(types.DeploymentControllerTypeExternal, types.DeploymentStrategyRolling), false, 0},
	} {
		if got := service(&c.service, definition{}); got.Rolling != c.rolling || got.MinimumHealthy != c.minimum {
			t.Errorf("%s: rolling %t with %d %%, want %t with %d %%", what, got.Rolling, got.MinimumHealthy, c.rolling, c.minimum)
		}
	}
}

func TestAServiceNamesWhereECSRegistersItsTasks(t *testing.T) {
	got := service(&types.Service{
		LoadBalancers:     []types.LoadBalancer{{TargetGroupArn: aws.String("arn:group")}, {LoadBalancerName: aws.String("classic")}},
		ServiceRegistries: []types.ServiceRegistry{{RegistryArn: aws.String("arn:registry")}},
	}, definition{}).Registries
	if diff := cmp.Diff([]string{"arn:group", "arn:registry"}, got); diff != "" {
		t.Error(diff)
	}
}
