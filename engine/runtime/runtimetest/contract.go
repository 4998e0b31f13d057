// Package runtimetest is the contract that every runtime.Runtime keeps, as
// tests: what a task's events may be, in which order, and what adoption finds.
// An adapter's own tests call Run with a Harness. It must not know of any one
// adapter.
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll/engine/runtime"
)

// Program is what a container of the contract does. All print "ready" on a
// line of their own once they are, and all exit with EndCode when the harness
// ends them.
type Program int

// The programs.
const (
	// Trap runs until it is asked to stop, then exits with 0.
	Trap Program = iota
	// Ignore runs on when it is asked to stop.
	Ignore
	// Missing cannot be started at all.
	Missing
	// Once exits with 0 as soon as it is ready, OnceBadly with EndCode.
	Once
	OnceBadly
)

// EndCode is the exit code of a program that Harness.End has ended.
const EndCode = 7

// long is a stop timeout that no test waits for.
const long = time.Hour

// patience bounds how long a test waits for what must come.
const patience = 30 * time.Second

// Harness is one world in which tasks run, and how to get at it from outside.
type Harness struct {
	// New makes a runtime over the world, as a new engine does.
	New func(t *testing.T, sink runtime.Sink) runtime.Runtime
	// Drop takes the runtime away as the engine's death does: nothing of the
	// world is stopped.
	Drop func(t *testing.T, r runtime.Runtime)
	// Container gives a container that runs the program.
	Container func(p Program) runtime.Container
	// Check gives the command of a health check with that outcome. A runtime
	// that runs nothing may tell it from "true" and "false" in the command.
	Check func(healthy bool) []string
	// End makes the program of a container exit with EndCode.
	End func(t *testing.T, taskID, container string)
	// Unending, if not nil, keeps a container whose end others wait for from
	// ending by itself, as it does where nothing is run.
	Unending func(taskID, container string)
	// Identity names the running instance of a container (a pid, an id);
	// empty if it does not run.
	Identity func(t *testing.T, taskID, container string) string
	// Idle, if not nil, tells whether nothing of the world is at work any more.
	Idle func() bool
	// Address is one to bind host ports to.
	Address string
	// FreePort is a host port of the address that nobody has.
	FreePort int
}

// Run tests that the runtime of the harness keeps the contract. The harness
// function is called once for each subtest.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, w *world)
	}{
		{"ATaskIsStartedOnceAndEndsOnce", startedOnce},
		{"ATaskThatTrapsTheStopSignalExitsWithItsOwnCode", stopTrapper},
		{"ATaskThatIgnoresTheStopSignalIsKilledAfterItsTimeout", stopIgnorer},
		{"AStopRightAfterTheStartStillEndsOnce", stopAtOnce},
		{"StartingAnIDTwiceIsOneStart", startTwice},
		{"StoppingTwiceOrTheUnknownDoesNothing", stopUnknown},
		{"ATaskThatCannotStartSaysWhy", cannotStart},
		{"WhenOneOfSeveralCannotStartNothingOfTheTaskRuns", oneCannotStart},
		{"AnEssentialContainerThatEndsStopsTheOthers", essentialEnds},
		{"AContainerThatIsNotEssentialMayEnd", sidecarEnds},
		{"AContainerStartsWhenWhatItDependsOnHasSucceeded", dependsOnSuccess},
		{"ATaskWhoseDependencyFailsDoesNotStart", dependencyFails},
		{"ATaskDoesNotWaitLongerThanTheStartTimeout", dependencyLate},
		{"AContainerStartsWhenWhatItDependsOnIsHealthy", dependsOnHealth},
		{"AnEssentialContainerThatEndsWhileOthersWaitEndsTheTask", essentialEndsEarly},
		{"AContainerStopsAfterThoseThatDependOnIt", stopsInReverse},
		{"AContainerWhoseHealthCheckFailsIsSaidToBeUnhealthy", unhealthy},
		{"AContainerWithARestartPolicyIsStartedAgain", restarted},
		{"AnIgnoredExitCodeEndsAContainerWithARestartPolicy", notRestarted},
		{"StartsDoNotWaitBehindStops", startsOvertakeStops},
		{"DynamicPortsAreDistinct", dynamicPorts},
		{"AFixedPortInUseIsRefused", fixedPort},
		{"AdoptionFindsWhatStillRuns", adoptRunning},
		{"AdoptionLearnsTheExitCodeOfWhatEndedMeanwhile", adoptEnded},
		{"AdoptionSaysThatThereIsNoTraceOfTheUnknown", adoptUnknown},
		{"AdoptionStopsWhatIsInNoSpec", adoptStray},
		{"AStopGoesOnWhenTheEngineDies", stopSurvives},
		{"AdoptionGoesOnWithWhatStillWaits", adoptWaiting},
		{"AdoptionKnowsHowOftenAContainerWasRestartedAndItsHealth", adoptHealth},
		{"LogsGiveWhatATaskPrinted", logs},
		{"AForgottenTaskHasNoLogs", forget},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newWorld(t, harness(t))) })
	}
}

