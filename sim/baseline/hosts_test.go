package baseline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/sim/baseline"
)

var half = plimsoll.Resources{CPU: 512, Memory: 512}

// fleet is a group of hosts of two tasks each, that have so many tasks.
func fleet(now time.Time, desired, least int, tasks ...int) baseline.Fleet {
	f := baseline.Fleet{Now: now, Min: least, Max: 10, Desired: desired, Each: half.Times(2)}
	for i, n := range tasks {
		f.Hosts = append(f.Hosts, baseline.Host{
			ID: fmt.Sprint(i), JoinedAt: noon.Add(-time.Hour), Tasks: n, Registered: f.Each, Free: f.Each.Sub(half.Times(n)),
		})
	}
	return f
}

func TestACapacityProviderGrowsByTheTasksThatWait(t *testing.T) {
	p := baseline.NewHosts("hpa")
	f := fleet(noon, 2, 0, 2, 2)
	f.Waiting = []plimsoll.Resources{half, half, half}
	if got := p.Hosts(f); got.Desired != 4 {
		t.Errorf("%d hosts desired for 3 waiting tasks of half a host beside 2 full ones, want 4", got.Desired)
	}
	f.Desired = 4
	if got := p.Hosts(f); got.Desired != 4 {
		t.Errorf("%d hosts desired while 2 come, want 4", got.Desired)
	}
}

func TestACapacityProviderRemovesEmptyHostsAfterFifteenMinutes(t *testing.T) {
	p := baseline.NewHosts("hpa")
	for minute := range 16 {
		got := p.Hosts(fleet(noon.Add(time.Duration(minute)*time.Minute), 4, 2, 1, 0, 0, 0))
		if want := minute >= 14; len(got.Terminate) > 0 != want || len(got.Drain) > 0 || want && !slices.Equal(got.Terminate, []string{"1", "2"}) {
			t.Fatalf("minute %d: %+v; want the 2 empty hosts above the minimum at the 15th datapoint", minute, got)
		}
	}
}

func TestACapacityProviderRemovesNothingWhileAHostWarmsUp(t *testing.T) {
	p := baseline.NewHosts("hpa")
	for minute := range 40 {
		f := fleet(noon.Add(time.Duration(minute)*time.Minute), 2, 0, 1, 0)
		f.Hosts[0].JoinedAt = f.Now.Add(-299 * time.Second)
		if got := p.Hosts(f); len(got.Terminate) > 0 {
			t.Fatalf("minute %d: %+v", minute, got)
		}
	}
}

func TestECScaleDrainsByItsThresholds(t *testing.T) {
	for name, c := range map[string]struct {
		fleet            baseline.Fleet
		drain, terminate []string
	}{
		"empty hosts drain":                           {fleet(noon, 4, 1, 2, 0, 0, 1), []string{"1", "2"}, nil},
		"nothing drains at the minimum":               {fleet(noon, 4, 4, 2, 0, 0, 1), nil, nil},
		"the forecast is over 70 %":                   {fleet(noon, 2, 1, 2, 0), nil, nil},
		"no host is empty, and too much is reserved":  {fleet(noon, 4, 1, 1, 1, 1, 1), nil, nil},
		"one with tasks drains at a quarter reserved": {small(fleet(noon, 4, 1, 1, 1, 1, 1)), []string{"0"}, nil},
		"what has drained is terminated":              {drained(fleet(noon, 3, 1, 2, 2, 0)), nil, []string{"2"}},
	} {
		got := baseline.NewHosts("ecscale").Hosts(c.fleet)
		if !slices.Equal(got.Drain, c.drain) || !slices.Equal(got.Terminate, c.terminate) {
			t.Errorf("%s: %+v, want to drain %v and to terminate %v", name, got, c.drain, c.terminate)
		}
	}
}

// small has the tasks take half of what they took.
func small(f baseline.Fleet) baseline.Fleet {
	for i := range f.Hosts {
		h := &f.Hosts[i]
		h.Registered = half.Times(4)
		h.Free = h.Registered.Sub(half)
	}
	return f
}

// drained has the last host drain.
func drained(f baseline.Fleet) baseline.Fleet {
	f.Hosts[len(f.Hosts)-1].Draining = true
	return f
}
