package soak

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"plimsoll"
)

// A worker in Python, with boto3's standard client and the environment of its
// task alone: it learns who it is, receives, protects itself, works, deletes, ends
// the protection, and releases itself.
func TestAWorkerInPythonNeedsOnlyItsEnvironment(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("python3 with boto3 is needed: %v %s", err, bytes.TrimSpace(out))
	}
	var mu sync.Mutex
	var printed bytes.Buffer
	program := func(ctx context.Context, p *process) {
		cmd := exec.CommandContext(ctx, "python3", "../examples/python-worker/worker.py")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "QUEUE=jobs", "IDLE=1", "VISIBILITY=3"}
		for name, value := range p.spec.Containers[0].Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		out, err := cmd.CombinedOutput()
		mu.Lock()
		defer mu.Unlock()
		printed.Write(out)
		if !cmd.ProcessState.Success() { // the error may be that of a stop that came after
			t.Errorf("%v\n%s", err, out)
		}
	}
	w := newWorld(t, 1, plimsoll.Resources{CPU: 1000, Memory: 1000}, underControl(5), program)
	url := w.queueURL()
	if _, err := w.sqs().SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("picture"),
		// Longer than the message is hidden at a time.
		MessageAttributes: map[string]types.MessageAttributeValue{"seconds": {DataType: aws.String("Number"), StringValue: aws.String("4")}},
	}); err != nil {
		t.Fatal(err)
	}
	w.service(1)
	w.until("the worker counted out", time.Minute, func() bool { d, running := w.counts(); return d == 0 && running == 0 })
	w.machine.running.Wait()
	want := []string{"task arn:aws:ecs:", "protected", "working on picture {'seconds': '4'}", "done with picture", "deleted picture", "unprotected", "released"}
	lines := strings.Split(strings.TrimSpace(printed.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("printed\n%s", printed.String())
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], want[i])
		}
	}
	if n := w.tasks(); n != 1 {
		t.Errorf("%d tasks were started", n)
	}
}
