// Package order decides when the containers of one task start, start again and
// stop: after what they depend on, and before it on the way back. Every runtime
// carries out what it says, so that one task runs alike on all of them. It is
// pure: what happens and the time come in as arguments. It needs nothing but
// package time, because the process runtime's shim is started for each task and
// has to be up in milliseconds. It must not know how a container is run.
package order

import "time"

// The conditions of a Dependency, as ECS names them.
const (
	Start    = "START"
	Complete = "COMPLETE"
	Success  = "SUCCESS"
	Healthy  = "HEALTHY"
)

// Dependency is what a container waits for before it is started.
type Dependency struct {
	Container string `json:",omitzero"`
	Condition string `json:",omitzero"`
}

// Restart has a container started again when it ends by itself.
type Restart struct {
	// IgnoredExitCodes are those with which it stays ended.
	IgnoredExitCodes []int `json:",omitzero"`
	// AttemptPeriod is how long it must have run to be started again.
	AttemptPeriod time.Duration `json:",omitzero"`
}

// Container is what its order in the task depends on.
type Container struct {
	Name string
	// Essential containers stop the task when they end.
	Essential bool
	DependsOn []Dependency
	// StartTimeout bounds, from its start, how long others wait for the
	// container to be complete, successful or healthy. 0: not at all.
	StartTimeout time.Duration
	// StopTimeout is the time between the stop signal and SIGKILL.
	StopTimeout time.Duration
	Restart     *Restart
}

// Phase is how far a container has come.
type Phase int

// The phases, in their order. A container that starts again goes back to
// Waiting. Never is one that has not run and will not.
const (
	Waiting Phase = iota
	Starting
	Running
	Ended
	Never
)

// Verb is what is to be done with a container.
type Verb int

// The verbs. Each Begin is answered by Began or Failed, each end of a running
// container, whatever its cause, by Exited.
const (
	Begin Verb = iota + 1
	Ask        // the stop signal
	Kill
)

// Action is one thing to be done, with the container of that index.
type Action struct {
	Verb      Verb
	Container int
}

// Task is the state of one task's containers. It is not safe for concurrent use.
type Task struct {
	all      []state
	stopping bool
	failure  string
}

type state struct {
	Container
	phase    Phase
	needs    []need
	neededBy []int
	began    time.Time
	healthy  bool
	code     int
	again    bool // it has run before, and waits for nobody
	restarts int
	asked    bool
	killed   bool
	killAt   time.Time
}

// need is a Dependency by index.
type need struct {
	on        int
	condition string
}

// New begins with all containers waiting. Check has accepted them.
func New(containers []Container) *Task {
	t := &Task{all: make([]state, len(containers))}
	for i, c := range containers {
		t.all[i].Container = c
		for _, d := range c.DependsOn {
			if on := find(containers, d.Container); on >= 0 {
				t.all[i].needs = append(t.all[i].needs, need{on, d.Condition})
				t.all[on].neededBy = append(t.all[on].neededBy, i)
			}
		}
	}
	return t
}

// Began says that a container runs, since then.
func (t *Task) Began(i int, at time.Time) {
	c := &t.all[i]
	c.phase, c.began, c.healthy = Running, at, false
}

// Failed says that a container could not be started. The first start of any
// container that fails fails the task; one that cannot be started again has
// ended as it did before.
func (t *Task) Failed(i int, reason string) {
	c := &t.all[i]
	if c.again {
		t.end(c)
		return
	}
	c.phase = Never
	t.fail(reason)
}

// Exited says that a container has ended. Unless it is to be started again, an
// essential one takes the task with it.
func (t *Task) Exited(i int, code int, at time.Time) {
	c := &t.all[i]
	c.code, c.healthy = code, false
	if !t.stopping && c.Restart != nil && at.Sub(c.began) >= c.Restart.AttemptPeriod && !contains(c.Restart.IgnoredExitCodes, code) {
		c.phase, c.again = Waiting, true
		return
	}
	t.end(c)
}

func (t *Task) end(c *state) {
	c.phase = Ended
	t.stopping = t.stopping || c.Essential
}

// Health says what a container's health check has found.
func (t *Task) Health(i int, healthy bool) { t.all[i].healthy = healthy }

// Stop ends the task: nothing is started any more.
func (t *Task) Stop() { t.stopping = true }

func (t *Task) fail(reason string) {
	if t.failure == "" && !t.stopping {
		t.failure = reason
	}
	t.stopping = true
}

// Do gives what is to be done now. It is asked again after its answers have been
// carried out, until it has nothing more to say; then when Next is due, or when
// something has happened.
func (t *Task) Do(now time.Time) []Action {
	var actions []Action
	for i := range t.all {
		if t.all[i].phase == Waiting && !t.stopping && t.ready(i, now) {
			c := &t.all[i]
			c.phase = Starting
			if c.again {
				c.restarts++
			}
			actions = append(actions, Action{Begin, i})
		}
	}
	if !t.stopping {
		return actions
	}
	for i := range t.all {
		switch c := &t.all[i]; {
		case c.phase == Waiting && c.again:
			c.phase = Ended
		case c.phase == Waiting:
			c.phase = Never
		}
	}
	for i := range t.all {
		if action, due := t.wind(i, now); due {
			actions = append(actions, action)
		}
	}
	return actions
}

