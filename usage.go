package plimsoll

import "time"

// Usage is what a running task was last measured to use.
type Usage struct {
	// At is when it was measured.
	At         time.Time        `json:"at"`
	Containers []ContainerUsage `json:"containers"`
}

// ContainerUsage is what one container of a task uses.
type ContainerUsage struct {
	Name string `json:"name"`
	// CPU is in CPU units (1024 are one CPU), on average since the measurement
	// before; nil until there are two.
	CPU *float64 `json:"cpu"`
	// Memory and MemoryLimit are in MiB; a limit of 0 is none.
	Memory      float64 `json:"memory"`
	MemoryLimit float64 `json:"memoryLimit,omitempty"`
	Processes   int     `json:"processes"`
}

// CPU is what the containers use together, in CPU units; nil while one of them is
// not known.
func (u Usage) CPU() *float64 {
	sum := 0.0
	for _, c := range u.Containers {
		if c.CPU == nil {
			return nil
		}
		sum += *c.CPU
	}
	return &sum
}

// Memory is what the containers use together, in MiB.
func (u Usage) Memory() float64 {
	sum := 0.0
	for _, c := range u.Containers {
		sum += c.Memory
	}
	return sum
}
