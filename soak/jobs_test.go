package soak

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/queue"
	"plimsoll/worker"
	"plimsoll/worker/sqs"
)

func random(n int) int { return mathrand.IntN(max(n, 1)) }

// long is how many times longer than in all tests the soak is: $SOAK, which
// `make soak` sets.
func long() int {
	n, err := strconv.Atoi(os.Getenv("SOAK"))
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// ledger is what the jobs have noted of themselves.
type ledger struct {
	mu      sync.Mutex
	begun   map[string]int
	done    map[string]int
	overlap []string // begun while another run of the same job went on
	running map[string]bool
}

func newLedger() *ledger {
	return &ledger{begun: map[string]int{}, done: map[string]int{}, running: map[string]bool{}}
}

func (l *ledger) begin(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun[job]++
	if l.running[job] {
		l.overlap = append(l.overlap, job)
	}
	l.running[job] = true
}

func (l *ledger) end(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[job]++
	l.running[job] = false
}

func (l *ledger) finished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.done)
}

// doubles are the jobs that ran more than once.
func (l *ledger) doubles() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range l.begun {
		n += times - 1
	}
	return n
}

// checkedQueue fails the test if a message is deleted whose job is not done.
type checkedQueue struct {
	worker.Queue
	t *testing.T
	l *ledger
}

func (q checkedQueue) Delete(ctx context.Context, m worker.Message) error {
	q.l.mu.Lock()
	if q.l.done[m.Body] == 0 {
		q.t.Errorf("the message of %s is deleted before its job is done", m.Body)
	}
	q.l.mu.Unlock()
	return q.Queue.Delete(ctx, m)
}

// program works off the queue, as a user's worker would.
func program(t *testing.T, w **world, l *ledger, o worker.Options, job func(m worker.Message)) func(context.Context, *process) {
	return func(ctx context.Context, p *process) {
		env := p.spec.Containers[0].Env
		q, err := sqs.New(ctx, sqs.Options{Queue: (*w).queueURL(), API: (*w).sqs()})
		if err != nil {
			t.Error(err)
			return
		}
		o := o
		o.Queue, o.Log = checkedQueue{q, t, l}, quiet()
		o.Platform = worker.FromEnv(func(name string) string { return env[name] }, nil)
		if err := worker.Run(ctx, o, func(_ context.Context, m worker.Message) error {
			p.busy.Add(1)
			defer p.busy.Add(-1)
			l.begin(m.Body)
			job(m)
			l.end(m.Body)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// A hundred jobs of random length on ten slots, a scale-in asked for at a
// thousand random moments, hosts drained and the engine killed between: no job is
// interrupted, each is done, and none runs twice, since no worker dies.
func TestNoJobIsInterruptedByAThousandScaleIns(t *testing.T) {
	const slots = 10
	jobs, asks := 100*long(), 1000*long()
	l := newLedger()
	var w *world
	run := program(t, &w, l, worker.Options{Visibility: 5 * time.Second}, func(worker.Message) {
		time.Sleep(time.Duration(random(400*long())) * time.Millisecond)
	})
	w = newWorld(t, 5, plimsoll.Resources{CPU: 200, Memory: 200}, nil, run)
	w.service(slots)
	for i := range jobs {
		w.send(fmt.Sprintf("job-%d", i))
	}
	for i := range asks {
		n := random(slots + 1)
		w.do(engine.UpdateService{Cluster: "soak", Service: "work", Desired: &n})
		if i%40 == 7 {
			w.drain(random(w.hosts), true)
		}
		if i%40 == 27 {
			w.drain(-1, false)
		}
		if i%250 == 120 {
			w.kill()
			w.live()
		}
		time.Sleep(time.Duration(random(8)) * time.Millisecond)
	}
	n := slots
	w.drain(-1, false)
	w.do(engine.UpdateService{Cluster: "soak", Service: "work", Desired: &n})
	w.until("all jobs done", 5*time.Minute, func() bool { return l.finished() == jobs })
	if hit := w.machine.interrupted(); len(hit) > 0 {
		t.Errorf("%d busy workers had a stop signal: %v", len(hit), hit)
	}
	if l.doubles() > 0 || len(l.overlap) > 0 {
		t.Errorf("%d runs too many, %d of them beside another; no worker has died", l.doubles(), len(l.overlap))
	}
	w.until("the queue empty", time.Minute, func() bool {
		info, err := w.set.Info("jobs")
		return err == nil && info.Depth == (queue.Depth{})
	})
	t.Logf("%d jobs done by %d tasks in %d lives of the engine, %d answers lost, %d double runs", jobs, w.tasks(), w.lives, w.aws.lost.Load()+w.agent.lost.Load(), l.doubles())
}

// drain drains one host; or makes all take tasks again.
func (w *world) drain(host int, draining bool) {
	var arns []string
	w.daemon.Read(func(v engine.View) {
		for i, instance := range v.Instances("soak") {
			if !draining || i == host {
				arns = append(arns, instance.ARN)
			}
		}
	})
	status := plimsoll.InstanceActive
	if draining {
		status = plimsoll.InstanceDraining
	}
	w.do(engine.UpdateContainerInstancesState{Cluster: "soak", Instances: arns, Status: status})
}
