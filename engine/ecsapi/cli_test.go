package ecsapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// cli runs the AWS CLI against the stand with nothing but the environment that
// `plimsoll env` prints, and gives what it printed as JSON.
func (s *stand) cli(args ...string) (map[string]any, string, error) {
	s.t.Helper()
	// Version 1 does not read AWS_ENDPOINT_URL for `aws sqs`.
	c := exec.CommandContext(s.t.Context(), "aws", append([]string{"--endpoint-url", s.url, "--output", "json"}, args...)...)
	home := s.t.TempDir()
	// The CLI asks for nothing of `execute-command` before it has found its plugin.
	if err := os.WriteFile(filepath.Join(home, "session-manager-plugin"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	c.Env = []string{
		"PATH=" + os.Getenv("PATH") + ":" + home, "HOME=" + home, "AWS_CONFIG_FILE=" + filepath.Join(home, "none"),
		"AWS_ENDPOINT_URL=" + s.url, "AWS_DEFAULT_REGION=" + region, "AWS_REGION=" + region, "AWS_MAX_ATTEMPTS=1",
		"AWS_ACCESS_KEY_ID=" + s.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.keys.Secret, "AWS_PAGER=",
		"PYENV_ROOT=" + os.Getenv("PYENV_ROOT"),
	}
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	err := c.Run()
	var fields map[string]any
	if err == nil && out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
			s.t.Fatalf("aws %s: %v: %s", strings.Join(args, " "), err, &out)
		}
	}
	return fields, problems.String(), err
}

// must runs the CLI and gives the value at a path of its answer: "service.status".
func (s *stand) must(path string, args ...string) any {
	s.t.Helper()
	fields, problems, err := s.cli(args...)
	if err != nil {
		s.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, problems)
	}
	var at any = fields
	for _, step := range strings.Split(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			if len(v) == 0 {
				s.t.Fatalf("aws %s: nothing at %s in %v", strings.Join(args, " "), path, fields)
			}
			at = v[0].(map[string]any)[step]
		}
	}
	return at
}

func TestAnOrdinarySessionOfTheAWSCLI(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skipf("the AWS CLI is not installed: %v", err)
	}
	if testing.Short() {
		t.Skip("each call of the AWS CLI takes most of a second: not in a short run")
	}
	s := newStand(t, "process", 2)
	same := func(want any, path string, args ...string) {
		t.Helper()
		if got := s.must(path, args...); got != want {
			t.Errorf("aws %s: %s is %v, want %v", strings.Join(args, " "), path, got, want)
		}
	}
	same(account, "Account", "sts", "get-caller-identity")
	same("ACTIVE", "cluster.status", "ecs", "create-cluster", "--cluster-name", "mine")
	same(1.0, "taskDefinition.revision", "ecs", "register-task-definition", "--family", "web", "--container-definitions",
		`[{"name":"main","command":["./web"],"cpu":64,"memory":64,"portMappings":[{"containerPort":80}]}]`)
	same(prefix+"service/default/web", "service.serviceArn", "ecs", "create-service", "--service-name", "web",
		"--task-definition", "web", "--desired-count", "2", "--tags", "key=plimsoll:priority,value=1")
	if _, problems, err := s.cli("ecs", "wait", "services-stable", "--services", "web"); err != nil {
		t.Errorf("wait: %v %s", err, problems)
	}
	same(2.0, "services.runningCount", "ecs", "describe-services", "--services", "web", "--include", "TAGS")
	arn, _ := s.must("tasks.taskArn", "ecs", "run-task", "--task-definition", "web", "--started-by", "cli").(string)
	if !strings.HasPrefix(arn, prefix+"task/default/") {
		t.Errorf("run-task gave %q", arn)
	}
	s.until("the task runs", func() bool { return *s.task(arn).LastStatus == "RUNNING" })
	same("RUNNING", "tasks.lastStatus", "ecs", "describe-tasks", "--tasks", arn)
	same("STOPPED", "task.desiredStatus", "ecs", "stop-task", "--task", arn, "--reason", "enough")
	same(0.0, "service.desiredCount", "ecs", "update-service", "--service", "web", "--desired-count", "0")
	same(0.0, "service.desiredCount", "ecs", "delete-service", "--service", "web", "--force")
	s.until("nothing runs", func() bool { return len(s.tasks(ecs.ListTasksInput{})) == 0 })
	_, problems, err := s.cli("ecs", "describe-services", "--cluster", "nowhere", "--services", "web")
	if err == nil || !strings.Contains(problems, "(ClusterNotFoundException)") {
		t.Errorf("a cluster that is not there: %v %s", err, problems)
	}

	url, _ := s.must("QueueUrl", "sqs", "create-queue", "--queue-name", "jobs").(string)
	if url != s.url+"/"+account+"/jobs" {
		t.Errorf("create-queue gave %q", url)
	}
	s.must("MessageId", "sqs", "send-message", "--queue-url", url, "--message-body", "hello")
	handle, _ := s.must("Messages.ReceiptHandle", "sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "1").(string)
	s.must("", "sqs", "delete-message", "--queue-url", url, "--receipt-handle", handle)
	same("0", "Attributes.ApproximateNumberOfMessages", "sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All")
	s.must("", "sqs", "delete-queue", "--queue-url", url)
	_, problems, err = s.cli("sqs", "get-queue-url", "--queue-name", "jobs")
	if err == nil || !strings.Contains(problems, "(AWS.SimpleQueueService.NonExistentQueue)") {
		t.Errorf("a queue that is not there: %v %s", err, problems)
	}
}
