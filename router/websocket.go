package router

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// partingTime is how long the two ends of a WebSocket have to finish after one
// of them, or a drain, has closed it.
const partingTime = time.Second

// upgrade sends the request of a WebSocket to the target, which it releases,
// and, once the target has agreed, moves bytes both ways until one end closes.
// True: the exchange is over; false: another target may be tried.
func (x *exchange) upgrade(t *target) (over bool) {
	release := sync.OnceFunc(t.release)
	defer release()
	conn, reader, answer, err := x.handshake(t)
	if err != nil {
		return x.unanswered(t, err)
	}
	defer conn.Close()
	x.answered(t)
	x.answering = t
	if answer.StatusCode != http.StatusSwitchingProtocols {
		attempt := x.await(t)
		defer attempt.end()
		attempt.answered()
		defer context.AfterFunc(attempt.ctx, func() { conn.Close() })()
		x.relay(t, answer, attempt)
		return true
	}
	if !hasToken(answer.Header["Upgrade"], "websocket") {
		x.fail(causeUnreadable, http.StatusBadGateway, fmt.Sprintf("task %s of service %q switched to another protocol than was asked for", t.ID, x.service.name))
		return true
	}
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.fail(causeInternal, http.StatusInternalServerError, "the connection cannot become a WebSocket: "+err.Error())
		return true
	}
	defer client.Close()
	if strict, ok := client.(*handedConn); ok {
		strict.stop()
	}
	x.status, x.tunnel = http.StatusSwitchingProtocols, true
	if err := writeSwitch(client, answer.Header); err != nil {
		return true
	}
	tunnel := newTunnel(client, buffered.Reader, conn, reader, x.router.rand)
	if !t.enter(tunnel) {
		return true // the router is closed
	}
	defer t.leave(tunnel)
	release() // no longer a request that a drain waits for: a drain ends it
	defer x.router.guard(t, tunnel)()
	tunnel.run()
	return true
}

// guard ends a tunnel when the host at one of its ends has gone without a word. One
// on which nothing is unacknowledged the kernel ends, by its probes.
func (r *Router) guard(t *target, tunnel *tunnel) (stop func()) {
	target := vigil{router: r, every: r.options.DialTimeout, end: func(err error) {
		t.failed(err, causeBroken)
		tunnel.lose()
	}}
	client := vigil{router: r, every: clientSilence, end: func(error) { tunnel.close() }}
	target.begin(tunnel.target.conn)
	client.begin(tunnel.client.conn)
	return func() {
		target.stop()
		client.stop()
	}
}

// handshake connects to the target and reads its answer to the request.
func (x *exchange) handshake(t *target) (net.Conn, *bufio.Reader, *http.Response, error) {
	ctx := x.request.Context()
	conn, err := x.router.dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, nil, nil, err
	}
	raw := conn
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	watch := vigil{router: x.router, every: x.router.options.DialTimeout, end: func(error) { raw.Close() }}
	watch.begin(conn)
	defer watch.stop()
	if limit := x.patience(); limit > 0 {
		_ = conn.SetDeadline(time.Now().Add(limit))
	}
	if upstream := x.service.settings.Load().upstream; upstream.secure() {
		if conn, err = x.router.secured(ctx, conn, upstream); err != nil {
			return nil, nil, nil, err
		}
	}
	out := x.addressed(t)
	out.Header = out.Header.Clone()
	out.Header["Connection"] = []string{"Upgrade"}
	out.Header["Upgrade"] = []string{"websocket"}
	reader := bufio.NewReader(conn)
	var answer *http.Response
	if err = out.Write(conn); err == nil {
		answer, err = x.finalAnswer(reader, out)
	}
	if err != nil {
		conn.Close()
		return nil, nil, nil, watch.reason(err)
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, reader, answer, nil
}

// finalAnswer reads an answer, and passes on those that come before it.
func (x *exchange) finalAnswer(from *bufio.Reader, out *http.Request) (*http.Response, error) {
	for range maxProvisional {
		answer, err := http.ReadResponse(from, out)
		if err != nil || answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, err
		}
		x.hint(answer.StatusCode, answer.Header)
	}
	return nil, fmt.Errorf("%w: too many provisional ones come before it", errUnreadable)
}

func writeSwitch(client net.Conn, header http.Header) error {
	out := http.Header{}
	copyEndToEnd(out, header, nil)
	out["Connection"] = []string{"Upgrade"}
	out["Upgrade"] = []string{"websocket"}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	if err := out.Write(&head); err != nil {
		return err
	}
	head.WriteString("\r\n")
	_, err := client.Write(head.Bytes())
	return err
}

// enter makes the tunnel known to drains; false after Close.
func (t *target) enter(tunnel *tunnel) bool {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	if t.service.router.ctx.Err() != nil {
		return false
	}
	t.open[tunnel] = struct{}{}
	t.tunnels.Add(1)
	t.service.meter.tunnel(1)
	return true
}

func (t *target) leave(tunnel *tunnel) {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	delete(t.open, tunnel)
	t.tunnels.Add(-1)
	t.service.meter.tunnel(-1)
	close(tunnel.done)
}

// tunnel is an open WebSocket: two directions, each with its own copy loop.
type tunnel struct {
	client, target direction
	// parting is when, in nanoseconds since 1970, both directions have to be
	// at their end; 0 while nobody has closed. going says that a drain did it, lost
	// that the target's host is gone.
	parting     atomic.Int64
	going, lost atomic.Bool
	done        chan struct{}
}

