package process_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
)

func TestWhatATaskUsesIsMeasured(t *testing.T) {
	for name, o := range map[string]process.Options{"with cgroups": {}, "without": {NoCgroups: true}} {
		b := newBench(t, o)
		c := script("sleep 600 & while :; do :; done")
		c.Memory = 64
		b.Start(task("busy", c))
		b.next(runtime.Started)
		var first, then runtime.Usage
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			used, err := b.Usage(t.Context(), "busy")
			if err != nil || len(used) != 1 {
				t.Fatalf("%s: %+v, %v", name, used, err)
			}
			if then = used[0]; first.CPU == 0 {
				first = then
			}
			if first.CPU > 0 && then.CPU > first.CPU && then.PIDs >= 2 {
				break
			}
		}
		if then.CPU <= first.CPU || then.PIDs < 2 || then.Memory <= 0 || then.Memory > 64<<20 || then.MemoryLimit != 64<<20 {
			t.Errorf("%s: first %+v, then %+v", name, first, then)
		}
		if _, err := b.Usage(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no task: %v", name, err)
		}
		b.Stop("busy")
		b.next(runtime.Exited)
	}
}
