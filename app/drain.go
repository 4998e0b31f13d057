package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/control"
	"plimsoll/engine"
)

// drain takes a task out of the router, DNS and the registries at once, and returns when
// its requests have ended and nobody has its address from there any more. Only
// then the engine sends SIGTERM; the journal has the time of each.
func (u *up) drain(ctx context.Context, d engine.Drain) {
	began := time.Now()
	routed := u.router.TakeOut(d.TaskID)
	var problem error
	var both sync.WaitGroup
	both.Go(func() {
		if problem = u.finder.drain(ctx, d.TaskID); problem != nil {
			u.o.Log.Warn("a task is stopped although others may still know its address", "task", d.TaskID, "err", problem)
		}
	})
	if routed {
		u.note(control.Event{At: began, Kind: control.EventTaskOut, Service: d.Service, Task: d.TaskID,
			Message: "the task is out of the router: no new request reaches it"})
	}
	cut := u.router.Drain(ctx, d.TaskID)
	both.Wait()
	if !routed {
		return
	}
	e := control.Event{At: time.Now(), Kind: control.EventTaskDrained, Service: d.Service, Task: d.TaskID}
	took := e.At.Sub(began).Round(time.Millisecond)
	e.Message = fmt.Sprintf("the task's requests have ended, %s after it left the router; SIGTERM is next", took)
	if cut != nil {
		e.Message = fmt.Sprintf("the time to drain, %s, is over; SIGTERM is next: %v", took, cut)
	}
	u.note(e)
}

// noteSignal tells the journal of a task of a service that is sent SIGTERM.
func (u *up) noteSignal(n engine.Notice) {
	if n.Kind == "task" && n.LastStatus == string(plimsoll.StatusStopping) && n.Service != "" {
		u.note(control.Event{At: n.At, Kind: control.EventTaskSignaled, Service: n.Service, Task: plimsoll.ARNName(n.ARN),
			Message: "the task is sent SIGTERM"})
	}
}

// note is for what happens before the loop is there, too: then nobody is told.
func (u *up) note(e control.Event) {
	if loop := u.noted.Load(); loop != nil {
		loop.Note(e)
	}
}
