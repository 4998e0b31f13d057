// Package daemon runs an engine.Machine: it feeds it what happens, makes the
// records of each step durable, and only then carries out the step's effects.
// It must not know of the wire, of demand or of the router: what is to be
// drained goes to a hook.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"plimsoll/engine"
	"plimsoll/engine/runtime"
	"plimsoll/engine/store"
)

// Store is what the daemon needs of the durable log; *store.Log is one.
type Store interface {
	// Load calls f with the latest value of each key.
	Load(f func(key string, value []byte) error) error
	// Append returns when the records are durable, all of them or none.
	Append(records []store.Record) error
	Close() error
}

// Outbox turns what changes into records that are durable with the change.
type Outbox interface {
	// Load takes a record of the log at the start; false: it is not the
	// outbox's.
	Load(key string, value []byte) (bool, error)
	// Changed gives the records about the notices of a step, with the state
	// after it. It must not call the daemon.
	Changed(v engine.View, now time.Time, notices []engine.Notice) []store.Record
	// Durable is told of the records of a commit, in the order of the commits.
	Durable(records []store.Record)
}

// Options make a Daemon. Machine, Store and Runtime are required.
type Options struct {
	// Machine is a new one: Start loads it from the Store.
	Machine *engine.Machine
	// Store is closed by the daemon, at the latest when Start fails.
	Store Store
	// Runtime makes the runtime, which tells the sink what it sees.
	Runtime func(runtime.Sink) (runtime.Runtime, error)
	// Drain takes a task out of the router and returns when its requests have
	// ended or ctx is done, which it is at the drain's deadline. Without a
	// hook a task is stopped at once.
	Drain func(ctx context.Context, d engine.Drain)
	// Outbox, if any, tells others of what changes.
	Outbox Outbox
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is for what goes wrong; nil discards it.
	Log *slog.Logger
}

// ErrClosed is given to callers once the daemon has been closed.
var ErrClosed = errors.New("the engine is closed")

// Daemon is a running engine.
type Daemon struct {
	o       Options
	runtime runtime.Runtime
	inbox   *inbox
	// ctx ends with Close; drains and both loops live as long as it does.
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup
	drains sync.WaitGroup

	// state guards the machine: Step writes, Read reads.
	state sync.RWMutex

	calls       calls
	subscribers subscribers
	commits     chan engine.Effects
	broken      atomic.Bool // the disk has failed
	closing     sync.Once
	closed      error
}

// Start loads the state, lets the runtime adopt what still runs, and begins.
// ctx bounds the start only; Close or Shutdown ends the daemon.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	d, err := start(ctx, o)
	if err != nil {
		return nil, errors.Join(err, o.Store.Close())
	}
	return d, nil
}

func start(ctx context.Context, o Options) (*Daemon, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	load := o.Machine.Load
	if o.Outbox != nil {
		load = func(key string, value []byte) error {
			if mine, err := o.Outbox.Load(key, value); mine || err != nil {
				return err
			}
			return o.Machine.Load(key, value)
		}
	}
	if err := o.Store.Load(load); err != nil {
		return nil, fmt.Errorf("load the engine's state: %w", err)
	}
	d := &Daemon{o: o, inbox: newInbox(), commits: make(chan engine.Effects, 16)}
	d.calls.waiting = map[uint64]chan engine.Reply{}
	rt, err := o.Runtime(func(e runtime.Event) { d.inbox.put(engine.Observed{Event: e}) })
	if err != nil {
		return nil, fmt.Errorf("make the runtime: %w", err)
	}
	d.runtime = rt
	if err := rt.Adopt(ctx, o.Machine.Specs()); err != nil {
		return nil, fmt.Errorf("adopt running tasks: %w", err)
	}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	// The first step looks at what the state says is due, with no call to
	// cause it.
	d.inbox.put(engine.Tick{})
	d.loops.Go(d.stepLoop)
	d.loops.Go(d.commitLoop)
	return d, nil
}

// Do has the machine carry out a command and returns its result once it is
// durable. A refusal is an *engine.Error. If ctx ends first the command may
// still be carried out.
func (d *Daemon) Do(ctx context.Context, c engine.Command) (any, error) {
	id, answer, err := d.calls.open()
	if err != nil {
		return nil, err
	}
	d.inbox.put(engine.Call{ID: id, Command: c})
	select {
	case r := <-answer:
		return r.Value, r.Err
	case <-ctx.Done():
		d.calls.abandon(id)
		return nil, ctx.Err()
	}
}

// Read calls f with the state as it is between two steps. It may be ahead of
// the disk by the steps that are being written. f must not call the daemon.
func (d *Daemon) Read(f func(engine.View)) {
	d.state.RLock()
	defer d.state.RUnlock()
	f(d.o.Machine)
}

// Subscribe gives the notices of all that changes from now on, and what ends
// it. A reader that is slow loses notices, but never its wake: whoever reads
// the state after the last notice that is in the channel misses nothing.
func (d *Daemon) Subscribe() (<-chan engine.Notice, func()) { return d.subscribers.add() }

// Broken is why writes are refused: the disk's error, or ErrClosed; nil while
// they are not.
func (d *Daemon) Broken() error { return d.calls.refused() }

// Close ends the daemon and closes the store. What has been decided is still
// written and carried out; the tasks go on.
func (d *Daemon) Close() error {
	d.closing.Do(func() {
		d.calls.refuse(ErrClosed)
		d.cancel()
		d.inbox.close()
		d.loops.Wait()
		d.drains.Wait()
		d.subscribers.close()
		d.closed = d.o.Store.Close()
	})
	return d.closed
}

// Shutdown stops every task with the reason, waits until nothing runs, and
// closes the daemon. If ctx ends first it closes all the same and says how many
// tasks had not stopped.
func (d *Daemon) Shutdown(ctx context.Context, reason string) error {
	notices, cancel := d.Subscribe()
	defer cancel()
	if _, err := d.Do(ctx, engine.StopAll{Reason: reason}); err != nil {
		return errors.Join(fmt.Errorf("stop all tasks: %w", err), d.Close())
	}
	for {
		live := d.live()
		if live == 0 {
			return d.Close()
		}
		select {
		case _, open := <-notices:
			if !open {
				return d.Close()
			}
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d tasks have not stopped: %w", live, ctx.Err()), d.Close())
		}
	}
}

func (d *Daemon) live() int {
	d.state.RLock()
	defer d.state.RUnlock()
	return d.o.Machine.Live()
}
