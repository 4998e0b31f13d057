package daemon

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"time"

	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/store"
)

// mostBytes is about how many bytes of records one commit takes.
const mostBytes = 1 << 20

// spaceRetry is the time between two tries to write to a full disk.
const spaceRetry = 250 * time.Millisecond

// stepLoop has the machine step whenever something has happened or its time has
// come. While the effects of one step are being made durable it takes the next.
func (d *Daemon) stepLoop() {
	defer close(d.commits)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-timer.C:
		case <-d.inbox.ready:
		}
		// Whoever is ready to run may add to the inbox first: one step and one
		// sync for all of them cost a quarter less than several.
		goruntime.Gosched()
		events := d.inbox.take()
		if d.broken.Load() {
			continue // what cannot be kept must not happen
		}
		now := d.o.Now()
		d.state.Lock()
		fx := d.o.Machine.Step(now, events)
		if d.o.Outbox != nil && len(fx.Notices) > 0 {
			for _, r := range d.o.Outbox.Changed(d.o.Machine, now, fx.Notices) {
				fx.Records = append(fx.Records, engine.Record(r))
			}
		}
		d.state.Unlock()
		if fx.Wake.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(fx.Wake.Sub(d.o.Now()), 0))
		}
		d.commits <- fx
	}
}

// commitLoop makes effects durable and carries them out. What has come while
// it was at the disk goes there together. It ends after the last step's.
func (d *Daemon) commitLoop() {
	for fx := range d.commits {
		batch := []engine.Effects{fx}
		records := appendRecords(nil, fx.Records)
		size := payload(fx.Records)
	gather:
		for size < mostBytes {
			select {
			case fx, open := <-d.commits:
				if !open {
					break gather
				}
				batch = append(batch, fx)
				records = appendRecords(records, fx.Records)
				size += payload(fx.Records)
			default:
				break gather
			}
		}
		if d.broken.Load() {
			continue
		}
		if len(records) > 0 {
			if err := d.write(records); err != nil {
				d.breakDown(err)
				continue
			}
		}
		if d.o.Outbox != nil {
			d.o.Outbox.Durable(records)
		}
		for _, fx := range batch {
			d.carryOut(fx)
		}
	}
}

// write makes records durable. A full disk is waited out: the store keeps
// nothing of what it has no room for, so the same records can be written again.
// Until there is room every call is refused, those that wait as well, though
// what they asked for has its place in the records and is carried out then.
func (d *Daemon) write(records []store.Record) error {
	err := d.o.Store.Append(records)
	if !errors.Is(err, store.ErrNoSpace) {
		return err
	}
	d.o.Log.Error("the disk is full: writes are refused until there is room, running tasks are left alone", "error", err)
	full := &engine.Error{
		Code:    "ServerException",
		Message: fmt.Sprintf("The engine's state cannot be written: %v. Writes are taken again as soon as there is room; what was under way is carried out then.", err),
	}
	d.calls.refuse(full)
	retry := time.NewTicker(spaceRetry)
	defer retry.Stop()
	for errors.Is(err, store.ErrNoSpace) {
		select {
		case <-d.ctx.Done():
			return err
		case <-retry.C:
			err = d.o.Store.Append(records)
		}
	}
	if err == nil {
		d.o.Log.Info("there is room on the disk again: writes are taken")
		d.calls.admit(full)
	}
	return err
}

func appendRecords(to []store.Record, records []engine.Record) []store.Record {
	for _, r := range records {
		to = append(to, store.Record(r))
	}
	return to
}

func payload(records []engine.Record) int {
	n := 0
	for _, r := range records {
		n += len(r.Key) + len(r.Value)
	}
	return n
}

// breakDown refuses every write from now on. The state in memory is ahead of
// the disk, and none of it may be acted on.
func (d *Daemon) breakDown(err error) {
	d.o.Log.Error("the engine's state cannot be written: writes are refused from now on, running tasks are left alone; make room or repair the disk, then start the engine anew", "error", err)
	d.broken.Store(true)
	d.calls.refuse(&engine.Error{
		Code:    "ServerException",
		Message: fmt.Sprintf("The engine's state cannot be written: %v. Nothing is changed until the engine is started anew.", err),
	})
}

// carryOut does what a step asks for, now that it is durable.
func (d *Daemon) carryOut(fx engine.Effects) {
	for _, r := range fx.Replies {
		d.calls.answer(r)
	}
	for _, drain := range fx.Drains {
		d.drain(drain)
	}
	for _, id := range fx.Stops {
		d.runtime.Stop(id)
	}
	for _, spec := range fx.Starts {
		d.runtime.Start(spec)
	}
	if cleaner, ok := d.runtime.(runtime.Cleaner); ok {
		for _, id := range fx.Forgets {
			cleaner.Forget(id)
		}
	}
	if len(fx.Notices) > 0 {
		d.subscribers.tell(fx.Notices)
	}
}

// drain has a task leave the router, and tells the machine when it has.
func (d *Daemon) drain(drain engine.Drain) {
	done := engine.Drained{TaskID: drain.TaskID}
	if d.o.Drain == nil {
		d.inbox.put(done)
		return
	}
	d.drains.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, drain.Deadline.Sub(d.o.Now()))
		defer cancel()
		d.o.Drain(ctx, drain)
		d.inbox.put(done)
	})
}
