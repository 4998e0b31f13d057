package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/daemon"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/store"
)

// BenchmarkRunTaskToRunning is 16 clients, each of which runs a task, waits
// until it is RUNNING, and stops it: durable, on hosts that are half full.
func BenchmarkRunTaskToRunning(b *testing.B) {
	for _, hosts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			log, err := store.Open(b.TempDir(), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			d, err := daemon.Start(context.Background(), daemon.Options{
				Machine: engine.New(engine.Config{Seed: "bench"}), Store: log,
				Runtime: func(sink runtime.Sink) (runtime.Runtime, error) { return fake.New(fake.Options{}, sink), nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			fill(b, d, hosts)
			measure(b, d)
		})
	}
}

func must(b *testing.B, d *daemon.Daemon, c engine.Command) any {
	value, err := d.Do(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

func fill(b *testing.B, d *daemon.Daemon, hosts int) {
	b.Helper()
	must(b, d, engine.CreateCluster{})
	specs := make([]engine.HostSpec, hosts)
	for i := range specs {
		specs[i] = engine.HostSpec{
			Name: fmt.Sprint("host-", i), Zone: fmt.Sprint("zone-", i%3), Address: "127.64.0.1",
			Resources: plimsoll.Resources{CPU: 4096, Memory: 8192},
		}
	}
	must(b, d, engine.PutHosts{Hosts: specs})
	must(b, d, engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "job", Containers: []engine.ContainerDefinition{
		{Name: "main", CPU: 512, Memory: 512, Essential: true},
	}}})
	notices, cancel := d.Subscribe()
	defer cancel()
	must(b, d, engine.CreateService{Name: "half", TaskDefinition: "job", Desired: hosts * 4})
	for running := 0; running < hosts*4; {
		<-notices
		d.Read(func(v engine.View) { running, _ = v.ServiceCounts("", "half") })
	}
}

// waits tells each client when its task is RUNNING.
type waits struct {
	mu      sync.Mutex
	seen    map[string]bool
	clients map[string]chan struct{}
}

func (w *waits) listen(notices <-chan engine.Notice) {
	for n := range notices {
		if n.Kind != "task" || n.LastStatus != string(plimsoll.StatusRunning) {
			continue
		}
		w.mu.Lock()
		if ch := w.clients[n.ARN]; ch != nil {
			close(ch)
			delete(w.clients, n.ARN)
		} else {
			w.seen[n.ARN] = true
		}
		w.mu.Unlock()
	}
}

func (w *waits) running(arn string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan struct{})
	if w.seen[arn] {
		delete(w.seen, arn)
		close(ch)
	} else {
		w.clients[arn] = ch
	}
	return ch
}

// await returns when the task runs. A notice may be lost to a reader that is
// slow; then the state says it a little later.
func (w *waits) await(d *daemon.Daemon, arn string) {
	ch := w.running(arn)
	for {
		select {
		case <-ch:
			return
		case <-time.After(20 * time.Millisecond):
		}
		running := false
		d.Read(func(v engine.View) {
			t, ok := v.Task("", arn)
			running = ok && t.LastStatus == plimsoll.StatusRunning
		})
		if running {
			return
		}
	}
}

func measure(b *testing.B, d *daemon.Daemon) {
	notices, cancel := d.Subscribe()
	defer cancel()
	w := &waits{seen: map[string]bool{}, clients: map[string]chan struct{}{}}
	go w.listen(notices)
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, 16)
	var clients sync.WaitGroup
	b.ResetTimer()
	for c := range took {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				r := must(b, d, engine.RunTask{TaskDefinition: "job"}).(*engine.RunTaskResult)
				w.await(d, r.Tasks[0].ARN)
				took[c] = append(took[c], time.Since(start))
				must(b, d, engine.StopTask{Task: r.Tasks[0].ID})
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "tasks/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}