func startedOnce(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("one", Trap)
	r.Start(spec)
	if e := w.wait("one", runtime.Started); e.At.IsZero() {
		t.Error("the event has no time")
	}
	w.ready(r, "one")
	w.h.End(t, "one", "main")
	e := w.wait("one", runtime.Exited)
	w.codes(e, map[string]int{"main": EndCode})
}

func stopTrapper(t *testing.T, w *world) {
	r := w.engine()
	w.start(r, w.task("trap", Trap))
	r.Stop("trap")
	w.codes(w.wait("trap", runtime.Exited), map[string]int{"main": 0})
}

func stopIgnorer(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("ignore", Ignore)
	spec.Containers[0].StopTimeout = time.Second
	w.start(r, spec)
	r.Stop("ignore")
	w.codes(w.wait("ignore", runtime.Exited), map[string]int{"main": 137})
}

func stopAtOnce(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("hasty", Trap)
	spec.Containers[0].StopTimeout = time.Second
	r.Start(spec)
	r.Stop("hasty")
	if e := w.waitEnd("hasty"); e.Kind == runtime.StartFailed && e.Reason == "" {
		t.Error("no reason is given")
	}
	w.gone("hasty")
}

func startTwice(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("twice", Trap)
	r.Start(spec)
	r.Start(spec)
	w.wait("twice", runtime.Started)
	w.ready(r, "twice")
	before := w.h.Identity(t, "twice", "main")
	r.Start(spec)
	w.start(r, w.task("barrier", Trap))
	if after := w.h.Identity(t, "twice", "main"); after != before || before == "" {
		t.Errorf("the task was %q and is now %q", before, after)
	}
	r.Stop("twice")
	w.wait("twice", runtime.Exited)
	r.Start(spec)
	w.start(r, w.task("barrier2", Trap))
	w.gone("twice")
}

func stopUnknown(t *testing.T, w *world) {
	r := w.engine()
	r.Stop("nobody")
	w.start(r, w.task("known", Trap))
	r.Stop("known")
	r.Stop("known")
	w.wait("known", runtime.Exited)
	r.Stop("known")
	w.start(r, w.task("barrier", Trap))
	if got := w.events("nobody"); len(got) > 0 {
		t.Errorf("an unknown id has events: %v", got)
	}
}

func cannotStart(t *testing.T, w *world) {
	r := w.engine()
	r.Start(w.task("missing", Missing))
	e := w.wait("missing", runtime.StartFailed)
	if !strings.Contains(e.Reason, "Cannot") {
		t.Errorf("the reason is %q, not one of ECS's (CannotStartContainerError, …)", e.Reason)
	}
}

func oneCannotStart(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("half", Trap)
	bad := w.h.Container(Missing)
	bad.Name = "bad"
	spec.Containers = append(spec.Containers, bad)
	r.Start(spec)
	w.wait("half", runtime.StartFailed)
	w.gone("half")
}

func essentialEnds(t *testing.T, w *world) {
	r := w.engine()
	w.start(r, w.pair("pair"))
	w.h.End(t, "pair", "main")
	w.codes(w.wait("pair", runtime.Exited), map[string]int{"main": EndCode, "side": 0})
}

