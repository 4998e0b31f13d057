package ecsapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/docker"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/runtime/process"
)

// whole is a definition with all that the Docker runtime honours.
func whole() *ecs.RegisterTaskDefinitionInput {
	return &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("whole"), Cpu: aws.String("512"), Memory: aws.String("512"), NetworkMode: types.NetworkModeBridge,
		TaskRoleArn: aws.String("arn:aws:iam::123456789012:role/r"), ExecutionRoleArn: aws.String("arn:aws:iam::123456789012:role/e"),
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityEc2},
		RuntimePlatform:         &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureX8664, OperatingSystemFamily: types.OSFamilyLinux},
		PlacementConstraints:    []types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("attribute:disk == ssd")}},
		Volumes: []types.Volume{
			{Name: aws.String("own")},
			{Name: aws.String("shared"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{
				Scope: types.ScopeShared, Autoprovision: aws.Bool(true), Driver: aws.String("local"),
				DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs"}, Labels: map[string]string{"l": "m"},
			}},
			{Name: aws.String("host"), Host: &types.HostVolumeProperties{SourcePath: aws.String("/srv/data")}},
		},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("main"), Image: aws.String("nginx"), Essential: aws.Bool(true), Cpu: 256, Memory: aws.Int32(256), MemoryReservation: aws.Int32(128),
			EntryPoint: []string{"/bin/sh"}, Command: []string{"-c", "x"}, WorkingDirectory: aws.String("/w"), User: aws.String("1:1"),
			Environment:  []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("B")}},
			DockerLabels: map[string]string{"k": "v"},
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(8080), Protocol: types.TransportProtocolUdp, Name: aws.String("web")}},
			DependsOn: []types.ContainerDependency{
				{ContainerName: aws.String("migrate"), Condition: types.ContainerConditionSuccess},
				{ContainerName: aws.String("db"), Condition: types.ContainerConditionHealthy},
			},
			StartTimeout: aws.Int32(60), StopTimeout: aws.Int32(20),
			Ulimits:       []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 100, HardLimit: 200}},
			RestartPolicy: &types.ContainerRestartPolicy{Enabled: aws.Bool(true), IgnoredExitCodes: []int32{0, 3}, RestartAttemptPeriod: aws.Int32(60)},
			HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "true"}, Interval: aws.Int32(10), Timeout: aws.Int32(3),
				Retries: aws.Int32(2), StartPeriod: aws.Int32(30)},
			LinuxParameters: &types.LinuxParameters{
				InitProcessEnabled: aws.Bool(true), SharedMemorySize: aws.Int32(64), MaxSwap: aws.Int32(10),
				Capabilities: &types.KernelCapabilities{Add: []string{"NET_RAW"}, Drop: []string{"MKNOD"}},
				Tmpfs:        []types.Tmpfs{{ContainerPath: aws.String("/tmp"), Size: 16, MountOptions: []string{"noexec"}}},
			},
			MountPoints: []types.MountPoint{
				{SourceVolume: aws.String("own"), ContainerPath: aws.String("/own")},
				{SourceVolume: aws.String("host"), ContainerPath: aws.String("/host"), ReadOnly: aws.Bool(true)},
			},
			VolumesFrom:            []types.VolumeFrom{{SourceContainer: aws.String("db"), ReadOnly: aws.Bool(true)}},
			ReadonlyRootFilesystem: aws.Bool(true), Hostname: aws.String("h"), Links: []string{"db:database"},
			ExtraHosts: []types.HostEntry{{Hostname: aws.String("x"), IpAddress: aws.String("10.0.0.1")}},
			DnsServers: []string{"10.0.0.2"}, DnsSearchDomains: []string{"example.com"}, Interactive: aws.Bool(true),
			SystemControls:   []types.SystemControl{{Namespace: aws.String("net.core.somaxconn"), Value: aws.String("100")}},
			LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverJsonFile, Options: map[string]string{"max-size": "1m"}},
		}, {
			Name: aws.String("migrate"), Image: aws.String("busybox"), Essential: aws.Bool(false), Command: []string{"true"},
		}, {
			Name: aws.String("db"), Image: aws.String("postgres"),
			MountPoints: []types.MountPoint{{SourceVolume: aws.String("shared"), ContainerPath: aws.String("/var/lib/db")}},
			HealthCheck: &types.HealthCheck{Command: []string{"CMD", "pg_isready"}},
		}},
	}
}

