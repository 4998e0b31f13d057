// Package engine is the embedded ECS-compatible cluster as a deterministic
// state machine: Machine.Step takes the time and what happened (commands from
// the API, events from the runtime, drains that ended) and returns every effect
// as a value (records to make durable, replies, starts, stops, drains,
// notices). It starts no goroutine, reads no clock and does no I/O; package
// engine/daemon runs it. It must not know of the wire, of demand, of scaling
// decisions or of the control loop.
package engine

import (
	"time"

	"plimsoll/engine/runtime"
)

// Event is something that happened: one of the inputs of Step.
type Event interface{ event() }

// Call is a command from the API. ID comes back in the Reply.
type Call struct {
	ID      uint64
	Command Command
}

// Observed is an event of the runtime.
type Observed struct{ Event runtime.Event }

// Drained says that a task which was to be drained has left the router and
// DNS, and that its requests have ended (or their time has).
type Drained struct{ TaskID string }

// Tick is the passing of time: Step is called with it when Effects.Wake is due.
type Tick struct{}

func (Call) event()     {}
func (Observed) event() {}
func (Drained) event()  {}
func (Tick) event()     {}

// Effects is all that a Step asks for. The Records are to be on disk before
// anything else in it is carried out: then Replies, Drains, Stops and Starts.
type Effects struct {
	Records []Record
	Replies []Reply
	Drains  []Drain
	Stops   []string // task ids
	Starts  []runtime.Spec
	Forgets []string // task ids that are no longer kept
	Notices []Notice
	// Wake is when Step wants a Tick at the latest; zero: not at all.
	Wake time.Time
}

// Record is one change of the durable state: the entity under Key is now
// Value (JSON), or is gone if Value is nil.
type Record struct {
	Key   string
	Value []byte
}

// Reply answers the Call with the same ID: Value is the command's result type,
// or Err is an *Error.
type Reply struct {
	ID    uint64
	Value any
	Err   error
}

// Drain asks that a task leave the router before it is stopped. The answer is
// Drained; without one the task goes on to stop at Deadline.
type Drain struct {
	TaskID, TaskARN, Service string
	Deadline                 time.Time
}

// Notice tells subscribers that an entity changed: Kind is "task", "service",
// "container-instance" or "cluster". A line of a service's events is a notice
// of its own, with the Message.
type Notice struct {
	At         time.Time
	Kind       string
	ARN        string
	Service    string
	LastStatus string
	Message    string
}
