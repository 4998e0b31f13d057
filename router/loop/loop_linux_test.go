package loop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("plimsoll/router/loop.(*Loop).run"),
		goleak.IgnoreAnyFunction("plimsoll/router/loop.(*Fiber).rest"))
}

// soon bounds what must happen at once.
const soon = 10 * time.Second

// many are more connections than there are loops.
func many(t *testing.T) int {
	t.Helper()
	loops, err := all()
	if err != nil {
		t.Fatal(err)
	}
	return 2*len(loops) + 3
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// served lets the loops serve connections until the test's end, which waits for their
// fibers, and gives the address.
func served(t *testing.T, serve func(*Fiber, *Conn)) string {
	t.Helper()
	l := listen(t)
	var fibers sync.WaitGroup
	a, err := Accept(l, func(f *Fiber, c *Conn) {
		fibers.Add(1)
		defer fibers.Done()
		defer c.Close()
		serve(f, c)
	}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		fibers.Wait()
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(soon))
	return conn.(*net.TCPConn)
}

func echo(_ *Fiber, c *Conn) {
	buffer := make([]byte, 4<<10)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// echoes says something, and hears it again.
func echoes(t *testing.T, conn net.Conn) {
	t.Helper()
	heard := make([]byte, 2)
	if _, err := io.WriteString(conn, "ok"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != "ok" {
		t.Fatalf("heard %q, %v; want an echo", heard, err)
	}
}

func TestAConnectionIsServedAsIfItHadAGoroutine(t *testing.T) {
	address := served(t, echo)
	said := make([]byte, 1<<20) // more than sockets hold: reads and writes wait
	_, _ = rand.Read(said)
	var clients sync.WaitGroup
	for range 50 {
		conn := dial(t, address)
		clients.Go(func() {
			_, err := conn.Write(said)
			if err == nil {
				err = conn.CloseWrite()
			}
			if err != nil {
				t.Error(err)
			}
		})
		clients.Go(func() {
			heard, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(heard, said) {
				t.Errorf("heard %d bytes of %d, or others, and %v", len(heard), len(said), err)
			}
		})
	}
	clients.Wait()
}

func TestAFiberThatWaitsHoldsNobodyUp(t *testing.T) {
	address := served(t, echo)
	for range many(t) {
		dial(t, address) // and says nothing
	}
	deaf := dial(t, address)
	_ = deaf.SetWriteDeadline(time.Now().Add(time.Second))
	for { // it does not read: its fiber cannot write any more
		if _, err := deaf.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	for range many(t) {
		echoes(t, dial(t, address))
	}
}

func TestWhatBlocksIsDoneOffTheLoops(t *testing.T) {
	blocked := make(chan struct{})
	n := many(t)
	var came atomic.Int64
	address := served(t, func(f *Fiber, c *Conn) {
		if came.Add(1) <= int64(n) {
			f.Off(func() { <-blocked })
		}
		echo(f, c)
	})
	var waiting []net.Conn
	for range n {
		waiting = append(waiting, dial(t, address))
	}
	for came.Load() < int64(n) {
		time.Sleep(time.Millisecond)
	}
	echoes(t, dial(t, address))
	close(blocked)
	for _, conn := range waiting {
		echoes(t, conn)
		echoes(t, conn) // on a loop again
	}
}

func TestAFiberThatNeverWaitsLetsOthersHaveTheirTurn(t *testing.T) {
	n := many(t)
	var stop atomic.Bool
	var came, turns atomic.Int64
	address := served(t, func(f *Fiber, c *Conn) {
		if came.Add(1) > int64(n) {
			echo(f, c)
			return
		}
		raw, _ := c.SyscallConn()
		for !stop.Load() {
			// What is always possible at once.
			if err := raw.Write(func(uintptr) bool { return true }); err != nil {
				t.Error(err)
				return
			}
			turns.Add(1)
		}
	})
	for range n {
		dial(t, address)
	}
	for turns.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range many(t) {
		echoes(t, dial(t, address))
	}
	stop.Store(true)
}

func TestADeadlineThatIsPastEndsWhatWaits(t *testing.T) {
	conns, ends := make(chan *Conn), make(chan error)
	address := served(t, func(f *Fiber, c *Conn) {
		f.Off(func() { conns <- c })
		for {
			_, err := c.Read(make([]byte, 1))
			if err := c.SetReadDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			f.Off(func() { ends <- err })
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
		}
	})
	peer := dial(t, address)
	c := <-conns
	if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err == nil {
		t.Error("a deadline that is to come was taken")
	}
	for range 100 { // it waits, or is about to
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the read ended in %v", err)
		}
	}
	if _, err := io.WriteString(peer, "."); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; err != nil {
		t.Errorf("after the deadlines a read ended in %v", err)
	}
}

func TestClosingEndsWhatWaits(t *testing.T) {
	conns, ends := make(chan *Conn), make(chan error)
	address := served(t, func(f *Fiber, c *Conn) {
		f.Off(func() { conns <- c })
		_, err := c.Read(make([]byte, 1))
		f.Off(func() { ends <- err })
	})
	dial(t, address)
	c := <-conns
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ended in %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after the end: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second end: %v", err)
	}
}

// adopted is one end of a connection on a loop, and the other end.
func adopted(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l := listen(t)
	far := dial(t, l.Addr().String())
	near, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	loops, err := all()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Adopt(near, loops[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, far
}

func TestGoroutinesWaitOnAConnectionAsOnAnyOther(t *testing.T) {
	c, far := adopted(t)
	var echoing sync.WaitGroup
	echoing.Go(func() { echo(nil, c) })
	for range 100 {
		echoes(t, far)
	}
	far.Close()
	echoing.Wait()
	if c.RemoteAddr().String() != far.LocalAddr().String() || c.LocalAddr().String() != far.RemoteAddr().String() {
		t.Errorf("its addresses are %v and %v; want %v and %v", c.LocalAddr(), c.RemoteAddr(), far.RemoteAddr(), far.LocalAddr())
	}
}

func TestAConnectionThatLeavesItsLoopGoesOnWhereItWas(t *testing.T) {
	c, far := adopted(t)
	if _, err := io.WriteString(far, "before "); err != nil {
		t.Fatal(err)
	}
	conn, err := c.Leave()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("it is a %T", conn)
	}
	_, _ = io.WriteString(far, "after")
	far.Close()
	if heard, err := io.ReadAll(conn); err != nil || string(heard) != "before after" {
		t.Errorf("heard %q, %v", heard, err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("what has left still reads: %v", err)
	}
}

func TestQuietIsWhatHasBeenReadToItsEndAndNotHeardOfSince(t *testing.T) {
	c, far := adopted(t)
	read := func(size int) {
		t.Helper()
		raw, _ := c.SyscallConn()
		if err := raw.Read(func(fd uintptr) bool {
			n, err := unix.Read(int(fd), make([]byte, size))
			c.Took(n < size)
			return err != unix.EAGAIN
		}); err != nil {
			t.Fatal(err)
		}
	}
	awaitUnquiet := func() {
		t.Helper()
		for end := time.Now().Add(soon); c.Quiet(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it stays quiet")
			}
		}
	}
	if c.Quiet() {
		t.Error("nobody has read it, and it is quiet")
	}
	_, _ = io.WriteString(far, "abcd")
	read(2)
	if c.Quiet() {
		t.Error("two of four bytes are read, and it is quiet")
	}
	read(10)
	for range 3 {
		if !c.Quiet() {
			// The news of what is read by now may have come late.
			read(0)
			c.Took(true)
		}
	}
	if !c.Quiet() {
		t.Error("all is read, and it is not quiet")
	}
	_, _ = io.WriteString(far, "e")
	awaitUnquiet()
	read(10)
	far.Close()
	awaitUnquiet()
	if c.Took(true); c.Quiet() {
		t.Error("its end has come, and it is quiet")
	}
}

func TestTheKernelMovesBytesBetweenTwoConnections(t *testing.T) {
	from, source := adopted(t)
	to, sink := adopted(t)
	said := make([]byte, 3<<20)
	_, _ = rand.Read(said)
	var moving sync.WaitGroup
	moving.Go(func() {
		_, _ = source.Write(said)
		_, _ = io.WriteString(source, "rest")
		source.Close()
	})
	heard := make([]byte, len(said))
	moving.Go(func() {
		if _, err := io.ReadFull(sink, heard); err != nil {
			t.Error(err)
		}
	})
	if n, err := Splice(to, from, int64(len(said))); err != nil || n != int64(len(said)) {
		t.Fatalf("moved %d bytes, %v; want %d", n, err, len(said))
	}
	moving.Wait()
	if !bytes.Equal(heard, said) {
		t.Error("other bytes came than were sent")
	}
	if n, err := Splice(to, from, 10); n != 4 || err != io.EOF {
		t.Errorf("moved %d bytes of the last four, %v; want EOF", n, err)
	}
}

func TestBytesAreMovedWhereThereIsNoDescriptorLeftForAPipe(t *testing.T) {
	from, source := adopted(t)
	to, sink := adopted(t)
	said := make([]byte, 3<<20)
	_, _ = rand.Read(said)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3 // all that are open stay
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = source.Write(said)
		source.Close()
	})
	heard := make([]byte, len(said))
	sending.Go(func() {
		if _, err := io.ReadFull(sink, heard); err != nil {
			t.Error(err)
		}
	})
	if n, err := Splice(to, from, int64(len(said))); err != nil || n != int64(len(said)) {
		t.Fatalf("moved %d bytes, %v; want %d", n, err, len(said))
	}
	sending.Wait()
	if !bytes.Equal(heard, said) {
		t.Error("other bytes came than were sent")
	}
	if n, err := Splice(to, from, 10); n != 0 || err != io.EOF {
		t.Errorf("moved %d bytes of none, %v; want EOF", n, err)
	}
}

func TestAfterAnAcceptorsEndItsListenerIsOthers(t *testing.T) {
	l := listen(t)
	var served atomic.Int64
	accept := func() *Acceptor {
		t.Helper()
		a, err := Accept(l, func(f *Fiber, c *Conn) {
			defer c.Close()
			served.Add(1)
			echo(f, c)
		}, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := accept()
	conn := dial(t, l.Addr().String())
	echoes(t, conn)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second end: %v", err)
	}
	waits := dial(t, l.Addr().String())
	_, _ = io.WriteString(waits, "ok")
	echoes(t, conn) // what was taken goes on
	time.Sleep(50 * time.Millisecond)
	if n := served.Load(); n != 1 {
		t.Errorf("%d connections were taken; want the one before the end", n)
	}
	defer accept().Close()
	heard := make([]byte, 2)
	if _, err := io.ReadFull(waits, heard); err != nil {
		t.Errorf("what came between two acceptors: %v", err)
	}
	conn.Close()
	waits.Close()
}

func TestAConnectionWaitsUntilThereIsADescriptor(t *testing.T) {
	l := listen(t)
	refused := make(chan error, 1)
	a, err := Accept(l, func(f *Fiber, c *Conn) { defer c.Close(); echo(f, c) }, func(err error) {
		select {
		case refused <- err:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(client), "client")
	defer file.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 0 // no new descriptor at all
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	err = unix.Connect(client, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	var why error
	if err == nil {
		why = <-refused
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err != nil || !errors.Is(why, unix.EMFILE) {
		t.Fatalf("connect: %v; told: %v; want EMFILE", err, why)
	}
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	echoes(t, conn)
}

func TestConnectionsAreSpreadOverTheLoops(t *testing.T) {
	loops, err := all()
	if err != nil {
		t.Fatal(err)
	}
	address := served(t, echo)
	before := make([]int64, len(loops))
	for i, l := range loops {
		before[i] = l.conns.Load()
	}
	n := 8 * len(loops)
	for range n {
		echoes(t, dial(t, address))
	}
	least, most := int64(n), int64(0)
	for _, l := range loops {
		least, most = min(least, l.conns.Load()), max(most, l.conns.Load())
	}
	if most-least > 1 {
		t.Errorf("one loop has %d connections, and another %d (before: %v)", most, least, before)
	}
}
