package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"plimsoll/router/h1"
)

// Time-outs and bounds of the router's server.
const (
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = h1.MaxHead
	// acceptPause is a rest when the process has no more file descriptors.
	acceptPause = 10 * time.Millisecond
	// partingGrace is how long a connection without a request stays open when
	// the router is to end.
	partingGrace = 300 * time.Millisecond
)

// fullServer is net/http's server for what needs more than plain HTTP/1.1, with
// the bounds that a server on an open port needs. Bodies and answers have no
// time-out there, because streams and WebSockets have no end.
func (r *Router) fullServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           http.HandlerFunc(r.serveFull),
		ReadHeaderTimeout: r.options.HeadTimeout,
		IdleTimeout:       idleTimeout,
		// net/http ends a whole connection of HTTP/2 for a head beyond its bound: ours
		// (misread) has to be reached before it.
		MaxHeaderBytes: 4 * maxHeaderBytes,
		Protocols:      &protocols,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: 250},
		// OPTIONS * is refused like any other target that is no path.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
		ConnState: func(conn net.Conn, state http.ConnState) {
			if c, ok := conn.(*handedConn); ok {
				c.active.Store(state == http.StateActive)
			}
			switch state {
			case http.StateNew:
				r.fullOpen.Add(1)
			case http.StateClosed, http.StateHijacked:
				r.fullOpen.Add(-1)
			}
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, handedKey{}, conn)
		},
	}
}

// Serve serves the router on l until Shutdown or Close, and then returns nil.
// It closes l. It may be called for several listeners.
func (r *Router) Serve(l net.Listener) error {
	return r.accept(r.behindProxy(l), r.serveConn)
}

// ServeTLS is Serve for a listener of connections with TLS: as Options.TLS says,
// but for those whose server name has a route of pass-through.
func (r *Router) ServeTLS(l net.Listener) error {
	config := httpTLS(r.options.TLS)
	return r.accept(r.behindProxy(l), func(conn net.Conn) { r.greet(conn, config) })
}

// accept has each connection of l served in a goroutine of its own.
func (r *Router) accept(l net.Listener, serve func(net.Conn)) error {
	defer l.Close()
	if err := r.startServing(l); err != nil {
		return err
	}
	defer r.accepting.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			if r.halting.Load() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
				r.log.Warn("router: a connection was not taken", "error", err)
				time.Sleep(acceptPause)
				continue
			}
			return err
		}
		r.socketsMu.Lock()
		r.live++
		r.socketsMu.Unlock()
		go func() {
			defer r.departed()
			serve(conn)
		}()
	}
}

// departed counts that a connection has ended, or has become net/http's.
func (r *Router) departed() {
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	if r.live--; r.live == 0 && r.halting.Load() {
		r.emptyOnce.Do(func() { close(r.empty) })
	}
}

// startServing starts what all connections need.
func (r *Router) startServing(l net.Listener) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	r.listeners = append(r.listeners, l)
	r.accepting.Add(1)
	if r.server != nil {
		return nil
	}
	r.server, r.full = r.fullServer(), newHandoff()
	server, full := r.server, r.full
	r.tasks.Go(func() { r.sweep(r.ctx) })
	r.tasks.Go(func() { _ = server.Serve(full) }) // it ends with http.ErrServerClosed alone
	return nil
}

// Shutdown takes no more connections, waits for the requests under way until
// ctx ends, sends the WebSockets away and closes the router.
func (r *Router) Shutdown(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stopping) })
	leaving := r.sendAllAway()
	grace := time.NewTimer(partingGrace)
	defer grace.Stop()
	err := r.haltClients(ctx)
	r.mu.Lock()
	server := r.server
	r.mu.Unlock()
	if server != nil {
		if r.fullOpen.Load() > 0 { // it closes those without a request at once
			select {
			case <-grace.C:
			case <-ctx.Done():
			}
		}
		if stopped := server.Shutdown(ctx); stopped != nil {
			err = errors.Join(err, stopped)
			server.Close()
		}
	}
	for _, tunnel := range leaving {
		select {
		case <-tunnel.done:
		case <-ctx.Done():
		}
	}
	return errors.Join(err, r.streams.wait(ctx), r.Close())
}

// sendAllAway closes all WebSockets, and gives them.
func (r *Router) sendAllAway() (leaving []*tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.services {
		s.mu.Lock()
		targets := s.targets
		s.mu.Unlock()
		for _, t := range targets {
			leaving = append(leaving, t.sendAway()...)
		}
	}
	return leaving
}

// Retire is the first part of Shutdown, for a router whose listeners another
// process serves now: it takes no more connections. Those that are open go on,
// and each may bring one more request, which is answered with "Connection:
// close" (GOAWAY in HTTP/2).
func (r *Router) Retire() {
	r.mu.Lock()
	listeners := r.listeners
	r.closePorts(nil)
	r.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	r.accepting.Wait()
	r.socketsMu.Lock()
	r.halting.Store(true)
	r.socketsMu.Unlock()
}

// haltClients retires, and waits for the clients' connections to end, which it
// forces when ctx ends. Those that bring no request any more are closed after
// partingGrace, for a request may be on its way just then.
func (r *Router) haltClients(ctx context.Context) error {
	r.Retire()
	r.socketsMu.Lock()
	n := r.live
	r.socketsMu.Unlock()
	if n == 0 {
		return nil
	}
	grace := time.NewTimer(partingGrace)
	defer grace.Stop()
	select {
	case <-r.empty:
		return nil
	case <-ctx.Done():
	case <-grace.C:
		r.evictIdle()
		select {
		case <-r.empty:
			return nil
		case <-ctx.Done():
		}
	}
	r.closeClients()
	return fmt.Errorf("the clients' connections: %w", context.Cause(ctx))
}

// evictIdle closes the connections without a request.
func (r *Router) evictIdle() {
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	r.evicting.Store(true)
	for c := range r.clients {
		_ = c.conn.SetReadDeadline(past) // wakes it
	}
}

// closeClients ends the clients' connections whatever is under way on them.
func (r *Router) closeClients() {
	r.socketsMu.Lock()
	defer r.socketsMu.Unlock()
	for c := range r.clients {
		c.leave()
		c.conn.Close()
	}
}