func sidecarEnds(t *testing.T, w *world) {
	r := w.engine()
	w.start(r, w.pair("pair"))
	w.h.End(t, "pair", "side")
	w.eventually("the container ends", func() bool { return w.h.Identity(t, "pair", "side") == "" })
	if w.h.Identity(t, "pair", "main") == "" {
		t.Fatal("the essential container ended too")
	}
	r.Stop("pair")
	w.codes(w.wait("pair", runtime.Exited), map[string]int{"main": 0, "side": EndCode})
}

func startsOvertakeStops(t *testing.T, w *world) {
	r := w.engine()
	var slow []string
	for i := range 12 {
		spec := w.task(fmt.Sprintf("slow-%d", i), Ignore)
		spec.Containers[0].StopTimeout = long
		slow = append(slow, spec.TaskID)
		r.Start(spec)
	}
	for _, id := range slow {
		w.wait(id, runtime.Started)
		w.ready(r, id)
	}
	for _, id := range slow {
		r.Stop(id)
	}
	r.Start(w.task("fast", Trap))
	w.wait("fast", runtime.Started)
	for _, id := range slow {
		if got := w.events(id); len(got) != 1 {
			t.Fatalf("%s ended before its timeout: %v", id, got)
		}
		w.h.End(t, id, "main")
	}
	for _, id := range slow {
		w.wait(id, runtime.Exited)
	}
}

func dynamicPorts(t *testing.T, w *world) {
	r := w.engine()
	seen := map[int]bool{}
	for _, id := range []string{"a", "b", "c"} {
		spec := w.task(id, Trap)
		spec.Containers[0].Ports = []runtime.Port{{ContainerPort: 8080, Protocol: "tcp"}, {ContainerPort: 9090, Protocol: "tcp"}}
		r.Start(spec)
		e := w.wait(id, runtime.Started)
		if len(e.Bindings) != 2 {
			t.Fatalf("%d bindings for 2 ports: %v", len(e.Bindings), e.Bindings)
		}
		for i, b := range e.Bindings {
			want := runtime.Binding{Container: "main", ContainerPort: []int{8080, 9090}[i], Address: w.h.Address, HostPort: b.HostPort, Protocol: "tcp"}
			if b != want || b.HostPort <= 0 || seen[b.HostPort] {
				t.Errorf("%s: binding %+v, want %+v with a port of its own", id, b, want)
			}
			seen[b.HostPort] = true
		}
	}
}

func fixedPort(t *testing.T, w *world) {
	r := w.engine()
	first := w.task("first", Trap)
	first.Containers[0].Ports = []runtime.Port{{ContainerPort: 8080, HostPort: w.h.FreePort, Protocol: "tcp"}}
	r.Start(first)
	if e := w.wait("first", runtime.Started); len(e.Bindings) != 1 || e.Bindings[0].HostPort != w.h.FreePort {
		t.Fatalf("bindings %v", e.Bindings)
	}
	second := w.task("second", Trap)
	second.Containers[0].Ports = first.Containers[0].Ports
	r.Start(second)
	if e := w.wait("second", runtime.StartFailed); !strings.Contains(e.Reason, fmt.Sprint(w.h.FreePort)) {
		t.Errorf("the reason %q does not name the port", e.Reason)
	}
	w.ready(r, "first")
	r.Stop("first")
	w.wait("first", runtime.Exited)
	third := w.task("third", Trap)
	third.Containers[0].Ports = first.Containers[0].Ports
	r.Start(third)
	w.wait("third", runtime.Started)
}

func adoptRunning(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("stays", Trap)
	spec.Containers[0].Ports = []runtime.Port{{ContainerPort: 8080, Protocol: "tcp"}}
	w.start(r, spec)
	bindings := w.wait("stays", runtime.Started).Bindings
	before := w.h.Identity(t, "stays", "main")

	r = w.restart(spec)
	e := w.wait("stays", runtime.Started)
	if diff := cmp.Diff(bindings, e.Bindings); diff != "" {
		t.Errorf("the bindings changed: %s", diff)
	}
	r.Start(spec)
	fresh := w.task("fresh", Trap)
	fresh.Containers[0].Ports = spec.Containers[0].Ports
	w.start(r, fresh)
	if e := w.wait("fresh", runtime.Started); e.Bindings[0].HostPort == bindings[0].HostPort {
		t.Errorf("the port %d of an adopted task was given out again", bindings[0].HostPort)
	}
	if after := w.h.Identity(t, "stays", "main"); after != before || after == "" {
		t.Errorf("the task was %q and is now %q", before, after)
	}
	r.Stop("stays")
	w.codes(w.wait("stays", runtime.Exited), map[string]int{"main": 0})
}