func TestADefinitionIsDescribedAsItWasRegisteredWithECSsDefaults(t *testing.T) {
	s := newStandOf(t, docker.Abilities(runtime.Allow{HostPaths: []string{"/srv/data"}}), 1)
	in := whole()
	if _, err := s.RegisterTaskDefinition(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	out, err := s.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("whole")})
	if err != nil {
		t.Fatal(err)
	}
	got := out.TaskDefinition
	// What ECS fills in.
	in.Volumes[0].Host = &types.HostVolumeProperties{}
	db := in.ContainerDefinitions[2].HealthCheck
	db.Interval, db.Timeout, db.Retries = aws.Int32(30), aws.Int32(5), aws.Int32(3)
	in.ContainerDefinitions[2].Essential = aws.Bool(true)
	want := types.TaskDefinition{
		Family: in.Family, Cpu: in.Cpu, Memory: in.Memory, NetworkMode: in.NetworkMode, TaskRoleArn: in.TaskRoleArn, ExecutionRoleArn: in.ExecutionRoleArn,
		RequiresCompatibilities: in.RequiresCompatibilities, RuntimePlatform: in.RuntimePlatform, PlacementConstraints: in.PlacementConstraints,
		Volumes: in.Volumes, ContainerDefinitions: in.ContainerDefinitions, Status: types.TaskDefinitionStatusActive, Revision: 1,
		TaskDefinitionArn: aws.String(prefix + "task-definition/whole:1"), Compatibilities: []types.Compatibility{"EXTERNAL", "EC2"},
	}
	if diff := cmp.Diff(want, *got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(types.TaskDefinition{}, "RegisteredAt", "RegisteredBy"),
		cmp.FilterPath(func(p cmp.Path) bool {
			f, ok := p.Last().(cmp.StructField)
			return ok && f.Name() == "noSmithyDocumentSerde"
		}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	gone, err := s.DeregisterTaskDefinition(t.Context(), &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("whole:1")})
	if err != nil || gone.TaskDefinition.Status != types.TaskDefinitionStatusInactive || gone.TaskDefinition.DeregisteredAt == nil {
		t.Errorf("%+v, %v", gone, err)
	}
}

// TestWhatWasRegisteredReachesTheRuntime: the runtime is told all of it.
func TestWhatWasRegisteredReachesTheRuntime(t *testing.T) {
	specs := make(chan runtime.Spec, 1)
	s := newStandOf(t, fake.Abilities(), 1, func(o *fake.Options) {
		o.Fate = func(spec runtime.Spec) fake.Fate { specs <- spec; return fake.Fate{} }
	})
	in := whole()
	in.PlacementConstraints = nil
	if _, err := s.RegisterTaskDefinition(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if out, err := s.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: in.Family}); err != nil || len(out.Tasks) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	spec := <-specs
	main := spec.Containers[0]
	if len(spec.Volumes) != 3 || spec.Volumes[2].HostPath != "/srv/data" || !spec.Volumes[1].Shared || !spec.Volumes[1].Provision {
		t.Errorf("volumes %+v", spec.Volumes)
	}
	if len(main.DependsOn) != 2 || main.StartTimeout != time.Minute || main.StopTimeout != 20*time.Second || main.Restart.AttemptPeriod != time.Minute ||
		main.HealthCheck.Interval != 10*time.Second || main.HealthCheck.Retries != 2 || main.HealthCheck.StartPeriod != 30*time.Second {
		t.Errorf("order %+v", main)
	}
	yes, swap := true, int64(10)
	if diff := cmp.Diff(runtime.Setting{
		Ulimits: []runtime.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}, Init: &yes, AddCapabilities: []string{"NET_RAW"}, DropCapabilities: []string{"MKNOD"},
		Tmpfs:       []runtime.Tmpfs{{Path: "/tmp", Size: 16, Options: []string{"noexec"}}},
		Mounts:      []runtime.Mount{{Volume: "own", Path: "/own"}, {Volume: "host", Path: "/host", ReadOnly: true}},
		VolumesFrom: []runtime.VolumeFrom{{Container: "db", ReadOnly: true}}, ReadOnlyRoot: true, SharedMemory: 64, Swap: &swap,
		Sysctls: map[string]string{"net.core.somaxconn": "100"}, Hostname: "h", ExtraHosts: []string{"x:10.0.0.1"}, Links: []string{"db:database"},
		DNSServers: []string{"10.0.0.2"}, SearchDomains: []string{"example.com"}, Stdin: true,
		LogDriver: "json-file", LogOptions: map[string]string{"max-size": "1m"},
	}, main.Setting); diff != "" {
		t.Error(diff)
	}
}

