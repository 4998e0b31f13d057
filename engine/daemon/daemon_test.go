package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plimsoll"
	"plimsoll/engine"
	"plimsoll/engine/daemon"
	"plimsoll/engine/runtime"
	"plimsoll/engine/runtime/fake"
	"plimsoll/engine/store"
)

// memory is a disk that outlives the daemons that use it. gate, if it is not
// nil, is waited for in each Append; fail is what Append gives.
type memory struct {
	mu      sync.Mutex
	values  map[string][]byte
	appends int
	gate    chan struct{}
	fail    error
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (s *memory) Load(f func(key string, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if err := f(key, s.values[key]); err != nil {
			return err
		}
	}
	return nil
}

func (s *memory) Append(records []store.Record) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.appends++
	for _, r := range records {
		if r.Value == nil {
			delete(s.values, r.Key)
		} else {
			s.values[r.Key] = r.Value
		}
	}
	return nil
}

func (s *memory) Close() error { return nil }

func (s *memory) set(gate chan struct{}, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate, s.fail = gate, fail
}

func (s *memory) has(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// bench is a daemon with a fake runtime of which every call is noted.
type bench struct {
	*daemon.Daemon
	t     *testing.T
	store *memory
	log   *callLog
}

// callLog notes what is asked of a runtime, in its order.
type callLog struct {
	mu    sync.Mutex
	calls []string
}

func (l *callLog) add(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
}

func (l *callLog) count(prefix string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

type noted struct {
	runtime.Runtime
	log *callLog
}

func (n noted) Start(s runtime.Spec) { n.log.add("start " + s.TaskID); n.Runtime.Start(s) }
func (n noted) Stop(id string)       { n.log.add("stop " + id); n.Runtime.Stop(id) }
func (n noted) Adopt(ctx context.Context, specs []runtime.Spec) error {
	n.log.add(fmt.Sprintf("adopt %d", len(specs)))
	return n.Runtime.Adopt(ctx, specs)
}
func (n noted) Forget(id string) { n.log.add("forget " + id) }

func open(t *testing.T, s *memory, f fake.Options, drain func(context.Context, engine.Drain)) *bench {
	t.Helper()
	b := &bench{t: t, store: s, log: &callLog{}}
	d, err := daemon.Start(t.Context(), daemon.Options{
		Machine: engine.New(engine.Config{Seed: "test"}), Store: s, Drain: drain,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) { return noted{fake.New(f, sink), b.log}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Daemon = d
	return b
}

func (b *bench) do(c engine.Command) any {
	b.t.Helper()
	value, err := b.Do(b.t.Context(), c)
	if err != nil {
		b.t.Fatalf("%T: %v", c, err)
	}
	return value
}

// prepare makes a cluster of three hosts and a definition "job".
func (b *bench) prepare() {
	b.t.Helper()
	b.do(engine.CreateCluster{})
	hosts := make([]engine.HostSpec, 3)
	for i := range hosts {
		hosts[i] = engine.HostSpec{Name: fmt.Sprint("host-", i), Zone: fmt.Sprint("zone-", i), Address: fmt.Sprint("127.64.0.", i+1), Resources: plimsoll.Resources{CPU: 4096, Memory: 4096}}
	}
	b.do(engine.PutHosts{Hosts: hosts})
	b.do(engine.RegisterTaskDefinition{Definition: engine.TaskDefinition{Family: "job", Containers: []engine.ContainerDefinition{
		{Name: "main", CPU: 10, Memory: 10, Essential: true},
	}}})
}

func (b *bench) counts(service string) (running, pending int) {
	b.Read(func(v engine.View) { running, pending = v.ServiceCounts("", service) })
	return running, pending
}

func (b *bench) tasks(status plimsoll.Status) []string {
	var ids []string
	b.Read(func(v engine.View) {
		for _, t := range v.Tasks("") {
			if t.LastStatus == status {
				ids = append(ids, t.ID)
			}
		}
	})
	return ids
}

func (b *bench) expect(service string, running, pending int) {
	b.t.Helper()
	synctest.Wait()
	if r, p := b.counts(service); r != running || p != pending {
		b.t.Fatalf("%s has %d running and %d pending tasks, want %d and %d", service, r, p, running, pending)
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Errorf("close: %v", err)
	}
}

func TestAnAnswerComesAfterTheRecordsAreDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		gate := make(chan struct{})
		b.store.set(gate, nil)
		answered := false
		go func() {
			b.do(engine.RunTask{TaskDefinition: "job"})
			answered = true
		}()
		synctest.Wait()
		if answered || b.log.count("start") > 0 || b.store.has("task/") > 0 {
			t.Error("something was done before the record was on disk")
		}
		b.store.set(nil, nil)
		close(gate)
		synctest.Wait()
		if !answered || b.log.count("start") != 1 || b.store.has("task/") != 1 {
			t.Error("the task was not started once the record was on disk")
		}
	})
}

func TestCallsThatComeWhileTheDiskIsBusyAreCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		gate := make(chan struct{})
		before := b.store.appends
		b.store.set(gate, nil)
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { b.do(engine.RunTask{TaskDefinition: "job"}) })
		}
		synctest.Wait()
		b.store.set(nil, nil)
		close(gate)
		callers.Wait()
		synctest.Wait()
		if got := b.store.appends - before; got > 30 {
			t.Errorf("100 calls took %d commits", got)
		}
		if got := len(b.tasks(plimsoll.StatusRunning)); got != 100 {
			t.Errorf("%d tasks run, want 100", got)
		}
	})
}