func adoptEnded(t *testing.T, w *world) {
	r := w.engine()
	spec, late := w.pair("ended"), w.task("late", Trap)
	w.start(r, spec)
	w.start(r, late)
	w.drop()
	w.h.End(t, "ended", "main")
	w.eventually("the container ends", func() bool { return w.h.Identity(t, "ended", "main") == "" })
	w.adopt(spec, late)
	w.codes(w.wait("ended", runtime.Exited), map[string]int{"main": EndCode, "side": 0})
	w.wait("late", runtime.Started)
	w.h.End(t, "late", "main")
	w.codes(w.wait("late", runtime.Exited), map[string]int{"main": EndCode})
}

func adoptUnknown(t *testing.T, w *world) {
	w.engine()
	spec := w.task("unheard", Trap)
	w.restart(spec)
	if e := w.wait("unheard", runtime.StartFailed); e.Reason == "" {
		t.Error("no reason is given")
	}
}

func adoptStray(t *testing.T, w *world) {
	r := w.engine()
	stray, kept := w.task("stray", Trap), w.task("kept", Trap)
	stray.Containers[0].StopTimeout = time.Second
	w.start(r, stray)
	w.start(r, kept)
	w.restart(kept)
	w.wait("kept", runtime.Started)
	w.gone("stray")
	if got := w.events("stray"); len(got) > 0 {
		t.Errorf("the engine does not know the task, but has events of it: %v", got)
	}
}

func stopSurvives(t *testing.T, w *world) {
	r := w.engine()
	spec := w.task("stopping", Ignore)
	spec.Containers[0].StopTimeout = 2 * time.Second
	w.start(r, spec)
	r.Stop("stopping")
	w.stopped(r, "stopping")
	w.drop()
	w.gone("stopping")
	w.adopt(spec)
	w.codes(w.wait("stopping", runtime.Exited), map[string]int{"main": 137})
}

func logs(t *testing.T, w *world) {
	r := w.engine()
	l, ok := r.(runtime.Logs)
	if !ok {
		t.Skip("the runtime keeps no logs")
	}
	if _, err := l.Logs(context.Background(), "nobody", "", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown task: %v, want fs.ErrNotExist", err)
	}
	w.start(r, w.pair("talks"))
	for _, container := range []string{"main", "side", ""} {
		out, err := l.Logs(context.Background(), "talks", container, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(out)
		if err != nil || !strings.Contains(string(got), "ready") {
			t.Errorf("container %q: %q, %v", container, got, err)
		}
		out.Close()
	}
	if _, err := l.Logs(context.Background(), "talks", "third", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown container: %v, want fs.ErrNotExist", err)
	}
	followed, err := l.Logs(context.Background(), "talks", "main", true)
	if err != nil {
		t.Fatal(err)
	}
	defer followed.Close()
	r.Stop("talks")
	if got, err := io.ReadAll(followed); err != nil || !strings.Contains(string(got), "ready") {
		t.Errorf("followed to the end: %q, %v", got, err)
	}
	w.wait("talks", runtime.Exited)
	if out, err := l.Logs(context.Background(), "talks", "main", false); err != nil {
		t.Errorf("the logs of a stopped task: %v", err)
	} else {
		out.Close()
	}
}

func forget(t *testing.T, w *world) {
	r := w.engine()
	l, logs := r.(runtime.Logs)
	c, cleans := r.(runtime.Cleaner)
	if !logs || !cleans {
		t.Skip("the runtime keeps nothing of stopped tasks")
	}
	w.start(r, w.task("old", Trap))
	r.Stop("old")
	w.wait("old", runtime.Exited)
	c.Forget("old")
	w.eventually("the logs are gone", func() bool {
		out, err := l.Logs(context.Background(), "old", "", false)
		if err == nil {
			out.Close()
		}
		return errors.Is(err, fs.ErrNotExist)
	})
}
