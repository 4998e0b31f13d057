package process

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheKernelsListOfListenersIsRead(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "127.64.7.9", "0.0.0.0", "::1", "::"} {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			t.Logf("%s cannot be listened on here: %v", address, err)
			continue
		}
		defer l.Close()
		at := l.Addr().(*net.TCPAddr)
		want, _ := netip.AddrFromSlice(at.IP)
		if got := listeners()[at.Port]; !slices.ContainsFunc(got, func(l listener) bool { return l.addr == want.Unmap() && l.socket != 0 }) {
			t.Errorf("%s: port %d has %v, want %v", address, at.Port, got, want)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := listeners()[c.LocalAddr().(*net.TCPAddr).Port]; len(got) > 0 {
			t.Errorf("the port of a connection is taken for a listener's: %v", got)
		}
	}
}

// asNobody calls f on a thread that has no privileges.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		goruntime.LockOSThread() // for ever: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			const nobody = 65534
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
				done <- errno
				return
			}
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Skip(err)
	}
}

// child runs a program as a child of a shell and as a user, with a socket that
// listens, and gives the shell as a task's parent process.
func child(t *testing.T, uid uint32) (parent *task, socket uint64) {
	t.Helper()
	l, _ := listenAt(t, "127.0.0.1")
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var info syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &info); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", "sleep 1000 & echo; wait")
	c.ExtraFiles = []*os.File{f}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startGroup(t, c)
	if _, err := out.Read(make([]byte, 1)); err != nil { // the child is there
		t.Fatal(err)
	}
	return &task{handle: &handle{pid: c.Process.Pid}}, info.Ino
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a task as another user")
	}
}

func TestSocketsOfAProcessThatMayNotBeLookedIntoAreUnknownAndNotNone(t *testing.T) {
	needsRoot(t)
	task, socket := child(t, 0)
	sockets := map[uint64]bool{socket: true}
	if own, blind := task.owned(sockets); !own[socket] || blind {
		t.Errorf("with privileges: own %v, blind %v", own, blind)
	}
	asNobody(t, func() {
		if own, blind := task.owned(sockets); len(own) > 0 || !blind {
			t.Errorf("without privileges: own %v, blind %v", own, blind)
		}
	})
}

// TestRootOfAContainerFindsTheSocketsOfTasksOfAnotherUser runs itself again
// without the capability that containers lack.
func TestRootOfAContainerFindsTheSocketsOfTasksOfAnotherUser(t *testing.T) {
	needsRoot(t)
	const variable, nobody = "PLIMSOLL_TEST_CONTAINED", 65534
	if os.Getenv(variable) != "" {
		task, socket := child(t, nobody)
		for pid := range family(task.handle.pid) {
			none := func(uint64) bool { return true }
			if err := readSockets("/proc/"+strconv.Itoa(pid)+"/fd", none); !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("the capability is still there: %v", err)
			}
		}
		if own, blind := task.owned(map[uint64]bool{socket: true}); !own[socket] || blind {
			t.Errorf("own %v, blind %v", own, blind)
		}
		if own, blind := task.owned(map[uint64]bool{1: true}); len(own) > 0 || blind {
			t.Errorf("of a stranger's: own %v, blind %v", own, blind)
		}
		return
	}
	done := make(chan error)
	var out []byte
	go func() {
		goruntime.LockOSThread() // for ever: the thread ends with the goroutine
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_PTRACE, 0, 0, 0); err != nil {
			done <- err
			return
		}
		c := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
		c.Env = append(os.Environ(), variable+"=1")
		var err error
		out, err = c.CombinedOutput()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
