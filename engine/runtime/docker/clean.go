package docker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	docker "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Cleaning says when stopped containers and unused images are removed: those of
// this engine only, a few at a time, and never before a start that is under way.
// The defaults are the ECS agent's.
type Cleaning struct {
	// Every is the time between two cycles. 0: 30 min; below 0: never.
	Every time.Duration
	// KeepStopped is how long the containers of a stopped task are kept, if they
	// are not forgotten before (which the engine does with the task). 0: 3 h.
	KeepStopped time.Duration
	// MaxStopped is of how many stopped tasks containers are kept; the oldest go
	// first. 0: 100.
	MaxStopped int
	// MinAge is for how long an image has to have been unused. 0: 1 h.
	MinAge time.Duration
	// PerCycle is how many images a cycle removes at most. 0: 5.
	PerCycle int
	// MaxImages and MaxBytes are how many of the pulled images are kept though
	// they are unused, and how large all pulled images may be together, as far as
	// MinAge lets them go. Both 0: none are kept.
	MaxImages int
	MaxBytes  int64
}

func (c Cleaning) defaults() Cleaning {
	return Cleaning{
		Every: cmp.Or(c.Every, 30*time.Minute), KeepStopped: cmp.Or(c.KeepStopped, keepStopped), MaxStopped: cmp.Or(c.MaxStopped, 100),
		MinAge: cmp.Or(c.MinAge, time.Hour), PerCycle: cmp.Or(c.PerCycle, 5), MaxImages: c.MaxImages, MaxBytes: c.MaxBytes,
	}
}

// clean removes what is old until the runtime is closed.
func (r *Runtime) clean() {
	c := r.o.Images.Clean.defaults()
	for c.Every > 0 && r.sleep(c.Every) {
		if err := r.cleanTasks(r.ctx, c); err != nil && r.ctx.Err() == nil {
			r.o.Log.Warn("stopped containers cannot be removed", "error", err)
		}
		if err := r.images.clean(r.ctx, c); err != nil && r.ctx.Err() == nil {
			r.o.Log.Warn("unused images cannot be removed", "error", err)
		}
	}
}

// stoppedTask is a task none of whose containers runs.
type stoppedTask struct {
	id string
	at time.Time // the last end
}

func (r *Runtime) cleanTasks(ctx context.Context, c Cleaning) error {
	stopped, err := r.stoppedTasks(ctx)
	if err != nil {
		return err
	}
	for _, s := range tooOld(stopped, c, r.o.Now()) {
		if !r.giveWay() {
			return nil
		}
		r.Forget(s.id)
	}
	return nil
}

// tooOld are the tasks whose containers go, the oldest first.
func tooOld(stopped []stoppedTask, c Cleaning, now time.Time) []stoppedTask {
	slices.SortFunc(stopped, func(a, b stoppedTask) int { return a.at.Compare(b.at) })
	n := max(0, len(stopped)-c.MaxStopped)
	for n < len(stopped) && now.Sub(stopped[n].at) >= c.KeepStopped {
		n++
	}
	return stopped[:n]
}

func (r *Runtime) stoppedTasks(ctx context.Context) ([]stoppedTask, error) {
	list, err := r.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.filter("")})
	if err != nil {
		return nil, err
	}
	at := map[string]time.Time{}
	alive := map[string]bool{}
	for _, item := range list.Items {
		id := item.Labels[labelTask]
		if t := r.task(id); t != nil && !t.isOver() {
			alive[id] = true
		}
		if alive[id] {
			continue
		}
		got, err := r.inspect(ctx, item.ID)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		end, runs := lastEnd(item, got)
		alive[id] = alive[id] || runs
		if end.After(at[id]) {
			at[id] = end
		}
	}
	var stopped []stoppedTask
	for id, end := range at {
		if !alive[id] {
			stopped = append(stopped, stoppedTask{id, end})
		}
	}
	return stopped, nil
}

