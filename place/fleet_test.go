package place_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/place"
)

// oracle is the rule of Pick and the books of a fleet as plainly as they can be
// written: a scan over a list.
type oracle struct {
	hosts []*oracleHost
}

type oracleHost struct {
	place.Host
	capacity plimsoll.Resources
	tasks    []place.Request
}

func (h *oracleHost) fits(r place.Request) bool {
	if h.Closed || !r.Reserved.Fits(h.Free) {
		return false
	}
	return !slices.ContainsFunc(r.Ports, func(p int) bool { return slices.Contains(h.Ports, p) })
}

func (o *oracle) find(id string) *oracleHost {
	for _, h := range o.hosts {
		if h.ID == id {
			return h
		}
	}
	return nil
}

func (o *oracle) pick(r place.Request) (string, bool) {
	inZone := map[string]int{}
	for _, h := range o.hosts {
		for _, t := range h.tasks {
			if t.Group == r.Group && !h.Closed {
				inZone[h.Zone]++
			}
		}
	}
	var best *oracleHost
	for _, h := range o.hosts {
		if h.fits(r) && (best == nil || o.better(h, best, inZone)) {
			best = h
		}
	}
	if best == nil {
		return "", false
	}
	return best.ID, true
}

func (o *oracle) better(a, b *oracleHost, inZone map[string]int) bool {
	if inZone[a.Zone] != inZone[b.Zone] {
		return inZone[a.Zone] < inZone[b.Zone]
	}
	if a.Free.CPU != b.Free.CPU {
		return a.Free.CPU < b.Free.CPU
	}
	if a.Free.Memory != b.Free.Memory {
		return a.Free.Memory < b.Free.Memory
	}
	return a.ID < b.ID
}

func drawRequest(t *rapid.T) place.Request {
	return place.Request{
		Group: rapid.SampledFrom([]string{"", "web", "mailer", "filler"}).Draw(t, "group"),
		Reserved: plimsoll.Resources{
			CPU:    rapid.SampledFrom([]int64{0, 128, 256, 300, 1024}).Draw(t, "cpu"),
			Memory: rapid.SampledFrom([]int64{0, 64, 128, 500}).Draw(t, "memory"),
			GPU:    rapid.SampledFrom([]int64{0, 0, 0, 1, 2}).Draw(t, "gpu"),
		},
		Ports: rapid.SampledFrom([][]int{nil, nil, nil, {80}, {443, 80}, {8125}}).Draw(t, "ports"),
	}
}

// Whatever is done to a fleet and to its clones, Pick gives what a plain scan
// gives, no host is loaded beyond its capacity, and no host has a port twice.
func TestPickAgreesWithAScanAndNeverOverloadsAHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fleet, scan := place.NewFleet(nil), &oracle{}
		serial := 0
		add := func(t *rapid.T) {
			h := place.Host{
				ID:   fmt.Sprintf("host-%d", serial%7),
				Zone: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone"),
				Free: plimsoll.Resources{CPU: rapid.SampledFrom([]int64{512, 1024, 4096}).Draw(t, "cpu"), Memory: 1024, GPU: rapid.SampledFrom([]int64{0, 4}).Draw(t, "gpu")},
			}
			serial++
			fleet.Add(h)
			scan.hosts = slices.DeleteFunc(scan.hosts, func(o *oracleHost) bool { return o.ID == h.ID })
			scan.hosts = append(scan.hosts, &oracleHost{Host: h, capacity: h.Free})
		}
		some := func(t *rapid.T) *oracleHost {
			if len(scan.hosts) == 0 {
				t.Skip("no host in the fleet yet")
			}
			return scan.hosts[rapid.IntRange(0, len(scan.hosts)-1).Draw(t, "host")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": add,
			"remove": func(t *rapid.T) {
				h := some(t)
				fleet.Remove(h.ID)
				scan.hosts = slices.DeleteFunc(scan.hosts, func(o *oracleHost) bool { return o == h })
			},
			"close or open": func(t *rapid.T) {
				h := some(t)
				h.Closed = !h.Closed
				fleet.SetClosed(h.ID, h.Closed)
			},
			"place": func(t *rapid.T) {
				r := drawRequest(t)
				want, wantOK := scan.pick(r)
				room := fleet.Room(r, 5)
				got, ok := fleet.Pick(r)
				if got != want || ok != wantOK {
					t.Fatalf("Pick(%+v) = %q, %t; a scan gives %q, %t", r, got, ok, want, wantOK)
				}
				if (room > 0) != ok || (fleet.Shortage(r).Fits > 0) != ok {
					t.Fatalf("Pick finds a host: %t, but Room is %d and Shortage %+v", ok, room, fleet.Shortage(r))
				}
				if !ok {
					return
				}
				if err := fleet.Reserve(got, r); err != nil {
					t.Fatal(err)
				}
				h := scan.find(got)
				h.Free = h.Free.Sub(r.Reserved)
				h.Ports = append(h.Ports, r.Ports...)
				h.tasks = append(h.tasks, r)
			},
			"release": func(t *rapid.T) {
				h := some(t)
				if len(h.tasks) == 0 {
					t.Skip("no task on the host")
				}
				i := rapid.IntRange(0, len(h.tasks)-1).Draw(t, "task")
				r := h.tasks[i]
				h.tasks = slices.Delete(h.tasks, i, i+1)
				h.Free = h.Free.Add(r.Reserved)
				h.Ports = slices.DeleteFunc(h.Ports, func(p int) bool { return slices.Contains(r.Ports, p) })
				fleet.Release(h.ID, r)
			},
			"go on with a clone": func(t *rapid.T) {
				old := fleet
				fleet = old.Clone()
				// What happens to the old one is nothing to the new one.
				for _, h := range scan.hosts {
					_ = old.Reserve(h.ID, place.Request{Group: "other", Reserved: plimsoll.Resources{CPU: 7, Memory: 7}, Ports: []int{9}})
				}
				old.Add(place.Host{ID: "of the past", Zone: "z", Free: plimsoll.Resources{CPU: 1 << 20, Memory: 1 << 20}})
			},
			"": func(t *rapid.T) {
				for _, h := range scan.hosts {
					if got := fleet.Free(h.ID); got != h.Free {
						t.Fatalf("Free(%q) = %v, want %v", h.ID, got, h.Free)
					}
					if !(plimsoll.Resources{}).Fits(h.Free) || !h.Free.Fits(h.capacity) {
						t.Fatalf("%q has %v free of %v", h.ID, h.Free, h.capacity)
					}
					ports := slices.Clone(h.Ports)
					slices.Sort(ports)
					if len(slices.Compact(ports)) != len(h.Ports) {
						t.Fatalf("%q has a port twice: %v", h.ID, h.Ports)
					}
				}
			},
		})
	})
}

