package soak

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNoQueueStarvesAnother floods one queue until its workers have every slot,
// each of them busy, and then sends to an equal's queue and to one of a higher
// priority. Both have their turn as workers finish what they do, long before the
// flood is over, and nobody is interrupted.
func TestNoQueueStarvesAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds the program and runs it")
	}
	t.Parallel()
	// A worker asks between its jobs whether others need its place, every five
	// seconds; each of these jobs is longer than that.
	flood, few, length := 16*long(), 2*long(), "5.5"
	p := newLiving(t, `
name: soak
x-plimsoll: {hosts: {count: 2, zones: 2, cpu: 256, memory: 8192M}}
services:
`+fmt.Sprintf(workers, "alarms", 1, 4)+fmt.Sprintf(workers, "letters", 2, 4)+fmt.Sprintf(workers, "pictures", 2, 4))
	for i := range flood {
		p.send("pictures", fmt.Sprintf("pictures-%d %s never", i, length))
	}
	p.until("the flood has every slot", time.Minute, func() bool { return p.desired("pictures") == 8 && len(read(p.ledger()).begun) >= 4 })
	for i := range few {
		p.send("letters", fmt.Sprintf("letters-%d %s never", i, length))
	}
	count := func(a account, queue string) (n int) {
		for job := range a.ended {
			if strings.HasPrefix(job, queue) {
				n++
			}
		}
		return n
	}
	p.until("some letters are done", 2*time.Minute, func() bool { return count(read(p.ledger()), "letters") > 0 })
	for i := range few {
		p.send("alarms", fmt.Sprintf("alarms-%d %s never", i, length))
	}
	p.until("all is done", 10*time.Minute, func() bool { return len(read(p.ledger()).ended) == flood+2*few })
	for _, queue := range []string{"pictures", "letters", "alarms"} {
		p.until("no worker is left", 2*time.Minute, func() bool { return p.depth(queue)+p.desired(queue) == 0 })
	}

	lines := p.ledger()
	a := read(lines)
	for _, what := range a.interrupted {
		t.Error(what)
	}
	for _, queue := range []string{"letters", "alarms"} {
		last := 0
		for n, line := range lines {
			if strings.HasPrefix(line, "end ") && strings.Contains(line, " "+queue+"-") {
				last = n
			}
		}
		if done := count(read(lines[:last+1]), "pictures"); done > flood*3/4 {
			t.Errorf("the last of %d %s was done when %d of %d pictures were", few, queue, done, flood)
		} else {
			t.Logf("the last of %d %s was done when %d of %d pictures were", few, queue, done, flood)
		}
	}
	for worker, queues := range a.queues {
		if len(queues) > 1 {
			t.Errorf("worker %s had jobs of the queues %v", worker, queues)
		}
	}
}
