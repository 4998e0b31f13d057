package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func poolOf(certificate *tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	return pool
}

// writePair writes a certificate for localhost and *.localhost as NAME.crt and
// NAME.key.
func writePair(t *testing.T, dir, name string) *tls.Certificate {
	t.Helper()
	made, err := DevelopmentCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: made.Certificate[0]},
		name + ".key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func TestCertificatesAreReadAgainWhenTheirFilesChange(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadCertificates(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), ".key") {
		t.Errorf("an empty folder: %v", err)
	}
	first := writePair(t, dir, "site")
	c, err := LoadCertificates(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		got, err := c.Get(&tls.ClientHelloInfo{ServerName: "shop.localhost"})
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.String()
	}
	if serial() != first.Leaf.SerialNumber.String() {
		t.Error("it is not the folder's certificate")
	}
	if changed, err := c.reload(); changed || err != nil {
		t.Errorf("nothing has changed: %v %v", changed, err)
	}
	second := writePair(t, dir, "site")
	if changed, err := c.reload(); !changed || err != nil {
		t.Errorf("a new certificate: %v %v", changed, err)
	}
	if serial() != second.Leaf.SerialNumber.String() {
		t.Error("the new certificate is not used")
	}
	if err := os.WriteFile(filepath.Join(dir, "site.crt"), []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.reload(); err == nil || !strings.Contains(err.Error(), "site.crt") {
		t.Errorf("a broken file: %v", err)
	}
	if serial() != second.Leaf.SerialNumber.String() {
		t.Error("a broken file took the good certificate out of force")
	}
}

func TestACertificateIsChosenByItsNameThenByTheWildcard(t *testing.T) {
	one, wild, first := &tls.Certificate{}, &tls.Certificate{}, &tls.Certificate{}
	c := &certificates{names: map[string]*tls.Certificate{"a.example.com": one, "*.example.com": wild}, first: first}
	for name, want := range map[string]*tls.Certificate{
		"a.example.com": one, "b.example.com": wild, "example.com": first, "x.b.example.com": first, "": first,
	} {
		if c.of(name) != want {
			t.Errorf("%q got another certificate", name)
		}
	}
}

// lines is a TCP server that answers each line with its name and the line.
func lines(t *testing.T, name string, wrap func(net.Listener) net.Listener) Target {
	t.Helper()
	return speakingOver(t, name, wrap, func(conn net.Conn) {
		from := bufio.NewReader(conn)
		for {
			line, err := from.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s %s", name, line)
		}
	})
}

// freePort is one that nothing listens at just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func dialPort(t *testing.T, port int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func ask(t *testing.T, conn net.Conn, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("answer to %q: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

func TestATCPRoutePassesConnectionsOn(t *testing.T) {
	port := freePort(t)
	s := serve(t, Options{})
	table := Table{
		Routes:   []Route{{TCP: port, Service: "db"}},
		Services: map[string][]Target{"db": {lines(t, "db-1", nil)}},
	}
	s.set(t, table)
	conn := dialPort(t, port)
	if got := ask(t, conn, "hello"); got != "db-1 hello" {
		t.Errorf("%q", got)
	}
	if got := s.Stats("db"); got.InFlight != 1 || got.Requests != 1 {
		t.Errorf("while it is open: %+v", got)
	}
	// The end of one direction is passed on by itself.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) != 0 {
		t.Errorf("after the client's end: %q %v", rest, err)
	}
	eventually(t, "it is forgotten", func() bool { return s.Stats("db").InFlight == 0 })
	s.set(t, Table{})
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		t.Error("the port is open without its route")
	}
	s.set(t, table)
	if got := ask(t, dialPort(t, port), "again"); got != "db-1 again" {
		t.Errorf("%q", got)
	}
}

