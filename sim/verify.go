package sim

import (
	"fmt"
	"slices"

	"plimsoll"
	"plimsoll/engine"
)

// witness is what a step began with, as far as the invariants compare.
type witness struct {
	tasks map[string]*engine.Task
	// desired and asked are the desired counts, and the bounds of each service.
	desired map[string]int
}

func (w *world) witness() *witness {
	b := &witness{tasks: map[string]*engine.Task{}, desired: map[string]int{}}
	for _, t := range w.machine.Tasks(w.cfg.Cluster) {
		b.tasks[t.ID] = t
	}
	for _, s := range w.machine.Services(w.cfg.Cluster) {
		b.desired[s.Name] = s.Desired
	}
	return b
}

// broken notes the first invariant that does not hold.
func (w *world) broken(format string, args ...any) {
	if w.problem == nil {
		w.problem = fmt.Errorf("sim: after %s: %s", w.now, fmt.Sprintf(format, args...))
	}
}

// verify checks what must hold after every event.
func (w *world) verify(before *witness) {
	tasks := w.machine.Tasks(w.cfg.Cluster)
	w.verifyCapacity(tasks)
	w.verifyProtected(before, tasks)
	w.verifyOrder(before, tasks)
	w.verifyCounts(before, tasks)
	w.verifyHosts()
}

func alive(t *engine.Task) bool { return t.LastStatus != plimsoll.StatusStopped }

// verifyCapacity: what is reserved on a host is within what it has, and the
// engine's own figures are those of its tasks.
func (w *world) verifyCapacity(tasks []*engine.Task) {
	used := map[string]plimsoll.Resources{}
	for _, t := range tasks {
		if alive(t) && t.ContainerInstance != "" {
			used[t.ContainerInstance] = used[t.ContainerInstance].Add(t.Reserved)
		}
	}
	for _, i := range w.machine.Instances(w.cfg.Cluster) {
		if !used[i.ARN].Fits(i.Registered) {
			w.broken("%s of %v holds %v", i.Name, i.Registered, used[i.ARN])
		}
		if left := w.machine.Remaining(i.ARN); left != i.Registered.Sub(used[i.ARN]) {
			w.broken("%s has %v left, by its tasks %v", i.Name, left, i.Registered.Sub(used[i.ARN]))
		}
		delete(used, i.ARN)
	}
	if len(used) > 0 {
		w.broken("tasks are on %d hosts that are not there", len(used))
	}
}

// verifyProtected: no protected task is stopped by anybody but its own end.
func (w *world) verifyProtected(before *witness, tasks []*engine.Task) {
	for _, t := range tasks {
		was := before.tasks[t.ID]
		if was == nil || !was.Protected(w.clock()) || slices.Contains(w.freed, t.ID) || was.DesiredStatus != plimsoll.StatusRunning {
			continue
		}
		if t.DesiredStatus == plimsoll.StatusStopped && t.StopCode == "ServiceSchedulerInitiated" {
			w.broken("the protected task %s of %s was stopped: %s", t.ID, t.Service, t.StoppedReason)
		}
	}
}

// verifyOrder: nothing is placed that is of lower priority than what waits and
// would have had room in its place.
func (w *world) verifyOrder(before *witness, tasks []*engine.Task) {
	var placed, waiting []*engine.Task
	for _, t := range tasks {
		switch was := before.tasks[t.ID]; {
		case !alive(t):
		case t.ContainerInstance == "":
			waiting = append(waiting, t)
		case was == nil || was.ContainerInstance == "":
			placed = append(placed, t)
		}
	}
	for _, wants := range waiting {
		if s, ok := w.machine.Service(w.cfg.Cluster, wants.Service); !ok || w.clock().Before(s.RetryAt) {
			continue
		}
		for _, i := range w.machine.Instances(w.cfg.Cluster) {
			room := w.machine.Remaining(i.ARN)
			if i.Status != plimsoll.InstanceActive {
				continue
			}
			for _, t := range placed {
				if t.ContainerInstance == i.ARN && t.Priority > wants.Priority {
					room = room.Add(t.Reserved)
				}
			}
			if wants.Reserved.Fits(room) {
				w.broken("task %s of %s, priority %d, waits though %s had room for it", wants.ID, wants.Service, wants.Priority, i.Name)
			}
		}
	}
}

// verifyCounts: every desired count that was set is within its bounds, and no
// service has more tasks that stay than it is to have. What is on a draining host
// is being replaced, and comes on top.
func (w *world) verifyCounts(before *witness, tasks []*engine.Task) {
	staying, draining := map[string]int{}, map[string]bool{}
	for _, i := range w.machine.Instances(w.cfg.Cluster) {
		draining[i.ARN] = i.Status == plimsoll.InstanceDraining
	}
	for _, t := range tasks {
		if !draining[t.ContainerInstance] && alive(t) && t.DesiredStatus == plimsoll.StatusRunning {
			staying[t.Service]++
		}
	}
	for _, l := range w.loads {
		name := l.Policy.Service
		s, ok := w.machine.Service(w.cfg.Cluster, name)
		if !ok {
			continue
		}
		was, known := before.desired[name]
		if known && s.Desired != was && w.cfg.Baseline == nil {
			w.verifyChange(l, was, s.Desired)
		}
		protected := 0
		for _, t := range tasks {
			if t.Service == name && alive(t) && t.Protected(w.clock()) {
				protected++
			}
		}
		if most := max(s.Desired, protected); staying[name] > most {
			w.broken("%s has %d tasks that stay and is to have %d, of which %d are protected", name, staying[name], s.Desired, protected)
		}
	}
}

// verifyChange: a count that the loop sets is within its bounds, but for what is
// protected; and none is lowered while it is not known why.
func (w *world) verifyChange(l *workload, from, to int) {
	p := &l.Policy
	if to > max(p.Max, from) {
		w.broken("%s was set from %d to %d, its maximum is %d", p.Service, from, to, p.Max)
	}
	if w.outage(ClusterOutage, "") {
		w.broken("%s was set from %d to %d while the cluster could not be read", p.Service, from, to)
	}
}
