package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"plimsoll"
	"plimsoll/compose"
	"plimsoll/control"
)

// routersLook is the time in which every `plimsoll router` has seen a mark: two of its
// looks at the cluster, since one may have begun just before.
const routersLook = 2 * routeTick

// departures see tasks out under `plimsoll run`, before ECS is told to stop them: of
// the directories that it keeps, and of the routers beside it, which see the mark on
// the task. How many those are, and what they have under way, nobody knows here: the
// requests get all of the file's deregistrationDelay.
type departures struct {
	project *compose.Project
	find    *finder
	tags    *routed

	mu     sync.Mutex
	routed map[string]bool // by service
}

var _ control.Drainer = (*departures)(nil)

func newDepartures(project *compose.Project) *departures {
	return &departures{
		project: project, routed: map[string]bool{},
		// The routers themselves complain of tags that are no routes.
		tags: &routed{told: map[string]bool{}, log: slog.New(slog.DiscardHandler)},
	}
}

// Drains is true of the services that somebody finds the tasks of. Cooperative tasks
// protect themselves and leave by themselves: nobody else may touch their protection.
func (d *departures) Drains(s *plimsoll.Service) bool {
	if cooperative(d.project, s.Name) {
		return false
	}
	routes, inFile := len(d.tags.tagged(*s)) > 0, false
	for i := range d.project.Services {
		if p := &d.project.Services[i]; p.Name == s.Name {
			routes, inFile = routes || p.Scaling.Route != nil, true
		}
	}
	d.mu.Lock()
	d.routed[s.Name] = routes
	d.mu.Unlock()
	return routes || inFile && d.find.tells(s.Name)
}

// Drain returns when nobody has the task's address from the directories, and the
// routers have had the time for its requests.
func (d *departures) Drain(ctx context.Context, task *plimsoll.Task) error {
	d.mu.Lock()
	routes := d.routed[task.Service]
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	err := d.find.drain(ctx, task.ID())
	if routes {
		<-ctx.Done()
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

// patience is how long all that may take.
func (d *departures) patience() time.Duration { return routersLook + d.project.DeregistrationDelay }

// Restore has the directories name the task again.
func (d *departures) Restore(task *plimsoll.Task) { d.find.restore(task.ID()) }
