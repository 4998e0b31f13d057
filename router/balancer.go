package router

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Policy is how a target is chosen.
type Policy string

// The policies.
const (
	LeastLoaded Policy = ""           // the less loaded of two chosen at random
	RoundRobin  Policy = "roundRobin" // in turn
	Weighted    Policy = "weighted"   // at random, by Target.Weight
)

// Balance is how requests are shared out among the targets of a service. It is
// the same for all of its routes: the first that names one counts.
type Balance struct {
	Policy Policy
	// Sticky is the name of a cookie that keeps a client at its target for as
	// long as that is used: its value is a digest of the task's id, so that
	// every router gives and understands the same. Empty is none.
	Sticky string
	// AnyZone leaves the zone out of account. Without it the targets of the
	// router's own zone (Options.Zone) come first, while they have room.
	AnyZone bool
	// SlowStart is the time over which a target that is new, or comes back
	// after failures, is brought from a tenth to the whole of its share.
	SlowStart time.Duration
	// MaxPerTarget is the greatest number of requests in flight at one target;
	// 0 is no bound. What finds all targets full waits, at most MaxQueued of
	// them (0: Options.HoldMax), as for a first target.
	MaxPerTarget, MaxQueued int
}

func (b Balance) check() error {
	switch b.Policy {
	case LeastLoaded, RoundRobin, Weighted:
	default:
		return fmt.Errorf("balancing %q is unknown; allowed: none (the less loaded of two), %q, %q", b.Policy, RoundRobin, Weighted)
	}
	if b.SlowStart < 0 || b.MaxPerTarget < 0 || b.MaxQueued < 0 {
		return fmt.Errorf("slow start %s, %d requests per target and %d queued: none may be under 0", b.SlowStart, b.MaxPerTarget, b.MaxQueued)
	}
	return nil
}

// pool are the targets to choose among, made ready for the choice. It is never
// changed.
type pool struct {
	targets []*target
	near    []*target // those of the router's zone, if that has some and not all
	policy  Policy
	ramping bool // one of them starts slowly
	// blind tells that none of them took connections of late. One is tried by each
	// request, in case that has changed, and no more.
	blind bool
}

func newPool(targets []*target, b Balance, zone string, now time.Time) *pool {
	p := &pool{targets: targets, policy: b.Policy}
	for _, t := range targets {
		p.ramping = p.ramping || t.share(now) < shareWhole
		if zone != "" && !b.AnyZone && t.Zone == zone {
			p.near = append(p.near, t)
		}
	}
	if len(p.near) == len(targets) {
		p.near = nil
	}
	return p
}

// spent tells whether there is nothing more to be tried.
func (p *pool) spent(tried []*target) bool {
	if p.blind && len(tried) > 0 {
		return true
	}
	for _, t := range p.targets {
		if !slices.Contains(tried, t) {
			return false
		}
	}
	return true
}

// A zone's targets have room while the one that is chosen there is not loaded
// more than farTimes the one that would be chosen among all, and farMore.
const (
	farTimes = 2
	farMore  = 2
)

// pick chooses a target, less those of skip; nil if none is left. turn counts
// the choices.
func (p *pool) pick(skip []*target, turn func() uint64, random func() uint64) *target {
	if p.blind && len(skip) > 0 {
		return nil
	}
	if len(p.near) == 0 {
		return p.pickOf(p.targets, skip, turn, random)
	}
	near := p.pickOf(p.near, skip, turn, random)
	far := p.pickOf(p.targets, skip, turn, random)
	switch {
	case near == nil:
		return far
	case far == nil:
		return near
	case len(skip) > 0 && near.strikes.Load() > 0 && far.strikes.Load() == 0: // as in without
		return far
	case near.load() > farTimes*far.load()+farMore:
		return far
	}
	return near
}

func (p *pool) pickOf(targets, skip []*target, turn func() uint64, random func() uint64) *target {
	if p.policy == LeastLoaded && !p.ramping {
		return pick(targets, skip, random)
	}
	if len(skip) > 0 {
		targets = without(targets, skip)
	}
	if len(targets) == 0 {
		return nil
	}
	now := time.Now()
	if p.policy == LeastLoaded {
		return pickRamping(targets, now, random)
	}
	// A target that starts slowly lets a part of its turns go by.
	var t *target
	for range len(targets) {
		if p.policy == RoundRobin {
			t = targets[turn()%uint64(len(targets))]
		} else {
			t = byWeight(targets, random)
		}
		if share := t.share(now); share == shareWhole || random()%shareWhole < share {
			break
		}
	}
	return t
}

// pick is the least loaded of two targets chosen at random: within a constant
// of the best balance without looking at them all (the power of two choices,
// Mitzenmacher 2001). Targets in skip are left out. nil if none is left.
func pick(targets []*target, skip []*target, random func() uint64) *target {
	if len(skip) > 0 {
		targets = without(targets, skip)
	}
	switch n := uint64(len(targets)); n {
	case 0:
		return nil
	case 1:
		return targets[0]
	default:
		a, b := two(targets, random)
		if b.load() < a.load() {
			return b
		}
		return a
	}
}

func two(targets []*target, random func() uint64) (a, b *target) {
	n := uint64(len(targets))
	i := random() % n
	j := (i + 1 + random()%(n-1)) % n
	return targets[i], targets[j]
}

// pickRamping is pick where a target counts as loaded by its share: a tenth of
// a share makes each request weigh ten.
func pickRamping(targets []*target, now time.Time, random func() uint64) *target {
	if len(targets) == 1 {
		return targets[0]
	}
	a, b := two(targets, random)
	if uint64(b.load()+1)*a.share(now) < uint64(a.load()+1)*b.share(now) {
		return b
	}
	return a
}

// byWeight chooses at random by the targets' weights.
func byWeight(targets []*target, random func() uint64) *target {
	sums := make([]uint64, len(targets))
	total := uint64(0)
	for i, t := range targets {
		total += uint64(max(t.Weight, 1))
		sums[i] = total
	}
	at := random() % total
	return targets[sort.Search(len(sums), func(i int) bool { return sums[i] > at })]
}

// without gives the targets but those of skip; of these, the ones that have
// answered last, if there are such: where one has failed, as when a zone is lost,
// others may have too, and a request is not to find them all out.
func without(targets, skip []*target) []*target {
	left := make([]*target, 0, len(targets))
	var struck []*target
	for _, t := range targets {
		switch {
		case slices.Contains(skip, t):
		case t.strikes.Load() > 0:
			struck = append(struck, t)
		default:
			left = append(left, t)
		}
	}
	if len(left) == 0 {
		return struck
	}
	return left
}

// Shares of a target in its slow start.
const (
	shareWhole = 1000
	shareFirst = shareWhole / 10
)

// share is the part of its share of the requests that a target gets: from
// shareFirst, rising over its slow start, to shareWhole.
func (t *target) share(now time.Time) uint64 {
	began := t.rampFrom.Load()
	over := int64(t.service.settings.Load().balance.SlowStart)
	if began == 0 || over <= 0 {
		return shareWhole
	}
	passed := now.UnixNano() - began
	if passed >= over {
		return shareWhole
	}
	return shareFirst + uint64((shareWhole-shareFirst)*max(0, passed)/over)
}

// digest is what a sticky cookie says of a task.
func digest(id string) string {
	sum := sha256.Sum256([]byte("plimsoll task " + id))
	return hex.EncodeToString(sum[:12])
}
