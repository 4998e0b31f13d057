package ecsapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestAWholeSessionOfBoto3WithItsWaiters(t *testing.T) {
	if testing.Short() {
		t.Skip("boto3 takes seconds to begin: not in a short run")
	}
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		t.Skipf("boto3 is not installed: %v", err)
	}
	s := newStand(t, "process", 2)
	c := exec.CommandContext(t.Context(), "python3", filepath.Join("testdata", "session.py"))
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "PYENV_ROOT=" + os.Getenv("PYENV_ROOT"), "HOME=" + t.TempDir(),
		"AWS_ENDPOINT_URL=" + s.url, "AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + s.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.keys.Secret,
	}
	if out, err := c.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "done" {
		t.Errorf("%v\n%s", err, out)
	}
}

// ecsCLI sends what ecs-cli sends, in its order.
type ecsCLI struct{ *stand }

// settled waits as ecs-cli does: for one deployment, and as many tasks as are
// desired.
func (c ecsCLI) settled(service string, desired int32) {
	c.t.Helper()
	c.until("ecs-cli sees "+service+" as it is to be", func() bool {
		got := c.service(service)
		return len(got.Deployments) == 1 && got.RunningCount == desired && got.DesiredCount == desired
	})
}

// up is `ecs-cli compose service up`.
func (c ecsCLI) up(service string, definition *ecs.RegisterTaskDefinitionInput) {
	c.t.Helper()
	was, err := c.DescribeServices(c.t.Context(), &ecs.DescribeServicesInput{Services: []string{service}})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.DescribeTaskDefinition(c.t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: definition.Family}); err != nil {
		wants(c.t, "a family that is not there", err, "ClientException", "Unable to describe task definition.")
	}
	made, err := c.RegisterTaskDefinition(c.t.Context(), definition)
	if err != nil {
		c.t.Fatal(err)
	}
	settings, err := c.ListAccountSettings(c.t.Context(), &ecs.ListAccountSettingsInput{EffectiveSettings: true, Name: types.SettingNameServiceLongArnFormat})
	if err != nil || len(settings.Settings) != 1 || aws.ToString(settings.Settings[0].PrincipalArn) == "" {
		c.t.Fatalf("%+v, %v", settings, err)
	}
	if len(was.Services) == 0 || *was.Services[0].Status == "INACTIVE" {
		if _, err := c.CreateService(c.t.Context(), &ecs.CreateServiceInput{
			ServiceName: aws.String(service), TaskDefinition: made.TaskDefinition.TaskDefinitionArn, DesiredCount: aws.Int32(1),
			LaunchType: types.LaunchTypeEc2, EnableECSManagedTags: true,
		}); err != nil {
			c.t.Fatal(err)
		}
	} else if _, err := c.UpdateService(c.t.Context(), &ecs.UpdateServiceInput{
		Service: aws.String(service), TaskDefinition: made.TaskDefinition.TaskDefinitionArn, DesiredCount: aws.Int32(was.Services[0].DesiredCount),
	}); err != nil {
		c.t.Fatal(err)
	}
}

// ps is `ecs-cli ps` as far as it asks ECS, and gives the states of the tasks.
func (c ecsCLI) ps() []string {
	c.t.Helper()
	if got, err := c.DescribeClusters(c.t.Context(), &ecs.DescribeClustersInput{Clusters: []string{"default"}}); err != nil || len(got.Clusters) != 1 {
		c.t.Fatalf("%+v, %v", got, err)
	}
	var states []string
	for _, desired := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		arns := c.tasks(ecs.ListTasksInput{DesiredStatus: desired})
		if len(arns) == 0 {
			continue
		}
		tasks, err := c.DescribeTasks(c.t.Context(), &ecs.DescribeTasksInput{Tasks: arns})
		if err != nil {
			c.t.Fatal(err)
		}
		var hosts []string
		for _, task := range tasks.Tasks {
			states = append(states, *task.LastStatus)
			hosts = append(hosts, *task.ContainerInstanceArn)
		}
		got, err := c.DescribeContainerInstances(c.t.Context(), &ecs.DescribeContainerInstancesInput{ContainerInstances: hosts})
		if err != nil || len(got.Failures) > 0 || aws.ToString(got.ContainerInstances[0].Ec2InstanceId) == "" {
			c.t.Fatalf("%+v, %v", got, err)
		}
	}
	return states
}

func (c ecsCLI) scale(service string, n int32) {
	c.t.Helper()
	if _, err := c.UpdateService(c.t.Context(), &ecs.UpdateServiceInput{Service: aws.String(service), DesiredCount: aws.Int32(n)}); err != nil {
		c.t.Fatal(err)
	}
	c.settled(service, n)
}

func TestTheCallsOfECSCLIsComposeServiceAsAWhole(t *testing.T) {
	c := ecsCLI{newStand(t, "process", 2)}
	definition := &ecs.RegisterTaskDefinitionInput{Family: aws.String("web"), ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("main"), Command: []string{"x"}, Memory: aws.Int32(64), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80)}}},
	}}
	c.up("web", definition)
	c.settled("web", 1)
	c.scale("web", 3)
	if got := c.ps(); len(got) != 3 || got[0] != "RUNNING" {
		t.Errorf("ps says %v", got)
	}
	c.up("web", definition) // a second up is an update
	c.settled("web", 3)
	if got := *c.service("web").TaskDefinition; !strings.HasSuffix(got, "web:2") {
		t.Errorf("the second up left %s", got)
	}
	c.scale("web", 0) // stop
	c.scale("web", 2) // start
	// down
	c.scale("web", 0)
	if _, err := c.DeleteService(t.Context(), &ecs.DeleteServiceInput{Service: aws.String("web")}); err != nil {
		t.Fatal(err)
	}
	c.until("the service is inactive", func() bool { return *c.service("web").Status == "INACTIVE" })
	c.up("web", definition)
	c.settled("web", 1)
}
