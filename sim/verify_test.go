package sim

import (
	"strings"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/scale"
)

func TestTheChecksSeeWhatIsBroken(t *testing.T) {
	small := func() *world {
		cfg := Config{
			Cluster: "c", Checked: true, Length: time.Hour, Step: time.Second,
			Hosts:    Hosts{Count: 2, Zones: 1, Each: plimsoll.Resources{CPU: 512, Memory: 512}},
			Services: []Service{{Rate: 1, Policy: scale.Policy{Service: "s", Priority: 1, Min: 1, Max: 2, Reserved: plimsoll.Resources{CPU: 128, Memory: 128}}}},
		}
		w := newWorld(&cfg)
		w.populate()
		w.pass(time.Minute)
		return w
	}
	breaks := map[string]func(w *world){
		"its maximum is 2": func(w *world) {
			many := 3
			w.must(engine.UpdateService{Cluster: "c", Service: "s", Desired: &many})
		},
		"could not be read": func(w *world) {
			w.outages[string(ClusterOutage)]++
			two := 2
			w.must(engine.UpdateService{Cluster: "c", Service: "s", Desired: &two})
		},
		"was stopped": func(w *world) {
			none := 0
			w.must(engine.UpdateService{Cluster: "c", Service: "s", Desired: &none})
			before := w.witness()
			for id, task := range before.tasks {
				kept := *task
				kept.DesiredStatus, kept.ProtectedUntil = plimsoll.StatusRunning, w.clock().Add(time.Hour)
				before.tasks[id] = &kept
			}
			w.verify(before)
		},
	}
	for want, broken := range breaks {
		w := small()
		if w.problem != nil {
			t.Fatal(w.problem)
		}
		broken(w)
		if w.problem == nil || !strings.Contains(w.problem.Error(), want) {
			t.Errorf("the checks say %v, want something that says %q", w.problem, want)
		}
	}
}