func hosts(n int) []place.Host {
	list := make([]place.Host, n)
	for i := range list {
		list[i] = place.Host{
			ID: fmt.Sprintf("host-%05d", i), Zone: string(rune('a' + i%3)),
			Free: plimsoll.Resources{CPU: 4096, Memory: 8192},
		}
	}
	return list
}

func TestAGroupIsSpreadOverTheZonesAndPackedWithinThem(t *testing.T) {
	f := place.NewFleet(hosts(9))
	r := place.Request{Group: "web", Reserved: plimsoll.Resources{CPU: 1024, Memory: 64}}
	on := map[string]int{}
	for range 12 {
		id, ok := f.Pick(r)
		if !ok {
			t.Fatal("no room")
		}
		if err := f.Reserve(id, r); err != nil {
			t.Fatal(err)
		}
		on[id]++
	}
	for _, id := range []string{"host-00000", "host-00001", "host-00002"} {
		if on[id] != 4 {
			t.Errorf("%s has %d tasks, want 4: %v", id, on[id], on)
		}
	}
}

func TestAPortThatIsTakenIsRefusedAndNothingIsReserved(t *testing.T) {
	f := place.NewFleet(hosts(1))
	r := place.Request{Group: "web", Reserved: plimsoll.Resources{CPU: 100}, Ports: []int{80}}
	if err := f.Reserve("host-00000", r); err != nil {
		t.Fatal(err)
	}
	if err := f.Reserve("host-00000", r); err == nil {
		t.Error("the port was given twice")
	}
	if got := f.Free("host-00000").CPU; got != 3996 {
		t.Errorf("%d CPU units are free, want 3996", got)
	}
	if got, want := f.Shortage(r).Reason(), "RESOURCE:PORTS"; got != want {
		t.Errorf("the shortage is %q, want %q", got, want)
	}
}

func TestAnOverdraftIsVisible(t *testing.T) {
	f := place.NewFleet(hosts(1))
	if err := f.Reserve("host-00000", place.Request{Reserved: plimsoll.Resources{CPU: 5000, Memory: 1}}); err != nil {
		t.Fatal(err)
	}
	if got := f.Free("host-00000").CPU; got != -904 {
		t.Errorf("%d CPU units are free, want -904", got)
	}
}

func TestAShortageSaysWhatIsMissingOnHowManyHosts(t *testing.T) {
	f := place.NewFleet(hosts(3))
	f.SetClosed("host-00002", true)
	s := f.Shortage(place.Request{Reserved: plimsoll.Resources{CPU: 9000, Memory: 100}})
	want := "of the container instances 2 of 3 have less than 9000 CPU units free, 1 of 3 take no new tasks"
	if s.String() != want {
		t.Errorf("got %q\nwant %q", s, want)
	}
}

func TestRoomCountsEveryTaskThatWouldFit(t *testing.T) {
	f := place.NewFleet(hosts(3))
	r := place.Request{Reserved: plimsoll.Resources{CPU: 1000, Memory: 1}}
	for limit, want := range map[int]int{5: 5, 100: 12} {
		if got := f.Room(r, limit); got != want {
			t.Errorf("Room at most %d = %d, want %d", limit, got, want)
		}
	}
	r.Ports = []int{80}
	if got := f.Room(r, 100); got != 3 {
		t.Errorf("Room with a fixed port = %d, want one per host", got)
	}
}
