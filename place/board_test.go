package place_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"plimsoll"
	"plimsoll/place"
)

// table is the same hosts as a board's, counted anew for each choice.
type table struct {
	sites  []place.Site
	racks  []string
	groups [][]string // by host, one for each task
}

// best are the hosts that are as good as any by the strategies, one after another.
func (b *table) best(s *place.Search) []int {
	var hosts []int
	for i, h := range b.sites {
		if !h.Closed && s.Reserved.Fits(h.Free) && s.Admits(i) && (!s.Distinct || !slices.Contains(b.groups[i], s.Group)) {
			hosts = append(hosts, i)
		}
	}
	var within []string
	for _, strategy := range s.Strategies {
		rank := func(i int) int64 { return b.sites[i].Free.Memory }
		if strategy.Type == place.Spread {
			within = append(within, strategy.Field)
			fields := slices.Clone(within)
			rank = func(i int) int64 { return b.count(s, i, fields) }
		}
		least := int64(0)
		for n, i := range hosts {
			if r := rank(i); n == 0 || r < least {
				least = r
			}
		}
		hosts = slices.DeleteFunc(hosts, func(i int) bool { return rank(i) > least })
	}
	return hosts
}

// count is how many tasks of the group are on open hosts that have the same
// values of the fields.
func (b *table) count(s *place.Search, host int, fields []string) int64 {
	n := int64(0)
	for i := range b.sites {
		same := !slices.ContainsFunc(fields, func(f string) bool { return b.value(i, f) != b.value(host, f) })
		for _, g := range b.groups[i] {
			if same && g == s.Group && !b.sites[i].Closed {
				n++
			}
		}
	}
	return n
}

func (b *table) value(host int, field string) string {
	if field == place.FieldInstance {
		return fmt.Sprint(host)
	}
	return b.racks[host]
}

func TestABoardChoosesAsACountOfAllHostsDoes(t *testing.T) {
	spread := func(f string) place.Strategy { return place.Strategy{Type: place.Spread, Field: f} }
	pack := place.Strategy{Type: place.Binpack, Field: place.FieldMemory}
	menu := [][]place.Strategy{
		nil, {spread("attribute:rack")}, {spread(place.FieldInstance)}, {pack}, {spread("attribute:rack"), pack},
		{spread("attribute:rack"), spread(place.FieldInstance)}, {pack, spread("attribute:rack")},
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "hosts")
		b := &table{groups: make([][]string, n)}
		for range n {
			b.sites = append(b.sites, place.Site{
				Free:   plimsoll.Resources{CPU: int64(rapid.IntRange(0, 8).Draw(t, "cpu")), Memory: int64(rapid.IntRange(0, 8).Draw(t, "memory"))},
				Closed: rapid.IntRange(0, 5).Draw(t, "closed") == 0,
			})
			b.racks = append(b.racks, rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "rack"))
		}
		board := place.NewBoard(slices.Clone(b.sites))
		type placed struct {
			host int
			r    place.Request
		}
		var tasks []placed
		for range rapid.IntRange(1, 30).Draw(t, "tasks") {
			if len(tasks) > 0 && rapid.IntRange(0, 3).Draw(t, "one ends") == 0 {
				end := tasks[0]
				tasks = tasks[1:]
				board.Release(end.host, end.r)
				b.sites[end.host].Free = b.sites[end.host].Free.Add(end.r.Reserved)
				at := slices.Index(b.groups[end.host], end.r.Group)
				b.groups[end.host] = slices.Delete(b.groups[end.host], at, at+1)
				continue
			}
			s := &place.Search{
				Request: place.Request{
					Group:    rapid.SampledFrom([]string{"x", "y"}).Draw(t, "group"),
					Reserved: plimsoll.Resources{CPU: int64(rapid.IntRange(0, 3).Draw(t, "cpu")), Memory: int64(rapid.IntRange(0, 3).Draw(t, "memory"))},
				},
				Strategies: rapid.SampledFrom(menu).Draw(t, "strategies"), Distinct: rapid.IntRange(0, 4).Draw(t, "distinct") == 0,
				Fixed: rapid.SampledFrom([]string{"", "rack a"}).Draw(t, "constraint"), Value: b.value,
			}
			s.Admits = func(host int) bool { return s.Fixed == "" || b.racks[host] == "a" }
			s.On = func() []int {
				var on []int
				for i, groups := range b.groups {
					for _, g := range groups {
						if g == s.Group {
							on = append(on, i)
						}
					}
				}
				return on
			}
			best := b.best(s)
			host, ok := board.Pick(s)
			if ok != (len(best) > 0) || ok && host != best[0] {
				t.Fatalf("host %d, %t; the best are %v", host, ok, best)
			}
			if short := board.Lacks(s); (short.Fits > 0) != ok {
				t.Fatalf("%d hosts lack nothing, and one was chosen: %t", short.Fits, ok)
			}
			if ok {
				board.Reserve(host, s.Request)
				b.sites[host].Free = b.sites[host].Free.Sub(s.Reserved)
				b.groups[host] = append(b.groups[host], s.Group)
				tasks = append(tasks, placed{host, s.Request})
			}
		}
	})
}
