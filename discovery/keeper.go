package discovery

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"sync"
	"time"
)

const (
	// fullEvery is how often a registry's entries are compared although nothing is
	// known to have changed: somebody may have removed one.
	fullEvery   = time.Minute
	settleEvery = 2 * time.Second
	firstRetry  = time.Second
	lastRetry   = 30 * time.Second
)

// Place is where in a registry a service's tasks are kept.
type Place struct {
	Service string
	// In names the registry's own thing: a service of Cloud Map by its id (srv-…), its
	// ARN, or its name and its namespace's (web.shop.local); a target group by its ARN
	// or name.
	In string
	// Port is the container port; 0 is the service's own.
	Port int
}

// Registry is a directory that somebody else keeps, in which the instances are
// registered.
type Registry interface {
	// Sync makes the registry's entries be the instances of a directory, all of
	// which may get work. It touches only entries that are its own. Settled is false
	// while what was asked for is still under way.
	Sync(ctx context.Context, d Directory) (settled bool, err error)
}

// Waiter is the optional ability of a Registry to return when nobody is sent any
// more to an instance that a Sync has taken out.
type Waiter interface {
	Wait(ctx context.Context, id string) error
}

// Keeper keeps a registry true: at its start, after each change and every minute,
// so that missed events and dead hosts leave no stale entry. Run does the work;
// the other methods may be called at any time, from any goroutine.
type Keeper struct {
	name     string
	registry Registry
	log      *slog.Logger
	changed  chan struct{}

	mu        sync.Mutex
	directory *Directory
	flaps     damper
	drained   map[string]time.Time
	known     map[string]bool // the instances that the registry may have
	drains    int             // so many have been asked for

	syncing chan struct{} // holds a value while a comparison is under way
	synced  int           // the drains that the last comparison knew of
}

// NewKeeper gives the keeper of a registry, whose name is for the log.
func NewKeeper(name string, registry Registry, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		name: name, registry: registry, log: log, changed: make(chan struct{}, 1),
		flaps: damper{}, drained: map[string]time.Time{}, known: map[string]bool{}, syncing: make(chan struct{}, 1),
	}
}

// SetDirectory replaces what is to be registered. It is to be called every second, or
// so: an instance whose health comes and goes stays out for a time that ends at a call.
func (k *Keeper) SetDirectory(d Directory) error {
	if err := d.Check(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.drained, func(_ string, at time.Time) bool { return time.Since(at) > drainMemory })
	d.Services = k.flaps.damp(d.Services, d.Unsure, time.Now())
	told := k.directory != nil && k.directory.tells(d)
	k.directory = &d
	if told {
		return nil
	}
	k.change()
	return nil
}

// change asks for a comparison soon.
func (k *Keeper) change() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// Restore ends a drain: the instance is registered again, if the directory has it.
func (k *Keeper) Restore(id string) {
	k.mu.Lock()
	delete(k.drained, id)
	k.mu.Unlock()
	k.change()
}

// Drain takes an instance out until Restore, and returns when nobody is sent to it
// any more, or says why that is not known.
func (k *Keeper) Drain(ctx context.Context, id string) error {
	k.mu.Lock()
	k.drained[id] = time.Now()
	k.drains++
	number, known := k.drains, k.known[id]
	k.mu.Unlock()
	var err error
	if known {
		_, err = k.sync(ctx, number)
	}
	if w, ok := k.registry.(Waiter); ok {
		err = errors.Join(err, w.Wait(ctx, id))
	}
	return err
}

// Run keeps the registry true until ctx ends. One that does not answer is tried
// again, ever more slowly.
func (k *Keeper) Run(ctx context.Context) {
	retry, wait := firstRetry, time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-k.changed:
			timer.Stop()
		}
		settled, err := k.sync(ctx, 0)
		switch {
		case err != nil && ctx.Err() == nil:
			k.log.Warn(k.name+": the entries are not up to date", "retry", retry, "err", err)
			wait = retry
			retry = min(2*retry, lastRetry)
		case !settled:
			retry, wait = firstRetry, settleEvery
		default:
			retry, wait = firstRetry, fullEvery
		}
	}
}

// Sync makes the registry be what the directory says, once. Before there is a
// directory it does nothing: unknown is not empty.
func (k *Keeper) Sync(ctx context.Context) error {
	_, err := k.sync(ctx, 0)
	return err
}

// sync compares, unless a comparison that knew of the drain with this number has
// been made meanwhile: many tasks that stop together need one.
func (k *Keeper) sync(ctx context.Context, number int) (settled bool, err error) {
	select {
	case k.syncing <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-k.syncing }()
	if number > 0 && k.synced >= number {
		return true, nil
	}
	k.mu.Lock()
	if k.directory == nil {
		k.mu.Unlock()
		return true, nil
	}
	drains, d := k.drains, k.usable()
	ids := map[string]bool{}
	for _, instances := range d.Services {
		for _, i := range instances {
			ids[i.ID] = true
		}
	}
	maps.Copy(k.known, ids)
	k.mu.Unlock()
	if settled, err = k.registry.Sync(ctx, d); err != nil {
		return settled, err
	}
	k.synced = drains
	k.mu.Lock()
	k.known = ids
	k.mu.Unlock()
	return settled, nil
}

// usable is the directory without the instances that are to get no work; k.mu is
// held.
func (k *Keeper) usable() Directory {
	d := *k.directory
	d.Services = make(map[string][]Instance, len(d.Services))
	d.Sick, d.Gone = map[string]bool{}, maps.Clone(d.Gone)
	if d.Gone == nil {
		d.Gone = map[string]bool{}
	}
	for id := range k.drained {
		d.Gone[id] = true
	}
	for service, instances := range k.directory.Services {
		d.Services[service] = nil
		for _, i := range instances {
			switch {
			case d.Gone[i.ID]:
			case i.Healthy:
				d.Services[service] = append(d.Services[service], i)
			case !d.Unsure[i.ID]:
				d.Sick[i.ID] = true
			}
		}
	}
	d.Unsure = maps.Clone(d.Unsure)
	maps.DeleteFunc(d.Unsure, func(id string, _ bool) bool { return d.Gone[id] })
	return d
}

// tells tells whether another directory has the same to be registered. What else is
// in it changes with every task of the cluster, and can wait for the next comparison.
func (d Directory) tells(other Directory) bool {
	return d.Cluster == other.Cluster && reflect.DeepEqual(d.Services, other.Services) && maps.Equal(d.Unsure, other.Unsure) &&
		reflect.DeepEqual(d.Tags, other.Tags) && reflect.DeepEqual(d.Kept, other.Kept)
}
