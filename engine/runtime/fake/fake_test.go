package fake_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/runtime/runtimetest"
)

func TestTheFakeRuntimeKeepsTheContract(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
		world := fake.NewWorld()
		codes := map[string]int{}
		fate := func(s runtime.Spec) fake.Fate {
			made := fake.Fate{Codes: codes, HealthDelay: time.Millisecond}
			for _, c := range s.Containers {
				switch c.Image {
				case "missing":
					made.Fail = "CannotStartContainerError: image \"missing\" is not there"
				case "ignore":
					made.IgnoreStop = true
				case "bad":
					codes[c.Name] = runtimetest.EndCode
				}
				if h := c.HealthCheck; h != nil {
					made.Unhealthy = h.Command[1] == "false"
					made.HealthDelay += h.StartPeriod
				}
			}
			return made
		}
		return runtimetest.Harness{
			Address: "127.64.9.1", FreePort: 8080,
			New: func(t *testing.T, sink runtime.Sink) runtime.Runtime {
				return fake.New(fake.Options{World: world, Fate: fate}, sink)
			},
			Drop: func(t *testing.T, r runtime.Runtime) {},
			Container: func(p runtimetest.Program) runtime.Container {
				return runtime.Container{Image: map[runtimetest.Program]string{
					runtimetest.Trap: "trap", runtimetest.Ignore: "ignore", runtimetest.Missing: "missing",
					runtimetest.Once: "once", runtimetest.OnceBadly: "bad",
				}[p]}
			},
			Check:    func(healthy bool) []string { return []string{"CMD", fmt.Sprint(healthy)} },
			Unending: func(taskID, container string) { codes[container] = -1 },
			End:      func(t *testing.T, taskID, container string) { world.Exit(taskID, container, runtimetest.EndCode) },
			Identity: func(t *testing.T, taskID, container string) string {
				if serial := world.Running(taskID, container); serial > 0 {
					return fmt.Sprint(serial)
				}
				return ""
			},
		}
	})
}

func TestStartsAndStopsTakeTheTimeTheyAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := map[runtime.Kind]time.Duration{}
		r := fake.New(fake.Options{Each: fake.Fate{StartDelay: 3 * time.Second, StopDelay: 5 * time.Second}},
			func(e runtime.Event) { at[e.Kind] = e.At.Sub(begin) })
		r.Start(runtime.Spec{TaskID: "a", Containers: []runtime.Container{{Name: "main", Essential: true}}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.Stop("a")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if at[runtime.Started] != 3*time.Second || at[runtime.Exited] != 15*time.Second {
			t.Errorf("started and exited at %v", at)
		}
	})
}

func TestFakeTasksDieWithTheEngineThatHasNoWorldToShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []runtime.Event
		r := fake.New(fake.Options{}, func(e runtime.Event) { got = append(got, e) })
		if err := r.Adopt(context.Background(), []runtime.Spec{{TaskID: "a"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 1 || got[0].Kind != runtime.StartFailed {
			t.Errorf("got %v", got)
		}
	})
}

func BenchmarkTwentyThousandTasks(b *testing.B) {
	const tasks = 20_000
	for b.Loop() {
		started, exited := make(chan struct{}, tasks), make(chan struct{}, tasks)
		r := fake.New(fake.Options{Each: fake.Fate{StartDelay: time.Millisecond}}, func(e runtime.Event) {
			if e.Kind == runtime.Started {
				started <- struct{}{}
			} else {
				exited <- struct{}{}
			}
		})
		container := []runtime.Container{{Name: "main", Essential: true, Ports: []runtime.Port{{ContainerPort: 80}}}}
		for i := range tasks {
			r.Start(runtime.Spec{TaskID: fmt.Sprint(i), Address: fmt.Sprint("host-", i%1000), Containers: container})
		}
		for range tasks {
			<-started
		}
		for i := range tasks {
			r.Stop(fmt.Sprint(i))
		}
		for range tasks {
			<-exited
		}
	}
	b.ReportMetric(float64(tasks*b.N)/b.Elapsed().Seconds(), "tasks/s")
}