func TestAFailedWriteIsRefusedAndNothingComesOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		b.do(engine.RunTask{TaskDefinition: "job"})
		synctest.Wait()
		b.store.set(nil, errors.New("input/output error"))
		for range 2 { // the second is refused without a try
			_, err := b.Do(t.Context(), engine.RunTask{TaskDefinition: "job"})
			var refusal *engine.Error
			if !errors.As(err, &refusal) || refusal.Code != "ServerException" || !strings.Contains(refusal.Message, "input/output error") {
				t.Errorf("the refusal is %v", err)
			}
			b.store.set(nil, nil)
		}
		synctest.Wait()
		if got := b.log.count("start"); got != 1 {
			t.Errorf("%d tasks were started, want 1", got)
		}
		if b.Broken() == nil {
			t.Error("the daemon does not say that it is broken")
		}
		if got := len(b.tasks(plimsoll.StatusRunning)); got != 1 {
			t.Errorf("reads show %d running tasks, want 1", got)
		}
	})
}

func TestAFullDiskRefusesWritesUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		b.store.set(nil, fmt.Errorf("append: %w", store.ErrNoSpace))
		for range 2 { // the one that meets the full disk, and one that comes later
			_, err := b.Do(t.Context(), engine.RunTask{TaskDefinition: "job"})
			var refusal *engine.Error
			if !errors.As(err, &refusal) || refusal.Code != "ServerException" || !strings.Contains(refusal.Message, "no space left") {
				t.Errorf("the refusal is %v", err)
			}
		}
		time.Sleep(time.Minute)
		if got := b.log.count("start"); got != 0 {
			t.Errorf("%d tasks were started that are on no disk", got)
		}
		b.store.set(nil, nil)
		time.Sleep(time.Second)
		if err := b.Broken(); err != nil {
			t.Errorf("with room again, writes are still refused: %v", err)
		}
		b.do(engine.RunTask{TaskDefinition: "job"})
		synctest.Wait()
		// The first was under way, the second was never taken, the third is new.
		if got := len(b.tasks(plimsoll.StatusRunning)); got != 2 || b.log.count("start") != 2 {
			t.Errorf("%d tasks run after %d starts, want 2 and 2", got, b.log.count("start"))
		}
	})
}

func TestADaemonCanBeClosedWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		b.prepare()
		b.store.set(nil, store.ErrNoSpace)
		if _, err := b.Do(t.Context(), engine.RunTask{TaskDefinition: "job"}); err == nil {
			t.Error("a write to a full disk was answered")
		}
		b.close()
		if _, err := b.Do(t.Context(), engine.RunTask{TaskDefinition: "job"}); err == nil {
			t.Error("a closed daemon took a call")
		}
	})
}

func TestAKilledEngineFindsItsTasksAgainAndStartsNoneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, world := newMemory(), fake.NewWorld()
		b := open(t, disk, fake.Options{World: world}, nil)
		b.prepare()
		b.do(engine.CreateService{Name: "web", TaskDefinition: "job", Desired: 5})
		b.expect("web", 5, 0)
		before := b.tasks(plimsoll.StatusRunning)
		b.close()

		b = open(t, disk, fake.Options{World: world}, nil)
		defer b.close()
		b.expect("web", 5, 0)
		if after := b.tasks(plimsoll.StatusRunning); !slices.Equal(before, after) {
			t.Errorf("before %v, after %v", before, after)
		}
		if b.log.count("start") != 0 || b.log.count("adopt 5") != 1 {
			t.Errorf("calls: %v", b.log.calls)
		}
	})
}

func TestATaskThatEndedWhileTheEngineWasDownIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, world := newMemory(), fake.NewWorld()
		life := fake.Options{World: world, Each: fake.Fate{Life: time.Hour, Code: 7}}
		b := open(t, disk, life, nil)
		b.prepare()
		b.do(engine.CreateService{Name: "web", TaskDefinition: "job", Desired: 1})
		b.expect("web", 1, 0)
		b.close()
		time.Sleep(2 * time.Hour)

		b = open(t, disk, life, nil)
		defer b.close()
		b.expect("web", 1, 0)
		b.Read(func(v engine.View) {
			old := v.Tasks("")[0]
			if old.LastStatus != plimsoll.StatusStopped || old.Containers[0].ExitCode == nil || *old.Containers[0].ExitCode != 7 {
				t.Errorf("the old task is %+v", old)
			}
		})
	})
}

func TestADrainEndsBeforeTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		b := open(t, newMemory(), fake.Options{}, func(ctx context.Context, d engine.Drain) {
			select {
			case <-done:
			case <-ctx.Done():
			}
		})
		defer b.close()
		b.prepare()
		b.do(engine.CreateService{Name: "web", TaskDefinition: "job", Desired: 2})
		b.expect("web", 2, 0)
		none, one := 0, 1
		b.do(engine.UpdateService{Service: "web", Desired: &one})
		b.expect("web", 1, 0)
		if b.log.count("stop") != 0 {
			t.Error("the task was stopped before its drain had ended")
		}
		close(done)
		synctest.Wait()
		if b.log.count("stop") != 1 {
			t.Error("the task was not stopped after its drain")
		}
		done = make(chan struct{})
		b.do(engine.UpdateService{Service: "web", Desired: &none})
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if b.log.count("stop") != 1 {
			t.Error("the task was stopped before its drain's deadline")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if b.log.count("stop") != 2 {
			t.Error("the task was not stopped at its drain's deadline")
		}
	})
}

func TestFailedStartsAreHeldBackByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{Each: fake.Fate{Fail: "no such command"}}, nil)
		defer b.close()
		b.prepare()
		b.do(engine.CreateService{Name: "broken", TaskDefinition: "job", Desired: 1})
		for n, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60} {
			synctest.Wait()
			if got := b.log.count("start"); got != n+1 {
				t.Fatalf("%d starts, want %d", got, n+1)
			}
			time.Sleep(wait * time.Second)
		}
	})
}

func TestShutdownStopsEveryTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemory()
		b := open(t, disk, fake.Options{Each: fake.Fate{StopDelay: 3 * time.Second}}, nil)
		b.prepare()
		b.do(engine.CreateService{Name: "web", TaskDefinition: "job", Desired: 5})
		b.expect("web", 5, 0)
		if err := b.Shutdown(t.Context(), "test over"); err != nil {
			t.Error(err)
		}
		if got := len(b.tasks(plimsoll.StatusStopped)); got != 5 {
			t.Errorf("%d tasks are stopped, want 5", got)
		}
		if _, err := b.Do(t.Context(), engine.CreateCluster{}); !errors.Is(err, daemon.ErrClosed) {
			t.Errorf("a call after the end gives %v", err)
		}
		kept := engine.New(engine.Config{})
		if err := disk.Load(kept.Load); err != nil {
			t.Fatal(err)
		}
		if specs := kept.Specs(); len(specs) != 0 {
			t.Errorf("the disk has %d tasks that have not stopped", len(specs))
		}
	})
}

func TestShutdownSaysWhatDidNotStopInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := fake.NewWorld()
		b := open(t, newMemory(), fake.Options{World: world, Each: fake.Fate{StopDelay: time.Minute}}, nil)
		b.prepare()
		b.do(engine.CreateService{Name: "web", TaskDefinition: "job", Desired: 2})
		b.expect("web", 2, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.Shutdown(ctx, "test over")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 tasks") {
			t.Errorf("shutdown gives %v", err)
		}
		time.Sleep(time.Minute) // the world's timer is no goroutine of the daemon
	})
}

func TestASlowSubscriberLosesNoticesButNotItsWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		notices, cancel := b.Subscribe()
		defer cancel()
		for range 300 {
			b.do(engine.RunTask{TaskDefinition: "job", Count: 10})
		}
		synctest.Wait()
		n := 0
		running := 0
		for len(notices) > 0 {
			<-notices
			n++
			running = len(b.tasks(plimsoll.StatusRunning))
		}
		want := len(b.tasks(plimsoll.StatusRunning))
		if n == 0 || running != want {
			t.Errorf("after the last of %d notices %d tasks were seen to run, want %d", n, running, want)
		}
	})
}

func TestForgottenTasksAreForgottenByTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{Each: fake.Fate{Life: time.Second}}, nil)
		defer b.close()
		b.prepare()
		b.do(engine.RunTask{TaskDefinition: "job"})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if b.log.count("forget") != 1 || b.store.has("task/") != 0 {
			t.Errorf("forgotten: %d, on record: %d", b.log.count("forget"), b.store.has("task/"))
		}
	})
}

func TestAStateThatCannotBeReadRefusesTheStart(t *testing.T) {
	disk := newMemory()
	disk.values["task/x"] = []byte("{")
	_, err := daemon.Start(t.Context(), daemon.Options{
		Machine: engine.New(engine.Config{}), Store: disk,
		Runtime: func(sink runtime.Sink) (runtime.Runtime, error) { return fake.New(fake.Options{}, sink), nil },
	})
	if err == nil || !strings.Contains(err.Error(), `"task/x"`) {
		t.Errorf("the start gives %v", err)
	}
}

func TestACallerMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newMemory(), fake.Options{}, nil)
		defer b.close()
		b.prepare()
		gate := make(chan struct{})
		b.store.set(gate, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Do(ctx, engine.RunTask{TaskDefinition: "job"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the call gives %v", err)
		}
		b.store.set(nil, nil)
		close(gate)
		b.do(engine.CreateCluster{})
	})
}
