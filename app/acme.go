package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"plimsoll/router"
)

// ACMEOptions are how the router gets certificates for the hosts of its routes
// (RFC 8555). The zero value: not at all.
type ACMEOptions struct {
	// Email is the account's contact. With it, certificates are asked for, and
	// the terms of the authority are agreed to.
	Email string
	// CA is the URL of the authority's directory; empty is Let's Encrypt.
	CA string
	// Roots is a file of certificates (PEM) that the authority's own address is
	// trusted by; empty: those of the system.
	Roots string
}

// maxManaged bounds the hosts that certificates are asked for: tags of services
// name them, too.
const maxManaged = 100

// acme gets certificates, answers the authority's challenges (HTTP-01 and
// TLS-ALPN-01) on the router's own listeners, and renews in time.
type acme struct {
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
	cache  *certmagic.Cache
	dir    string // of the account and the certificates
	log    *slog.Logger

	mu      sync.Mutex
	managed map[string]context.CancelFunc // by host; it ends the asking, and is nil before that
	beyond  map[string]bool               // hosts past the bound, of which that has been said
	run     context.Context               // set by start; nil: names are only noted
}

// newACME asks nobody yet. dir has the account and the certificates.
func newACME(o ACMEOptions, dir string, log *slog.Logger) (*acme, error) {
	a := &acme{dir: dir, log: log, managed: map[string]context.CancelFunc{}, beyond: map[string]bool{}}
	if err := a.writable(); err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if o.Roots != "" {
		text, err := os.ReadFile(o.Roots)
		if err != nil {
			return nil, fmt.Errorf("--acme-roots: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(text) {
			return nil, misusef("--acme-roots %q has no certificate in PEM", o.Roots)
		}
	}
	told := zap.New(faults{log: log}) // what else matters comes by the events
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           told,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: dir}, Logger: told, OnEvent: a.tell})
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: o.CA, Email: o.Email, Agreed: true, TrustedRoots: roots, Logger: told,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

func (a *acme) tell(_ context.Context, event string, data map[string]any) error {
	if event == "cert_obtained" {
		a.log.Info("a certificate was obtained", "host", data["identifier"], "renewal", data["renewal"])
	}
	return nil
}

// tls answers clients with the certificates, and the authority's challenges.
func (a *acme) tls() *tls.Config {
	config := a.config.TLSConfig()
	config.MinVersion = tls.VersionTLS12
	return config
}

// answer answers the authority's challenge on the listener without TLS.
func (a *acme) answer(w http.ResponseWriter, r *http.Request) bool {
	return a.issuer.HandleHTTPChallenge(w, r)
}

// start asks for what was noted, and from now on for what comes, until ctx ends.
// The library looks for its listeners at the ports of these, finds them open,
// and leaves the answers to them.
func (a *acme) start(ctx context.Context, plain, secure net.Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issuer.ListenHost, _, _ = net.SplitHostPort(plain.Addr().String()) // it is a listener's
	a.issuer.AltHTTPPort, a.issuer.AltTLSALPNPort = portOf(plain), portOf(secure)
	a.run = ctx
	for host := range a.managed {
		a.ask(host)
	}
}

// manage asks for certificates of the hosts that have none yet, and no longer for
// those of hosts that are not among them.
func (a *acme) manage(hosts []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for host := range a.managed {
		if !slices.Contains(hosts, host) {
			a.leave(host)
		}
	}
	for _, host := range hosts {
		if _, known := a.managed[host]; known {
			continue
		}
		if len(a.managed) < maxManaged {
			a.managed[host] = nil
			a.ask(host)
		} else if !a.beyond[host] {
			a.beyond[host] = true
			a.log.Warn("no certificate is asked for: there are too many hosts", "host", host, "most", maxManaged)
		}
	}
	maps.DeleteFunc(a.beyond, func(host string, _ bool) bool { return !slices.Contains(hosts, host) })
}

// ask is called with a.mu held.
func (a *acme) ask(host string) {
	if a.run == nil {
		return
	}
	ctx, cancel := context.WithCancel(a.run)
	a.managed[host] = cancel
	go a.obtain(ctx, []string{host})
}

// leave ends what ask began. What was obtained stays in the folder. a.mu is held.
func (a *acme) leave(host string) {
	if cancel := a.managed[host]; cancel != nil {
		cancel()
		a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: host}})
	}
	delete(a.managed, host)
}

// writableEvery is how often a folder that cannot be written is tried again.
const writableEvery = time.Minute

// obtain has the library get the certificates, and renew them. It waits for a folder
// that can be written: the library would drop the hosts otherwise, for good.
func (a *acme) obtain(ctx context.Context, hosts []string) {
	for {
		err := a.writable()
		if err == nil {
			err = a.config.ManageAsync(ctx, hosts)
		}
		if err == nil {
			return
		}
		a.log.Error("certificates cannot be managed", "hosts", hosts, "err", err, "again", writableEvery)
		select {
		case <-ctx.Done():
			return
		case <-time.After(writableEvery):
		}
	}
}

// writable tells whether the folder can be written.
func (a *acme) writable() error {
	err := os.MkdirAll(a.dir, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(a.dir, "writable-"); err == nil {
			_, err = probe.Write(make([]byte, 10<<10)) // more than a certificate is
			err = errors.Join(err, probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("--acme-email: certificates are kept in %q, which has to be writable: %w", a.dir, err)
	}
	return nil
}

// publicHosts are those of the routes that an authority may give a certificate
// for: of requests, and neither a wildcard, nor an address, nor of this machine.
func publicHosts(routes []router.Route) []string {
	set := map[string]bool{}
	for _, route := range routes {
		host := strings.ToLower(route.Host)
		_, notAddress := netip.ParseAddr(host)
		if route.TCP != 0 || route.TLS != "" || !strings.Contains(host, ".") || strings.HasPrefix(host, "*") ||
			strings.HasSuffix(host, ".localhost") || notAddress == nil {
			continue
		}
		set[host] = true
	}
	return slices.Sorted(maps.Keys(set))
}
