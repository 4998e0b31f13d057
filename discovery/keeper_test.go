package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/discovery"
)

// shelf is a registry that notes what it was synced with.
type shelf struct {
	mu      sync.Mutex
	synced  [][]string
	waited  []string
	err     error
	pending bool
	takes   time.Duration
}

func (s *shelf) Sync(ctx context.Context, d discovery.Directory) (bool, error) {
	time.Sleep(s.takes) // of the bubble
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []string{}
	for _, i := range d.Services["web"] {
		ids = append(ids, i.ID)
	}
	s.synced = append(s.synced, ids)
	return !s.pending, s.err
}

func (s *shelf) Wait(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waited = append(s.waited, id)
	return nil
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.synced)
}

func (s *shelf) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced[len(s.synced)-1]
}

func (s *shelf) set(err error, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.pending = err, pending
}

// webOf is a directory of healthy tasks of a service web.
func webOf(ids ...string) discovery.Directory {
	d := discovery.Directory{Cluster: "shop", Services: map[string][]discovery.Instance{"web": nil}}
	for n, id := range ids {
		d.Services["web"] = append(d.Services["web"], discovery.Instance{
			ID: id, Healthy: true, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Ports: []discovery.Port{{Container: 80, Host: 32768}},
		})
	}
	return d
}

// keep runs a keeper of the shelf in a bubble, for the test.
func keep(t *testing.T, s *shelf, test func(t *testing.T, k *discovery.Keeper)) {
	synctest.Test(t, func(t *testing.T) {
		k := discovery.NewKeeper("the shelf", s, nil)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		synctest.Wait() // its first look, at nothing, is over
		test(t, k)
		stop()
		running.Wait()
	})
}

func put(t *testing.T, k *discovery.Keeper, d discovery.Directory) {
	t.Helper()
	if err := k.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestARegistryIsComparedAfterEachChangeAndEveryMinute(t *testing.T) {
	s := &shelf{}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		if s.count() != 0 {
			t.Error("it was compared with a directory that is not known")
		}
		put(t, k, webOf("one"))
		put(t, k, webOf("one")) // nothing new
		if s.count() != 1 {
			t.Errorf("compared %d times after one change", s.count())
		}
		put(t, k, webOf("one", "two"))
		if s.count() != 2 || !slices.Equal(s.last(), []string{"one", "two"}) {
			t.Errorf("compared %v", s.synced)
		}
		time.Sleep(10*time.Minute + time.Second)
		if s.count() != 12 {
			t.Errorf("compared %d times in ten minutes without a change, want 10", s.count()-2)
		}
	})
}

func TestWhatIsUnderWayIsLookedAtSoonAndWhatFailsEverMoreSlowly(t *testing.T) {
	s := &shelf{pending: true}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		put(t, k, webOf("one"))
		time.Sleep(10*time.Second + time.Millisecond)
		if s.count() != 6 {
			t.Errorf("looked %d times in 10 s at what is under way, want 6", s.count())
		}
		s.set(errors.New("away"), false)
		time.Sleep(5 * time.Minute)
		if n := s.count() - 6; n < 8 || n > 20 {
			t.Errorf("%d tries in five minutes", n)
		}
		s.set(nil, false)
		time.Sleep(40 * time.Second)
		if last := s.last(); !slices.Equal(last, []string{"one"}) {
			t.Errorf("after its return it has %v", last)
		}
	})
}

func TestADrainReturnsAfterAComparisonWithoutTheTaskWhichManyDrainsShare(t *testing.T) {
	s := &shelf{takes: time.Second}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		ids := []string{"stays"}
		for n := range 50 {
			ids = append(ids, fmt.Sprintf("t%d", n))
		}
		put(t, k, webOf(ids...))
		time.Sleep(2 * time.Second)
		before, began := s.count(), time.Now()
		var draining sync.WaitGroup
		for _, id := range ids[1:] {
			draining.Go(func() {
				if err := k.Drain(t.Context(), id); err != nil {
					t.Error(err)
				}
				if slices.Contains(s.last(), id) {
					t.Errorf("the drain of %s returned before it was out", id)
				}
			})
		}
		draining.Wait()
		if n := s.count() - before; n > 2 || time.Since(began) > 2*time.Second {
			t.Errorf("50 drains took %d comparisons and %s", n, time.Since(began))
		}
		if len(s.waited) != 50 {
			t.Errorf("waited for %v", s.waited)
		}
		put(t, k, webOf(slices.Concat(ids, []string{"new"})...)) // from an older snapshot
		time.Sleep(2 * time.Second)
		if got := s.last(); !slices.Equal(got, []string{"stays", "new"}) {
			t.Errorf("registered are %v, want what was not drained", got)
		}
	})
}

func TestADrainOfATaskThatIsNotRegisteredAsksNothing(t *testing.T) {
	s := &shelf{}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		put(t, k, webOf("one"))
		if err := k.Drain(t.Context(), "of-another-service"); err != nil || s.count() != 1 {
			t.Errorf("%d comparisons, error %v", s.count(), err)
		}
	})
}

func TestADrainThatFailsSaysSo(t *testing.T) {
	away := errors.New("away")
	s := &shelf{}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		put(t, k, webOf("one"))
		s.set(away, false)
		if err := k.Drain(t.Context(), "one"); !errors.Is(err, away) {
			t.Errorf("the drain says %v", err)
		}
	})
}

func TestARestoredTaskIsRegisteredAgain(t *testing.T) {
	s := &shelf{}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		put(t, k, webOf("one", "two"))
		if err := k.Drain(t.Context(), "two"); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.last(), []string{"one"}) {
			t.Errorf("after the drain: %q", s.last())
		}
		k.Restore("two")
		synctest.Wait()
		if !slices.Equal(s.last(), []string{"one", "two"}) {
			t.Errorf("after it was restored: %q", s.last())
		}
	})
}
