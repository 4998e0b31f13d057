package app

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"plimsoll/router"
)

// A request takes the router some 20 us, in pieces that each end in a wait. As long
// as one processor is enough for that, a second one takes half of the pieces from the
// first, wakes it and is woken by it, and both are in the way of the tasks on the same
// machine: a request then costs a fifth more, and the slowest take longer. So the
// program runs on one processor at a time while the router is what it works for and
// one is enough, and on all of them at any other time.
const (
	// thriftEvery is how often that is judged while all processors are used, and
	// wasteEvery while one is: what comes then waits for no longer.
	thriftEvery = 250 * time.Millisecond
	wasteEvery  = 50 * time.Millisecond
	// From routingFrom requests a second on the router is what the program works
	// for, and under routingTo it no longer is.
	routingFrom, routingTo = 2000, 500
	// One processor is taken to be enough for what uses less than enoughFrom of one,
	// and no longer to be when more than enoughTo of it is used. It is then not
	// tried again for thriftRest.
	enoughFrom, enoughTo = 0.75, 0.9
	thriftRest           = 5 * time.Second
)

// work is what a program has come to since its start.
type work struct {
	at       time.Duration
	used     time.Duration // of processors
	requests uint64
}

// thrift judges, look by look, whether one processor is enough.
type thrift struct {
	one  bool
	last work
	rest time.Duration // until when one is not tried
}

// next tells whether the program is to run on one processor from now on.
func (t *thrift) next(now work) (one bool) {
	took := (now.at - t.last.at).Seconds()
	share := (now.used - t.last.used).Seconds() / took
	rate := float64(now.requests-t.last.requests) / took
	t.last = now
	switch {
	case t.one && share > enoughTo:
		t.one, t.rest = false, now.at+thriftRest
	case t.one:
		t.one = rate >= routingTo
	default:
		t.one = rate >= routingFrom && share < enoughFrom && now.at >= t.rest
	}
	return t.one
}

// run judges until ctx ends. set is called at each change.
func (t *thrift) run(ctx context.Context, look func() work, set func(one bool)) {
	t.last = look()
	timer := time.NewTimer(thriftEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if t.one {
				set(false)
			}
			return
		case <-timer.C:
		}
		was := t.one
		if t.next(look()) != was {
			set(t.one)
		}
		if t.one {
			timer.Reset(wasteEvery)
		} else {
			timer.Reset(thriftEvery)
		}
	}
}

// thrifty tells that a router of this process has its processors in its charge: they
// are the whole process's, which may have several.
var thrifty atomic.Bool

// beThrifty does so for the process of r until stop is called. Who has set GOMAXPROCS
// in the environment has the say.
func beThrifty(r *router.Router) (stop func()) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 || !thrifty.CompareAndSwap(false, true) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(ended)
		new(thrift).run(ctx, func() work {
			return work{at: time.Since(began), used: processorTime(), requests: r.Requests()}
		}, setProcessors)
	}()
	return func() {
		cancel()
		<-ended
		thrifty.Store(false)
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func setProcessors(one bool) {
	if one {
		runtime.GOMAXPROCS(1)
	} else {
		runtime.SetDefaultGOMAXPROCS()
	}
}
