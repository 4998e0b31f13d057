package runtime

import (
	"slices"
	"time"

	"plimsoll/engine/runtime/order"
)

// Course is the course of one task's containers: their order, and what there is
// to say of them. It is for runtimes that carry the order out themselves, and is
// not safe for concurrent use.
type Course struct {
	*order.Task
	containers []Container
	states     []State
	said       []State
	watched    bool
}

// NewCourse begins with all containers waiting.
func NewCourse(s Spec) *Course {
	c := &Course{Task: order.New(s.Order()), containers: s.Containers, watched: Watched(s)}
	for _, made := range s.Containers {
		c.states = append(c.states, State{Container: made.Name})
	}
	return c
}

// Watched tells whether more is to be said of a task than its start and its end.
func Watched(s Spec) bool {
	return len(s.Containers) > 1 || slices.ContainsFunc(s.Containers, func(c Container) bool {
		return c.HealthCheck != nil || c.Restart != nil
	})
}

// Index is a container's place; -1 if there is none of that name.
func (c *Course) Index(container string) int {
	return slices.IndexFunc(c.containers, func(made Container) bool { return made.Name == container })
}

// Began says that a container runs, since then.
func (c *Course) Began(i int, at time.Time) {
	c.Task.Began(i, at)
	if c.containers[i].HealthCheck != nil {
		c.states[i].Health = order.HealthUnknown
	}
}

// Failed says that a container could not be started.
func (c *Course) Failed(i int, reason string) {
	c.states[i].Reason = reason
	c.Task.Failed(i, reason)
}

// Exited says how a container has ended.
func (c *Course) Exited(i int, x Exit, at time.Time) {
	c.states[i].Exit = &x
	c.Task.Exited(i, x.Code, at)
}

// Judge says what a container's health check has found.
func (c *Course) Judge(i int, healthy bool) {
	c.states[i].Health = order.HealthUnhealthy
	if healthy {
		c.states[i].Health = order.HealthHealthy
	}
	c.Health(i, healthy)
}

// Running tells whether a container runs.
func (c *Course) Running(i int) bool { return i >= 0 && c.Phase(i) == order.Running }

// States are those of all containers; nil of a task that is not Watched.
func (c *Course) States() []State {
	if !c.watched {
		return nil
	}
	return c.all()
}

func (c *Course) all() []State {
	for i := range c.states {
		c.states[i].Phase, c.states[i].Restarts = c.Phase(i), c.Restarts(i)
	}
	c.said = slices.Clone(c.states)
	return slices.Clone(c.states)
}

// News are the states if they are others than when they were given last.
func (c *Course) News() []State {
	before := c.said
	if now := c.States(); !slices.Equal(before, now) {
		return now
	}
	return nil
}

// End is the last event of a task that is over: StartFailed if a start failed, or
// if none of it ever ran.
func (c *Course) End() Event {
	e := Event{Kind: Exited, Reason: c.Failure(), States: c.all()}
	for i := range c.states {
		if c.Phase(i) == order.Ended {
			e.Exits = append(e.Exits, *c.states[i].Exit)
		}
	}
	if e.Reason == "" && len(e.Exits) == 0 {
		e.Reason = "TaskFailedToStart: it was stopped before it was started"
	}
	if e.Reason != "" {
		e.Kind = StartFailed
	}
	return e
}
