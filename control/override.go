package control

import (
	"fmt"
	"maps"
	"time"

	"plimsoll/scale"
)

// SetFloor sets a minimum count for a service until a time; n = 0 lifts it. It
// returns after that is on disk, and wraps ErrUnknownService.
func (l *Loop) SetFloor(service string, n int, until time.Time) error {
	policy, err := l.known(service)
	if err != nil {
		return err
	}
	switch {
	case n < 0 || n > policy.Max:
		return fmt.Errorf("floor %d of %q is out of range: 0 to its maximum, %d", n, service, policy.Max)
	case n > 0 && !until.After(l.now()):
		return fmt.Errorf("the floor of %q ends at %s, which is past; name a later time", service, until.UTC().Format(time.RFC3339))
	case n == 0:
		until = time.Time{}
	}
	return l.override(service, func(o *scale.Override) { o.Floor, o.Until = n, until })
}

// SetCeiling holds a service at n tasks or fewer until the time given, though
// not below its minimum; the zero time ends it.
func (l *Loop) SetCeiling(service string, n int, until time.Time) error {
	policy, err := l.known(service)
	if err != nil {
		return err
	}
	switch {
	case until.IsZero():
		n = 0
	case n < policy.Min || n > policy.Max:
		return fmt.Errorf("ceiling %d of %q is out of range: its minimum, %d, to its maximum, %d", n, service, policy.Min, policy.Max)
	case !until.After(l.now()):
		return fmt.Errorf("the ceiling of %q ends at %s, which is past; name a later time", service, until.UTC().Format(time.RFC3339))
	}
	return l.override(service, func(o *scale.Override) { o.Ceiling, o.CeilingUntil = n, until })
}

// Pause keeps a service's desired count as it is until Resume. It returns after
// that is on disk, and wraps ErrUnknownService.
func (l *Loop) Pause(service string) error {
	if _, err := l.known(service); err != nil {
		return err
	}
	return l.override(service, func(o *scale.Override) { o.Paused = true })
}

// Resume ends a pause. It returns after that is on disk, and wraps
// ErrUnknownService.
func (l *Loop) Resume(service string) error {
	if _, err := l.known(service); err != nil {
		return err
	}
	return l.override(service, func(o *scale.Override) { o.Paused = false })
}

// override changes one service's override, on disk first.
func (l *Loop) override(service string, change func(*scale.Override)) error {
	l.file.Lock()
	defer l.file.Unlock()
	l.mu.Lock()
	all := maps.Clone(l.overrides)
	l.mu.Unlock()
	if all == nil {
		all = map[string]scale.Override{}
	}
	o := all[service]
	change(&o)
	if o == (scale.Override{}) {
		delete(all, service)
	} else {
		all[service] = o
	}
	if err := save(l.opts.Dir, kept{Overrides: all, Memory: l.State().Plan.Memory, Hosts: l.State().Hosts.Memory}); err != nil {
		return err
	}
	l.mu.Lock()
	l.overrides = all
	l.mu.Unlock()
	l.Wake()
	return nil
}

// inForce are the overrides that count at a time, without floors that have
// ended.
func (l *Loop) inForce(now time.Time) map[string]scale.Override {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]scale.Override, len(l.overrides))
	for service, o := range l.overrides {
		if o.Floor > 0 && !now.Before(o.Until) {
			o.Floor, o.Until = 0, time.Time{}
		}
		if !now.Before(o.CeilingUntil) {
			o.Ceiling, o.CeilingUntil = 0, time.Time{}
		}
		if o != (scale.Override{}) {
			all[service] = o
		}
	}
	return all
}
