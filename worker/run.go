package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// longPoll is the longest that one look at the queue lasts: SQS's bound.
	longPoll = 20 * time.Second
	// The pause after a look at the queue that failed doubles between these.
	pauseMin, pauseMax = 200 * time.Millisecond, 15 * time.Second
	// callTime bounds a call that must be made whatever happens meanwhile.
	callTime = 15 * time.Second
	// releaseFor is how long a release is tried that gets no answer.
	releaseFor = 2 * time.Minute
	// A worker with work asks every yieldEvery whether its place is needed, and
	// yieldAgain after it got no answer within yieldTime.
	yieldEvery, yieldAgain, yieldTime = 5 * time.Second, time.Minute, 3 * time.Second
)

// Run works until ctx ends, which is how a stop signal is to reach it, until the
// platform wants the task gone, or until there has been no work for
// Options.Idle. It returns when no job runs any more: an error only for options
// that cannot be. The stop signal ends no job; Options.Grace may.
func Run(ctx context.Context, o Options, handle Handler) error {
	if err := o.check(); err != nil {
		return err
	}
	if handle == nil {
		return errors.New("worker: no handler is given")
	}
	r := &runner{
		o: o, handle: handle, slots: make(chan struct{}, o.Concurrency),
		shield: shield{platform: o.Platform, length: o.Protection, log: o.Log},
		idle:   time.Now(), ask: time.Now().Add(yieldEvery),
	}
	ctx, r.leave = context.WithCancelCause(ctx)
	defer r.leave(nil)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewal sync.WaitGroup
	renewal.Go(func() { r.shield.renew(renewing) })
	r.take(ctx)
	r.jobs.Wait()
	stop()
	renewal.Wait()
	r.o.Log.Info("the worker is done", "jobs", r.done, "failed", r.failed)
	return nil
}

// runner is one Run.
type runner struct {
	o      Options
	handle Handler
	shield shield
	slots  chan struct{} // a value for each message in hand
	jobs   sync.WaitGroup
	leave  context.CancelCauseFunc
	ask    time.Time // when to ask next whether the place is needed

	mu           sync.Mutex
	busy         int
	idle         time.Time // since when nothing was in hand
	done, failed int
	asked        int // done and failed, when it was asked last
}

// take looks for messages until ctx ends or there is a reason to leave.
func (r *runner) take(ctx context.Context) {
	pause := pauseMin
	for {
		select {
		case <-ctx.Done():
		case r.slots <- struct{}{}:
		}
		if ctx.Err() != nil {
			return
		}
		if r.yields(ctx) {
			return
		}
		last := r.idleFor() >= r.o.Idle && r.o.Idle > 0
		m, err := r.receive(ctx, r.wait(last))
		switch {
		case err != nil:
			<-r.slots
			if ctx.Err() != nil {
				return
			}
			r.o.Log.Warn("the queue cannot be read", "error", err, "again_in", pause)
			sleep(ctx, pause)
			pause = min(2*pause, pauseMax)
			continue
		case m == nil:
			<-r.slots
			if last && r.release(ctx) {
				return
			}
		default:
			r.begin(ctx, *m)
		}
		pause = pauseMin
	}
}

// receive looks at the queue. A look that hangs is given up.
func (r *runner) receive(ctx context.Context, wait time.Duration) (*Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+callTime)
	defer cancel()
	return r.o.Queue.Receive(ctx, wait, r.o.Visibility)
}

// idleFor is how long nothing has been in hand.
func (r *runner) idleFor() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy > 0 {
		return 0
	}
	return time.Since(r.idle)
}

// wait is how long to look at the queue: no longer than to the end of the idle
// time, and the last look before leaving not at all.
func (r *runner) wait(last bool) time.Duration {
	if last {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.o.Idle == 0:
		return longPoll
	case r.busy > 0: // what is in hand may end soon, and the idle time with it
		return min(longPoll, max(r.o.Idle, time.Second))
	}
	return min(longPoll, max(0, r.o.Idle-time.Since(r.idle)))
}

// begin works on a message beside the look for others.
func (r *runner) begin(ctx context.Context, m Message) {
	r.mu.Lock()
	r.busy++
	r.mu.Unlock()
	r.jobs.Go(func() {
		ok := r.job(ctx, m)
		r.mu.Lock()
		r.busy--
		r.idle = time.Now()
		if ok {
			r.done++
		} else {
			r.failed++
		}
		r.mu.Unlock()
		<-r.slots
	})
}

// release has the task counted out, and tells whether it may leave. One whose
// answer is lost is said again, for it may have been heard.
func (r *runner) release(ctx context.Context) bool {
	pause := pauseMin
	for end := time.Now().Add(releaseFor); ; {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		err := r.o.Platform.Release(call)
		cancel()
		switch {
		case err == nil:
			r.o.Log.Info("no work: the task has released itself", "idle", r.o.Idle)
			return true
		case errors.Is(err, ErrKept):
			r.o.Log.Debug("no work, and the task is to stay", "reason", err)
			r.restart()
			return false
		case time.Now().After(end):
			r.o.Log.Warn("the task cannot release itself; it goes on", "error", err)
			r.restart()
			return false
		}
		r.o.Log.Debug("the release has no answer yet", "error", err, "again_in", pause)
		sleep(ctx, pause)
		if ctx.Err() != nil {
			return true
		}
		pause = min(2*pause, pauseMax)
	}
}

// yields tells whether the task has been counted out though there may be work. It
// waits for the jobs in hand before.
func (r *runner) yields(ctx context.Context) bool {
	if time.Now().Before(r.ask) || !r.worked() {
		return false
	}
	r.ask = time.Now().Add(yieldEvery)
	if r.inHand() > 0 {
		if !r.needed(ctx, false) {
			return false
		}
		r.jobs.Wait()
	}
	if !r.needed(ctx, true) {
		return false
	}
	r.o.Log.Info("others need the task's place: it has released itself")
	return true
}

// needed asks the platform, and leaves it at no if that takes long.
func (r *runner) needed(ctx context.Context, leave bool) bool {
	ctx, cancel := context.WithTimeout(ctx, yieldTime)
	defer cancel()
	err := r.o.Platform.Yield(ctx, leave)
	if err != nil && !errors.Is(err, ErrKept) {
		r.o.Log.Debug("whether the task's place is needed is not known", "error", err, "again_in", yieldAgain)
		r.ask = time.Now().Add(yieldAgain)
	}
	return err == nil
}

// worked tells whether a job has ended since the last question.
func (r *runner) worked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.asked
	r.asked = r.done + r.failed
	return r.asked > before
}

func (r *runner) inHand() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy
}

// restart begins the idle time anew.
func (r *runner) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = time.Now()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