// shell is a container of the process runtime.
func shell(name, script string) types.ContainerDefinition {
	return types.ContainerDefinition{
		Name: &name, Command: []string{"/bin/sh", "-c", script}, Memory: aws.Int32(64), Cpu: 64, StopTimeout: aws.Int32(5), Essential: aws.Bool(name == "main"),
	}
}

const waits = `trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done`

// run registers a definition of these containers and runs a task of it.
func (s *stand) run(family string, containers ...types.ContainerDefinition) string {
	s.t.Helper()
	if _, err := s.RegisterTaskDefinition(s.t.Context(), &ecs.RegisterTaskDefinitionInput{Family: &family, ContainerDefinitions: containers}); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.RunTask(s.t.Context(), &ecs.RunTaskInput{TaskDefinition: &family})
	if err != nil || len(out.Tasks) != 1 {
		s.t.Fatalf("%+v, %v", out, err)
	}
	return *out.Tasks[0].TaskArn
}

func container(t types.Task, name string) types.Container {
	for _, c := range t.Containers {
		if *c.Name == name {
			return c
		}
	}
	return types.Container{}
}

func (s *stand) becomes(arn, status string) types.Task {
	s.t.Helper()
	s.until("the task is "+status, func() bool { return *s.task(arn).LastStatus == status })
	return s.task(arn)
}

// overProcesses is an engine whose tasks are processes of this machine.
func overProcesses(t *testing.T) *stand {
	t.Helper()
	return newStandOver(t, process.Abilities(), 1, func(sink runtime.Sink) (runtime.Runtime, error) {
		r, err := process.New(process.Options{Dir: t.TempDir(), NoCgroups: true}, sink)
		if err == nil {
			t.Cleanup(func() { r.Close() })
		}
		return r, err
	})
}

func TestATaskOfSeveralContainersLivesItsWholeLife(t *testing.T) {
	s := overProcesses(t)
	main, migrate, side := shell("main", waits), shell("migrate", "exit 0"), shell("side", waits)
	main.DependsOn = []types.ContainerDependency{
		{ContainerName: aws.String("migrate"), Condition: types.ContainerConditionSuccess},
		{ContainerName: aws.String("side"), Condition: types.ContainerConditionHealthy},
	}
	side.HealthCheck = &types.HealthCheck{Command: []string{"CMD-SHELL", "exit 0"}}
	main.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "true"}}
	arn := s.run("whole", main, migrate, side)
	s.until("main waits for side", func() bool {
		t := s.task(arn)
		return *container(t, "side").LastStatus == "RUNNING" && *container(t, "main").LastStatus == "PENDING" && *t.LastStatus == "PENDING"
	})
	s.becomes(arn, "RUNNING")
	s.until("the task is healthy", func() bool { return s.task(arn).HealthStatus == types.HealthStatusHealthy })
	got := s.task(arn)
	if c := container(got, "migrate"); *c.LastStatus != "STOPPED" || c.ExitCode == nil || *c.ExitCode != 0 || c.HealthStatus != types.HealthStatusUnknown {
		t.Errorf("migrate %+v", c)
	}
	if c := container(got, "side"); *c.LastStatus != "RUNNING" || c.HealthStatus != types.HealthStatusHealthy {
		t.Errorf("side %+v", c)
	}
	if _, err := s.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn}); err != nil {
		t.Fatal(err)
	}
	got = s.becomes(arn, "STOPPED")
	for _, c := range got.Containers {
		if *c.LastStatus != "STOPPED" || c.ExitCode == nil || *c.ExitCode != 0 {
			t.Errorf("%s: %+v", *c.Name, c)
		}
	}
	times := []*time.Time{got.CreatedAt, got.StartedAt, got.StoppingAt, got.ExecutionStoppedAt, got.StoppedAt}
	for i := range times {
		if times[i] == nil || i > 0 && times[i].Before(*times[i-1]) {
			t.Errorf("time %d of %v", i, times)
		}
	}
	if got.StopCode != types.TaskStopCodeUserInitiated {
		t.Errorf("stop code %s", got.StopCode)
	}
}

