package discovery_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/discovery"
)

// flapping keeps a shelf of four tasks, of which those that are named are unwell, for
// some seconds each.
func flapping(t *testing.T, test func(s *shelf, be func(seconds int, unwell ...string))) {
	s := &shelf{}
	keep(t, s, func(t *testing.T, k *discovery.Keeper) {
		test(s, func(seconds int, unwell ...string) {
			for range seconds {
				d := webOf("a", "b", "c", "d")
				for n, i := range d.Services["web"] {
					d.Services["web"][n].Healthy = !slices.Contains(unwell, i.ID)
				}
				if err := k.SetDirectory(d); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
			synctest.Wait()
		})
	})
}

func TestATaskThatIsLostLeavesAtOnceAndComesBackAtOnce(t *testing.T) {
	flapping(t, func(s *shelf, be func(int, ...string)) {
		be(60)
		be(1, "a")
		if got := s.last(); !slices.Equal(got, []string{"b", "c", "d"}) {
			t.Errorf("a second after its loss the registry has %q", got)
		}
		be(1)
		if got := s.last(); len(got) != 4 {
			t.Errorf("a second after its return the registry has %q", got)
		}
	})
}

func TestATaskWhoseHealthComesAndGoesStaysOutEverLonger(t *testing.T) {
	flapping(t, func(s *shelf, be func(int, ...string)) {
		be(1)
		began := s.count()
		for range 5 * 60 / 4 {
			be(2, "a")
			be(2)
		}
		// Every 4 s it would be out and in; without it there is a look every minute.
		if n := s.count() - began; n > 20 {
			t.Errorf("in five minutes of coming and going the registry was asked for %d changes", n)
		}
		be(120)
		if got := s.last(); len(got) != 4 {
			t.Errorf("two minutes after it has become calm the registry has %q", got)
		}
		be(601)
		be(1, "a")
		be(1)
		if got := s.last(); len(got) != 4 {
			t.Errorf("after ten minutes without trouble it is not back at once: %q", got)
		}
	})
}

func TestComingAndGoingLeavesAtLeastHalfOfTheHealthyTasks(t *testing.T) {
	flapping(t, func(s *shelf, be func(int, ...string)) {
		be(1)
		for range 20 {
			for _, one := range []string{"a", "b", "c", "d"} {
				be(1, one)
				if got := s.last(); len(got) < 2 {
					t.Fatalf("with one task unwell the registry has %q", got)
				}
			}
		}
	})
}
