package router

import (
	"maps"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func TestStandingsSayWhichTargetsAreUsedAndWhichMayOnlyBeStarting(t *testing.T) {
	var wells [4]atomic.Bool
	table := one()
	table.Routes[0].Check.Path = "/health"
	for i := range wells {
		b := backend(t, func(w http.ResponseWriter, r *http.Request) {
			if !wells[i].Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		table.Services["web"] = append(table.Services["web"], targetOf(string(rune('a'+i)), b))
	}
	s := serve(t, Options{Health: Health{Interval: 20 * time.Millisecond}})
	become := func(what string, well [4]bool, want ...Standing) {
		t.Helper()
		for i := range wells {
			wells[i].Store(well[i])
		}
		all := map[string]Standing{}
		for i, standing := range want {
			all[string(rune('a'+i))] = standing
		}
		eventually(t, what, func() bool { return maps.Equal(s.Standings("web"), all) })
	}
	s.set(t, table)
	become("none has ever been well", [4]bool{}, Unproven, Unproven, Unproven, Unproven)
	time.Sleep(100 * time.Millisecond) // longer than one that was well has until it is left out
	become("nor after a time: the fault may be here", [4]bool{}, Unproven, Unproven, Unproven, Unproven)
	become("half are well: the others must be sick", [4]bool{true, true}, Used, Used, LeftOut, LeftOut)
	become("all are well", [4]bool{true, true, true, true}, Used, Used, Used, Used)
	become("half fail", [4]bool{true, true}, Used, Used, LeftOut, LeftOut)
	become("more than half fail: all are used", [4]bool{true}, Used, Used, Used, Used)
	s.TakeOut("a")
	for i, well := range []bool{true, true, true, false} {
		wells[i].Store(well)
	}
	want := map[string]Standing{"b": Used, "c": Used, "d": LeftOut}
	eventually(t, "one drains", func() bool { return maps.Equal(s.Standings("web"), want) })
}
