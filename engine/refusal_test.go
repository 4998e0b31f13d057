package engine_test

import (
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
)

// Each refusal is in ECS's words.
func TestCommandsAreRefusedAsECSRefusesThem(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	c.definition("old", 100, 10)
	c.do(engine.DeregisterTaskDefinition{TaskDefinition: "old:1"})
	minus, most := -1, 1<<31-1
	for _, test := range []struct {
		command engine.Command
		code    string
		message string // "" if the words are our own
	}{
		{engine.RunTask{Cluster: "nowhere", TaskDefinition: "web"}, "ClusterNotFoundException", "Cluster not found."},
		{engine.RunTask{TaskDefinition: "web:9"}, "ClientException", "Unable to describe task definition."},
		{engine.RunTask{TaskDefinition: "none"}, "ClientException", "TaskDefinition not found."},
		{engine.RunTask{TaskDefinition: "old:1"}, "ClientException", "TaskDefinition is inactive"},
		{engine.RunTask{}, "InvalidParameterException", "TaskDefinition can not be blank."},
		{engine.RunTask{TaskDefinition: "web", Count: 11}, "InvalidParameterException", ""},
		{engine.RunTask{TaskDefinition: "web", Override: engine.TaskOverride{Containers: []engine.ContainerOverride{{Name: "side"}}}}, "InvalidParameterException", "Override for container named side is not a container in the TaskDefinition."},
		{engine.RunTask{TaskDefinition: "web", StartedBy: strings.Repeat("x", 129)}, "InvalidParameterException", "startedBy has 129 characters: at most 128 are allowed."},
		{engine.RunTask{TaskDefinition: "web", ClientToken: "with space"}, "InvalidParameterException", ""},
		{engine.RunTask{TaskDefinition: "web", ClientToken: strings.Repeat("x", 65)}, "InvalidParameterException", ""},
		{engine.CreateService{Name: "x", TaskDefinition: "web", ClientToken: strings.Repeat("x", 37)}, "InvalidParameterException", ""},
		{engine.StopTask{Task: "none"}, "InvalidParameterException", "The referenced task was not found."},
		{engine.UpdateService{Service: "none"}, "ServiceNotFoundException", "Service not found."},
		{engine.UpdateService{Service: "web", Desired: &minus}, "InvalidParameterException", ""},
		{engine.UpdateService{Service: "web", Desired: &most}, "InvalidParameterException", ""},
		{engine.CreateService{Name: "x", TaskDefinition: "web", Desired: 5001}, "InvalidParameterException", "desiredCount 5001 is invalid: 0 to 5000 are allowed."},
		{engine.DeleteService{Service: "none"}, "ServiceNotFoundException", "Service not found."},
		{engine.CreateService{Name: "a b", TaskDefinition: "web"}, "InvalidParameterException", ""},
		{engine.CreateService{Name: "x", TaskDefinition: "web", Tags: map[string]string{plimsoll.TagPriority: "0"}}, "InvalidParameterException", ""},
		{engine.CreateCluster{Name: "no/pe"}, "InvalidParameterException", ""},
		{engine.DeregisterTaskDefinition{TaskDefinition: "none:1"}, "ClientException", "Unable to describe task definition."},
		{engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "x"}}, "ClientException", "Container list cannot be empty."},
		{engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "x", Containers: []engine.ContainerDefinition{{Name: "a", Essential: true}}}}, "ClientException", "Invalid setting for container 'a'. At least one of 'memory' or 'memoryReservation' must be specified."},
		{engine.UpdateContainerInstancesState{Instances: []string{"x"}, Status: "GONE"}, "InvalidParameterException", ""},
		{engine.UpdateContainerInstancesState{Status: "DRAINING"}, "InvalidParameterException", ""},
		{engine.UpdateTaskProtection{}, "InvalidParameterException", ""},
		{engine.UpdateTaskProtection{Tasks: []string{"x"}, Enabled: true, Expires: 49 * time.Hour}, "InvalidParameterException", ""},
	} {
		refusal := c.refused(test.command)
		if refusal.Code != test.code || (test.message != "" && refusal.Message != test.message) {
			t.Errorf("%T%+v is refused with %v, want %s: %s", test.command, test.command, refusal, test.code, test.message)
		}
	}
}

// Two regions have clusters, services and definitions of the same names.
func TestTheARNOfAnotherRegionOrAccountMeansNothingHere(t *testing.T) {
	c := newHosts(t, 1)
	c.service("web", 1, 1, 100)
	for _, owner := range []string{"eu-west-1:123456789012", "us-east-1:999999999999"} {
		arn := "arn:aws:ecs:" + owner + ":"
		for _, command := range []engine.Command{
			engine.CreateCluster{Name: arn + "cluster/default"},
			engine.DeleteCluster{Cluster: arn + "cluster/default"},
			engine.UpdateService{Service: arn + "service/default/web"},
			engine.DeleteService{Service: arn + "service/default/web", Force: true},
			engine.RunTask{TaskDefinition: arn + "task-definition/web:1"},
			engine.RunTask{Cluster: arn + "cluster/default", TaskDefinition: "web"},
			engine.DeregisterTaskDefinition{TaskDefinition: arn + "task-definition/web:1"},
			engine.TagResource{ARN: arn + "service/default/web", Set: map[string]string{"a": "b"}},
			engine.TagResource{ARN: arn + "task-definition/web:1", Set: map[string]string{"a": "b"}},
		} {
			c.refused(command)
		}
	}
	mine := "arn:aws:ecs:us-east-1:123456789012:"
	c.do(engine.RunTask{Cluster: mine + "cluster/default", TaskDefinition: mine + "task-definition/web:1"})
	c.do(engine.DeleteService{Service: mine + "service/default/web", Force: true})
}

func TestProtectionFailsByNameForEachTask(t *testing.T) {
	c := newHosts(t, 1)
	c.service("mailer", 2, 1, 100)
	c.run()
	running := c.with("mailer", plimsoll.StatusRunning)
	c.definition("job", 100, 10)
	job := c.do(engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult).Tasks[0].ID
	c.protect(running...)
	c.desire("mailer", 0)
	c.protect(running...) // those that are protected may stay so

	c.service("busy", 1, 1, 100)
	c.run()
	one := c.with("busy", plimsoll.StatusRunning)[0]
	c.do(engine.UpdateService{Service: "busy", ForceNewDeployment: true})
	c.protect(one)
	c.run()
	two := c.with("busy", plimsoll.StatusRunning)[1]
	r := c.do(engine.UpdateTaskProtection{Tasks: []string{"gone", job, two}, Enabled: true}).(*engine.ProtectionResult)
	var reasons []string
	for _, f := range r.Failures {
		reasons = append(reasons, f.Reason)
	}
	equal(t, "reasons", reasons, []string{"MISSING", "TASK_NOT_VALID", "DEPLOYMENT_BLOCKED"})
}

func TestAnUnknownRecordIsRefusedByName(t *testing.T) {
	m := engine.New(engine.Config{})
	if err := m.Load("volume/x", []byte("{}")); err == nil {
		t.Error("a record of an unknown kind was taken")
	}
	if err := m.Load("task/x", []byte("{")); err == nil {
		t.Error("a record that is no JSON was taken")
	}
	m.Step(epoch, nil)
	if err := m.Load("cluster/x", []byte("{}")); err == nil {
		t.Error("a record was taken after the first step")
	}
}