func TestATCPConnectionWaitsForAFirstTargetAndGoesRoundADeadOne(t *testing.T) {
	port := freePort(t)
	s := serve(t, Options{})
	table := Table{Routes: []Route{{TCP: port, Service: "db"}}, Services: map[string][]Target{"db": nil}}
	pressure := s.Pressure("db")
	s.set(t, table)
	conn := dialPort(t, port)
	answer := make(chan string, 1)
	go func() { answer <- ask(t, conn, "early") }()
	<-pressure
	table.Services["db"] = []Target{lines(t, "db-1", nil)}
	s.set(t, table)
	if got := <-answer; got != "db-1 early" {
		t.Errorf("%q", got)
	}
}

func TestADrainOfATCPTargetWaitsForItsConnectionsAndThenCutsThem(t *testing.T) {
	port := freePort(t)
	s := serve(t, Options{})
	s.set(t, Table{Routes: []Route{{TCP: port, Service: "db"}}, Services: map[string][]Target{"db": {lines(t, "db-1", nil)}}})
	short, long := dialPort(t, port), dialPort(t, port)
	ask(t, short, "a")
	ask(t, long, "b")
	short.Close()
	eventually(t, "one is left", func() bool { return s.Targets("db")[0].InFlight == 1 })
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { done <- s.Drain(ctx, "db-1") }()
	eventually(t, "it drains", func() bool { return s.Targets("db")[0].Draining })
	if got := ask(t, long, "still"); got != "db-1 still" {
		t.Errorf("%q while it drains", got)
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "db-1") {
		t.Errorf("the drain ended with %v", err)
	}
	if _, err := long.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestTLSIsPassedThroughByItsServerName(t *testing.T) {
	dir := t.TempDir()
	own := writePair(t, dir, "task")
	wrap := func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*own}})
	}
	web := backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ended here") })
	server, client := developmentTLS(t)
	s := serve(t, Options{TLS: server})
	address := s.serveTLS(t)
	port := freePort(t)
	s.set(t, Table{
		Routes: []Route{
			{Host: "a.localhost", TLS: TLSPassthrough, Service: "a"},
			{Host: "*.b.localhost", TLS: TLSPassthrough, Service: "b"},
			{TCP: port, TLS: TLSTerminate, Service: "c"},
			{Path: "/", Service: "web"},
		},
		Services: map[string][]Target{
			"a": {lines(t, "a-1", wrap)}, "b": {lines(t, "b-1", wrap)}, "c": {lines(t, "c-1", nil)}, "web": {targetOf("1", web)},
		},
	})
	for name, want := range map[string]string{"a.localhost": "a-1", "x.b.localhost": "b-1"} {
		config := &tls.Config{ServerName: name, InsecureSkipVerify: true} // compared below
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, conn, "hello"); got != want+" hello" {
			t.Errorf("%s: %q", name, got)
		}
		if peer := conn.ConnectionState().PeerCertificates[0]; !peer.Equal(own.Leaf) {
			t.Errorf("%s: the certificate is not the task's", name)
		}
		conn.Close()
	}
	config := client.Clone()
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ask(t, conn, "hello"); got != "c-1 hello" {
		t.Errorf("TLS that ends at the router: %q", got)
	}
	answer, err := http2Client(t, client).Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); string(text) != "ended here" {
		t.Errorf("another name: %q", text)
	}
}