// direction is one way through a tunnel: what is read from conn is written to
// the other's conn.
type direction struct {
	conn   net.Conn
	reader io.Reader
	frames frames
	// closeFrame is what tells the other end that the WebSocket ends.
	closeFrame []byte
}

// newTunnel joins two connections; each reader holds what was read too much,
// and then reads its connection.
func newTunnel(client net.Conn, fromClient io.Reader, target net.Conn, fromTarget io.Reader, random func() uint64) *tunnel {
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], uint32(random()))
	return &tunnel{
		// What clients send is masked (RFC 6455, section 5.1); 1001 is
		// "going away" (section 7.4.1).
		client: direction{conn: client, reader: fromClient, closeFrame: []byte{0x88, 0x82, mask[0], mask[1], mask[2], mask[3], 0x03 ^ mask[0], 0xe9 ^ mask[1]}},
		target: direction{conn: target, reader: fromTarget, closeFrame: []byte{0x88, 0x02, 0x03, 0xe9}},
		done:   make(chan struct{}),
	}
}

// lostFrame tells a client that its WebSocket ends for a fault that is not its own
// (1011): nothing more can come from the target.
var lostFrame = append([]byte{0x88, byte(2 + len(lostReason)), 0x03, 0xf3}, lostReason...)

const lostReason = "the target's host is gone"

// run copies until both directions have ended.
func (t *tunnel) run() {
	var other sync.WaitGroup
	other.Go(func() { t.copy(&t.client, t.target.conn) })
	t.copy(&t.target, t.client.conn)
	other.Wait()
}

// goAway sends both ends a close frame at the next end of a frame, and gives
// them partingTime to finish.
func (t *tunnel) goAway() {
	t.going.Store(true)
	t.part()
	past := time.Unix(1, 0)
	_ = t.client.conn.SetReadDeadline(past) // wakes the copy loops
	_ = t.target.conn.SetReadDeadline(past)
}

// lose ends a tunnel whose target's host is gone: the client is sent a close frame,
// if no frame to it is cut off, and has partingTime to finish.
func (t *tunnel) lose() {
	t.lost.Store(true)
	t.part()
	t.target.conn.Close() // wakes the copy loops
	_ = t.client.conn.SetWriteDeadline(time.Unix(0, t.parting.Load()))
}

// part starts the parting time.
func (t *tunnel) part() {
	t.parting.CompareAndSwap(0, time.Now().Add(partingTime).UnixNano())
}

func (t *tunnel) close() {
	t.client.conn.Close()
	t.target.conn.Close()
}

// copy moves one direction to its end, then closes that half.
func (t *tunnel) copy(d *direction, to net.Conn) {
	defer func() {
		t.part()
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		// The other direction reads from there: now it reads against the clock.
		_ = to.SetReadDeadline(time.Unix(0, t.parting.Load()))
	}()
	buffer := make([]byte, 8<<10)
	said := false // the close frame is sent; what follows it is dropped
	for {
		n, err := d.reader.Read(buffer)
		if n > 0 && !said {
			pass := d.frames.advance(buffer[:n], t.going.Load())
			if _, err := to.Write(buffer[:pass]); err != nil {
				if d != &t.client || !t.losing(err) {
					return
				}
				said = true // nobody takes it, but the client may close in order
			}
		}
		if t.going.Load() && !said && d.frames.between() {
			said = true
			if !d.frames.closed {
				if _, err := to.Write(d.closeFrame); err != nil {
					return
				}
			}
		}
		if err == nil {
			continue
		}
		if d == &t.target && t.losing(err) {
			if !said && !d.frames.closed && d.frames.between() {
				_, _ = to.Write(lostFrame)
			}
			return
		}
		until := t.parting.Load()
		if !errors.Is(err, os.ErrDeadlineExceeded) || until == 0 || time.Now().UnixNano() >= until {
			return
		}
		_ = d.conn.SetReadDeadline(time.Unix(0, until))
	}
}

// losing tells whether the target's host is gone, which an error on its side may
// be the first to say.
func (t *tunnel) losing(err error) bool {
	if givenUp(err) && !t.lost.Load() {
		t.lose()
	}
	return t.lost.Load()
}

// frames follows the frames of one direction of a WebSocket (RFC 6455, section
// 5.2), to know where one ends.
type frames struct {
	head    [14]byte
	have    int    // bytes of the head seen
	payload uint64 // bytes of the payload still to come
	closed  bool   // a close frame has begun
}

// between tells whether the bytes seen end with a frame.
func (f *frames) between() bool { return f.have == 0 && f.payload == 0 }

// advance follows p and gives the number of its bytes that were followed: all,
// or with stop only those up to the first end of a frame.
func (f *frames) advance(p []byte, stop bool) int {
	at := 0
	for at < len(p) && (!stop || !f.between()) {
		if f.payload > 0 {
			n := min(f.payload, uint64(len(p)-at))
			f.payload -= n
			at += int(n)
			continue
		}
		f.head[f.have] = p[at]
		f.have++
		at++
		if f.have >= 2 && f.have == f.headLength() {
			f.closed = f.closed || f.head[0]&0x0f == 8
			f.payload = f.payloadLength()
			f.have = 0
		}
	}
	return at
}

func (f *frames) headLength() int {
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

func (f *frames) payloadLength() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
