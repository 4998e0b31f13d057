package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	signals "os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"plimsoll/router"
	"plimsoll/router/otlp"
)

// EdgeOptions are those of the router that have no place in the file.
type EdgeOptions struct {
	// TLS is the listening address for TLS; empty is none.
	TLS string
	// Certificates is a folder of NAME.crt and NAME.key; Development makes a
	// certificate for localhost instead.
	Certificates string
	Development  bool
	// ACME gets certificates for the hosts of the routes; it needs TLS.
	ACME ACMEOptions
	// Redirect sends requests without TLS to the port of TLS.
	Redirect bool
	// Trusted and ProxyFrom are networks (CIDR): see router.Options.
	Trusted, ProxyFrom []string
	// Zone is the router's own availability zone.
	Zone string
	// AccessLog is a file, or "-" for standard output; empty is none. All logs
	// the requests of all routes, not only those that say so.
	AccessLog, AccessFormat string
	LogAll                  bool
	// Trace gives requests without a traceparent one of their own.
	Trace bool
	// OTLP is the URL of a collector of traces; empty is that of OpenTelemetry's
	// environment variables, or none. OTLPSample is the share of the traces that
	// begin here that are sampled; under 0: as the environment says.
	OTLP       string
	OTLPSample float64
	// ReusePort lets several routers listen at the same addresses.
	ReusePort bool
}

// spansPatience bounds the sending of the last spans.
const spansPatience = 2 * time.Second

// edge is what a router needs of the process: certificates, logs, listeners.
type edge struct {
	EdgeOptions
	log     *slog.Logger
	version string
	access  *router.AccessLog
	files   *router.Certificates
	// state is the folder of the state; acme is there with its options.
	state string
	acme  *acme
	spans *otlp.Exporter
	// taken are the listeners of the process before this one.
	taken *inherited

	mu     sync.Mutex
	failed error // of the first port of a TCP route that could not be opened
	opened map[string]socket
}

// options are the router's, as the flags say; host is where its TCP routes
// listen.
func (e *edge) options(host, token string) (router.Options, error) {
	o := router.Options{Token: token, Log: e.log, Zone: e.Zone, Trace: e.Trace}
	var err error
	if o.Trusted, err = prefixes(e.Trusted); err != nil {
		return o, misusef("--trusted: %w", err)
	}
	if o.ProxyFrom, err = prefixes(e.ProxyFrom); err != nil {
		return o, misusef("--proxy-from: %w", err)
	}
	if o.TLS, err = e.tls(); err != nil {
		return o, err
	}
	if e.acme != nil {
		o.Challenge = e.acme.answer
	}
	if e.Redirect {
		_, port, err := net.SplitHostPort(e.TLS)
		if o.HTTPS, _ = strconv.Atoi(port); err != nil || o.HTTPS == 0 {
			return o, misusef("--https-redirect needs the port of --router-tls, which %q does not name", e.TLS)
		}
	}
	if e.AccessLog != "" {
		if e.access, err = router.OpenAccessLog(e.AccessLog, e.AccessFormat); err != nil {
			return o, misusef("--access-log: %w", err)
		}
		o.Access = e.access
	}
	if err := e.trace(&o); err != nil {
		return o, err
	}
	o.Listen = func(port int) (net.Listener, error) {
		l, err := e.listen(net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil && e.failed == nil {
			e.failed = fmt.Errorf("the route of TCP port %d: %w", port, err)
		}
		return l, err
	}
	return o, nil
}

// trace starts what gathers spans, if that is asked for.
func (e *edge) trace(o *router.Options) error {
	c, err := otlp.Configure(os.Getenv, e.OTLP, e.OTLPSample)
	if err != nil {
		return misusef("tracing by OTLP: %w", err)
	}
	if c.Endpoint == "" {
		return nil
	}
	c.Log, c.Version = e.log, e.version
	if e.spans, err = otlp.New(c.Options); err != nil {
		return misusef("tracing by OTLP: %w", err)
	}
	o.Spans, o.SampleShare = e.spans, c.Share
	return nil
}

// tls is how clients are answered with TLS; nil where no certificate is given,
// and TLS can only be passed through.
func (e *edge) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case e.Certificates != "" && e.Development:
		return nil, misusef("--certs and --dev-cert are both set; keep one")
	case e.ACME.Email != "" && (e.Certificates != "" || e.Development):
		return nil, misusef("--acme-email and --certs or --dev-cert are both set; keep one")
	case e.ACME.Email != "":
		var err error
		if e.acme, err = newACME(e.ACME, filepath.Join(e.state, "acme"), e.log); err != nil {
			return nil, err
		}
		return e.acme.tls(), nil
	case e.Certificates != "":
		var err error
		if e.files, err = router.LoadCertificates(e.Certificates, e.log); err != nil {
			return nil, fmt.Errorf("--certs: %w", err)
		}
		config.GetCertificate = e.files.Get
	case e.Development:
		if !isLoopback(e.TLS) {
			return nil, misusef("--dev-cert is for a loopback address, which --router-tls %q is not: give --certs", e.TLS)
		}
		made, err := router.DevelopmentCertificate(time.Now())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{*made}
	default:
		return nil, nil
	}
	return config, nil
}