func TestTheProxyProtocolIsTakenFromTrustedPeersAndToldToTargets(t *testing.T) {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, version := range []string{ProxyV1, ProxyV2} {
		// The target is a router's own listener: it shows what it was told.
		target := lines(t, "db-1", func(l net.Listener) net.Listener {
			return named{New(Options{ProxyFrom: []netip.Prefix{loopback}}).behindProxy(l)}
		})
		port := freePort(t)
		s := serve(t, Options{ProxyFrom: []netip.Prefix{loopback}})
		s.set(t, Table{
			Routes:   []Route{{TCP: port, Service: "db", Upstream: Upstream{Proxy: version}}},
			Services: map[string][]Target{"db": {target}},
		})
		conn := dialPort(t, port)
		fmt.Fprint(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n")
		if got := ask(t, conn, "hello"); got != "192.0.2.7:4711 db-1 hello" {
			t.Errorf("%s: %q", version, got)
		}
		bare := dialPort(t, port)
		fmt.Fprintln(bare, "hello")
		if text, _ := io.ReadAll(bare); len(text) != 0 {
			t.Errorf("%s: a connection without the header got %q", version, text)
		}
	}
}

func TestTheEndOfATargetsHalfReachesAClientBehindAProxy(t *testing.T) {
	heard := make(chan string, 1)
	target := speaking(t, "1", func(conn net.Conn) { // the router's checks connect as well
		fmt.Fprintln(conn, "bye")
		_ = conn.(*net.TCPConn).CloseWrite()
		if text, _ := io.ReadAll(conn); len(text) > 0 {
			heard <- string(text)
		}
	})
	port := freePort(t)
	s := serve(t, Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s.set(t, Table{
		Routes:   []Route{{TCP: port, Service: "db"}},
		Services: map[string][]Target{"db": {target}},
	})
	conn := dialPort(t, port)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n")
	if text, err := io.ReadAll(conn); string(text) != "bye\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	fmt.Fprint(conn, "and the other half")
	_ = conn.(*net.TCPConn).CloseWrite()
	if text := <-heard; text != "and the other half" {
		t.Errorf("the target heard %q", text)
	}
}

// named begins each answer with the peer's address.
type named struct{ net.Listener }

func (n named) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return namedConn{conn}, nil
}

type namedConn struct{ net.Conn }

func (c namedConn) Write(p []byte) (int, error) {
	_, err := fmt.Fprintf(c.Conn, "%s %s", c.RemoteAddr(), p)
	return len(p), err
}

func TestWhatAPeerSaysOfTheOriginCountsOnlyIfItIsTrusted(t *testing.T) {
	seen := make(chan *http.Request, 1)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	s := serve(t, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	s.set(t, one(targetOf("1", b)))
	s.do(t, "GET", "/", nil, http.Header{
		"Host":              {"shop.localhost"},
		"X-Forwarded-For":   {"6.6.6.6, 192.0.2.7, 10.1.1.1"},
		"X-Forwarded-Proto": {"https"},
		"Forwarded":         {"for=192.0.2.7"},
	})
	r := <-seen
	for name, want := range map[string]string{
		"X-Forwarded-For":   "6.6.6.6, 192.0.2.7, 10.1.1.1, 127.0.0.1",
		"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.localhost",
		"Forwarded": `for=192.0.2.7, for=127.0.0.1;proto=http;host="shop.localhost"`,
	} {
		if got := strings.Join(r.Header[name], "|"); got != want {
			t.Errorf("%s = %q at the target, want %q", name, got, want)
		}
	}
	for said, want := range map[string]string{
		"6.6.6.6, 192.0.2.7, 10.1.1.1":            "192.0.2.7",
		"192.0.2.7:4711, 10.1.1.1:80":             "192.0.2.7",
		"6.6.6.6, [2001:db8::7]:4711, 10.1.1.1":   "2001:db8::7",
		"6.6.6.6, [2001:db8::7], ::ffff:10.1.1.1": "2001:db8::7",
		"6.6.6.6, unknown, 10.1.1.1":              "10.1.1.1",
	} {
		from := originOf(parsedAddress("127.0.0.1:1"), false, s.options.Trusted).told(http.Header{"X-Forwarded-For": {said}}, s.options.Trusted)
		if from.client.String() != want {
			t.Errorf("by %q the client is %s, want %s: the last address that no trusted proxy has", said, from.client, want)
		}
	}
}

func TestWhatATrustedProxyGotByTLSIsNotSentThereAgain(t *testing.T) {
	b := naming(t, "the task")
	for _, trusted := range []bool{true, false} {
		o := Options{HTTPS: 8443}
		if trusted {
			o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		s := serve(t, o)
		s.set(t, one(targetOf("1", b)))
		s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, said := range []string{"https", "http", ""} {
			want := http.StatusPermanentRedirect
			if trusted && said == "https" {
				want = http.StatusOK
			}
			if code, text := s.do(t, "GET", "/", nil, http.Header{"X-Forwarded-Proto": {said}}); code != want {
				t.Errorf("trusted %t, %q: %d %s, want %d", trusted, said, code, text, want)
			}
		}
	}
}
