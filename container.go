package plimsoll

import "time"

// HealthCheck is run in the container and says by 0 that it is healthy. Zero
// fields are the platform's defaults.
type HealthCheck struct {
	// Command begins with CMD or CMD-SHELL.
	Command                        []string
	Interval, Timeout, StartPeriod time.Duration // whole seconds
	Retries                        int
}

// Ulimit bounds a resource of a container; -1 is no bound.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Tmpfs is a file system in memory, of Size MiB.
type Tmpfs struct {
	Path    string
	Size    int64
	Options []string
}

// Mount is a volume at a path of the container. Volume names one that outlives
// the tasks and is shared by them, HostPath a path of the host; with neither
// it is the task's own.
type Mount struct {
	Volume, HostPath, Path string
	ReadOnly               bool
	// External volumes are there already.
	External bool
	Driver   string
	Options  map[string]string
}