func TestAStartThatFailsGivesItsReasonAtTheTaskAndAtTheContainer(t *testing.T) {
	s := overProcesses(t)
	bad := shell("bad", "")
	bad.Command = []string{"no-such-program"}
	late := shell("late", waits)
	late.StartTimeout, late.HealthCheck = aws.Int32(1), &types.HealthCheck{Command: []string{"CMD", "false"}}
	waiting := shell("main", waits)
	waiting.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("late"), Condition: types.ContainerConditionHealthy}}
	failing := shell("main", waits)
	failing.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("first"), Condition: types.ContainerConditionSuccess}}
	for name, test := range map[string]struct {
		containers []types.ContainerDefinition
		reason     string
		blamed     string
	}{
		"missing": {[]types.ContainerDefinition{shell("main", waits), bad}, "CannotStartContainerError", "bad"},
		"late":    {[]types.ContainerDefinition{waiting, late}, "startTimeout of 1s", ""},
		"depends": {[]types.ContainerDefinition{failing, shell("first", "exit 9")}, "which exited with code 9", ""},
	} {
		arn := s.run(name, test.containers...)
		got := s.becomes(arn, "STOPPED")
		if got.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(*got.StoppedReason, test.reason) || got.StartedAt != nil || got.StoppedAt == nil {
			t.Errorf("%s: %s, %q", name, got.StopCode, *got.StoppedReason)
		}
		if test.blamed != "" && !strings.Contains(aws.ToString(container(got, test.blamed).Reason), test.reason) {
			t.Errorf("%s: the reason of %s is %+v", name, test.blamed, container(got, test.blamed).Reason)
		}
		if name == "depends" && *container(got, "first").ExitCode != 9 {
			t.Errorf("first: %+v", container(got, "first"))
		}
	}
}

func TestAnEssentialContainerThatExitsGivesItsCode(t *testing.T) {
	s := overProcesses(t)
	arn := s.run("ends", shell("main", "exit 42"), shell("side", waits))
	got := s.becomes(arn, "STOPPED")
	if got.StopCode != types.TaskStopCodeEssentialContainerExited || *got.StoppedReason != "Essential container in task exited" ||
		*container(got, "main").ExitCode != 42 || container(got, "side").ExitCode == nil {
		t.Errorf("got %s %q %+v", got.StopCode, *got.StoppedReason, got.Containers)
	}
}

func TestAServiceReplacesATaskThatIsUnhealthy(t *testing.T) {
	s := newStandOf(t, fake.Abilities(), 2)
	web := types.ContainerDefinition{
		Name: aws.String("main"), Image: aws.String("web"), Memory: aws.Int32(64),
		HealthCheck: &types.HealthCheck{Command: []string{"CMD", "x"}},
	}
	if _, err := s.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{web}}); err != nil {
		t.Fatal(err)
	}
	s.createService("web", "web", 1)
	s.steady("web")
	first := s.tasks(ecs.ListTasksInput{ServiceName: aws.String("web")})[0]
	s.until("it is healthy", func() bool { return s.task(first).HealthStatus == types.HealthStatusHealthy })
	s.world.Judge(first[strings.LastIndexByte(first, '/')+1:], "main", false)
	got := s.becomes(first, "STOPPED")
	if got.StopCode != types.TaskStopCodeServiceSchedulerInitiated || *got.StoppedReason != "Task failed container health checks" {
		t.Errorf("got %s, %q", got.StopCode, *got.StoppedReason)
	}
	s.until("another runs", func() bool {
		running := s.tasks(ecs.ListTasksInput{ServiceName: aws.String("web")})
		return len(running) == 1 && running[0] != first
	})
	said := false
	for _, e := range s.service("web").Events {
		said = said || strings.Contains(*e.Message, "failed container health checks")
	}
	if !said {
		t.Error("no event says so")
	}
	// A standalone task is only said to be.
	run, err := s.RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: aws.String("web")})
	if err != nil {
		t.Fatal(err)
	}
	alone := *run.Tasks[0].TaskArn
	s.until("it is healthy", func() bool { return s.task(alone).HealthStatus == types.HealthStatusHealthy })
	s.world.Judge(alone[strings.LastIndexByte(alone, '/')+1:], "main", false)
	s.until("it is unhealthy", func() bool { return s.task(alone).HealthStatus == types.HealthStatusUnhealthy })
	if got := s.task(alone); *got.LastStatus != "RUNNING" || got.PullStartedAt == nil || got.PullStoppedAt == nil {
		t.Errorf("got %+v", got)
	}
}
