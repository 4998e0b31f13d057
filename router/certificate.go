package router

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// reloadEvery is how often the certificates' files are looked at. It is done by
// their times, because folders that are swapped as a whole (Kubernetes, certbot)
// give no event for the file itself.
const reloadEvery = 2 * time.Second

// Certificates are the certificates of a folder: each NAME.crt, NAME.pem or
// NAME.cert has its key in NAME.key. They are read again when a file has
// changed; a file that cannot be used leaves the former ones in force.
type Certificates struct {
	dir  string
	log  *slog.Logger
	held atomic.Pointer[certificates]
	seen string // the files' names, sizes and times at the last look
}

// certificates are by name: "example.com", "*.example.com".
type certificates struct {
	names map[string]*tls.Certificate
	first *tls.Certificate // for clients that name no server, or an unknown one
}

// LoadCertificates reads the folder; an error if there is none to be used.
func LoadCertificates(dir string, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{dir: dir, log: log}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Watch reads the certificates again as their files change, until ctx ends.
func (c *Certificates) Watch(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if changed, err := c.reload(); err != nil {
			c.log.Error("router: certificates are not read again", "err", err)
		} else if changed {
			c.log.Info("router: certificates have been read again", "folder", c.dir)
		}
	}
}

// Get is for tls.Config.GetCertificate.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.held.Load().of(canonicalHost(hello.ServerName)), nil
}

// of is the certificate of a name: its own, that of its wildcard, else the first.
func (c *certificates) of(name string) *tls.Certificate {
	if found := c.names[name]; found != nil {
		return found
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		if found := c.names["*."+parent]; found != nil {
			return found
		}
	}
	return c.first
}

// reload reads the files if any has changed since the last look.
func (c *Certificates) reload() (changed bool, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return false, err
	}
	var files []string
	var state strings.Builder
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		info, err := os.Stat(path) // through links
		if err != nil || info.IsDir() {
			continue
		}
		fmt.Fprintln(&state, path, info.Size(), info.ModTime().UnixNano())
		if slices.Contains([]string{".crt", ".pem", ".cert"}, filepath.Ext(path)) {
			files = append(files, path)
		}
	}
	if state.String() == c.seen && c.held.Load() != nil {
		return false, nil
	}
	c.seen = state.String()
	next := &certificates{names: map[string]*tls.Certificate{}}
	for _, file := range files {
		if err := next.add(file); err != nil {
			return false, err
		}
	}
	if next.first == nil {
		return false, fmt.Errorf("folder %q has no certificate: a NAME.crt (or .pem, .cert) with its NAME.key is needed", c.dir)
	}
	c.held.Store(next)
	return true, nil
}

func (c *certificates) add(file string) error {
	pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, filepath.Ext(file))+".key")
	if err != nil {
		return fmt.Errorf("certificate %q: %w", file, err)
	}
	if c.first == nil {
		c.first = &pair
	}
	names := pair.Leaf.DNSNames
	if len(names) == 0 && pair.Leaf.Subject.CommonName != "" {
		names = []string{pair.Leaf.Subject.CommonName}
	}
	for _, name := range names {
		if name = canonicalHost(name); c.names[name] == nil {
			c.names[name] = &pair
		}
	}
	return nil
}

// DevelopmentCertificate makes a certificate for localhost, the names below it
// and the loopback addresses, signed by itself and kept nowhere. Clients have
// to be told to take it.
func DevelopmentCertificate(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost", Organization: []string{"Plimsoll, for development"}},
		DNSNames:     []string{"localhost", "*.localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 90),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
