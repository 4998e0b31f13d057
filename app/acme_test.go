package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"plimsoll/router"
)

// authority is pebble, which looks for its challenges at the two listeners; it
// gives the URL of its directory and the file of what it is trusted by.
func authority(t *testing.T, plain, secure net.Listener) (url, roots string) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	questions, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: questions, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA { // every name is this machine
			rr := &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}
			answer.Answer = append(answer.Answer, rr)
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown() })
	quiet := log.New(io.Discard, "", 0)
	memory := db.NewMemoryStore()
	signer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	checker := va.New(quiet, portOf(plain), portOf(secure), false, questions.Addr().String(), memory)
	front := wfe.New(quiet, memory, checker, signer, []string{"pebble.letsencrypt.org"}, false, false, 0, 0)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	roots = filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL + wfe.DirectoryPath, roots
}

func TestCertificatesOfTheRoutesHostsComeByACME(t *testing.T) {
	for name, without := range map[string]func(*acme){
		"HTTP-01":     func(a *acme) { a.issuer.DisableTLSALPNChallenge = true },
		"TLS-ALPN-01": func(a *acme) { a.issuer.DisableHTTPChallenge = true },
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			secure, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			url, roots := authority(t, plain, secure)
			e := &edge{
				EdgeOptions: EdgeOptions{
					TLS: secure.Addr().String(), Redirect: true, ACME: ACMEOptions{Email: "ops@example.com", CA: url, Roots: roots},
				},
				log: slog.New(slog.DiscardHandler), state: t.TempDir(),
			}
			options, err := e.options("127.0.0.1", "secret") // the authority knows no token
			if err != nil {
				t.Fatal(err)
			}
			without(e.acme)
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
			t.Cleanup(backend.Close)
			r := router.New(options)
			table := router.Table{
				Routes:   []router.Route{{Host: "shop.example.com", Path: "/", Service: "web"}, {Host: "*.example.com", Path: "/", Service: "web"}},
				Services: map[string][]router.Target{"web": {{ID: "a", Address: backend.Listener.Addr().String()}}},
			}
			if err := r.SetTable(table); err != nil {
				t.Fatal(err)
			}
			e.acme.manage(publicHosts(table.Routes))
			parts := stack{log: e.log}
			e.start(&parts, r, plain, secure, 2*time.Second)
			t.Cleanup(func() { _ = parts.close(context.WithoutCancel(t.Context())) })

			var got *x509.Certificate
			for end := time.Now().Add(60 * time.Second); got == nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				conn, err := tls.Dial("tcp", secure.Addr().String(), &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true}) // pebble's root is new each time
				if err == nil {
					got = conn.ConnectionState().PeerCertificates[0]
					_ = conn.Close()
				}
			}
			if got == nil {
				t.Fatal("no certificate came")
			}
			if diff := cmp.Diff([]string{"shop.example.com"}, got.DNSNames); diff != "" {
				t.Error(diff)
			}
			kept, err := filepath.Glob(filepath.Join(e.state, "acme", "certificates", "*", "shop.example.com", "*.key"))
			if err != nil || len(kept) != 1 {
				t.Errorf("the state has the keys %v, %v", kept, err)
			}
			e.acme.manage(nil)
			if conn, err := tls.Dial("tcp", secure.Addr().String(), &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true}); err == nil {
				_ = conn.Close()
				t.Error("the certificate is still given when its route has gone")
			}
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			request, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+plain.Addr().String()+"/cart?n=1", nil)
			request.Host = "shop.example.com:80"
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			_, port, _ := net.SplitHostPort(secure.Addr().String())
			if want := "https://shop.example.com:" + port + "/cart?n=1"; answer.StatusCode != 308 || answer.Header.Get("Location") != want {
				t.Errorf("without TLS: %s to %q; want 308 to %q", answer.Status, answer.Header.Get("Location"), want)
			}
		})
	}
}

func TestOnlyPublicHostsGetCertificates(t *testing.T) {
	got := publicHosts([]router.Route{
		{Host: "b.example.com"}, {Host: "A.example.com"}, {Host: "b.example.com", Path: "/x"}, {Host: "*.example.com"}, {Host: ""},
		{Host: "shop.localhost"}, {Host: "localhost"}, {Host: "10.0.0.1"}, {Host: "db.example.com", TCP: 5432},
		{Host: "own.example.com", TLS: router.TLSPassthrough},
	})
	if diff := cmp.Diff([]string{"a.example.com", "b.example.com"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFolderThatCannotKeepCertificatesIsToldBeforeAnythingStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := &edge{
		EdgeOptions: EdgeOptions{TLS: "127.0.0.1:0", ACME: ACMEOptions{Email: "ops@example.com"}},
		log:         slog.New(slog.DiscardHandler), state: file,
	}
	_, err := e.options("127.0.0.1", "")
	if want := fmt.Sprintf("certificates are kept in %q, which has to be writable", filepath.Join(file, "acme")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want it to say that %s", err, want)
	}
}

func TestHostsWaitForAFolderThatCannotKeepTheirCertificates(t *testing.T) {
	var told bytes.Buffer
	a, err := newACME(ACMEOptions{Email: "ops@example.com"}, filepath.Join(t.TempDir(), "acme"), slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.cache.Stop)
	if err := os.Remove(a.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		go func() {
			a.obtain(t.Context(), nil)
			close(done)
		}()
		synctest.Wait()
		if !strings.Contains(told.String(), "which has to be writable") {
			t.Errorf("the log is %q", told.String())
		}
		if err := os.Remove(a.dir); err != nil {
			t.Fatal(err)
		}
		<-done // in virtual time
	})
}

func TestWhyACertificateDoesNotComeIsLogged(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	reader, writer := io.Pipe()
	defer reader.Close()
	a, err := newACME(ACMEOptions{Email: "ops@example.com", CA: gone.URL}, t.TempDir(), slog.New(slog.NewTextHandler(writer, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.cache.Stop)
	a.manage([]string{"shop.example.com"})
	a.start(t.Context(), plain, plain)
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if line := lines.Text(); strings.Contains(line, "level=WARN") && strings.Contains(line, "will retry") && strings.Contains(line, "connection refused") {
			break
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	// The end of the asking is no fault.
	a.manage(nil)
	core := faults{log: a.log}
	if err := core.Write(zapcore.Entry{}, []zapcore.Field{zap.Error(fmt.Errorf("obtaining: %w", context.Canceled))}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = core.Write(zapcore.Entry{Message: "the last"}, nil) }()
	if lines.Scan(); !strings.Contains(lines.Text(), "the last") {
		t.Errorf("the end of the asking is told as a fault: %s", lines.Text())
	}
}

func TestAHostWithoutARouteMakesRoomForAnother(t *testing.T) {
	var told bytes.Buffer
	a, err := newACME(ACMEOptions{Email: "ops@example.com"}, t.TempDir(), slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.cache.Stop)
	var hosts []string
	for i := range maxManaged {
		hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
	}
	a.manage(hosts)
	for range 2 {
		a.manage(append(slices.Clone(hosts), "one.example.com"))
	}
	if _, managed := a.managed["one.example.com"]; managed || strings.Count(told.String(), "one.example.com") != 1 {
		t.Errorf("past the bound: managed is %t, and the log is %q", managed, told.String())
	}
	a.manage(append(slices.Clone(hosts[1:]), "one.example.com"))
	if _, managed := a.managed["one.example.com"]; !managed || len(a.managed) != maxManaged {
		t.Errorf("when one has gone: managed is %t of %d", managed, len(a.managed))
	}
}
