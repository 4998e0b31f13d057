package process

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"plimsoll/engine/runtime"
)

func TestATaskIsReachedWhereItListens(t *testing.T) {
	const host = "127.64.1.1"
	for _, c := range []struct {
		name         string
		own, foreign []string
		blind        bool
		want         string // empty: not known yet
	}{
		{"nobody listens yet", nil, nil, false, ""},
		{"on its address", []string{host}, nil, false, host},
		{"on all addresses", []string{"0.0.0.0"}, nil, false, host},
		{"on all addresses of IPv6 too", []string{"::"}, nil, false, host},
		{"on loopback only", []string{"127.0.0.1"}, nil, false, "127.0.0.1"},
		{"on loopback of IPv6 only", []string{"::1"}, nil, false, "::1"},
		{"on loopback and its address", []string{"127.0.0.1", host}, nil, false, host},
		{"a stranger on its address", nil, []string{host}, false, ""},
		{"a stranger on all addresses", nil, []string{"0.0.0.0"}, false, ""},
		{"a stranger on all addresses of IPv6 too", nil, []string{"::"}, false, ""},
		{"a stranger elsewhere", nil, []string{"127.0.0.1"}, false, ""},
		{"its own beside a stranger's", []string{host}, []string{"127.64.1.2"}, false, host},
		{"on loopback, a stranger on its address", []string{"127.0.0.1"}, []string{host}, false, "127.0.0.1"},
		{"unseen whose, on its address", nil, []string{host}, true, host},
		{"unseen whose, on all addresses", nil, []string{"0.0.0.0"}, true, host},
		{"unseen whose, elsewhere", nil, []string{"127.0.0.1"}, true, ""},
		{"on loopback, and unseen whose on its address", []string{"127.0.0.1"}, []string{host}, true, "127.0.0.1"},
	} {
		var all []listener
		own := map[uint64]bool{}
		for _, a := range slices.Concat(c.foreign, c.own) {
			all = append(all, listener{netip.MustParseAddr(a), uint64(len(all) + 1)})
			own[uint64(len(all))] = len(all) > len(c.foreign)
		}
		if got, ok := reachable(host, all, own, c.blind); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

// byHand is a prober that looks when a test says so.
type byHand struct {
	*prober
	t      *testing.T
	events chan runtime.Event
}

func newByHand(t *testing.T) byHand {
	events := make(chan runtime.Event, 10)
	p := newProber(&Runtime{o: Options{Now: time.Now}, sink: func(e runtime.Event) { events <- e }})
	p.running = true // no goroutine of its own
	return byHand{p, t, events}
}

// awaits has the prober await a task of a process, at an address.
func (p byHand) awaits(root int, host string, port int) *task {
	t := &task{
		r: p.r, spec: runtime.Spec{TaskID: "task"}, handle: &handle{pid: root}, started: true,
		kept: record{Bindings: []runtime.Binding{{Address: host, HostPort: port, Protocol: "tcp"}}},
	}
	p.add(t)
	return t
}

// found looks, and tells whether nothing is awaited any more.
func (p byHand) found() bool {
	_, more := p.look(time.Now().Add(time.Second))
	return !more
}

// rebound looks until the task is found, and gives the address.
func (p byHand) rebound() string {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !p.found(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the task was not found within 30 s")
		}
	}
	select {
	case e := <-p.events:
		if e.Kind != runtime.Rebound || len(e.Bindings) != 1 {
			p.t.Fatalf("got %+v", e)
		}
		return e.Bindings[0].Address
	default:
		return ""
	}
}

// startGroup starts a program that ends with the test, with all that it has started.
func startGroup(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.SysProcAttr.Setpgid = true
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		c.Wait()
	})
}

// shellWaits runs a script of a shell, which reads a line before it goes on; $0 is
// this program, which listens where LISTEN says.
func shellWaits(t *testing.T, script, listen string, port int, files ...*os.File) (pid int, goOn func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", "read go; "+script+" & wait", exe)
	c.Env = append(os.Environ(), "PLIMSOLL_TEST_HELPER=listen", "LISTEN="+listen, "PORT="+strconv.Itoa(port))
	c.SysProcAttr = &syscall.SysProcAttr{}
	c.ExtraFiles = files
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	startGroup(t, c)
	return c.Process.Pid, func() {
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// listenAt listens on a free port of an address.
func listenAt(t *testing.T, host string) (*net.TCPListener, int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("%s cannot be listened on here: %v", host, err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener), l.Addr().(*net.TCPAddr).Port
}

func TestAStrangersListenerIsNeverTakenForATasksWhichIsFoundOnceItListens(t *testing.T) {
	const host, elsewhere = "127.64.3.1", "127.0.0.3"
	for _, at := range []string{host, "127.0.0.1", "0.0.0.0", "::", "::1"} {
		t.Run(at, func(t *testing.T) {
			stranger, port := listenAt(t, at)
			p := newByHand(t)
			root, listen := shellWaits(t, `"$0"`, elsewhere, port)
			p.awaits(root, host, port)
			if p.found() {
				t.Fatal("the stranger's listener was taken for the task's")
			}
			stranger.Close()
			listen()
			if got := p.rebound(); got != elsewhere {
				t.Errorf("found on %q, want %q", got, elsewhere)
			}
		})
	}
}

func TestATaskIsFoundOnItsAddressBesideAStrangerOnAnother(t *testing.T) {
	const host = "127.64.3.1"
	_, port := listenAt(t, "127.0.0.1")
	p := newByHand(t)
	root, listen := shellWaits(t, `"$0"`, host, port)
	p.awaits(root, host, port)
	listen()
	if got := p.rebound(); got != "" {
		t.Errorf("rebound to %q", got)
	}
}

func TestAListenerOfAProcessThatATasksProcessStartedIsTheTasks(t *testing.T) {
	l, port := listenAt(t, "127.0.0.1")
	l.Close()
	p := newByHand(t)
	root, listen := shellWaits(t, `sh -c '"$0" & wait' "$0"`, "127.0.0.1", port)
	p.awaits(root, "127.64.3.1", port)
	listen()
	if got := p.rebound(); got != "127.0.0.1" {
		t.Errorf("found on %q", got)
	}
}

func TestAListenerThatATasksProcessHasInheritedIsTheTasks(t *testing.T) {
	l, port := listenAt(t, "127.0.0.1")
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	p := newByHand(t)
	root, start := shellWaits(t, "sleep 1000", "", port, f)
	f.Close()
	l.Close()
	p.awaits(root, "127.64.3.1", port)
	if p.found() {
		t.Fatal("a listener of the parent process was taken for the task's")
	}
	start()
	if got := p.rebound(); got != "127.0.0.1" {
		t.Errorf("found on %q", got)
	}
}

func TestATaskWhoseStateIsToldBeforeItsStartIsAnsweredIsFoundAfterIt(t *testing.T) {
	l, port := listenAt(t, "127.0.0.1")
	l.Close()
	p := newByHand(t)
	root, listen := shellWaits(t, `"$0"`, "127.0.0.1", port)
	task := p.awaits(root, "127.64.3.1", port)
	answered := task.handle
	task.handle = nil
	listen()
	for len(listeners()[port]) == 0 {
		time.Sleep(2 * time.Millisecond)
	}
	if p.found() {
		t.Fatal("a listener was taken for that of a task whose processes are not known")
	}
	task.handle = answered
	if got := p.rebound(); got != "127.0.0.1" {
		t.Errorf("found on %q", got)
	}
}
