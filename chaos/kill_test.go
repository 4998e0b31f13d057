package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// defaultKills are those of make test.
const (
	defaultKills = 50
	shortTime    = 45 * time.Second // and no longer
)

var (
	seed  = flag.Uint64("seed", 0, "what chance begins with; 0: another one each time")
	kills = flag.Int("kills", defaultKills, "how often the engine is killed; more than 50 is the long form")
)

// TestNothingIsLostAndNothingDoubledByManySIGKILLs kills the engine under load at
// any moment, while it starts too, lets tasks end while there is none, and asks
// the next one for everything.
func TestNothingIsLostAndNothingDoubledByManySIGKILLs(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	again := fmt.Sprintf("go test ./chaos -run SIGKILLs -count=1 -timeout 2h -args -seed %d -kills %d", *seed, *kills)
	t.Log(again)
	l, o := newLedger(t), newOracle()
	e := newEngine(t, filepath.Join(t.TempDir(), "state"))
	e.start()
	e.ready()
	prepare(t, e, l)
	r := rand.New(rand.NewPCG(*seed, 0))
	began := time.Now()
	done := 0
	for kill := 1; kill <= *kills; kill++ {
		if *kills <= defaultKills && time.Since(began) > shortTime {
			t.Logf("this machine is busy: %d kills of %d after %s", done, *kills, shortTime)
			break
		}
		done = kill
		if kill > 1 {
			e.start()
			if r.IntN(5) == 0 { // before it has begun to serve, or just then
				time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
				e.kill()
				continue
			}
			e.ready()
			if err := newVerifier(t, e, o, l).check(kill%10 == 0); err != nil {
				t.Fatalf("after kill %d: %v\nagain: %s", kill-1, err, again)
			}
		}
		stop := make(chan struct{})
		all := load(t, e, o, l, *seed, uint64(kill), stop)
		time.Sleep(time.Duration(5+r.IntN(250)) * time.Millisecond)
		e.kill()
		close(stop)
		all.Wait()
		if t.Failed() {
			t.Fatalf("during load %d\nagain: %s", kill, again)
		}
		for range r.IntN(4) { // while there is no engine
			tellTask(t, o, l, r)
		}
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
	}
	e.start()
	e.ready()
	v := newVerifier(t, e, o, l)
	if err := v.check(true); err != nil {
		t.Fatalf("at the end: %v\nagain: %s", err, again)
	}
	if err := v.drain(); err != nil {
		t.Fatalf("at the end: %v\nagain: %s", err, again)
	}
	if out, err := e.cli("state", "check", "--state", e.state); err != nil {
		t.Errorf("state check: %v\n%s", err, out)
	}
	e.stop()
	if err := nothingLeft(e, l); err != nil {
		t.Errorf("at the end: %v\nagain: %s", err, again)
	}
	pids, err := l.started()
	if err != nil {
		t.Fatal(err)
	}
	calls := o.writes
	t.Logf("%d kills in %s, %d writes answered, %d processes started", done, time.Since(began).Round(time.Second), calls, len(pids))
	if calls < done || len(pids) < done/5 {
		t.Errorf("that is hardly a load: %d writes, %d processes", calls, len(pids))
	}
}

// prepare registers what all tasks are.
func prepare(t *testing.T, e *engine, l ledger) {
	t.Helper()
	tasks, _ := e.clients(patient)
	ctx, cancel := within(t)
	defer cancel()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := tasks.RegisterTaskDefinition(ctx, l.definition("chaos"))
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