// listen opens a listener as the flags say, or takes the one that was handed
// over for the address, or opened before.
func (e *edge) listen(address string) (l net.Listener, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken != nil {
		l, _ = e.taken.take(address).(net.Listener)
	}
	if l == nil {
		if l, err = e.openNew(address); err != nil {
			return nil, err
		}
	}
	e.keep(address, l)
	return l, nil
}

// listenDNS opens the DNS server's sockets as listen does the router's.
func (e *edge) listenDNS(address string) (net.PacketConn, net.Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken != nil {
		l, _ := e.taken.take(onTCP(address)).(net.Listener)
		packets, _ := e.taken.take(onUDP(address)).(net.PacketConn)
		if l != nil && packets != nil {
			e.keep(onTCP(address), l)
			e.keep(onUDP(address), packets)
			return packets, l, nil
		}
	}
	packets, l, err := listenDNS(address, 0, e.ReusePort)
	if err == nil {
		e.keep(onTCP(address), l)
		e.keep(onUDP(address), packets)
	}
	return packets, l, err
}

// onTCP and onUDP name the DNS server's sockets to the next process.
func onTCP(address string) string { return "dns/tcp/" + address }
func onUDP(address string) string { return "dns/udp/" + address }

// keep remembers an open socket for the next process; e.mu is held.
func (e *edge) keep(address string, open any) {
	s, ok := open.(socket)
	if !ok {
		return // it is not the system's own
	}
	if e.opened == nil {
		e.opened = map[string]socket{}
	}
	e.opened[address] = s
}

// open are the sockets by the addresses that they were asked for with.
func (e *edge) open() map[string]socket {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.opened)
}

func (e *edge) openNew(address string) (net.Listener, error) {
	if e.ReusePort {
		return router.Listen(address, reusePort)
	}
	return router.Listen(address)
}

// start serves r on the listeners, tls or not, and keeps certificates and logs
// fresh until the stack is closed. patience bounds the end of what is under way.
func (e *edge) start(s *stack, r *router.Router, plain, secure net.Listener, patience time.Duration) {
	serve := func(what string, l net.Listener, on func(net.Listener) error) {
		if l == nil {
			return
		}
		go func() {
			if err := on(l); err != nil {
				e.log.Error("the router's listener ended", "listener", what, "err", err)
			}
		}()
	}
	serve("router", plain, r.Serve)
	serve("router-tls", secure, r.ServeTLS)
	ctx, stop := context.WithCancel(context.Background())
	if e.files != nil {
		go e.files.Watch(ctx)
	}
	if e.access != nil {
		go e.reopen(ctx)
	}
	if e.acme != nil {
		e.acme.start(ctx, plain, secure)
	}
	s.push("the router", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err := r.Shutdown(ctx)
		stop()
		if e.acme != nil {
			e.acme.cache.Stop()
		}
		if e.access != nil {
			err = errors.Join(err, e.access.Close())
		}
		if e.spans != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spansPatience)
			defer cancel()
			if lost := e.spans.Close(ctx); lost != nil {
				e.log.Warn("router: the end of the traces is lost", "error", lost)
			}
		}
		return err
	})
}

// reopen opens the access log anew at each SIGUSR1, after its file was moved.
func (e *edge) reopen(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signals.Notify(hangups, syscall.SIGUSR1)
	defer signals.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if err := e.access.Reopen(); err != nil {
				e.log.Error("the access log stays as it is", "err", err)
			}
		}
	}
}
