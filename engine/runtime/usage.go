package runtime

import (
	"context"
	"time"
)

// Usage is what one container of a running task has used.
type Usage struct {
	Container string
	At        time.Time
	// CPU is the time on all processors since the container's start, of what
	// still runs in it and of what that has waited for.
	CPU time.Duration
	// Memory is in bytes, without what the kernel would give back at once;
	// MemoryLimit is the hard limit, 0 without one.
	Memory, MemoryLimit int64
	// PIDs is the number of processes.
	PIDs int
}

// Meter is the optional ability of a runtime to say what a running task uses. A
// task that does not run is an error that wraps fs.ErrNotExist.
type Meter interface {
	Usage(ctx context.Context, taskID string) ([]Usage, error)
}
