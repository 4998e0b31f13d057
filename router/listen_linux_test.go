package router

import (
	"net"
	"syscall"
	"testing"
)

func TestAConnectionIsProbedAsItsListenerIs(t *testing.T) {
	// What nobody would ask for by himself shows that nothing is set on a connection.
	const idle = 77
	bound := 0
	l, err := Listen("127.0.0.1:0", func(uintptr) error { bound++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if bound != 1 {
		t.Errorf("what else was to be done to the socket was done %d times", bound)
	}
	probedAs(t, "as they are", l, probeAfter)
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.SetsockoptInt(int(file.Fd()), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, idle); err != nil {
		t.Fatal(err)
	}
	probedAs(t, "in another way", l, idle)
	l.Close()
	inherited, err := Inherit(file)
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	probedAs(t, "handed over", inherited, idle)
}

// probedAs sees that a connection that the listener takes is probed as that says.
func probedAs(t *testing.T, what string, l net.Listener, idle int) {
	t.Helper()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		name               string
		level, which, want int
	}{
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, idle},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, probeEvery},
		{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, probeMost},
		{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
	} {
		err := raw.Control(func(fd uintptr) {
			if got, err := syscall.GetsockoptInt(int(fd), o.level, o.which); err != nil || got != o.want {
				t.Errorf("%s: %s is %d, %v; want %d", what, o.name, got, err, o.want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
