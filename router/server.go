package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Time-outs and bounds of the router's server.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 75 * time.Second
	maxHeaderBytes    = 64 << 10
)

// Server is an http.Server for the router with the bounds that a server on an
// open port needs: 10 s for a request's head, 75 s for an idle connection, 64
// KiB of head, HTTP/1.1 only. Bodies and answers have no time-out, because
// streams and WebSockets have no end. Serve it on a Listener, or what net/http
// lets through reaches the targets.
func (r *Router) Server() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           r,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         &protocols,
		// OPTIONS * is refused like any other target that is no path.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
}

// Serve serves the router on l until Shutdown or Close, and then returns nil.
// It closes l.
func (r *Router) Serve(l net.Listener) error {
	server := r.Server()
	r.mu.Lock()
	if r.server != nil || r.ctx.Err() != nil {
		r.mu.Unlock()
		l.Close()
		return errors.New("the router is served already, or closed: make another one")
	}
	r.server = server
	r.mu.Unlock()
	if err := server.Serve(Listener(l)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no more connections, waits for the requests under way until
// ctx ends, sends the WebSockets away and closes the router.
func (r *Router) Shutdown(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stopping) })
	r.mu.Lock()
	server := r.server
	var leaving []*tunnel
	for _, s := range r.services {
		s.mu.Lock()
		targets := s.targets
		s.mu.Unlock()
		for _, t := range targets {
			leaving = append(leaving, t.sendAway()...)
		}
	}
	r.mu.Unlock()
	var err error
	if server != nil {
		if err = server.Shutdown(ctx); err != nil {
			server.Close()
		}
	}
	for _, tunnel := range leaving {
		select {
		case <-tunnel.done:
		case <-ctx.Done():
		}
	}
	return errors.Join(err, r.Close())
}
