package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// job sees one message through: protection, the handler, and the message's end.
// It tells whether the message is done with.
func (r *runner) job(ctx context.Context, m Message) bool {
	log := r.o.Log.With("message", m.ID)
	// A call that must be made after the stop has a context of its own.
	calls := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		r.giveBack(calls, log, m, 0)
		return false
	}
	// The message stays hidden from here on: to be protected may take its time.
	hiding, stopHiding := context.WithCancel(calls)
	hidden := make(chan struct{})
	go func() {
		defer close(hidden)
		r.keepHidden(hiding, log, m)
	}()
	unhide := func() { stopHiding(); <-hidden }

	if err := r.shield.enter(calls); err != nil {
		unhide()
		log.Warn("the task cannot be protected: the message goes back", "error", err)
		r.giveBack(calls, log, m, 0)
		if errors.Is(err, ErrLeaving) {
			r.leave(err)
		} else {
			sleep(ctx, pauseMax) // another worker may do better
		}
		return false
	}
	defer r.shield.exit(calls)

	began := time.Now()
	log.Info("a job begins", "receives", m.Receives)
	err := r.work(ctx, m)
	unhide()
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		after := max(0, r.o.RetryAfter(m, err))
		if errors.Is(err, ErrGrace) {
			after = 0 // this worker leaves; the message is not at fault
		}
		log.Warn("the job failed: the message goes back", "error", err, "took", took, "again_in", after)
		r.giveBack(calls, log, m, after)
		return false
	}
	if err := r.remove(calls, m); err != nil {
		log.Error("the job is done and its message cannot be deleted: it may be handled again", "error", err, "took", took)
		return true
	}
	log.Info("the job is done", "took", took)
	return true
}

// work calls the handler with the context that the bounds end.
func (r *runner) work(stop context.Context, m Message) (err error) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(stop))
	defer end(nil)
	if r.o.MaxJobTime > 0 {
		timer := time.AfterFunc(r.o.MaxJobTime, func() { end(ErrJobTime) })
		defer timer.Stop()
	}
	if r.o.Grace > 0 {
		unwatch := context.AfterFunc(stop, func() {
			timer := time.AfterFunc(r.o.Grace, func() { end(ErrGrace) })
			context.AfterFunc(ctx, func() { timer.Stop() })
		})
		defer unwatch()
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := r.handle(ctx, m); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	return nil
}

// keepHidden renews the time for which the message is hidden. That it is lost
// ends no job, which may be near its end; it is told.
func (r *runner) keepHidden(ctx context.Context, log *slog.Logger, m Message) {
	every := r.o.Visibility / 3
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		call, cancel := context.WithTimeout(ctx, max(every, time.Second))
		err := r.o.Queue.Hide(call, m, r.o.Visibility)
		cancel()
		next := every
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			log.Error("the message is no longer this worker's, and its job goes on: another worker may do it as well", "error", err)
			return
		default:
			next = every / 4
			log.Warn("the message could not be kept hidden", "error", err, "again_in", next)
		}
		timer.Reset(next)
	}
}

// giveBack makes the message visible again after a time. If that fails, its
// visibility timeout does the same later.
func (r *runner) giveBack(ctx context.Context, log *slog.Logger, m Message, after time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := r.o.Queue.Hide(ctx, m, min(after, maxHide)); err != nil {
		log.Warn("the message was not given back; it will be visible again by itself", "error", err)
	}
}

// remove deletes the message, and tries for as long as it is hidden: a job that
// is done is not to be done again.
func (r *runner) remove(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Visibility*2/3)
	defer cancel()
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		err := r.o.Queue.Delete(ctx, m)
		if err == nil || errors.Is(err, ErrLost) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, pause)
	}
}