// lastEnd is when a container ended, or was made if it never ran.
func lastEnd(item summary, got docker.InspectResponse) (end time.Time, runs bool) {
	end = time.Unix(item.Created, 0)
	if got.State == nil {
		return end, true // who knows
	}
	if at := moment(got.State.FinishedAt, end); at.After(end) {
		end = at
	}
	return end, got.State.Running || got.State.Paused || got.State.Restarting
}

// patienceWithStarts bounds how long one removal waits for starts.
const patienceWithStarts = 10 * time.Second

// giveWay waits until no start is under way. It tells whether the runtime is open.
func (r *Runtime) giveWay() bool {
	for waited := time.Duration(0); r.starts.Busy() && waited < patienceWithStarts; waited += 50 * time.Millisecond {
		if !r.sleep(50 * time.Millisecond) {
			return false
		}
	}
	return r.ctx.Err() == nil
}

// candidate is an image that this engine has pulled.
type candidate struct {
	ref  string
	used time.Time
	size int64
	idle bool // no container has it, and it was not fetched ahead of need
}

// unneeded are the images to remove, those first that have been unused longest.
func unneeded(all []candidate, c Cleaning, now time.Time) []candidate {
	var idle []candidate
	var bytes int64
	for _, image := range all {
		bytes += image.size
		if image.idle {
			idle = append(idle, image)
		}
	}
	slices.SortFunc(idle, func(a, b candidate) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.ref, b.ref)) })
	unlimited := c.MaxImages <= 0 && c.MaxBytes <= 0
	var go_ []candidate
	for i, image := range idle {
		tooMany := c.MaxImages > 0 && len(idle)-i > c.MaxImages
		tooLarge := c.MaxBytes > 0 && bytes > c.MaxBytes
		if len(go_) == c.PerCycle || now.Sub(image.used) < c.MinAge || !(unlimited || tooMany || tooLarge) {
			break
		}
		go_ = append(go_, image)
		bytes -= image.size
	}
	return go_
}

func (m *images) clean(ctx context.Context, c Cleaning) error {
	all, err := m.candidates(ctx)
	if err != nil {
		return err
	}
	defer m.record.flush()
	for _, image := range unneeded(all, c, m.r.o.Now()) {
		if !m.r.giveWay() {
			return nil
		}
		if err := m.remove(ctx, image.ref); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the images that are still as this engine has pulled them.
func (m *images) candidates(ctx context.Context) ([]candidate, error) {
	// Whoever's the containers are, and whether they run or not.
	list, err := m.r.docker.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, err
	}
	busy := map[string]bool{}
	for _, item := range list.Items {
		busy[item.ImageID] = true
	}
	kept := m.prefetched()
	var all []candidate
	for ref, image := range m.record.images() {
		got, err := m.r.docker.ImageInspect(ctx, cmp.Or(image.Name, ref))
		if errdefs.IsNotFound(err) || err == nil && got.ID != image.ID {
			m.record.forget(ref) // somebody has removed it, or given its name to another
			continue
		}
		if err != nil {
			return nil, err
		}
		if busy[image.ID] {
			m.record.used([]string{ref}, m.r.o.Now())
		}
		all = append(all, candidate{ref: ref, used: image.Used, size: got.Size, idle: !busy[image.ID] && !kept[ref]})
	}
	return all, nil
}

// remove removes an image by its name, and what only it had: Docker refuses if a
// container has it, and leaves it under the other names that somebody gave it.
func (m *images) remove(ctx context.Context, ref string) error {
	done := m.reserve(ref)
	if done == nil {
		return nil
	}
	defer done()
	image := m.record.images()[ref]
	name := cmp.Or(image.Name, ref)
	if m.idOf(ctx, name) != image.ID {
		return nil
	}
	_, err := m.r.docker.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	switch {
	case err == nil:
		m.r.o.Log.Info("an unused image was removed", "image", ref)
		m.record.forget(ref)
	case errdefs.IsNotFound(err):
		m.record.forget(ref)
	case errdefs.IsConflict(err): // used since
	default:
		return err
	}
	return nil
}
