package control

import (
	"fmt"
	"time"

	"plimsoll"
)

// sightings are what the last snapshot showed, to be compared with the next.
type sightings struct {
	begun bool
	pass  uint64
	tasks map[string]*taskSight
	hosts map[string]*hostSight
	// last has the lists that were looked at last.
	last plimsoll.Cluster
}

type taskSight struct {
	pass    uint64
	service string
	running bool // RUNNING was seen
	leaving bool
	stopped bool
}

type hostSight struct {
	pass      uint64
	id        string
	draining  bool
	connected bool
}

// saySeen compares the snapshot with the one before and notes what happened.
// The first snapshot is what everything after is compared with.
func (l *Loop) saySeen(now time.Time, c *plimsoll.Cluster) {
	s := &l.seen
	if same(s.last.Tasks, c.Tasks) && same(s.last.Instances, c.Instances) {
		return // a snapshot is never changed: there is nothing new in it
	}
	s.last = *c
	if s.tasks == nil {
		s.tasks = make(map[string]*taskSight, len(c.Tasks))
		s.hosts = make(map[string]*hostSight, len(c.Instances))
	}
	s.pass++
	for i := range c.Instances {
		l.seeHost(now, &c.Instances[i])
	}
	for i := range c.Tasks {
		l.seeTask(now, &c.Tasks[i])
	}
	for arn, t := range s.tasks {
		if t.pass == s.pass {
			continue
		}
		delete(s.tasks, arn)
		if !t.stopped {
			l.journal.event(Event{At: now, Kind: EventTaskLost, Service: t.service, Task: plimsoll.ARNName(arn),
				Message: "the task is gone, and was not seen to stop"})
		}
	}
	for arn, h := range s.hosts {
		if h.pass != s.pass {
			delete(s.hosts, arn)
			l.journal.event(Event{At: now, Kind: EventHostLeft, Host: h.id, Message: "the container instance left the cluster"})
		}
	}
	s.begun = true
}

// same tells whether two lists are one and the same, which is not empty.
func same[T any](a, b []T) bool {
	return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
}

// say records an event of what has changed since the first snapshot.
func (l *Loop) say(e Event) {
	if l.seen.begun {
		l.journal.event(e)
	}
}

func (l *Loop) seeTask(now time.Time, t *plimsoll.Task) {
	sight := l.seen.tasks[t.ARN]
	if sight == nil {
		sight = &taskSight{service: t.Service}
		l.seen.tasks[t.ARN] = sight
	}
	sight.pass = l.seen.pass
	if sight.stopped {
		return
	}
	e := Event{At: now, Service: t.Service, Task: t.ID()}
	if t.Serving() && !sight.running {
		sight.running = true
		e.Kind, e.Message = EventTaskRunning, "the task runs"
		if !t.StartedAt.IsZero() && !t.CreatedAt.IsZero() {
			e.Message = fmt.Sprintf("the task runs, %s after it was created", t.StartedAt.Sub(t.CreatedAt).Round(time.Millisecond))
		}
		l.say(e)
	}
	if t.Leaving() && !sight.leaving {
		sight.leaving = true
		e.Kind, e.Message = EventTaskStopping, "the task is asked to stop"
		if t.StoppedReason != "" {
			e.Message += ": " + t.StoppedReason
		}
		l.say(e)
	}
	if !t.Live() {
		sight.stopped = true
		e.Kind, e.Message = EventTaskStopped, stopWords(t)
		l.say(e)
	}
}

func stopWords(t *plimsoll.Task) string {
	words := "the task has stopped"
	if t.ExitCode != nil {
		words += fmt.Sprintf(" with exit code %d", *t.ExitCode)
	}
	if t.StoppedReason != "" {
		words += ": " + t.StoppedReason
	}
	return words
}

func (l *Loop) seeHost(now time.Time, c *plimsoll.ContainerInstance) {
	draining := c.Status == plimsoll.InstanceDraining
	e := Event{At: now, Host: c.InstanceID}
	sight := l.seen.hosts[c.ARN]
	if sight == nil {
		sight = &hostSight{id: c.InstanceID, connected: true}
		l.seen.hosts[c.ARN] = sight
		e.Kind, e.Message = EventHostJoined, fmt.Sprintf("a container instance with %s joined in zone %q", c.Registered, c.Zone)
		l.say(e)
	}
	sight.pass = l.seen.pass
	if draining != sight.draining {
		sight.draining = draining
		e.Kind, e.Message = EventHostActive, "the container instance takes tasks again"
		if draining {
			e.Kind, e.Message = EventHostDraining, "the container instance is draining"
		}
		l.say(e)
	}
	if c.Connected != sight.connected {
		sight.connected = c.Connected
		e.Kind, e.Message = EventHostDisconnected, "the container instance's agent is disconnected"
		if c.Connected {
			e.Kind, e.Message = EventHostConnected, "the container instance's agent is connected again"
		}
		l.say(e)
	}
}
