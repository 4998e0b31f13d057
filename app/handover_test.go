package app

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestListenersAreHandedOverWithoutALostConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.sock")
	log := slog.New(slog.DiscardHandler)
	serve := func(l net.Listener, name string) *http.Server {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	first := &edge{log: log}
	none, err := takeOver(path)
	if err != nil || len(none.sockets) != 0 {
		t.Fatalf("without another process: %v %v", none, err)
	}
	const any = "127.0.0.1:0"
	l, err := first.listen(any)
	if err != nil {
		t.Fatal(err)
	}
	old := serve(l, "old")
	gone, stop, err := handOver(path, none, first.open, log)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	answers := map[string]int{}
	ended, done := make(chan struct{}), make(chan struct{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var once sync.Once
	seen, begun := make(chan struct{}), make(chan struct{})
	var start sync.Once
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			default:
			}
			answer, err := client.Get("http://" + l.Addr().String())
			if err != nil {
				t.Errorf("a client's connection: %v", err)
				return
			}
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			start.Do(func() { close(begun) })
			if answers[string(text)]++; string(text) == "new" {
				once.Do(func() { close(seen) })
			}
		}
	}()

	<-begun
	taken, err := takeOver(path)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.close()
	next := &edge{log: log, taken: taken}
	same, err := next.listen(any)
	if err != nil {
		t.Fatal(err)
	}
	if same.Addr().String() != l.Addr().String() {
		t.Fatalf("the new process listens at %s, not at %s", same.Addr(), l.Addr())
	}
	serve(same, "new")
	select {
	case <-gone:
		t.Error("the old process goes before the new one serves")
	default:
	}
	_, stopNext, err := handOver(path, taken, next.open, log)
	if err != nil {
		t.Fatal(err)
	}
	defer stopNext()
	<-gone
	_ = l.Close()
	time.Sleep(retireTime) // as Route does: what was taken may not have sent its request
	if err := old.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-seen:
	case <-done: // it has told why
	}
	close(ended)
	<-done
	if answers["old"] == 0 || answers["new"] == 0 {
		t.Errorf("answers %v", answers)
	}
	// The offer is the new process's now.
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestTheDNSSocketsAreHandedOverWithTheOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.sock")
	log := slog.New(slog.DiscardHandler)
	first := &edge{log: log}
	packets, l, err := first.listenDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone, stop, err := handOver(path, &inherited{}, first.open, log)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	taken, err := takeOver(path)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.close()
	next := &edge{log: log, taken: taken}
	sameToo, same, err := next.listenDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if same.Addr().String() != l.Addr().String() || sameToo.LocalAddr().String() != packets.LocalAddr().String() {
		t.Errorf("the new process has %s and %s, not %s", same.Addr(), sameToo.LocalAddr(), l.Addr())
	}
	if err := taken.serving(); err != nil {
		t.Fatal(err)
	}
	<-gone
	for _, err := range []error{packets.Close(), l.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	server := &dns.Server{PacketConn: sameToo, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetReply(q))
	})}
	go func() { _ = server.ActivateAndServe() }()
	defer func() { _ = server.Shutdown() }()
	if _, err := dns.Exchange(new(dns.Msg).SetQuestion("web.shop.", dns.TypeA), packets.LocalAddr().String()); err != nil {
		t.Errorf("a question to the old process's address: %v", err)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Error(err)
	} else {
		_ = conn.Close()
	}
	_ = same.Close()
}
