package router

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestALargeBodyGoesBothWaysAtConstantMemory sends 64 MiB, and 1 GiB in make
// soak, with a length and in chunks, to a target that sends it back.
func TestALargeBodyGoesBothWaysAtConstantMemory(t *testing.T) {
	size := int64(64 << 20)
	if soak() {
		size = 1 << 30
	}
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if n, err := io.Copy(w, r.Body); err != nil || n != size {
			t.Errorf("%d bytes at the target (%v)", n, err)
		}
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	want := sha256.New()
	_, _ = io.CopyN(want, &numbers{}, size)
	for _, length := range []int64{size, -1} {
		request, err := http.NewRequest("POST", "http://"+s.address+"/", io.LimitReader(&numbers{}, size))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = length
		before, most := heap(), uint64(0)
		answer, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, read := sha256.New(), int64(0)
		for {
			n, err := io.CopyN(got, answer.Body, size/8)
			read += n
			most = max(most, heap())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		answer.Body.Close()
		if read != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
			t.Errorf("length %d: %d bytes came back, and not those that were sent", length, read)
		}
		if most > before+(16<<20) {
			t.Errorf("length %d: the heap grew from %d to %d MiB", length, before>>20, most>>20)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// numbers is a stream in which no two pieces are alike.
type numbers struct{ n uint64 }

func (r *numbers) Read(p []byte) (int, error) {
	for i := range p {
		r.n = r.n*6364136223846793005 + 1442695040888963407
		p[i] = byte(r.n >> 56)
	}
	return len(p), nil
}

// TestIdleAndSlowClientsDoNotSlowTheOthers holds 10,000 connections without a
// request and 2,000 that send their heads byte by byte, from a process of their
// own, and measures what good clients see.
func TestIdleAndSlowClientsDoNotSlowTheOthers(t *testing.T) {
	if address := os.Getenv("PLIMSOLL_CROWD"); address != "" {
		crowd(t, address)
		return
	}
	skipUnlessSoak(t)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	measure := func() time.Duration {
		times := make([]time.Duration, 20_000)
		for i := range times {
			began := time.Now()
			if code, page := s.get(t, "/"); code != 200 {
				t.Fatalf("%d %s", code, page)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		return times[len(times)*99/100]
	}
	measure() // warm
	alone := measure()
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.timeout", "5m")
	child.Env = append(os.Environ(), "PLIMSOLL_CROWD="+s.address)
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "the crowd is there") {
	}
	beside := measure()
	hold.Close()
	go func() { _, _ = io.Copy(io.Discard, said) }()
	if err := child.Wait(); err != nil {
		t.Errorf("the crowd: %v", err)
	}
	t.Logf("p99 %s alone, %s beside the crowd", alone, beside)
	if beside > 2*alone {
		t.Errorf("p99 %s beside the crowd is more than twice the %s without it", beside, alone)
	}
}

// crowd is the child's part: it opens its connections, says so, and keeps them
// until its standard input ends.
func crowd(t *testing.T, address string) {
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for range 10_000 {
		conn := dial()
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") // idle, not new
	}
	slow := make([]net.Conn, 2000)
	for i := range slow {
		slow[i] = dial()
		fmt.Fprint(slow[i], "GET / HTTP/1.1\r\nHost: x\r\nX: ")
	}
	fmt.Println("\nthe crowd is there")
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	for {
		for i, conn := range slow {
			if _, err := conn.Write([]byte{'x'}); err != nil { // timed out: another takes its place
				conn.Close()
				slow[i] = dial()
				fmt.Fprint(slow[i], "GET / HTTP/1.1\r\nHost: x\r\nX: ")
			}
			if i%200 != 0 {
				continue
			}
			select {
			case <-over:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}
