package router

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is a client's connection on which a test writes frames by itself.
type framed struct {
	net.Conn
	*http2.Framer
	next uint32 // stream
	head bytes.Buffer
	pack *hpack.Encoder
}

func (s *served) dialHTTP2(t *testing.T) *framed {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	f := &framed{Conn: conn, Framer: http2.NewFramer(conn, conn), next: 1}
	f.pack = hpack.NewEncoder(&f.head)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// ask begins a request on a stream of its own.
func (f *framed) ask(ends bool) (stream uint32, err error) { return f.askFor("/", ends) }

func (f *framed) askFor(path string, ends bool) (stream uint32, err error) {
	return f.askWith(ends, ":method", "GET", ":scheme", "http", ":authority", "x", ":path", path)
}

// askWith begins a request of these fields, each a name and a value.
func (f *framed) askWith(ends bool, fields ...string) (stream uint32, err error) {
	f.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := f.pack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return 0, err
		}
	}
	stream = f.next
	f.next += 2
	return stream, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.head.Bytes(), EndStream: true, EndHeaders: ends})
}

// read reads what comes until the connection ends.
func (f *framed) read() {
	for {
		if _, err := f.ReadFrame(); err != nil {
			return
		}
	}
}

func TestStreamsThatAreResetAtOnceDoNotPileUp(t *testing.T) {
	var now, most atomic.Int64
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer now.Add(-1)
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	if code, page := s.get(t, "/"); code != 200 {
		t.Fatalf("%d %s", code, page)
	}
	f := s.dialHTTP2(t)
	go f.read()
	sent := 0
	for ; sent < 20_000; sent++ {
		stream, err := f.ask(true)
		if err == nil {
			err = f.WriteRSTStream(stream, http2.ErrCodeCancel)
		}
		if err != nil {
			break // the router has had enough of it
		}
	}
	if code, page := s.get(t, "/"); code != 200 {
		t.Errorf("another client meanwhile: %d %s", code, page)
	}
	t.Logf("%d streams, at most %d at the target at once", sent, most.Load())
	if most.Load() > 2*250 {
		t.Errorf("%d requests were at the target at once; a connection may have 250 streams", most.Load())
	}
	eventually(t, "nothing is in flight", func() bool { return s.Stats("web").InFlight == 0 })
}

func TestAHeadWithoutEndEndsItsConnection(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, one())
	f := s.dialHTTP2(t)
	stream, err := f.ask(false)
	if err != nil {
		t.Fatal(err)
	}
	piece := bytes.Repeat([]byte{0x00, 0x01, 'x', 0x01, 'y'}, 3000) // literal fields, never indexed
	sent := 0
	for ; sent < 64<<20; sent += len(piece) {
		if f.WriteContinuation(stream, false, piece) != nil {
			break
		}
	}
	if sent >= 64<<20 {
		t.Errorf("%d MiB of one head were taken", sent>>20)
	}
}

// TestControlFramesWhoseAnswersNobodyReadsTakeNoMemory floods a connection with
// frames that have to be answered, and reads no answer: the router ends the
// connection, or reads no more of it.
func TestControlFramesWhoseAnswersNobodyReadsTakeNoMemory(t *testing.T) {
	for name, write := range map[string]func(f *framed) error{
		"SETTINGS": func(f *framed) error { return f.WriteSettings() },
		"PING":     func(f *framed) error { return f.WritePing(false, [8]byte{}) },
	} {
		s := serve(t, Options{})
		s.set(t, one())
		f := s.dialHTTP2(t)
		// A small window is soon full of answers that are not read.
		if err := f.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		before := heap()
		var err error
		sent := 0
		for ; err == nil && sent < 3_000_000; sent++ {
			if sent%1000 == 0 {
				_ = f.Conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			}
			err = write(f)
		}
		if err == nil {
			t.Errorf("%d frames of %s were taken", sent, name)
		}
		if after := heap(); after > before+(16<<20) {
			t.Errorf("%s: the heap grew from %d to %d MiB", name, before>>20, after>>20)
		}
		f.Conn.Close()
	}
}

// status is how a stream is answered: its status, or "reset".
func (f *framed) status(stream uint32) string {
	status := "reset"
	decoder := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == ":status" {
			status = h.Value
		}
	})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return status
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			_, _ = decoder.Write(frame.HeaderBlockFragment())
			if frame.StreamID == stream {
				return status
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return status
		}
	}
}
