package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"

	"plimsoll/router"
)

// serveBackend answers GETs on $HOST:$PORT: /N with N bytes. It does as little
// as a server can, so that the proxies are what is measured.
func serveBackend() error {
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")))
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go answerAll(conn)
	}
}

func answerAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	answers := map[int][]byte{}
	buffer := make([]byte, 4<<10)
	have := 0
	for {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		have += n
		for {
			end := bytes.Index(buffer[:have], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			head := buffer[:end]
			size := sizeOf(head)
			if answers[size] == nil {
				answers[size] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
					size, bytes.Repeat([]byte{'x'}, size))
			}
			last := bytes.Contains(bytes.ToLower(head), []byte("\r\nconnection: close"))
			if _, err := conn.Write(answers[size]); err != nil || last {
				return
			}
			have = copy(buffer, buffer[end+4:have])
		}
	}
}

// sizeOf reads N of "GET /N HTTP/1.1"; 128 without one.
func sizeOf(head []byte) int {
	_, rest, _ := bytes.Cut(head, []byte(" /"))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	if n, err := strconv.Atoi(string(digits)); err == nil {
		return n
	}
	return 128
}

// serveReverseProxy is a plain httputil.ReverseProxy over the backends, taken in
// turn.
func serveReverseProxy(listen string, backends []string) error {
	var turn atomic.Uint64
	targets := make([]*url.URL, 0, len(backends))
	for _, address := range backends {
		targets = append(targets, &url.URL{Scheme: "http", Host: address})
	}
	return http.ListenAndServe(listen, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(targets[turn.Add(1)%uint64(len(targets))])
			r.SetXForwarded()
		},
		// Its default of two kept connections would measure dialling.
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	})
}

// serveRouter is Plimsoll's router alone with a number of routes, of which the
// last is asked for.
func serveRouter(listen, routes string, backends []string) error {
	n, err := strconv.Atoi(routes)
	if err != nil {
		return err
	}
	table := router.Table{Services: map[string][]router.Target{}}
	for i, address := range backends {
		table.Services["web"] = append(table.Services["web"], router.Target{ID: strconv.Itoa(i), Address: address})
	}
	for i := range n - 1 {
		table.Routes = append(table.Routes, router.Route{Host: fmt.Sprintf("shop-%d.example.com", i), Path: "/", Service: "web"})
	}
	table.Routes = append(table.Routes, router.Route{Host: "127.0.0.1", Path: "/", Service: "web"})
	r := router.New(router.Options{})
	if err := r.SetTable(table); err != nil {
		return err
	}
	l, err := router.Listen(listen)
	if err != nil {
		return err
	}
	return r.Serve(l)
}
