package order

import "time"

// The states of a container's health, as ECS names them.
const (
	HealthUnknown   = "UNKNOWN"
	HealthHealthy   = "HEALTHY"
	HealthUnhealthy = "UNHEALTHY"
)

// Eager is the time between checks while a failure does not count yet, so that a
// container that is healthy at once is known to be.
const Eager = time.Second

// Health is a container's health check.
type Health struct {
	// Command is to exit with 0.
	Command  []string      `json:",omitzero"`
	Interval time.Duration `json:",omitzero"`
	Timeout  time.Duration `json:",omitzero"`
	// Retries is how many failures in a row make the container unhealthy.
	Retries     int           `json:",omitzero"`
	StartPeriod time.Duration `json:",omitzero"`
}

// Grace is the time from the start in which a failure does not count: the start
// period, and at least one interval.
func (h Health) Grace() time.Duration { return max(h.StartPeriod, h.Interval) }

// Checker knows when a container's health is to be looked at, and what it is.
type Checker struct {
	health   Health
	status   string
	began    time.Time
	due      time.Time
	failures int
}

// NewChecker begins with the start of the container.
func NewChecker(h Health, began time.Time) *Checker {
	c := &Checker{health: h, status: HealthUnknown, began: began}
	c.due = began.Add(c.pause(began))
	return c
}

// Due is when the command is to be run next.
func (c *Checker) Due() time.Time { return c.due }

// Status is the health as far as it is known.
func (c *Checker) Status() string { return c.status }

// Result takes what the command said, which ended at that time, and tells
// whether the health has changed.
func (c *Checker) Result(ok bool, at time.Time) bool {
	before := c.status
	switch {
	case ok:
		c.failures, c.status = 0, HealthHealthy
	case c.status != HealthUnknown || !at.Before(c.began.Add(c.health.Grace())):
		if c.failures++; c.failures >= c.health.Retries {
			c.status = HealthUnhealthy
		}
	}
	c.due = at.Add(c.pause(at))
	return c.status != before
}

func (c *Checker) pause(now time.Time) time.Duration {
	if c.status == HealthUnknown && now.Before(c.began.Add(c.health.Grace())) {
		return min(Eager, c.health.Interval)
	}
	return c.health.Interval
}
