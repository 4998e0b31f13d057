package plimsoll

import "fmt"

// Resources is what a task reserves, or what a container instance offers or
// has left. It is a plain value: arithmetic on it never clamps, so that an
// overdraft is visible as a negative figure.
type Resources struct {
	// CPU is in CPU units: 1024 are one virtual CPU.
	CPU int64 `json:"cpu"`
	// Memory is in MiB.
	Memory int64 `json:"memory"`
	// GPU is a number of whole GPUs.
	GPU int64 `json:"gpu,omitempty"`
}

// Add returns r + o.
func (r Resources) Add(o Resources) Resources {
	return Resources{CPU: r.CPU + o.CPU, Memory: r.Memory + o.Memory, GPU: r.GPU + o.GPU}
}

// Sub returns r - o; a negative figure means that o does not fit in r.
func (r Resources) Sub(o Resources) Resources {
	return Resources{CPU: r.CPU - o.CPU, Memory: r.Memory - o.Memory, GPU: r.GPU - o.GPU}
}

// Fits tells whether r can be taken out of free in every dimension.
func (r Resources) Fits(free Resources) bool {
	return r.CPU <= free.CPU && r.Memory <= free.Memory && r.GPU <= free.GPU
}

// Times returns r taken n times.
func (r Resources) Times(n int) Resources {
	return Resources{CPU: r.CPU * int64(n), Memory: r.Memory * int64(n), GPU: r.GPU * int64(n)}
}

// Least is the smaller of both in each dimension.
func (r Resources) Least(o Resources) Resources {
	return Resources{CPU: min(r.CPU, o.CPU), Memory: min(r.Memory, o.Memory), GPU: min(r.GPU, o.GPU)}
}

// Most is the larger of both in each dimension.
func (r Resources) Most(o Resources) Resources {
	return Resources{CPU: max(r.CPU, o.CPU), Memory: max(r.Memory, o.Memory), GPU: max(r.GPU, o.GPU)}
}

// IsZero tells whether nothing at all is reserved.
func (r Resources) IsZero() bool { return r == Resources{} }

// String gives the figures with their units, for reasons and errors.
func (r Resources) String() string {
	if r.GPU != 0 {
		return fmt.Sprintf("%d CPU units, %d MiB, %d GPU", r.CPU, r.Memory, r.GPU)
	}
	return fmt.Sprintf("%d CPU units, %d MiB", r.CPU, r.Memory)
}
