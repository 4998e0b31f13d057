package router

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// transports are the round trippers of the full path, one for each way that
// targets are spoken to.
type transports struct {
	dial      dialFunc
	handshake time.Duration // with a target, the longest

	mu   sync.Mutex
	made map[Upstream]*http.Transport
	tls  map[Upstream]*tls.Config // as they were made: a transport changes its own
}

// prepare makes what a table will need, so that a request cannot fail for a
// file that is not there.
func (ts *transports) prepare(u Upstream) error {
	forms := []Upstream{u}
	switch u.Protocol { // gRPC goes by HTTP/2
	case HTTP:
		u.Protocol = H2C
		forms = append(forms, u)
	case HTTPS:
		u.Protocol = H2
		forms = append(forms, u)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, form := range forms {
		if ts.made[form] != nil {
			continue
		}
		made, err := newTransport(form, ts.dial, ts.handshake)
		if err != nil {
			return err
		}
		ts.made[form], ts.tls[form] = made, made.TLSClientConfig.Clone()
	}
	return nil
}

// of gives the transport for an upstream that has been prepared.
func (ts *transports) of(u Upstream) *http.Transport {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.made[u]
}

func (ts *transports) tlsOf(u Upstream) *tls.Config {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.tls[u].Clone()
}

func (ts *transports) closeIdle() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, made := range ts.made {
		made.CloseIdleConnections()
	}
}

func newTransport(u Upstream, dial dialFunc, handshake time.Duration) (*http.Transport, error) {
	var protocols http.Protocols
	switch u.Protocol {
	case H2C:
		protocols.SetUnencryptedHTTP2(true)
	case H2:
		protocols.SetHTTP2(true)
	default:
		protocols.SetHTTP1(true)
	}
	t := &http.Transport{
		DialContext:         dial,
		Protocols:           &protocols,
		DisableCompression:  true, // bodies pass as they are
		MaxIdleConnsPerHost: 256,
		MaxIdleConns:        0,
		// Shorter than the keep-alive time-outs of common servers (2 s and 5 s
		// are usual): a kept connection that the target is just closing must
		// not be handed a request that cannot be sent twice.
		IdleConnTimeout:        1500 * time.Millisecond,
		ExpectContinueTimeout:  time.Second,
		TLSHandshakeTimeout:    handshake,
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
	}
	if !u.secure() {
		return t, nil
	}
	config, err := u.tlsConfig()
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = config
	return t, nil
}

// secured ends the handshake of TLS with a target of such an upstream, for what is no
// HTTP/2. On an error conn is closed, and nothing was sent.
func (r *Router) secured(ctx context.Context, conn net.Conn, u Upstream) (net.Conn, error) {
	config := r.transports.tlsOf(u)
	config.NextProtos = nil
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, r.options.HandshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, unsent{errors.Join(err, conn.Close())}
	}
	return secure, nil
}

// tlsConfig is how a target is asked for its certificate.
func (u Upstream) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: u.ServerName, InsecureSkipVerify: u.Insecure, MinVersion: tls.VersionTLS12}
	if u.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(u.CAFile)
	if err != nil {
		return nil, fmt.Errorf("certificates that the targets' must come from: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%q has no certificate in PEM", u.CAFile)
	}
	return config, nil
}
