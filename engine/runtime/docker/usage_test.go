package docker_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"plimsoll/engine/runtime"
)

func TestWhatATaskUsesIsMeasured(t *testing.T) {
	b := newBench(t, runtime.Allow{})
	spec := shell("busy", "echo ready; sleep 600 & while :; do :; done")
	spec.Containers[0].Memory, spec.Containers[0].StopTimeout = 64, time.Second
	b.Start(spec)
	b.next(runtime.Started)
	b.ready("busy")
	var first, then runtime.Usage
	eventually(t, "it has used more CPU time", func() bool {
		used, err := b.Usage(t.Context(), "busy")
		if err != nil || len(used) != 1 {
			t.Fatalf("%+v, %v", used, err)
		}
		if then = used[0]; first.CPU == 0 {
			first = then
		}
		return first.CPU > 0 && then.CPU > first.CPU && then.PIDs == 2
	})
	if then.Container != "main" || !then.At.After(first.At) || then.Memory <= 0 || then.Memory > 64<<20 || then.MemoryLimit != 64<<20 {
		t.Errorf("first %+v, then %+v", first, then)
	}
	b.Stop("busy")
	b.next(runtime.Exited)
	for _, id := range []string{"busy", "none"} {
		if used, err := b.Usage(t.Context(), id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s does not run: %+v, %v", id, used, err)
		}
	}
}
