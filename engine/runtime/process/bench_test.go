package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/process"
	"plimsoll/engine/runtime/process/shim"
)

// percentiles reports the median and the 99th percentile.
func percentiles(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	at := func(p int) float64 { return float64(all[min(len(all)*p/100, len(all)-1)].Microseconds()) }
	b.ReportMetric(at(50), "p50-us")
	b.ReportMetric(at(99), "p99-us")
}

// BenchmarkStart measures Start to Started, one task at a time; the task ends
// before the next one starts. The parent process is the test's own program, or the
// small one that plimsoll carries.
func BenchmarkStart(b *testing.B) {
	carrier := joined(b, builtShim(b))
	for _, c := range []struct {
		name string
		o    process.Options
	}{
		{"plain", process.Options{}},
		{"cgroups", process.Options{Cgroup: "plimsoll-bench"}},
		{"carried", process.Options{Program: carrier}},
		{"carried,cgroups", process.Options{Program: carrier, Cgroup: "plimsoll-bench"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			events := make(chan runtime.Event, 16)
			c.o.Dir = b.TempDir()
			r := newRuntime(b, c.o, func(e runtime.Event) { events <- e })
			defer r.Close()
			var all []time.Duration
			for i := 0; b.Loop(); i++ {
				begin := time.Now()
				id := fmt.Sprint("task-", i)
				r.Start(sleeper(id))
				if e := <-events; e.Kind != runtime.Started {
					b.Fatalf("%+v", e)
				}
				all = append(all, time.Since(begin))
				r.Stop(id)
				if e := <-events; e.Kind != runtime.Exited {
					b.Fatalf("%+v", e)
				}
				r.Forget(id)
			}
			percentiles(b, all)
		})
	}
}

// BenchmarkMove50 measures the process runtime's part of moving 50 tasks from
// one priority to another: 50 SIGTERM-trapping tasks are stopped, and when all
// have ended 50 others are started.
func BenchmarkMove50(b *testing.B) {
	const tasks = 50
	events := make(chan runtime.Event, 4*tasks)
	r := newRuntime(b, process.Options{Dir: b.TempDir()}, func(e runtime.Event) { events <- e })
	defer r.Close()
	await := func(kind runtime.Kind) {
		for range tasks {
			if e := <-events; e.Kind != kind {
				b.Fatalf("%+v", e)
			}
		}
	}
	start := func(round int) {
		for i := range tasks {
			r.Start(sleeper(fmt.Sprintf("task-%d-%d", round, i)))
		}
		await(runtime.Started)
	}
	stop := func(round int) {
		for i := range tasks {
			r.Stop(fmt.Sprintf("task-%d-%d", round, i))
		}
		await(runtime.Exited)
	}
	round := 0
	start(round)
	var all []time.Duration
	for b.Loop() {
		begin := time.Now()
		stop(round)
		round++
		start(round)
		all = append(all, time.Since(begin))
	}
	stop(round)
	percentiles(b, all)
}

// BenchmarkForkExecFloor is what a start costs at the least: fork and exec of
// the same command, until it is executed.
func BenchmarkForkExecFloor(b *testing.B) {
	var all []time.Duration
	for b.Loop() {
		begin := time.Now()
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(begin))
		cmd.Process.Kill()
		cmd.Wait()
	}
	percentiles(b, all)
}

// BenchmarkShimMemory reports what a shim that plimsoll carries keeps while its task
// runs.
func BenchmarkShimMemory(b *testing.B) {
	dir := b.TempDir()
	events := make(chan runtime.Event, 16)
	r := newRuntime(b, process.Options{Dir: dir, Program: joined(b, builtShim(b))}, func(e runtime.Event) { events <- e })
	defer r.Close()
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("task-", i)
		r.Start(sleeper(id))
		<-events
		state, err := shim.ReadState(filepath.Join(dir, id))
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range []string{"Rss", "Pss", "Anonymous"} {
			b.ReportMetric(rollup(b, state.Shim.PID, f), f+"-KiB")
		}
		r.Stop(id)
		<-events
		r.Forget(id)
	}
}

func rollup(b *testing.B, pid int, field string) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Skipf("no smaps_rollup: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no %s in smaps_rollup", field)
	return 0
}

func sleeper(id string) runtime.Spec {
	return runtime.Spec{TaskID: id, Address: address, Containers: []runtime.Container{{
		Name: "main", Essential: true, Command: []string{"/bin/sleep", "1000"}, StopTimeout: time.Minute, Memory: 64, CPU: 128,
	}}}
}