// wind stops a container once all that depend on it have ended.
func (t *Task) wind(i int, now time.Time) (Action, bool) {
	c := &t.all[i]
	if c.phase != Running || c.killed {
		return Action{}, false
	}
	if c.asked {
		c.killed = !now.Before(c.killAt)
		return Action{Kill, i}, c.killed
	}
	for _, by := range c.neededBy {
		if t.all[by].phase < Ended {
			return Action{}, false
		}
	}
	c.asked, c.killAt = true, now.Add(c.StopTimeout)
	return Action{Ask, i}, true
}

// ready tells whether all that a container needs is there. What can never be
// there fails the task.
func (t *Task) ready(i int, now time.Time) bool {
	c := &t.all[i]
	if c.again {
		return true
	}
	all := true
	for _, n := range c.needs {
		switch met, reason := t.met(n, now); {
		case reason != "":
			t.fail("TaskFailedToStart: container " + c.Name + " depends on container " + t.all[n.on].Name +
				" (" + n.condition + "), which " + reason)
			return false
		case !met:
			all = false
		}
	}
	return all
}

// met tells whether a condition holds, or why it never will.
func (t *Task) met(n need, now time.Time) (bool, string) {
	on := &t.all[n.on]
	switch {
	case on.phase == Never:
		return false, "could not be started"
	case n.condition == Start || n.condition == "":
		return on.phase >= Running || on.again, ""
	case n.condition == Complete && on.phase == Ended, n.condition == Success && on.phase == Ended && on.code == 0,
		n.condition == Healthy && on.phase == Running && on.healthy:
		return true, ""
	case n.condition == Success && on.phase == Ended:
		return false, "exited with code " + decimal(on.code)
	case n.condition == Healthy && on.phase == Ended:
		return false, "exited with code " + decimal(on.code) + " before it was healthy"
	case t.late(on, now):
		return false, "did not come to that within its startTimeout of " + on.StartTimeout.String()
	}
	return false, ""
}

func (t *Task) late(on *state, now time.Time) bool {
	return on.StartTimeout > 0 && on.phase == Running && !now.Before(on.began.Add(on.StartTimeout))
}

// Next is when Do has to be asked at the latest; false: not before something
// happens.
func (t *Task) Next() (next time.Time, ok bool) {
	earliest := func(at time.Time) {
		if !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	for i := range t.all {
		c := &t.all[i]
		if c.phase == Running && c.asked && !c.killed {
			earliest(c.killAt)
		}
		if c.phase != Waiting || c.again || t.stopping {
			continue
		}
		for _, n := range c.needs {
			if on := &t.all[n.on]; on.phase == Running && on.StartTimeout > 0 && n.condition != Start {
				earliest(on.began.Add(on.StartTimeout))
			}
		}
	}
	return next, ok
}

// Up tells whether every container has been started and the task is to run on.
func (t *Task) Up() bool {
	for i := range t.all {
		if c := &t.all[i]; c.phase < Running && !c.again {
			return false
		}
	}
	return !t.stopping
}

// Over tells whether nothing of the task runs or will.
func (t *Task) Over() bool {
	for i := range t.all {
		if p := t.all[i].phase; p < Ended {
			return false
		}
	}
	return true
}

// Stopping tells whether the task is on its way out.
func (t *Task) Stopping() bool { return t.stopping }

// Failure is why the task could not be started; empty if it could.
func (t *Task) Failure() string { return t.failure }

// Phase is how far a container has come.
func (t *Task) Phase(i int) Phase { return t.all[i].phase }

// Restarts is how often a container has been started again.
func (t *Task) Restarts(i int) int { return t.all[i].restarts }

// Check says what is wrong with the dependencies of a task's containers; empty
// if nothing is: each names a container of the task, and none goes round.
func Check(containers []Container) string {
	// 0 not seen, 1 under way, 2 done.
	seen := make([]int, len(containers))
	var visit func(i int) string
	visit = func(i int) string {
		seen[i] = 1
		for _, d := range containers[i].DependsOn {
			on := find(containers, d.Container)
			switch {
			case on < 0:
				return "container " + containers[i].Name + " depends on container " + d.Container + ", which is not in the task"
			case seen[on] == 1:
				return "containers " + containers[i].Name + " and " + d.Container + " depend on each other in a circle"
			case seen[on] == 0:
				if bad := visit(on); bad != "" {
					return bad
				}
			}
		}
		seen[i] = 2
		return ""
	}
	for i := range containers {
		if seen[i] == 0 {
			if bad := visit(i); bad != "" {
				return bad
			}
		}
	}
	return ""
}

// Sequence gives the indexes of the containers, each after those that it depends
// on. Check has accepted them.
func Sequence(containers []Container) []int {
	var sequence []int
	seen := make([]bool, len(containers))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		for _, d := range containers[i].DependsOn {
			if on := find(containers, d.Container); on >= 0 {
				visit(on)
			}
		}
		sequence = append(sequence, i)
	}
	for i := range containers {
		visit(i)
	}
	return sequence
}

func find(containers []Container, name string) int {
	for i, c := range containers {
		if c.Name == name {
			return i
		}
	}
	return -1
}

func contains(list []int, n int) bool {
	for _, m := range list {
		if m == n {
			return true
		}
	}
	return false
}

// decimal is strconv.Itoa, without its package.
func decimal(n int) string {
	if n < 0 {
		return "-" + decimal(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return decimal(n/10) + string(rune('0'+n%10))
}
