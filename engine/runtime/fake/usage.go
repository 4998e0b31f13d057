package fake

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"plimsoll/engine/runtime"
)

// unitsPerCPU are the CPU units of one CPU.
const unitsPerCPU = 1024

// Usage implements runtime.Meter: what the task's fate says that each of its
// containers uses.
func (r *Runtime) Usage(_ context.Context, taskID string) ([]runtime.Usage, error) {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tasks[taskID]
	if t == nil || !t.started || t.ended {
		return nil, fmt.Errorf("task %q: %w", taskID, fs.ErrNotExist)
	}
	now := w.now()
	ran := max(0, now.Sub(t.pulled))
	var all []runtime.Usage
	for i, c := range t.spec.Containers {
		if !t.course.Running(i) {
			continue
		}
		all = append(all, runtime.Usage{
			Container: c.Name, At: now, CPU: time.Duration(t.fate.CPU / unitsPerCPU * float64(ran)),
			Memory: t.fate.Memory, MemoryLimit: c.Memory << 20, PIDs: 1,
		})
	}
	return all, nil
}
