package chaos

import (
	"fmt"
	"slices"
	"sync"
)

// oracle knows what was asked of the engine and what was answered. A call without
// an answer may have been carried out or not.
type oracle struct {
	mu       sync.Mutex
	tasks    map[string]*task // by ARN: RunTask was answered, or the task was found later
	asked    map[string]bool  // RunTask calls without an answer, by startedBy
	services map[string]*desired
	queues   map[string]*queue
	families map[string]int32 // the newest revision that was answered
	writes   int              // answered, of all kinds
}

// task is what is known of one.
type task struct {
	arn   string
	stop  bool    // StopTask was called
	codes []int32 // one of which it ends with, if it was told to end
	seen  bool    // it was RUNNING once
}

// ends tells whether the task has to come to its end.
func (t *task) ends() bool { return t.stop || len(t.codes) > 0 }

// desired is what a service's desired count may be: the last that was answered,
// or one whose answer has not come.
type desired struct{ counts []int32 }

// queue is what may be in one.
type queue struct {
	url     string
	sent    map[string]bool // bodies whose sending was answered
	maybe   map[string]bool // or was not
	deleted map[string]bool // those whose deletion was asked for; true: and answered
}

func newOracle() *oracle {
	return &oracle{
		tasks: map[string]*task{}, asked: map[string]bool{}, services: map[string]*desired{},
		queues: map[string]*queue{}, families: map[string]int32{},
	}
}

// with changes what is known.
func (o *oracle) with(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// answered counts a write that was answered, and changes what is known by it.
func (o *oracle) answered(f func()) { o.with(func() { o.writes++; f() }) }

// pick gives a task for which so is true, by a number that chance gave.
func (o *oracle) pick(n int, so func(*task) bool) *task {
	o.mu.Lock()
	defer o.mu.Unlock()
	var some []*task
	for _, t := range o.tasks {
		if so(t) {
			some = append(some, t)
		}
	}
	if len(some) == 0 {
		return nil
	}
	slices.SortFunc(some, func(a, b *task) int {
		if a.arn < b.arn {
			return -1
		}
		return 1
	})
	return some[n%len(some)]
}

func (o *oracle) arns() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var arns []string
	for arn := range o.tasks {
		arns = append(arns, arn)
	}
	slices.Sort(arns)
	return arns
}

// counted checks how many messages a queue says it has.
func (q *queue) counted(n int) error {
	gone, perhaps := 0, 0
	for _, sure := range q.deleted {
		if perhaps++; sure {
			gone++
		}
	}
	if least, most := len(q.sent)-perhaps, len(q.sent)+len(q.maybe)-gone; n < least || n > most {
		return fmt.Errorf("a queue has %d messages; %d were sent for sure and %d perhaps, %d deleted for sure and %d perhaps",
			n, len(q.sent), len(q.maybe), gone, perhaps-gone)
	}
	return nil
}
