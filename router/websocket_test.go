package router

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// switching asks for a WebSocket.
const switching = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"

func TestAWebSocketReachesATargetThatSpeaksTLS(t *testing.T) {
	var closes sync.Map
	server, client := developmentTLS(t)
	b := httptest.NewUnstartedServer(echo(t, &closes))
	b.EnableHTTP2 = true // by choice: a WebSocket goes by HTTP/1.1
	b.TLS = server.Clone()
	b.StartTLS()
	t.Cleanup(b.Close)
	s := serve(t, Options{TLS: server})
	address := s.serveTLS(t)
	for _, protocol := range []Protocol{HTTPS, H2} {
		s.set(t, over(Upstream{Protocol: protocol, Insecure: true}, targetOf(string(protocol), b)))
		exchangeMessage(t, dialEcho(t, s), "in the clear to the router")
		transport := &http.Transport{TLSClientConfig: client.Clone()}
		t.Cleanup(transport.CloseIdleConnections)
		c, _, err := websocket.Dial(t.Context(), "wss://"+address+"/chat", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(1 << 20)
		exchangeMessage(t, c, strings.Repeat("in TLS all the way", 10_000))
		c.CloseNow()
	}
	eventually(t, "all are forgotten", func() bool { return s.Stats("web").WebSockets <= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, id := range []string{"https", "h2"} {
		if err := s.Drain(ctx, id); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatComesBeforeTheSwitchToAWebSocketIsPassedOn(t *testing.T) {
	s := serve(t, Options{})
	s.set(t, one(script(t, "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n")))
	a := s.dial(t)
	a.say(t, switching)
	for _, want := range []int{103, 101} {
		if answer, err := http.ReadResponse(a.Reader, nil); err != nil || answer.StatusCode != want {
			t.Fatalf("%v %v, want %d", answer, err, want)
		}
	}
}

func TestAClientThatLeavesEndsAnAnswerThatIsNoWebSocket(t *testing.T) {
	left := make(chan struct{})
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "no WebSocket, but a long story")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	s := serve(t, Options{})
	s.set(t, one(targetOf("1", b)))
	a := s.dial(t)
	a.say(t, switching)
	if answer, err := http.ReadResponse(a.Reader, nil); err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	a.Conn.Close()
	<-left
}
