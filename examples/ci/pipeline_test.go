package ci_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The pipeline is run as a CI machine runs it.
func TestThePipelineTestsTheServiceAgainstTheEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("each call of the AWS CLI takes most of a second: not in a short run")
	}
	for _, program := range []string{"aws", "curl", "bash", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the pipeline needs %s: %v", program, err)
		}
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "plimsoll/cmd/plimsoll", "plimsoll/examples/ci/greeter")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "./pipeline", bin+"/plimsoll", bin+"/greeter")
	run.WaitDelay = 10 * time.Second
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "a broken version does not get through") {
		t.Fatalf("%v\n%s", err, out)
	}
}
