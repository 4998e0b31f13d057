package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// tunnelPort is the port of the TCP route.
const tunnelPort = "7777"

// aTunnel is a connection through the router to a task, which stays open.
type aTunnel struct {
	kind string
	host string        // the address of the one that it leads to
	over chan struct{} // closed when the client has seen its end
	err  error         // which it saw
}

// tunnelKinds are what is done with tunnels: each of them ends in another way when
// the host at its other end is gone.
var tunnelKinds = map[string]func(*facing) *aTunnel{
	"TCP, idle":        func(f *facing) *aTunnel { return f.connection(nil) },
	"TCP, asking":      func(f *facing) *aTunnel { return f.connection(asking) },
	"TCP, sending":     func(f *facing) *aTunnel { return f.connection(sending) },
	"WebSocket, idle":  func(f *facing) *aTunnel { return f.webSocket(false) },
	"WebSocket, asked": func(f *facing) *aTunnel { return f.webSocket(true) },
}

const askForAddress = "GET / HTTP/1.1\r\nHost: db\r\n\r\n"

func asking(conn io.Writer) error {
	for {
		if _, err := io.WriteString(conn, askForAddress); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// sending fills all buffers on the way, once nobody takes from them any more.
func sending(conn io.Writer) error {
	_, err := io.WriteString(conn, "POST /sink HTTP/1.1\r\nHost: db\r\nTransfer-Encoding: chunked\r\n\r\n")
	for piece := "4000\r\n" + strings.Repeat("x", 0x4000) + "\r\n"; err == nil; _, err = io.WriteString(conn, piece) {
		time.Sleep(time.Millisecond)
	}
	return err
}

func (f *facing) connection(talk func(io.Writer) error) *aTunnel {
	conn, err := net.Dial("tcp", "127.0.0.1:"+tunnelPort)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	from := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, askForAddress); err != nil {
		f.t.Fatal(err)
	}
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	address, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	u := &aTunnel{host: string(address), over: make(chan struct{})}
	said := make(chan error, 1)
	if talk != nil {
		go func() { said <- talk(conn) }()
	}
	go func() {
		defer close(u.over)
		if _, u.err = io.Copy(io.Discard, from); u.err == nil && talk != nil {
			u.err = <-said // a reset is told to one of the two
		}
	}()
	return u
}

func (f *facing) webSocket(talk bool) *aTunnel {
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(f.url, "http")+"/plain", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.CloseNow() })
	_, address, err := c.Read(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	u := &aTunnel{host: string(address), over: make(chan struct{})}
	if talk {
		go func() {
			for c.Write(ctx, websocket.MessageText, []byte("hello")) == nil {
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	go func() {
		defer close(u.over)
		for u.err == nil {
			_, _, u.err = c.Read(ctx)
		}
	}()
	return u
}

// tunnels are some of each kind to each host.
func (f *facing) tunnels() (all []*aTunnel) {
	f.t.Helper()
	const enough = 3
	for kind, open := range tunnelKinds {
		have := map[string]int{}
		for len(have) < len(f.hosts) || anyBelow(have, enough) {
			u := open(f)
			u.kind = kind
			have[u.host]++
			all = append(all, u)
		}
	}
	return all
}

func anyBelow(counts map[string]int, least int) bool {
	for _, n := range counts {
		if n < least {
			return true
		}
	}
	return false
}

func (u *aTunnel) to(hosts []*aHost) bool {
	for _, h := range hosts {
		if strings.HasPrefix(u.host, h.address+"/") {
			return true
		}
	}
	return false
}

func (u *aTunnel) ended() bool {
	select {
	case <-u.over:
		return true
	default:
		return false
	}
}

// loseTunnels has hosts lost by what is given, and sees that the tunnels to them end,
// so that their clients can come again, and no others.
func (f *facing) loseTunnels(what string, all []*aTunnel, by func(), hosts ...*aHost) {
	f.t.Helper()
	by()
	began := time.Now()
	slowest := map[string]time.Duration{}
	var mu sync.Mutex
	var waiting sync.WaitGroup
	for _, u := range all {
		if !u.to(hosts) {
			continue
		}
		waiting.Go(func() {
			<-u.over
			mu.Lock()
			defer mu.Unlock()
			slowest[u.kind] = max(slowest[u.kind], time.Since(began))
			if strings.HasPrefix(u.kind, "WebSocket") && websocket.CloseStatus(u.err) != websocket.StatusInternalError {
				f.t.Errorf("%s: %s to %s ended with %v, want a close with 1011", what, u.kind, u.host, u.err)
			}
			if strings.HasPrefix(u.kind, "TCP") && u.err == nil {
				f.t.Errorf("%s: %s to %s ended as if that were all", what, u.kind, u.host)
			}
		})
	}
	f.until("the tunnels to them have ended", func() bool {
		for _, u := range all {
			if u.to(hosts) && !u.ended() {
				return false
			}
		}
		return true
	})
	waiting.Wait()
	for kind, took := range slowest {
		f.t.Logf("%s: %s: ended after %s at the latest", what, kind, took.Round(time.Millisecond))
	}
	for _, u := range all {
		if !u.to(hosts) && u.ended() {
			f.t.Errorf("%s: %s to %s, which lives, ended with %v", what, u.kind, u.host, u.err)
		}
	}
}

func TestTunnelsToAHostThatDiesEndSoThatTheirClientsCanComeAgain(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t, 1)
	f := face(t, n, 2*time.Second, "plain", "db") // as it is by itself
	f.until("all are healthy", func() bool { return f.healthy(n.hosts...) == 4*len(n.hosts) })
	all := f.tunnels()
	dead := n.in("b")[0]
	f.loseTunnels("a host dies", all, func() { n.cut(dead); dead.kill() }, dead)
	fresh := f.tunnelsElsewhere()
	for _, u := range fresh {
		if u.to([]*aHost{dead}) {
			t.Errorf("%s: a client that comes again is led to the dead host", u.kind)
		}
	}
}

// tunnelsElsewhere are those of clients that come again.
func (f *facing) tunnelsElsewhere() (all []*aTunnel) {
	for kind, open := range tunnelKinds {
		u := open(f)
		u.kind = fmt.Sprint(kind, ", again")
		all = append(all, u)
	}
	return all
}
