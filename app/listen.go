package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"plimsoll/router"
)

// listen opens a listener for a flag's address. Port 0 takes a free port,
// preferring the one that the last run had: tasks that outlived it were told
// that address. more is done to the socket before it is bound.
func listen(flag, address string, last int, more ...func(fd uintptr) error) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, misusef("--%s: %w", flag, err)
	}
	if port == "0" && last != 0 {
		if l, err := router.Listen(net.JoinHostPort(host, strconv.Itoa(last)), more...); err == nil {
			return l, nil
		}
	}
	l, err := router.Listen(address, more...)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s %s: the address is in use; end what listens there, or give another (port 0 takes a free one)", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	return l, nil
}

// The listeners, by flag; the tasks' own endpoints have no flag.
const (
	onRouter = "router"
	// onRouterTLS is the router's listener for TLS.
	onRouterTLS = "router-tls"
	onUI        = "ui"
	onAWS       = "aws"
	onAgent     = "agent"
)

// anyPort is any free port of the loopback interface.
const anyPort = "127.0.0.1:0"

// listeners are the open listeners of a run, by flag.
type listeners map[string]net.Listener

// openListeners opens all of them or none. The AWS endpoint's speaks TLS if a
// certificate is given.
func openListeners(last RunFile, addresses map[string]string, certFile, keyFile string) (listeners, error) {
	open := listeners{}
	for _, flag := range slices.Sorted(maps.Keys(addresses)) {
		l, err := listen(flag, addresses[flag], last.Ports[flag])
		if err == nil && flag == onAWS {
			l, err = withTLS(l, certFile, keyFile)
		}
		if err != nil {
			open.close()
			return nil, err
		}
		open[flag] = l
	}
	return open, nil
}

// address is where this machine reaches a listener: one on all addresses by
// the name localhost.
func (ls listeners) address(flag string) string {
	address, ok := ls[flag].Addr().(*net.TCPAddr)
	if ok && address.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(address.Port))
	}
	return ls[flag].Addr().String()
}

// ports are the listeners' ports, by flag.
func (ls listeners) ports() map[string]int {
	out := map[string]int{}
	for flag, l := range ls {
		out[flag] = portOf(l)
	}
	return out
}

// endpoint is the AWS endpoint as the tasks and Plimsoll itself use it: the
// public one, or, where that speaks TLS, the same without it on the tasks' own
// listener.
func (ls listeners) endpoint(public, certFile string) string {
	if certFile != "" {
		return "http://" + ls.address(onAgent)
	}
	return public
}

func (ls listeners) close() {
	for _, l := range ls {
		_ = l.Close() // it is on its way out, and serves nobody
	}
}

// lateHandler answers 503 until it is given its handler: a listener is there
// before what it serves.
type lateHandler struct{ handler atomic.Pointer[http.Handler] }

func (l *lateHandler) set(h http.Handler) { l.handler.Store(&h) }

func (l *lateHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := l.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "plimsoll is starting", http.StatusServiceUnavailable)
}

func scheme(certFile string) string {
	if certFile != "" {
		return "https://"
	}
	return "http://"
}

// isLoopback tells whether an address can be reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// needsGuard refuses an address that others can reach and nothing guards.
func needsGuard(flag, address, guard string, guarded bool) error {
	if isLoopback(address) || guarded {
		return nil
	}
	return misusef("--%s %s can be reached from other machines: give %s, or a loopback address such as 127.0.0.1", flag, address, guard)
}

// serve answers on l until the part is stopped: running requests have until
// the stop's context ends.
//
// The requests' contexts end first, so that long polls do not hold it up.
func serve(s *stack, name string, l net.Listener, server *http.Server, log *slog.Logger) {
	base, cancel := context.WithCancel(context.Background())
	server.BaseContext = func(net.Listener) context.Context { return base }
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	go func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener ended", "listener", name, "err", err)
		}
	}()
	s.push(name, func(ctx context.Context) error {
		cancel()
		ctx, done := context.WithTimeout(ctx, 2*time.Second)
		defer done()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close()
		}
		return nil
	})
}

// withTLS wraps l if a certificate is given.
func withTLS(l net.Listener, certFile, keyFile string) (net.Listener, error) {
	if certFile == "" && keyFile == "" {
		return l, nil
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("--tls-cert %q and --tls-key %q: %w", certFile, keyFile, err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}), nil
}

func portOf(l net.Listener) int {
	if address, ok := l.Addr().(*net.TCPAddr); ok {
		return address.Port
	}
	return 0
}

// headTimeout is how long a client may take to send a request's head.
const headTimeout = 10 * time.Second
