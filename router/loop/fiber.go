// Package loop lets many connections share a few threads. A loop waits for all of
// its connections in one call of the kernel, and goes on with each that has
// something to do: no goroutine is woken, and none is put to sleep, which costs more
// than all else that a proxy does for a small request.
//
// What is to be done on a connection is written as if it had a goroutine of its own:
// a Fiber, which its loop resumes, and which gives its thread back where it would
// wait for a connection. Whatever else may block a fiber does by Off.
//
// The package knows sockets and nothing of what is said on them. It is made for
// Linux; elsewhere Accept says that there is none.
package loop

import "iter"

// turnEvery is how many reads and writes a fiber may make in a row without a wait,
// before the other connections of its loop have their turn.
const turnEvery = 64

// Fiber is one flow of control on a loop. Its methods are for itself to call. A nil
// Fiber is a goroutine's own flow: it blocks where it waits.
type Fiber struct {
	next  func() (pause, bool)
	yield func(pause) bool
	do    func(*Fiber)
	on    *Loop // which runs it now; nil: a goroutine does
	row   int   // reads and writes since the last wait
}

// pause is what a fiber leaves its thread for.
type pause struct {
	why  reason
	side *side // that it waits for
}

type reason int

const (
	waits  reason = iota // until something happens on a side of a connection
	blocks               // for something that blocks
	yields               // for its next turn
	rests                // for something new to do
)

// restMax is the greatest number of fibers without anything to do on a loop: it is
// cheaper to keep one, with the stack that it has grown, than to make it.
const restMax = 64

// start runs do as a fiber of the loop, until it waits for the first time.
func (l *Loop) start(do func(*Fiber)) {
	var f *Fiber
	if n := len(l.resting); n > 0 {
		f = l.resting[n-1]
		l.resting[n-1] = nil
		l.resting = l.resting[:n-1]
	} else {
		f = &Fiber{}
		f.next, _ = iter.Pull(func(yield func(pause) bool) {
			f.yield = yield
			f.live()
		})
	}
	f.do = do
	f.run(l)
}

// live does one thing after the other, as long as its loop keeps it.
func (f *Fiber) live() {
	for {
		f.do(f)
		f.do, f.row = nil, 0
		if f.on == nil || len(f.on.resting) >= restMax {
			return
		}
		f.rest()
	}
}

func (f *Fiber) rest() { f.yield(pause{why: rests}) }

// run goes on with the fiber until it waits. Nobody else may run it: it was just
// made, or has been taken from the side that it waited for. l is the loop that does;
// nil: a goroutine.
func (f *Fiber) run(l *Loop) {
	for {
		f.on = l
		p, alive := f.next()
		if !alive {
			return
		}
		switch p.why {
		case waits:
			if p.side.park() {
				return
			}
			continue
		case blocks:
			go f.run(nil)
		case yields:
			l.later = append(l.later, f)
		case rests:
			l.resting = append(l.resting, f)
		}
		return
	}
}

// Off does what may block, in a thread that no connection waits for. The fiber is
// back on a loop after its next wait.
func (f *Fiber) Off(do func()) {
	if f != nil && f.on != nil {
		f.yield(pause{why: blocks})
	}
	do()
}

// turn lets others have their turn if the fiber has had many.
func (f *Fiber) turn() {
	if f == nil || f.on == nil {
		return
	}
	if f.row++; f.row >= turnEvery {
		f.row = 0
		f.yield(pause{why: yields})
	}
}
